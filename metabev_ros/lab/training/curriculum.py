"""Corruption curriculum: sensors that fail partly, more and more often as training goes on.

The paper's in-domain protocol trains on corrupted data with random degrees (section 4.3). Here
all kinds share one draw, regional failures among them: a network that never saw a contiguous
hole in the LiDAR does not learn to fill it from the cameras. Truth stays as it is; only the depth
supervision of views that show nothing is left out.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.geometry import rigid_transform, transform_points
from metabev_ros.lab.datasets.corruptions import camera as camera_failures
from metabev_ros.lab.datasets.corruptions import lidar as lidar_failures
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.structures import Modality

T = TypeVar('T')
U = TypeVar('U')


class FailureKind(enum.Enum):
    """Kinds of failure in training; the letters are the paper's settings."""

    LIDAR_SECTOR = 'lidar_sector'  # LF: a part of the circle is seen
    BEAMS = 'beams'  # BR
    OBJECT_POINTS = 'object_points'  # MO
    POINT_DROP = 'point_drop'
    VIEWS_ABSENT = 'views_absent'  # a camera gives no image: the view is not computed
    VIEWS_ZERO = 'views_zero'  # VD: black images
    VIEWS_NOISE = 'views_noise'  # VN
    OCCLUSION = 'occlusion'  # OO
    CALIBRATION = 'calibration'  # extrinsics of every sensor are slightly wrong


OF_LIDAR = (
    FailureKind.LIDAR_SECTOR,
    FailureKind.BEAMS,
    FailureKind.OBJECT_POINTS,
    FailureKind.POINT_DROP,
)
OF_CAMERA = (
    FailureKind.VIEWS_ABSENT,
    FailureKind.VIEWS_ZERO,
    FailureKind.VIEWS_NOISE,
    FailureKind.OCCLUSION,
)


@dataclass(frozen=True)
class CurriculumConfig:
    """Chances of the failures.

    Attributes:
        probability: chance that a sample is hit once the ramp is over; 0: no curriculum.
        ramp_start, ramp_steps: the chance rises linearly from 0 over these optimiser steps.
        second: chance that a hit sample gets a second, different failure.
        lidar_sector ... calibration: relative weight of each kind; 0 switches it off. Kinds of a
            sensor that a sample does not have are not drawn for it.
        half_angle: degrees, smallest and largest half of the LiDAR sector that stays.
        front_sector: chance that this sector looks forward, as in the paper; else anywhere.
        calibration_degrees, calibration_metres: standard deviation per axis.
    """

    probability: float = 0.0
    ramp_start: int = 0
    ramp_steps: int = 0
    second: float = 0.0
    lidar_sector: float = 2.0
    beams: float = 1.0
    object_points: float = 1.0
    point_drop: float = 0.5
    views_absent: float = 1.0
    views_zero: float = 1.5
    views_noise: float = 1.0
    occlusion: float = 1.0
    calibration: float = 0.5
    half_angle: tuple[float, ...] = (45.0, 150.0)
    front_sector: float = 0.5
    calibration_degrees: float = 0.5
    calibration_metres: float = 0.05

    def __post_init__(self) -> None:
        for name in ('probability', 'second', 'front_sector'):
            require(
                0 <= getattr(self, name) <= 1, f'curriculum.{name}', '0..1', getattr(self, name)
            )
        for name in (
            'ramp_start',
            'ramp_steps',
            'calibration_degrees',
            'calibration_metres',
            *(kind.value for kind in FailureKind),
        ):
            require(
                getattr(self, name) >= 0, f'curriculum.{name}', 'at least 0', getattr(self, name)
            )
        require(
            len(self.half_angle) == 2 and 0 < self.half_angle[0] <= self.half_angle[1] <= 180,
            'curriculum.half_angle',
            'two angles, 0 < low <= high <= 180',
            self.half_angle,
        )
        if self.probability > 0:
            for modality in (Modality.CAMERA, Modality.LIDAR):
                require(
                    self._weights(modality).sum() > 0,
                    'curriculum',
                    f'a kind of failure with a weight for {modality.name}',
                    'none',
                )

    def chance(self, step: int) -> float:
        """Probability that a sample of this step (counted from 0) is hit."""
        if step < self.ramp_start:
            return 0.0
        return self.probability * min(1.0, (step - self.ramp_start + 1) / max(self.ramp_steps, 1))

    def draw(
        self, step: int, modality: Modality, rng: np.random.Generator
    ) -> tuple[FailureKind, ...]:
        """The failures of one sample: none, one, or two different ones."""
        if rng.random() >= self.chance(step):
            return ()
        weights = self._weights(modality)
        count = min(1 + (rng.random() < self.second), np.count_nonzero(weights))
        chosen = rng.choice(len(weights), count, replace=False, p=weights / weights.sum())
        return tuple(list(FailureKind)[i] for i in np.sort(chosen))

    def _weights(self, modality: Modality) -> np.ndarray:
        hit = {kind: modality.has_lidar for kind in OF_LIDAR}
        hit |= {kind: modality.has_camera for kind in OF_CAMERA}
        # Without a camera nothing shows an object whose points are gone: it would teach guessing.
        hit[FailureKind.OBJECT_POINTS] = modality is Modality.FUSED
        hit[FailureKind.CALIBRATION] = True
        return np.array([getattr(self, kind.value) * hit[kind] for kind in FailureKind])


