"""Textures that image corruptions lay over a picture."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from metabev_ros.errors import ConfigError

FROSTS = 5
_FROST_SIZE = (512, 1024)
_ICE = np.array([0.86, 0.93, 1.0])


def plasma(size: int, decay: float, rng: np.random.Generator) -> np.ndarray:
    """(size, size) clouds in [0, 1] by the diamond-square algorithm, edges wrapped.

    Args:
        size: a power of two.
        decay: what every halving of the step divides the noise by; smaller is rougher.

    Raises:
        ConfigError: for another size.
    """
    if size < 2 or size & (size - 1):
        raise ConfigError('plasma.size', 'a power of two', repr(size))
    field, step, spread = np.zeros((size, size)), size, 100.0

    def noisy(sums: np.ndarray) -> np.ndarray:
        return sums / 4 + spread * rng.uniform(-spread, spread, sums.shape)

    while step >= 2:
        half = step // 2
        corners = field[::step, ::step]
        sides = corners + np.roll(corners, -1, 0)
        middles = noisy(sides + np.roll(sides, -1, 1))
        field[half::step, half::step] = middles
        rows = middles + np.roll(middles, 1, 0) + corners + np.roll(corners, -1, 1)
        field[::step, half::step] = noisy(rows)
        columns = middles + np.roll(middles, 1, 1) + corners + np.roll(corners, -1, 0)
        field[half::step, ::step] = noisy(columns)
        step, spread = half, spread / decay
    field -= field.min()
    return field / field.max()


@lru_cache(maxsize=FROSTS)
def frost_texture(index: int) -> np.ndarray:
    """One of five synthesised pictures of ice on glass: crystals that grow from the edges.

    Returns:
        (512, 1024, 3) uint8 RGB, a function of the index alone; do not write into it.

    Raises:
        ConfigError: for an index outside 0..4.
    """
    if not 0 <= index < FROSTS:
        raise ConfigError('frost_texture.index', f'0..{FROSTS - 1}', repr(index))
    rng = np.random.default_rng([1903, index])
    clouds = plasma(_FROST_SIZE[1], 1.7, rng)[: _FROST_SIZE[0]]
    crystals = np.zeros(_FROST_SIZE, np.float32)
    for _ in range(500):
        _grow(crystals, rng)
    crystals = cv2.GaussianBlur(crystals, (0, 0), 0.8)
    white = np.clip(0.25 + 0.55 * clouds + 0.6 * crystals - 0.25, 0, 1)
    texture = np.rint(255 * white[..., None] * _ICE).astype(np.uint8)
    texture.setflags(write=False)
    return texture


def _grow(crystals: np.ndarray, rng: np.random.Generator) -> None:
    """Draw one needle of ice with side branches of 60 degrees."""
    height, width = crystals.shape
    start = np.array([rng.uniform(0, width), rng.uniform(0, height)])
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(20, 120)
    bright = float(rng.uniform(0.4, 1.0))
    along = np.array([np.cos(angle), np.sin(angle)])
    _line(crystals, start, start + length * along, bright)
    for share in np.linspace(0.15, 0.9, 7):
        root = start + share * length * along
        for side in (-1, 1):
            turned = angle + side * np.pi / 3
            tip = (1 - share) * 0.5 * length * np.array([np.cos(turned), np.sin(turned)])
            _line(crystals, root, root + tip, 0.8 * bright)


def _line(image: np.ndarray, start: np.ndarray, end: np.ndarray, value: float) -> None:
    first, last = (tuple(np.rint(p).astype(int).tolist()) for p in (start, end))
    cv2.line(image, first, last, value, 1, cv2.LINE_AA)
