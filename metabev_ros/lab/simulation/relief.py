"""Hills: a smooth height over the plane as a sum of a few waves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config.yaml import require

STEEPEST = 4.0  # degrees
# Steepest slope of flat, gentle and hilly worlds, degrees; each is a third of all worlds.
_SLOPES = ((0.1, 0.6), (0.6, 2.0), (2.0, 3.8))
_HILLS, _RIPPLES = 7, 6
_HILL_LENGTHS = (70.0, 320.0)  # metres from crest to crest
_RIPPLE_LENGTHS = (14.0, 40.0)
_RIPPLE = 0.004  # metres: roads settle
_PROBE = 4.0  # metres between the points where the slope is measured


@dataclass(frozen=True)
class Relief:
    """Sum of plane waves: smooth, with a slope that is known everywhere.

    Attributes:
        waves: (K, 2) radians a metre along x and y.
        phases: (K,) radians.
        amplitudes: (K,) metres.
    """

    waves: np.ndarray
    phases: np.ndarray
    amplitudes: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.amplitudes)
        fits = self.waves.shape == (count, 2) and self.phases.shape == (count,)
        require(fits, 'relief', f'(K, 2) waves and (K,) phases, K = {count}', self.waves.shape)

    def height(self, xy: np.ndarray) -> np.ndarray:
        """Metres at (..., 2) world points, (...) float64."""
        xy = np.asarray(xy, dtype=np.float64)
        height = np.zeros(xy.shape[:-1])
        for (kx, ky), phase, amplitude in self._rows():
            height += amplitude * np.sin(kx * xy[..., 0] + ky * xy[..., 1] + phase)
        return height

    def gradient(self, xy: np.ndarray) -> np.ndarray:
        """Rise along x and y at (..., 2) world points, (..., 2) float64."""
        xy = np.asarray(xy, dtype=np.float64)
        gradient = np.zeros(xy.shape)
        for (kx, ky), phase, amplitude in self._rows():
            rise = amplitude * np.cos(kx * xy[..., 0] + ky * xy[..., 1] + phase)
            gradient[..., 0] += kx * rise
            gradient[..., 1] += ky * rise
        return gradient

    def _rows(self) -> list[tuple[tuple[float, float], float, float]]:
        return [
            ((float(k[0]), float(k[1])), float(p), float(a))
            for k, p, a in zip(self.waves, self.phases, self.amplitudes, strict=True)
        ]


def draw_relief(
    rng: np.random.Generator, low: np.ndarray, high: np.ndarray, strength: float = 1.0
) -> Relief:
    """Hills over a world; a third of the worlds is nearly flat, gentle, and hilly each.

    Args:
        low, high: (2,) corners of the world, metres; the slope is bounded between them.
        strength: factor of the slopes, 0..1.
    """
    require(0.0 <= strength <= 1.0, 'draw_relief.strength', 'between 0 and 1', strength)
    steepest = np.tan(np.deg2rad(rng.uniform(*_SLOPES[int(rng.integers(3))])))
    hills = _waves(rng, _HILLS, _HILL_LENGTHS)
    # Long waves are high and short ones low, so that every length has its share of the slope.
    heights = rng.uniform(0.4, 1.0, _HILLS) / np.linalg.norm(hills, axis=-1)
    phases = rng.uniform(-np.pi, np.pi, _HILLS + _RIPPLES)
    found = _steepest(Relief(hills, phases[:_HILLS], heights), low, high)
    ripples = _waves(rng, _RIPPLES, _RIPPLE_LENGTHS)
    small = _RIPPLE * rng.uniform(0.2, 1.0, _RIPPLES) / np.sqrt(_RIPPLES)
    relief = Relief(
        np.concatenate([hills, ripples]),
        phases,
        np.concatenate([heights * (strength * steepest / found), small * strength]),
    )
    excess = _steepest(relief, low, high) / np.tan(np.deg2rad(STEEPEST))
    return Relief(relief.waves, phases, relief.amplitudes / max(1.0, 1.02 * excess))


def _waves(rng: np.random.Generator, count: int, lengths: tuple[float, float]) -> np.ndarray:
    """(count, 2) wave vectors of random directions, their lengths spread in proportion."""
    turn = rng.uniform(-np.pi, np.pi, count)
    length = np.exp(rng.uniform(np.log(lengths[0]), np.log(lengths[1]), count))
    return (2 * np.pi / length)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=-1)


def _steepest(relief: Relief, low: np.ndarray, high: np.ndarray) -> float:
    x, y = (np.arange(a, b + _PROBE, _PROBE) for a, b in zip(low, high, strict=True))
    gradient = relief.gradient(np.stack(np.meshgrid(x, y), axis=-1))
    return float(np.linalg.norm(gradient, axis=-1).max())