def fail_points(
    record: SampleRecord,
    kinds: tuple[FailureKind, ...],
    config: CurriculumConfig,
    rng: np.random.Generator,
) -> np.ndarray:
    """(P', 5) points of a record, in their frame, after its LiDAR's failures."""
    points = record.points
    if FailureKind.LIDAR_SECTOR in kinds:
        front = rng.random() < config.front_sector
        points = _kept(
            record,
            points,
            lidar_failures.limit_field,
            rng.uniform(*config.half_angle),
            0.0 if front else rng.uniform(-180, 180),
        )
    if FailureKind.BEAMS in kinds:
        choice = list(lidar_failures.BeamChoice)[int(rng.integers(2))]
        points = _kept(
            record,
            points,
            lidar_failures.reduce_beams,
            int(rng.choice([16, 8, 4, 1])),
            choice,
        )
    if FailureKind.OBJECT_POINTS in kinds:
        points = lidar_failures.remove_objects(
            points, record.ego_from_lidar, record.boxes, rng.uniform(0.1, 1.0), rng
        )
    if FailureKind.POINT_DROP in kinds:
        points = lidar_failures.drop_points(points, rng.uniform(0.3, 0.9), rng)
    return points


def _kept(
    record: SampleRecord,
    points: np.ndarray,
    fail: Callable[[np.ndarray, T, U], np.ndarray],
    degree: T,
    choice: U,
) -> np.ndarray:
    """The points that a failure leaves, which looks at them from the LiDAR.

    Points of imported records are in the ego frame; as they are now, they are given back.
    """
    place = record.lidar_from_points
    if place is None:
        return fail(points, degree, choice)
    seen = transform_points(place, points[:, :3].astype(np.float64))
    rows = np.arange(len(points), dtype=np.float64)
    kept = fail(np.column_stack([seen, rows]), degree, choice)
    return points[kept[:, 3].astype(np.int64)]


def lost_views(
    kinds: tuple[FailureKind, ...], views: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The views that remain in the batch: 1 .. all but one of them are absent if that failed."""
    if FailureKind.VIEWS_ABSENT not in kinds or len(views) < 2:
        return views
    return np.sort(rng.permutation(views)[rng.integers(1, len(views)) :])


def fail_images(
    images: list[np.ndarray],
    kinds: tuple[FailureKind, ...],
    modality: Modality,
    rng: np.random.Generator,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Images after their cameras' failures, and which of them still show the scene.

    Black or noisy are 1 .. all views when a LiDAR sees on, else all but one at most.

    Args:
        images: (H, W, 3) uint8 each.

    Returns:
        the images, and (N,) bool: False where a view has no content left.
    """
    shows = np.ones(len(images), bool)
    images = list(images)
    if FailureKind.OCCLUSION in kinds:
        for i, pixels in enumerate(images):
            mask = camera_failures.obstacle_mask(int(rng.integers(camera_failures.MASKS)))
            images[i] = camera_failures.occlude(pixels, mask)
    most = len(images) if modality.has_lidar else len(images) - 1
    candidates = rng.permutation(len(images))[:most]
    for kind in (FailureKind.VIEWS_ZERO, FailureKind.VIEWS_NOISE):
        if kind not in kinds or most < 1:
            continue
        for i in rng.permutation(candidates)[: rng.integers(1, most + 1)]:
            images[i] = (
                camera_failures.zero_view(images[i])
                if (kind is FailureKind.VIEWS_ZERO)
                else camera_failures.noise_view(images[i], rng)
            )
            shows[i] = False
    return images, shows


def jitter_pose(
    ego_from_sensor: np.ndarray,
    kinds: tuple[FailureKind, ...],
    config: CurriculumConfig,
    rng: np.random.Generator,
) -> np.ndarray:
    """The (4, 4) pose with a small error in the sensor's own frame, if calibration failed."""
    if FailureKind.CALIBRATION not in kinds:
        return ego_from_sensor
    error = rigid_transform(
        _small_rotation(np.deg2rad(rng.normal(0, config.calibration_degrees, 3))),
        rng.normal(0, config.calibration_metres, 3),
    )
    return ego_from_sensor @ error


def _small_rotation(vector: np.ndarray) -> np.ndarray:
    """(3, 3) rotation about `vector` by its length in radians (Rodrigues)."""
    angle = np.linalg.norm(vector)
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
