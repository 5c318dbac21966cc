"""The twelve image corruptions of the paper's evaluation (MetaBEV, section 7.6), on one image.

Kinds and parameters are those of ImageNet-C (Hendrycks and Dietterich 2019,
https://github.com/hendrycks/robustness), which Kamann and Rother 2020 put on pictures of streets.
Radii are in pixels and were chosen for pictures 224 pixels wide. Ours have the network's input
size when they are spoilt, which is about as large. Frost is laid on from a texture of our own:
the original's are photographs.

Pure functions of (H, W, 3) uint8 RGB pixels and a generator; severities are 1..5.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import cv2
import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions.textures import frost_texture, plasma

SEVERITIES = (1, 2, 3, 4, 5)
_WATER = np.array([175, 238, 238]) / 255  # pale turquoise
_MUD = np.array([63, 42, 20]) / 255


class ImageKind(enum.Enum):
    """Kinds of image corruption, in the order of the paper's Table 7."""

    MOTION_BLUR = 'motion_blur'
    DEFOCUS_BLUR = 'defocus_blur'
    GLASS_BLUR = 'glass_blur'
    GAUSSIAN_NOISE = 'gaussian_noise'
    BRIGHTNESS = 'brightness'
    CONTRAST = 'contrast'
    SATURATION = 'saturation'
    JPEG = 'jpeg'
    SNOW = 'snow'
    SPATTER = 'spatter'
    FOG = 'fog'
    FROST = 'frost'


def corrupt_image(
    kind: ImageKind, pixels: np.ndarray, severity: int, rng: np.random.Generator
) -> np.ndarray:
    """The image under one corruption; a new array.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        severity: 1..5.

    Raises:
        ConfigError: for another severity.
    """
    if severity not in SEVERITIES:
        raise ConfigError('corrupt_image.severity', '1..5', repr(severity))
    values = _APPLY[kind](pixels, severity - 1, rng)
    return np.clip(values, 0, 255).astype(np.uint8)


