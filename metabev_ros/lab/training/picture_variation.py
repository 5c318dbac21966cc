"""Variation of what a camera shows, pixel by pixel: nothing moves.

Brightness and colours are changed by one look-up per channel, in the order in which a camera does
it: gain, then curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.lab.training.augmentation import AugmentationConfig

_LEVELS = np.arange(256) / 255
_LUMINANCE = np.array([0.299, 0.587, 0.114])
_JPEG_QUALITY = (20, 70)
_BLUR = (0.4, 1.6)  # standard deviation, pixels
_MOST_PATCHES = 3
_PATCH = (0.08, 0.4)  # edge over the picture's


@dataclass(frozen=True, eq=False)
class Mood:
    """Variation that all cameras of a sample share: the light, and how they are made.

    Attributes:
        gain, offset: of brightness 0..1.
        channel_gains: (3,) of RGB.
        saturation: 1 leaves colours as they are.
        noise: standard deviation of the pixels, 0..255.
    """

    gain: float
    offset: float
    channel_gains: np.ndarray
    saturation: float
    noise: float


def draw_mood(config: AugmentationConfig, rng: np.random.Generator) -> Mood:
    """The mood of one sample."""
    spread = config.brightness
    gain, offset = 1 + rng.uniform(-spread, spread), rng.uniform(-spread, spread) * 64 / 255
    channels, saturation, noise = np.ones(3), 1.0, 0.0
    if config.colour > 0:
        channels = 1 + rng.uniform(-config.colour, config.colour, 3)
        saturation = 1 + rng.uniform(-config.colour, config.colour)
    if config.noise > 0:
        noise = rng.uniform(0, config.noise)
    return Mood(gain, offset, channels, saturation, noise)


def vary_picture(
    pixels: np.ndarray, mood: Mood, config: AugmentationConfig, rng: np.random.Generator
) -> np.ndarray:
    """(H, W, 3) uint8 RGB after the sample's mood and the draws of this view."""
    pixels = cv2.LUT(np.ascontiguousarray(pixels), _curves(pixels, mood, config, rng))
    if mood.saturation != 1:
        pixels = cv2.transform(pixels, _saturating(mood.saturation))
    if rng.random() < config.blur:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(*_BLUR))
    if mood.noise > 0:
        grain = rng.standard_normal(pixels.shape[:2], dtype=np.float32) * mood.noise
        noisy = pixels + grain[..., None]
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    if rng.random() < config.jpeg:
        quality = int(rng.integers(*_JPEG_QUALITY))
        _, code = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
    if rng.random() < config.cutout:
        pixels = _cut_out(pixels, rng)
    return pixels


def _curves(
    pixels: np.ndarray, mood: Mood, config: AugmentationConfig, rng: np.random.Generator
) -> np.ndarray:
    """(1, 256, 3) uint8: what becomes of every level of every channel."""
    level = _LEVELS * mood.gain + mood.offset
    if config.contrast > 0:
        middle = pixels[::8, ::8].mean() / 255
        level = middle + (level - middle) * (1 + rng.uniform(-config.contrast, config.contrast))
    if config.gamma != (1.0, 1.0):
        level = np.clip(level, 0, 1) ** rng.uniform(*config.gamma)
    levels = np.clip(level[:, None] * mood.channel_gains * 255, 0, 255)
    return levels.astype(np.uint8)[None]


def _saturating(saturation: float) -> np.ndarray:
    """(3, 3) that moves colours away from, or towards, grey of equal luminance."""
    return saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMINANCE, (3, 1))


def _cut_out(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pixels = pixels.copy()
    height, width = pixels.shape[:2]
    for _ in range(rng.integers(1, _MOST_PATCHES + 1)):
        h, w = (rng.uniform(*_PATCH, 2) * (height, width)).astype(int)
        top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
        pixels[top : top + h, left : left + w] = rng.integers(0, 256, 3, dtype=np.uint8)
    return pixels
