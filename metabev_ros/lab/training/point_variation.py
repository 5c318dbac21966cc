"""Variation of what a LiDAR tells: brightness, density, beams, range, sweeps, false returns.

Places of points do not change, so everything stays aligned. A LiDAR of another make, height or
age looks like this; weights that live on one sensor's intensities do not survive another's.
"""

from __future__ import annotations

import numpy as np

from metabev_ros.geometry import inverse_rigid, transform_points
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.training.augmentation import AugmentationConfig

_BAND = np.deg2rad(0.4)  # about the spacing of 64 beams
_FARTHEST = 60.0  # metres of false returns, and of a range limit
_NEAR = 6.0  # metres: dust and spray
_SWEEP_GAP = 0.01  # seconds; sweeps are farther apart


def vary_points(
    record: SampleRecord,
    points: np.ndarray,
    config: AugmentationConfig,
    rng: np.random.Generator,
) -> np.ndarray:
    """Points after variation.

    Args:
        record: that they are from.
        points: (P, 5) float32 in the record's frame of points.

    Returns:
        (P', 5) float32, the order kept; false returns come last.
    """
    kept = np.ones(len(points), bool)
    if rng.random() < config.sweeps_lost:
        kept &= _of_newest_sweeps(points[:, 4], rng)
    seen = _from_the_lidar(record, points)
    if rng.random() < config.beams_thinned:
        kept &= _in_bands(seen, rng)
    if rng.random() < config.range_limited:
        limit = rng.uniform(config.nearest_limit, max(config.nearest_limit, _FARTHEST))
        kept &= (seen**2).sum(1) <= limit**2
    if config.point_share != (1.0, 1.0):
        kept &= rng.random(len(points)) < rng.uniform(*config.point_share)
    result = points[kept]
    if config.noise_points > 0 and len(result):
        count = int(rng.uniform(0, config.noise_points) * len(result))
        result = np.concatenate([result, _false_returns(record, result, count, rng)])
    result[:, 3] = _varied_intensity(result[:, 3], config, rng)
    return result


def _from_the_lidar(record: SampleRecord, points: np.ndarray) -> np.ndarray:
    """(P, 3) float32, the LiDAR at the origin."""
    place = record.lidar_from_points
    if place is None:
        return points[:, :3]
    return transform_points(place, points[:, :3].astype(np.float64)).astype(np.float32)


def _of_newest_sweeps(lags: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(P,) bool: the points of 1 .. all but one of the sweeps."""
    levels = np.unique(np.round(lags / _SWEEP_GAP))
    levels = levels[np.diff(levels, prepend=-np.inf) > 1]  # each sweep once
    if len(levels) < 2:
        return np.ones(len(lags), bool)
    first_lost = levels[rng.integers(1, len(levels))]
    return lags / _SWEEP_GAP < first_lost - 0.6


def _in_bands(seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(P,) bool: one of every two to four bands of elevation."""
    every = int(rng.integers(2, 5))
    elevation = np.arctan2(seen[:, 2], np.hypot(seen[:, 0], seen[:, 1]))
    band = np.floor(elevation / _BAND + rng.random()).astype(np.int64)
    return band % every == rng.integers(every)


def _false_returns(
    record: SampleRecord, points: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """(count, 5) float32: near the LiDAR, as dust and spray, and anywhere, as crosstalk."""
    near = rng.random(count) < 0.5
    reach = np.where(near, _NEAR, _FARTHEST) * np.sqrt(rng.random(count))
    angle = rng.uniform(-np.pi, np.pi, count)
    height = rng.uniform(-2, 1, count) * np.where(near, 1.0, 3.0)
    places = np.stack([reach * np.cos(angle), reach * np.sin(angle), height], 1)
    if record.lidar_from_points is not None:
        places = transform_points(inverse_rigid(record.lidar_from_points), places)
    result = points[rng.integers(len(points), size=count)].copy()
    result[:, :3] = places
    result[:, 3] *= rng.random(count)
    return result


def _varied_intensity(
    intensity: np.ndarray, config: AugmentationConfig, rng: np.random.Generator
) -> np.ndarray:
    """(P,) float32, 0..255."""
    if rng.random() < config.intensity_lost:
        return np.full_like(intensity, 0.0 if rng.random() < 0.5 else rng.uniform(0, 255))
    exponent = rng.uniform(*config.intensity_gamma)
    factor = np.exp(rng.uniform(*np.log(config.intensity_scale)))
    if exponent != 1:
        intensity = 255 * (np.maximum(intensity, 0) / 255) ** exponent
    return np.clip(intensity * factor, 0, 255).astype(np.float32)
