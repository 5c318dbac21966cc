"""Camera failures on one image: pure functions of (H, W, 3) uint8 RGB pixels.

A failed view is still fed to the network (MetaBEV, arXiv 2304.09801, tells view drop from
a missing camera).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from metabev_ros.errors import ConfigError

MASKS = 16  # obstacle masks, as many as the toolkit that the paper cites has
_MASK_SIZE = (256, 704)
_AIRLIGHT = np.array([196.0, 200.0, 205.0])  # RGB of fog
_NO_DEPTH_RANGE = (4.0, 120.0)  # metres assumed at the bottom row and from the horizon up


def zero_view(pixels: np.ndarray) -> np.ndarray:
    """A black image (MetaBEV's view drop)."""
    return np.zeros_like(pixels)


def noise_view(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uniform noise 0..255 (view noise; the paper names no distribution)."""
    return rng.integers(0, 256, pixels.shape, dtype=np.uint8)


def occlude(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Blend a mask over the image: alpha = mask^3, alpha * image + (1 - alpha) * mask.

    The formula of the toolkit that the paper cites for obstacle occlusion.

    Args:
        mask: (h, w) float in [0, 1], 1 where the view is free; resized to the image.
    """
    height, width = pixels.shape[:2]
    if mask.shape != (height, width):
        mask = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    mask = np.clip(mask, 0, 1)[..., None]
    alpha = mask**3
    return np.rint(alpha * pixels + (1 - alpha) * mask * 255).astype(np.uint8)


@lru_cache(maxsize=MASKS)
def obstacle_mask(index: int) -> np.ndarray:
    """One of 16 synthesised masks: mud, water drops, scratches and leaves on the glass, in turn.

    Our own: the toolkit's pictures are no part of its repository. A function of the index alone.

    Returns:
        (256, 704) float32 in [0, 1], 1 where the view is free; do not write into it.

    Raises:
        ConfigError: for an index outside 0..15.
    """
    if not 0 <= index < MASKS:
        raise ConfigError('obstacle_mask.index', f'0..{MASKS - 1}', repr(index))
    rng = np.random.default_rng([1604, index])
    draw = (_mud, _drops, _scratches, _leaves)[index % 4]
    mask = np.clip(draw(np.full(_MASK_SIZE, 1.0, np.float32), rng), 0, 1)
    mask.setflags(write=False)
    return mask


def _mud(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise above a level is dirt: a third of the view."""
    noise = rng.normal(size=(8, 22)).astype(np.float32)
    field = cv2.resize(noise, mask.shape[::-1], interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(rng.normal(size=(64, 176)).astype(np.float32), mask.shape[::-1])
    field = field + 0.15 * fine
    level = np.quantile(field, rng.uniform(0.6, 0.75))
    dirt = np.clip((field - level) / 0.25, 0, 1)
    return mask - dirt * rng.uniform(0.75, 0.95)


def _drops(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Discs with a dark rim and a brighter, milky middle."""
    height, width = mask.shape
    for _ in range(int(rng.integers(35, 60))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        radius = int(rng.integers(8, 34))
        axes = (radius, int(radius * rng.uniform(1.0, 1.5)))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, float(rng.uniform(0.55, 0.7)), -1, cv2.LINE_AA)
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 0.3, 2, cv2.LINE_AA)
    return cv2.GaussianBlur(mask, (0, 0), 2.0)


def _scratches(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Long thin strokes, most in one direction."""
    height, width = mask.shape
    main = rng.uniform(-0.6, 0.6)
    for _ in range(int(rng.integers(60, 90))):
        angle, length = main + rng.normal(0, 0.25), rng.uniform(60, 400)
        start = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        cv2.line(
            mask,
            tuple(start.astype(int).tolist()),
            tuple(end.astype(int).tolist()),
            float(rng.uniform(0.1, 0.6)),
            int(rng.integers(1, 6)),
            cv2.LINE_AA,
        )
    return cv2.GaussianBlur(mask, (0, 0), 0.8)


def _leaves(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pointed ovals that hide what is behind them."""
    height, width = mask.shape
    along = np.linspace(0, np.pi, 24)
    for _ in range(int(rng.integers(10, 16))):
        length, wide = rng.uniform(60, 150), rng.uniform(18, 40)
        x = length * (along / np.pi - 0.5)
        outline = np.stack(
            [
                np.concatenate([x, x[::-1]]),
                np.concatenate([wide * np.sin(along) ** 1.5, -wide * np.sin(along[::-1]) ** 1.5]),
            ],
            axis=1,
        )
        angle = rng.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        place = outline @ turn.T + [rng.uniform(0, width), rng.uniform(0, height)]
        cv2.fillPoly(mask, [place.astype(np.int32)], float(rng.uniform(0.05, 0.25)), cv2.LINE_AA)
    return cv2.GaussianBlur(mask, (0, 0), 1.5)


def night(pixels: np.ndarray, gain: float, rng: np.random.Generator) -> np.ndarray:
    """Too little light: `gain` of it, bluish, with shot and read noise of the amplified sensor.

    Args:
        gain: share of the light that remains, (0, 1].

    Raises:
        ConfigError: for another gain.
    """
    if not 0 < gain <= 1:
        raise ConfigError('night.gain', '(0, 1]', repr(gain))
    dark = pixels * (gain * np.array([0.85, 0.92, 1.1], np.float32))
    spread = np.sqrt(0.35 * dark + 2.0 + 12.0 * (1 - gain)).astype(np.float32)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32)
    return np.clip(np.rint(dark + spread * noise), 0, 255).astype(np.uint8)


def fog(
    pixels: np.ndarray, visibility_m: float, depth: np.ndarray | None = None, horizon: float = 0.4
) -> np.ndarray:
    """Koschmieder's law: transmission exp(-ln(50) d / visibility), the rest is airlight.

    Args:
        visibility_m: meteorological visibility, > 0.
        depth: (H, W) metres, inf for sky; None: depth is guessed from the row, as on a plane:
            1 / depth falls evenly from the bottom row to the horizon.
        horizon: row of the horizon as a share of the height, for the guess.

    Raises:
        ConfigError: for a visibility that is not positive or a depth of another size.
    """
    if not visibility_m > 0:
        raise ConfigError('fog.visibility_m', 'a positive distance', repr(visibility_m))
    height, width = pixels.shape[:2]
    if depth is None:
        near, far = _NO_DEPTH_RANGE
        rise = np.clip((np.arange(height) / max(height - 1, 1) - horizon) / (1 - horizon), 0, 1)
        depth = np.repeat((1 / (1 / far + rise * (1 / near - 1 / far)))[:, None], width, axis=1)
    elif depth.shape != (height, width):
        raise ConfigError('fog.depth', f'({height}, {width})', str(depth.shape))
    transmission = np.exp(-np.log(50.0) / visibility_m * depth)[..., None]
    return np.rint(pixels * transmission + _AIRLIGHT * (1 - transmission)).astype(np.uint8)
