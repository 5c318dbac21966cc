"""Needs of the settings: one that samples cannot show is named before it is run."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass

from metabev_ros.lab.datasets.corruptions.settings import Failure, Setting
from metabev_ros.lab.datasets.corruptions.suite import COMBINED, FROZEN_MS


@dataclass(frozen=True)
class Needs:
    """Things that a sample must have for a setting to mean what it says.

    Attributes:
        camera, lidar: such sensors.
        place: the frame of its LiDAR, where it has one.
        beams: a single sweep, whose elevations tell its beams.
        earlier_ms: samples so many milliseconds before it.
    """

    camera: bool = False
    lidar: bool = False
    place: bool = False
    beams: bool = False
    earlier_ms: frozenset[int] = frozenset()

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            self.camera or other.camera,
            self.lidar or other.lidar,
            self.place or other.place,
            self.beams or other.beams,
            self.earlier_ms | other.earlier_ms,
        )


def needs_of(setting: Setting) -> Needs:
    """The needs of one setting."""
    if setting.is_harmless:
        return Needs()
    if setting.failure is Failure.SEVERAL:
        return functools.reduce(operator.or_, map(needs_of, COMBINED[int(setting.degree)]))
    if setting.failure is Failure.FROZEN_VIEWS:
        return Needs(camera=True, earlier_ms=frozenset({FROZEN_MS}))
    if setting.failure is Failure.TIME_SKEW:
        return Needs(camera=True, earlier_ms=frozenset({int(setting.degree)}))
    return _NEEDS[setting.failure]


_NEEDS = {
    Failure.LIMITED_FIELD: Needs(lidar=True, place=True),
    Failure.MISSING_OBJECTS: Needs(lidar=True),
    Failure.BEAM_REDUCTION: Needs(lidar=True, place=True, beams=True),
    Failure.POINT_LOSS: Needs(lidar=True),
    Failure.VIEW_DROP: Needs(camera=True),
    Failure.VIEW_NOISE: Needs(camera=True),
    Failure.OCCLUSION: Needs(camera=True),
    Failure.MISSING_CAMERA: Needs(camera=True, lidar=True),
    Failure.MISSING_LIDAR: Needs(camera=True, lidar=True),
    Failure.MISCALIBRATION: Needs(camera=True),
    Failure.FOG: Needs(place=True),
    Failure.NIGHT: Needs(camera=True),
    Failure.INDEPENDENT: Needs(),
    Failure.LOST_SECTOR: Needs(lidar=True, place=True),
    Failure.ABSENT_VIEWS: Needs(camera=True),
    Failure.IMAGE: Needs(camera=True),
}
