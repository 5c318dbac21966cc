"""A drive as a vehicle's sensors give it, whichever world it leads through.

Everything is a pure function of what a drive is made of and an event, so that several processes
may render one drive: it travels to them as what it is made of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property

import numpy as np

from metabev_ros.config import RigConfig
from metabev_ros.config.yaml import require
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic.measured import Sweep, View
from metabev_ros.lab.datasets.synthetic.motion import EgoMotion
from metabev_ros.lab.datasets.synthetic.mounts import Mounts, place_sensors
from metabev_ros.lab.datasets.synthetic.odometry import Odometry
from metabev_ros.lab.datasets.synthetic.timing import Event, Kind, TimingConfig, schedule
from metabev_ros.lab.datasets.synthetic.vehicle_config import VehicleConfig
from metabev_ros.structures import CameraCalibration

START_NS = 1_700_000_000_000_000_000


class SensorDrive(ABC):
    """A drive of a rig: its sensors, their events, and how the vehicle takes its own motion.

    Args:
        rig: the sensors.
        seed: of everything random, not negative.
        seconds: how long it lasts.
        config, timing: how it drives, and when the sensors measure.
        start_ns: the clock at the start.

    Attributes:
        events: all measurements in the order of their arrival.
        mounts: where the sensors sit.
        truth_source: the sensor at whose stamps there is truth.

    Raises:
        ConfigError
    """

    def __init__(
        self,
        rig: RigConfig,
        seed: int,
        seconds: float,
        config: VehicleConfig | None = None,
        timing: TimingConfig | None = None,
        start_ns: int = START_NS,
    ) -> None:
        require(seed >= 0, 'drive.seed', 'a whole number that is not negative', seed)
        require(0.1 <= seconds <= 3600, 'drive.seconds', '0.1..3600', seconds)
        self.rig, self.seed, self.seconds, self.start_ns = rig, int(seed), seconds, start_ns
        self.config, self.timing = config or VehicleConfig(), timing or TimingConfig()
        self.mounts: Mounts = place_sensors(rig, self.config)
        self.events: list[Event] = schedule(
            rig,
            self.timing,
            {name: _bearing(camera) for name, camera in self.mounts.cameras.items()},
            {name: float(np.deg2rad(one.last)) for name, one in self.mounts.lidars.items()},
            self.seed,
            seconds,
            start_ns,
        )
        self.truth_source = (*rig.lidars, *rig.cameras)[0].name
        self._rates = {sensor.name: sensor.rate_hz for sensor in rig.sensors}

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Say what it is made of: that is what travels to other processes."""
        made_of = (self.rig, self.seed, self.seconds, self.config, self.timing, self.start_ns)
        return type(self), made_of

    @property
    @abstractmethod
    def ego(self) -> EgoMotion:
        """The true motion of the vehicle."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of it, one sentence each."""
        return self.mounts.notes

    @cached_property
    def odometry(self) -> Odometry:
        """Its own belief of it."""
        return Odometry(self.ego, self.config.odometry, self.seed)

    @abstractmethod
    def view(self, event: Event) -> View:
        """The image of an event."""

    @abstractmethod
    def sweep(self, event: Event) -> tuple[Sweep, dict[int, int]]:
        """The sweep of an event, and track id -> points on the actor."""

    @abstractmethod
    def bare_truth(self, event: Event, points: Mapping[int, int]) -> GroundTruth:
        """The truth at the time of an event without what the cameras saw.

        Args:
            points: track id -> points on it, as `sweep` gives them.
        """

    def truth(
        self, event: Event, points: Mapping[int, int], views: Mapping[str, View] | None = None
    ) -> GroundTruth:
        """The truth at the time of an event.

        Args:
            points: track id -> points on it, as `sweep` gives them.
            views: the newest image of each camera; without them nobody counts as seen.
        """
        seen = [view.seen for view in (views or {}).values()]
        return with_visibility(self.bare_truth(event, points), seen)

    def camera_of(self, event: Event) -> CameraCalibration:
        """The camera of an event that is an image.

        Raises:
            ConfigError: for another event.
        """
        require(event.kind is Kind.IMAGE, 'drive.view', 'the event of a camera', event)
        return self.mounts.cameras[event.source]

    def readout(self, camera: str) -> float:
        """Seconds from the first to the last row of a camera's images."""
        return self.timing.of(camera, self.timing.cameras).readout

    def period(self, lidar: str) -> float:
        """Seconds of a LiDAR's revolution."""
        return 1 / (self.timing.of(lidar, self.timing.lidars).rate_hz or self._rates[lidar])


def truth_of(
    boxes: np.ndarray,
    labels: np.ndarray,
    tracks: np.ndarray,
    points: Mapping[int, int],
    map_layers: np.ndarray,
) -> GroundTruth:
    """The truth about everybody in (M, 9) boxes, nobody of whom is seen yet."""
    return GroundTruth(
        boxes.astype(np.float32),
        labels.astype(np.int64),
        np.array([points.get(int(track), 0) for track in tracks], dtype=np.int64),
        np.zeros(len(boxes), dtype=np.float32),
        tracks.astype(np.int64),
        map_layers,
    )


def with_visibility(truth: GroundTruth, seen: list[dict[int, tuple[int, int]]]) -> GroundTruth:
    """The truth with the share of each box that these images show."""
    pairs = np.array(
        [
            np.sum([one.get(int(track), (0, 0)) for one in seen] or [(0, 0)], axis=0)
            for track in truth.track_ids
        ],
        dtype=np.float64,
    ).reshape(-1, 2)
    share = np.where(pairs[:, 1] > 0, pairs[:, 0] / np.maximum(pairs[:, 1], 1), 0.0)
    return GroundTruth(
        truth.boxes,
        truth.labels,
        truth.num_lidar_pts,
        np.clip(share, 0, 1).astype(np.float32),
        truth.track_ids,
        truth.map_layers,
    )


def _bearing(camera: CameraCalibration) -> float:
    """Radians of a camera's axis in the ego frame."""
    return float(np.arctan2(camera.ego_from_camera[1, 2], camera.ego_from_camera[0, 2]))
