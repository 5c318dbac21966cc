"""Frames of the sensors on their way into a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.decoding import PackedImage
from metabev_ros.sensing.measures import Picture
from metabev_ros.sensing.sweeps import STILL_SECONDS
from metabev_ros.structures import CameraCalibration, CameraImage


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
