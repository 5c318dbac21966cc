"""Marks that a make of camera leaves on the light that falls on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config.yaml import require


@dataclass(frozen=True)
class Character:
    """Response of the cameras of one vehicle.

    Attributes:
        exposure: factor by which it exposes more than the mean asks.
        adapts: share of a change of light that the exposure makes up for, 0..1.
        gain_limit: greatest gain, which leaves night dark.
        white: (3,) float32 error of the white balance.
        contrast: exponent of the tone curve about middle grey; saturation: factor.
        shoulder: white point of the highlights, in middle greys.
        vignette: share of light lost in the corners.
        blur: standard deviation of the lens's spot in pixels of a picture 1600 wide.
        bloom: share of light that is spread around bright things.
        noise: standard deviation of the sensor's noise at middle grey and gain 1, of full scale.
        sharpen: strength of the unsharp mask.
        quality: of the JPEG, 1..100.
        dirt: number of drops and specks on the glass.
    """

    exposure: float
    adapts: float
    gain_limit: float
    white: np.ndarray
    contrast: float
    saturation: float
    shoulder: float
    vignette: float
    blur: float
    bloom: float
    noise: float
    sharpen: float
    quality: int
    dirt: int

    def __post_init__(self) -> None:
        require(1 <= self.quality <= 100, 'character.quality', 'between 1 and 100', self.quality)
        require(0 <= self.adapts <= 1, 'character.adapts', 'between 0 and 1', self.adapts)


def draw_character(rng: np.random.Generator) -> Character:
    """The cameras of one vehicle."""
    warm = rng.normal(0, 0.035)
    return Character(
        exposure=float(np.exp(rng.normal(0.0, 0.2))),
        adapts=rng.uniform(0.82, 0.97),
        gain_limit=float(np.exp(rng.uniform(np.log(4), np.log(10)))),
        white=np.array([1 + warm, 1 + rng.normal(0, 0.012), 1 - warm], np.float32),
        contrast=rng.uniform(0.95, 1.2),
        saturation=rng.uniform(0.6, 1.05),
        shoulder=rng.uniform(5.0, 9.0),
        vignette=rng.uniform(0.05, 0.3),
        blur=rng.uniform(0.3, 0.9),
        bloom=rng.uniform(0.01, 0.04),
        noise=rng.uniform(0.006, 0.014),
        sharpen=rng.uniform(0.0, 0.6),
        quality=int(rng.integers(60, 96)),
        dirt=int(rng.poisson(1.0)) if rng.uniform() < 0.3 else 0,
    )