def _motion_blur(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[level]
    return _moved(pixels.astype(np.float32), radius, sigma, rng.uniform(-45, 45))


def _moved(values: np.ndarray, radius: int, sigma: float, angle: float) -> np.ndarray:
    """Blur along a line, from where a pixel is backwards, with half a Gaussian as weights.

    Args:
        values: (H, W) or (H, W, 3) float32.
        angle: of the line, degrees.
    """
    width = 2 * radius + 1
    along = np.arange(width)
    weights = np.exp(-(along**2) / (2 * sigma**2))
    weights /= weights.sum()
    turn = np.deg2rad(angle)
    rows = np.ceil(along * np.sin(turn) - 0.5).astype(int)
    columns = np.ceil(along * np.cos(turn) - 0.5).astype(int)
    kernel = np.zeros((2 * width + 1, 2 * width + 1), np.float32)
    np.add.at(kernel, (width + rows, width + columns), weights)
    return cv2.filter2D(values, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def _defocus_blur(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    radius, sigma = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[level]
    half, size = (8, 3) if radius <= 8 else (radius, 5)
    x, y = np.meshgrid(np.arange(-half, half + 1), np.arange(-half, half + 1))
    disc = (x**2 + y**2 <= radius**2).astype(np.float32)
    disc = cv2.GaussianBlur(disc / disc.sum(), (size, size), sigma)
    return cv2.filter2D(pixels.astype(np.float32), -1, disc)


def _glass_blur(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Pixels take the value of a neighbour, one after the other, between two small blurs.

    The original means to swap both, but overwrites the first before it is read; the published
    pictures are made so.
    """
    sigma, reach, rounds = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[level]
    blurred = np.clip(_smoothed(pixels / np.float32(255), sigma) * 255, 0, 255).astype(np.uint8)
    height, width = pixels.shape[:2]
    places = list(range(height * width))
    for _ in range(rounds):
        shape = (height - 2 * reach, width - 2 * reach, 2)
        steps = rng.integers(-reach, reach, shape)
        moves = (steps[..., 1] * width + steps[..., 0]).ravel().tolist()
        rows = range(height - reach, reach, -1)
        columns = range(width - reach, reach, -1)
        here = (row * width + column for row in rows for column in columns)
        for place, move in zip(here, moves, strict=True):
            places[place] = places[place + move]
    shuffled = blurred.reshape(-1, 3)[places].reshape(pixels.shape)
    return np.clip(_smoothed(shuffled / np.float32(255), sigma), 0, 1) * 255


def _smoothed(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur out to four standard deviations, edges repeated."""
    size = 2 * int(4 * sigma + 0.5) + 1
    return cv2.GaussianBlur(values, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)


def _gaussian_noise(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    spread = (0.08, 0.12, 0.18, 0.26, 0.38)[level]
    return (pixels / 255 + rng.normal(0, spread, pixels.shape)) * 255


def _brightness(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    hsv = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hsv[..., 2] = np.clip(hsv[..., 2] + (0.1, 0.2, 0.3, 0.4, 0.5)[level], 0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255


def _contrast(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    means = pixels.mean((0, 1), keepdims=True)
    return (pixels - means) * (0.4, 0.3, 0.2, 0.1, 0.05)[level] + means


def _saturation(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    factor, offset = ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2))[level]
    hsv = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + offset, 0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255


def _jpeg(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    quality = (25, 18, 15, 10, 7)[level]
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode('.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]


def _snow(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    mean, spread, zoom, least, radius, sigma, kept = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )[level]
    height, width = pixels.shape[:2]
    flakes = _zoomed(rng.normal(mean, spread, (height, width)), zoom)
    flakes[flakes < least] = 0
    flakes = np.clip(flakes, 0, 1).astype(np.float32)
    falling = _moved(flakes, radius, sigma, rng.uniform(-135, -45))
    falling = np.rint(np.clip(falling, 0, 1) * 255)[:height, :width] / 255
    image = pixels.astype(np.float32) / 255
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    image = kept * image + (1 - kept) * np.maximum(image, grey * 1.5 + 0.5)
    return (image + (falling + np.rot90(falling, 2))[..., None]) * 255


def _zoomed(values: np.ndarray, zoom: float) -> np.ndarray:
    """The middle of (H, W) values, `zoom` times as large: linear, corner values in the corners."""
    for axis in (0, 1):
        size = values.shape[axis]
        part = int(np.ceil(size / zoom))
        first = (size - part) // 2
        at = np.linspace(0, part - 1, round(part * zoom))
        low = np.minimum(np.floor(at).astype(int), max(part - 2, 0))
        share = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        before = np.take(values, first + low, axis)
        after = np.take(values, first + np.minimum(low + 1, part - 1), axis)
        values = before * (1 - share) + after * share
    return values


def _spatter(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Water on the lens at severities 1 to 3, mud at 4 and 5."""
    mean, spread, sigma, least, weight, is_mud = (
        (0.65, 0.3, 4, 0.69, 0.6, False),
        (0.65, 0.3, 3, 0.68, 0.6, False),
        (0.65, 0.3, 2, 0.68, 0.5, False),
        (0.65, 0.3, 1, 0.65, 1.5, True),
        (0.67, 0.4, 1, 0.65, 1.5, True),
    )[level]
    image = pixels.astype(np.float32) / 255
    liquid = _smoothed(rng.normal(mean, spread, pixels.shape[:2]), sigma)
    liquid[liquid < least] = 0
    if is_mud:
        cover = _smoothed((liquid > least).astype(np.float32), weight)[..., None]
        cover[cover < 0.8] = 0
        return (image * (1 - cover) + _MUD * cover) * 255
    drops = (liquid * 255).astype(np.uint8)
    cover = (drops * _rims(drops)).astype(np.float32)
    cover *= weight / max(float(cover.max()), 1e-6)
    return (image + _WATER * cover[..., None]) * 255


def _rims(drops: np.ndarray) -> np.ndarray:
    """(H, W) float32: how bright drops are by the distance from their rims."""
    distance = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
    distance = np.minimum(distance, 20)
    distance = cv2.equalizeHist(cv2.blur(distance, (3, 3)).astype(np.uint8))
    kernel = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    distance = cv2.filter2D(distance, cv2.CV_8U, kernel)
    return cv2.blur(distance, (3, 3)).astype(np.float32)


def _fog(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Clouds over the picture, as near as far; `camera.fog` knows depth."""
    weight, decay = ((1.5, 2), (2.0, 2), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))[level]
    height, width = pixels.shape[:2]
    image = pixels / 255
    brightest = image.max()
    clouds = plasma(1 << (max(height, width) - 1).bit_length(), decay, rng)
    image = image + weight * clouds[:height, :width, None]
    return image * brightest / (brightest + weight) * 255


def _frost(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    kept, weight = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))[level]
    frost = frost_texture(int(rng.integers(5)))
    height, width = pixels.shape[:2]
    frost = np.tile(frost, (-(-2 * height // len(frost)), -(-2 * width // frost.shape[1]), 1))
    top = int(rng.integers(0, len(frost) - height))
    left = int(rng.integers(0, frost.shape[1] - width))
    return kept * pixels + weight * frost[top : top + height, left : left + width].astype(float)


_APPLY: dict[ImageKind, Callable[[np.ndarray, int, np.random.Generator], np.ndarray]] = {
    ImageKind.MOTION_BLUR: _motion_blur,
    ImageKind.DEFOCUS_BLUR: _defocus_blur,
    ImageKind.GLASS_BLUR: _glass_blur,
    ImageKind.GAUSSIAN_NOISE: _gaussian_noise,
    ImageKind.BRIGHTNESS: _brightness,
    ImageKind.CONTRAST: _contrast,
    ImageKind.SATURATION: _saturation,
    ImageKind.JPEG: _jpeg,
    ImageKind.SNOW: _snow,
    ImageKind.SPATTER: _spatter,
    ImageKind.FOG: _fog,
    ImageKind.FROST: _frost,
}
