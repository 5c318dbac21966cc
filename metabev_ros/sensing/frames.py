"""Frames of the sensors on their way into a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.decoding import PackedImage
from metabev_ros.sensing.measures import Picture
from metabev_ros.sensing.sweeps import STILL_SECONDS
from metabev_ros.structures import CameraCalibration, CameraImage


class Stamped(Protocol):
    """Times of a frame, in nanoseconds: all that the synchroniser knows of it."""

    @property
    def stamp_ns(self) -> int:
        """Moment that it shows."""
        ...

    @property
    def arrival_ns(self) -> int:
        """Arrival of its message."""
        ...


FrameT = TypeVar('FrameT', bound=Stamped)


@dataclass(frozen=True)
class Collected(Generic[FrameT]):
    """Frames that one sample closed with, by the name of their sensor.

    Attributes:
        is_wanted: somebody will look at the sample; else nobody has looked at its frames.
    """

    reference_ns: int
    frames: Mapping[str, FrameT]
    is_wanted: bool = True


@dataclass
class CameraFrame:
    """One image: it is decoded when a sample is to hold it, or when its camera is not trusted.

    Attributes:
        stamp_ns: capture time, its camera's time offset added.
        arrival_ns: when its message came.
        packed: what is to be decoded.
        calibration: of the whole picture; `ego_from_camera` at its own stamp.
        image: at the network's input size; None before anybody looked.
    """

    stamp_ns: int
    arrival_ns: int
    packed: PackedImage
    calibration: CameraCalibration
    image: CameraImage | None = None


@dataclass(frozen=True)
class LidarFrame:
    """One sweep.

    Attributes:
        stamp_ns: of its message, the LiDAR's time offset added.
        arrival_ns: when its message came.
        points: (P, 5) float32 `POINT_COLUMNS` in the LiDAR frame, the vehicle's own left out.
        seconds: (P,) float32 time of each point after the stamp; None where it is not known.
        ego_from_lidar: (4, 4) float64.
        note: what is missing in it, in words; '' for nothing.
    """

    stamp_ns: int
    arrival_ns: int
    points: np.ndarray
    seconds: np.ndarray | None
    ego_from_lidar: np.ndarray
    note: str = ''

    @property
    def is_still(self) -> bool:
        """Tell whether its points need no motion: all of one time, or of none that is known."""
        return self.seconds is None or bool((np.abs(self.seconds) <= STILL_SECONDS).all())


Frame = CameraFrame | LidarFrame
Look = Picture | SensorDataError  # what there is to see in an image, or why nothing is
