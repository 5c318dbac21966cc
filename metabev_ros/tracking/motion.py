"""Motion of the objects of each class: gates, process noise, and classes that are mistaken.

Gates are the 99.9 % quantiles of what detectors err by in half a second, as CenterPoint's public
tracker has them (Yin et al., CVPR 2021; that of motorcycles, 13 m, is cut to 4 m), and 1 m for
what stands. Accelerations are what drivers, riders and walkers do in everyday traffic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.config.yaml import require

CLIMB = 0.1  # m2/s, by which a height may wander: slopes and the pitch of the vehicle
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class ClassMotion:
    """Motion of one class.

    Attributes:
        group: classes of one group are taken for each other; a track gathers votes for them.
        gate: metres between where an object should be and where it was found, at most.
        acceleration: m/s by which its velocity may have changed after a second (the square is the
            density of white noise acceleration: Bar-Shalom, Li and Kirubarajan, Estimation with
            Applications to Tracking and Navigation, 2001, section 6.2.2).
        speed: m/s, deviation of the first velocity that the network says.
        turn: radians by which its heading may have changed after a second.
    """

    group: str
    gate: float
    acceleration: float
    speed: float
    turn: float

    def __post_init__(self) -> None:
        for name in ('gate', 'acceleration', 'speed', 'turn'):
            value = getattr(self, name)
            require(0 < value <= 100, f'ClassMotion.{name}', 'in (0, 100]', value)


CLASS_MOTION = {
    'car': ClassMotion('vehicle', 4.0, 2.0, 3.0, 0.3),
    'truck': ClassMotion('vehicle', 4.0, 1.5, 3.0, 0.2),
    'construction_vehicle': ClassMotion('vehicle', 4.0, 1.0, 2.0, 0.3),
    'bus': ClassMotion('vehicle', 5.5, 1.5, 3.0, 0.2),
    'trailer': ClassMotion('vehicle', 3.0, 1.5, 3.0, 0.2),
    'barrier': ClassMotion('barrier', 1.0, 0.05, 0.1, 0.05),
    'motorcycle': ClassMotion('rider', 4.0, 2.5, 3.0, 0.5),
    'bicycle': ClassMotion('rider', 3.0, 1.5, 2.0, 0.5),
    'pedestrian': ClassMotion('pedestrian', 1.0, 0.8, 1.0, 1.0),
    'traffic_cone': ClassMotion('traffic_cone', 1.0, 0.05, 0.1, 0.5),
}
OTHER = ClassMotion('', 3.0, 2.0, 3.0, 0.5)  # a class of another model, which is its own group


@dataclass(frozen=True)
class MotionTable:
    """`ClassMotion` of a model's classes as arrays, (K,) each; groups are numbers."""

    group: np.ndarray
    gate: np.ndarray
    acceleration: np.ndarray
    speed: np.ndarray
    turn: np.ndarray

    @classmethod
    def of(
        cls, names: Sequence[str], known: Mapping[str, ClassMotion] = CLASS_MOTION
    ) -> MotionTable:
        """The table of these classes, in their order."""
        motions = [known.get(name, OTHER) for name in names]
        groups = [motion.group or name for motion, name in zip(motions, names, strict=True)]
        numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
        return cls(
            np.array([numbers[group] for group in groups], np.int64),
            *(
                np.array([getattr(motion, field) for motion in motions], np.float64)
                for field in ('gate', 'acceleration', 'speed', 'turn')
            ),
        )
