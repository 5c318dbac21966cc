"""Rain and dirt in a picture: streaks in the air, drops and specks on the glass."""

from __future__ import annotations

import cv2
import numpy as np

_STREAKS = 900  # a picture in the hardest rain
_DROPS = 26


def add_streaks(picture: np.ndarray, rain: float, rng: np.random.Generator) -> None:
    """Falling drops, blurred by their speed, in place.

    Args:
        picture: (H, W, 3) float32 linear; rain: 0..1.
    """
    height, width = picture.shape[:2]
    count = int(rng.poisson(_STREAKS * rain * 0.5))
    if rain <= 0 or not count:
        return
    scale = width / 1600
    veil = np.zeros((height, width), np.float32)
    x = rng.uniform(0, width, count)
    y = rng.uniform(-0.1 * height, height, count)
    length = rng.gamma(2.0, 16.0, count) * scale
    lean = rng.normal(0.06, 0.03, count)
    strength = rng.uniform(0.1, 0.5, count)
    for k in range(count):
        start = (int(x[k] * 8), int(y[k] * 8))
        end = (int((x[k] + lean[k] * length[k]) * 8), int((y[k] + length[k]) * 8))
        cv2.line(veil, start, end, float(strength[k]), 1, cv2.LINE_AA, 3)
    veil = cv2.GaussianBlur(veil, (0, 0), max(0.4, 0.9 * scale))
    veil *= np.float32(min(1.0, 0.35 + 0.65 * scale))
    bright = picture.reshape(-1, 3)[:: max(1, height * width // 4096)].mean(0) * 1.5
    picture += veil[..., None] * (bright - picture * np.float32(0.6))


def add_drops(picture: np.ndarray, rain: float, dirt: int, rng: np.random.Generator) -> np.ndarray:
    """The picture seen through drops and specks on the glass.

    Args:
        picture: (H, W, 3) float32; dirt: number of specks.
    """
    height, width = picture.shape[:2]
    drops = int(rng.poisson(_DROPS * rain * 0.5)) if rain > 0 else 0
    if drops + dirt == 0:
        return picture
    scale = width / 1600
    shift_x = np.zeros((height, width), np.float32)
    shift_y = np.zeros_like(shift_x)
    dull = np.zeros_like(shift_x)
    for k in range(drops + dirt):
        radius = float(np.exp(rng.normal(np.log(22), 0.5))) * scale
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        _drop(shift_x, shift_y, dull, x, y, radius, k >= drops)
    u, v = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    bent = cv2.remap(
        picture, u + shift_x, v + shift_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    blurred = cv2.GaussianBlur(bent, (0, 0), max(6 * scale, 0.8))
    return bent + (blurred * np.float32(0.92) - bent) * dull[..., None]


def _drop(
    shift_x: np.ndarray,
    shift_y: np.ndarray,
    dull: np.ndarray,
    x: float,
    y: float,
    radius: float,
    speck: bool,
) -> None:
    reach = radius * 1.3
    x0, x1 = int(max(x - reach, 0)), int(min(x + reach + 1, shift_x.shape[1]))
    y0, y1 = int(max(y - reach, 0)), int(min(y + reach + 1, shift_x.shape[0]))
    if x1 <= x0 or y1 <= y0:
        return
    dx = np.arange(x0, x1, dtype=np.float32) - np.float32(x)
    dy = (np.arange(y0, y1, dtype=np.float32) - np.float32(y))[:, None]
    away = np.sqrt(dx * dx + (dy / np.float32(1.15)) ** 2) / np.float32(radius)
    inside = np.clip((1 - away) * 4, 0, 1)
    area = (slice(y0, y1), slice(x0, x1))
    dull[area] = np.maximum(dull[area], inside * np.float32(0.55 if speck else 0.8))
    if not speck:  # a drop is a lens that shows the scene upside down
        shift_x[area] += inside * dx * np.float32(-2.5)
        shift_y[area] += inside * dy * np.float32(-3.0)
