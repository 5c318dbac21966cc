"""One LiDAR: from a message to a checked, placed sweep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config import EgoBox, LidarConfig, SensingConfig
from metabev_ros.errors import clean_text
from metabev_ros.sensing.checks import GOOD, CloudCheck, Verdict, limit_points
from metabev_ros.sensing.frames import LidarFrame
from metabev_ros.sensing.inputs import Reading, SensorInput, require_frame
from metabev_ros.sensing.messages import PointCloud2
from metabev_ros.sensing.point_clouds import decode_point_cloud, without_box
from metabev_ros.sensing.tf_tree import TfTree
from metabev_ros.sensing.untrusted import read_frame
from metabev_ros.structures import SensorKind


@dataclass(frozen=True)
class Cloud:
    """Decoded points.

    Attributes:
        points: (P, 5) float32 `POINT_COLUMNS`, in the LiDAR frame.
        seconds: (P,) float32 time of each after the stamp; None where it is not known.
        note: what is missing in it, in words.
    """

    points: np.ndarray
    seconds: np.ndarray | None
    note: str


class LidarInput(SensorInput[Cloud]):
    """Decoding, content checks and pose of one LiDAR."""

    def __init__(self, lidar: LidarConfig, ego_box: EgoBox | None, config: SensingConfig) -> None:
        super().__init__(lidar, SensorKind.LIDAR, lidar.ego_from_lidar, config)
        self._scale, self._point_time = lidar.intensity_scale, lidar.point_time
        self._ego_box = ego_box
        self._check = CloudCheck(config.frozen_frames)

    def read(self, message: PointCloud2) -> tuple[Cloud, Verdict]:
        """The points of a message, and what their content says of the LiDAR.

        Raises:
            SensorDataError: what `point_clouds` raises, or 'transform' for an unknown frame.
        """
        require_frame(clean_text(read_frame(message.header)), self.frame, 'transform')
        points, seconds, note = decode_point_cloud(message, self._point_time, self._scale)
        verdict = self._check.check(points, int(message.width) * int(message.height))
        points, seconds, clipped = limit_points(points, seconds)
        return Cloud(points, seconds, note), clipped if verdict is GOOD else verdict

    def place(self, reading: Reading[Cloud], tf: TfTree) -> LidarFrame:
        """Put the points on the vehicle, without the vehicle's own.

        Raises:
            SensorDataError: 'transform'.
        """
        cloud, pose = reading.data, self.pose(tf, reading.stamp_ns, np.eye(3))
        points, seconds = cloud.points, cloud.seconds
        if self._ego_box is not None:
            points, seconds = without_box(points, seconds, self._ego_box, pose)
        return LidarFrame(reading.stamp_ns, reading.arrival_ns, points, seconds, pose, cloud.note)
