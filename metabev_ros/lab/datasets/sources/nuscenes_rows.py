"""Rows of the tables of nuScenes v1.0, and their look-up by token."""

from __future__ import annotations

import math
from array import array
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.geometry import quaternion_to_rotation, rigid_transform
from metabev_ros.lab.datasets.sources.json_rows import AGAIN, numbers

LIDAR = 'LIDAR_TOP'  # the sensor whose key frames are the samples
T = TypeVar('T')


class Scene(NamedTuple):
    """A drive; `location` names its map."""

    name: str
    location: str
    samples: int
    first: str


class Sample(NamedTuple):
    """A key frame."""

    token: str
    stamp_us: int
    scene: str
    following: str


class SensorData(NamedTuple):
    """A file of a sensor; `previous` is the one before it of the same sensor, '' for none."""

    token: str
    sample: str
    stamp_us: int
    calibration: str
    pose: str
    file: str
    is_key_frame: bool
    width: int
    height: int
    previous: str


class Calibration(NamedTuple):
    """A sensor on the vehicle during a drive; intrinsics only of cameras."""

    channel: str
    modality: str
    ego_from_sensor: np.ndarray
    intrinsics: np.ndarray | None


class Annotation(NamedTuple):
    """A box at a key frame.

    Attributes:
        instance: row of the object's instance.
        box: ten float64: centre, width length height, quaternion w x y z, in the map's frame.
    """

    token: str
    sample: str
    instance: int
    attributes: tuple[str, ...]
    visibility: str
    box: array[float]
    lidar_points: int
    radar_points: int
    previous: str
    following: str


class Named(dict[str, T], Generic[T]):
    """Rows of a table by their tokens.

    Args:
        where: the table, for errors.
    """

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def put(self, token: str, row: T) -> None:
        """Add a row.

        Raises:
            ConfigError: for a token that is there already.
        """
        if token in self:
            got = f'{clean_text(token)} twice'
            raise ConfigError(self.where, 'tokens that differ', got, AGAIN)
        self[token] = row

    def find(self, token: str) -> T:
        """The row of a token.

        Raises:
            ConfigError: where there is none.
        """
        if token not in self:
            got = f'none with {clean_text(repr(token))}, which another table names'
            raise ConfigError(self.where, 'all rows', got, AGAIN)
        return self[token]


def turn_of(value: object) -> tuple[float, ...]:
    """A unit quaternion w x y z.

    Raises:
        ValueError
    """
    turn = numbers(value, 4)
    length = math.hypot(*turn)
    if not abs(length - 1) < 1e-2:
        raise ValueError(f'{turn} is no unit quaternion')
    return tuple(part / length for part in turn)


def rigid_of(translation: object, rotation: object) -> np.ndarray:
    """(4, 4) float64 of the columns of a pose.

    Raises:
        ValueError
    """
    w, x, y, z = turn_of(rotation)
    return rigid_transform(quaternion_to_rotation(x, y, z, w), numbers(translation, 3))
