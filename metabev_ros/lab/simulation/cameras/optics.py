"""From light to the picture of a camera: exposure, glare, lens, noise, tone and JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from metabev_ros.lab.simulation.cameras.character import Character
from metabev_ros.lab.simulation.cameras.light import Light
from metabev_ros.lab.simulation.cameras.weather import add_drops, add_streaks

_MIDDLE = 0.18
_NORMAL = 0.35  # mean light of a bright day, to which the exposure refers
_STEPS = 4096
_TOP = 16.0  # the tone curve's end, in full scale


def develop(picture: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 RGB of (H, W, 3) float32 linear light, which is changed."""
    make = light.character
    scale = picture.shape[1] / 1600
    add_streaks(picture, light.rain, rng)
    picture = add_drops(picture, light.rain, make.dirt, rng)
    gain = exposure(picture, make)
    picture *= np.float32(gain) * make.white
    _glare(picture, make, scale)
    picture *= _vignette(picture.shape[:2], make.vignette)[..., None]
    blur = make.blur * scale
    if blur > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    _add_noise(picture, make, gain, rng)
    pixels = _tone(picture, make)
    if make.sharpen > 0.05:
        soft = cv2.GaussianBlur(pixels, (0, 0), max(1.2 * scale, 0.7))
        pixels = cv2.addWeighted(pixels, 1 + make.sharpen, soft, -make.sharpen, 0)
    return _through_jpeg(pixels, make.quality)


def exposure(picture: np.ndarray, make: Character) -> float:
    """Gain that brings the mean light near middle grey."""
    height, width = picture.shape[:2]
    step = max(1, int(np.sqrt(height * width / 6000)))
    sample = picture[height // 6 :: step, ::step]
    luma = np.minimum(sample @ np.array([0.25, 0.6, 0.15], np.float32), 4.0)
    mean = float(np.exp(np.log(luma + 1e-4).mean()) * 0.6 + luma.mean() * 0.4)
    gain = _MIDDLE / _NORMAL * (_NORMAL / max(mean, 1e-4)) ** make.adapts * make.exposure
    return min(gain, make.gain_limit)


def _glare(picture: np.ndarray, make: Character, scale: float) -> None:
    """Light that the lens spreads around bright things, in place."""
    height, width = picture.shape[:2]
    size = (max(width // 4, 8), max(height // 4, 8))
    small = cv2.resize(np.minimum(picture, 40.0), size, interpolation=cv2.INTER_AREA)
    bright = np.maximum(small - 0.9, 0)
    if bright.max() <= 0:
        return
    spread = np.zeros_like(small)
    for sigma, weight in ((2.5, 0.6), (9.0, 0.4), (36.0, 0.35)):
        spread += cv2.GaussianBlur(bright, (0, 0), max(sigma * scale, 0.5)) * np.float32(weight)
    spread = cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)
    picture += spread * np.float32(make.bloom * 9)


def _vignette(shape: tuple[int, int], strength: float) -> np.ndarray:
    height, width = shape
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    return 1 - np.float32(strength / 2) * (x * x + y * y)


def _add_noise(
    picture: np.ndarray, make: Character, gain: float, rng: np.random.Generator
) -> None:
    """Noise of photons and of reading, in place: more of it the more the signal is amplified."""
    level = make.noise * np.sqrt(max(gain, 0.05))
    values = rng.standard_normal(picture.shape, np.float32)
    spread = np.sqrt(
        np.maximum(picture, 0) * np.float32(level**2 / 0.5) + np.float32((level / 4) ** 2)
    )
    picture += values * spread


def _tone(picture: np.ndarray, make: Character) -> np.ndarray:
    """(H, W, 3) uint8: saturation, tone curve and gamma."""
    grey = picture @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    mixed = grey[..., None] + (picture - grey[..., None]) * np.float32(make.saturation)
    index = np.sqrt(np.clip(mixed, 0, _TOP) * np.float32(1 / _TOP)) * np.float32(_STEPS - 1)
    return _curve(make)[index.astype(np.uint16)]


def _curve(make: Character) -> np.ndarray:
    """(_STEPS,) uint8: response to the square of the place in the table."""
    light = (np.arange(_STEPS) / (_STEPS - 1)) ** 2 * _TOP
    light = _MIDDLE * (light / _MIDDLE) ** make.contrast
    white = make.shoulder * _MIDDLE * 4
    # Reinhard, Stark, Shirley and Ferwerda, Photographic Tone Reproduction (2002), equation 4.
    pressed = light * (1 + light / white**2) / (1 + light) * 1.25
    pressed = np.clip(pressed, 0, 1)
    gamma = np.where(pressed < 0.0031308, 12.92 * pressed, 1.055 * pressed ** (1 / 2.4) - 0.055)
    return np.rint(np.clip(gamma, 0, 1) * 255).astype(np.uint8)


def _through_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Rest of a picture after it was sent as a JPEG."""
    done, data = cv2.imencode(
        '.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    seen = cv2.imdecode(data, cv2.IMREAD_COLOR) if done else None
    if seen is None:
        raise RuntimeError('the picture could not be encoded as a JPEG')
    return np.asarray(cv2.cvtColor(seen, cv2.COLOR_BGR2RGB))
