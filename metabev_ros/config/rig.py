"""The sensors of a vehicle and when one of them counts as lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metabev_ros.config.parameter import check_ranges, parameter
from metabev_ros.config.yaml import require
from metabev_ros.structures import SensorKind


@dataclass(frozen=True)
class CameraConfig:
    """One camera of the rig; topics are relative to the node's namespace.

    Attributes:
        frame: TF frame of its optical frame; the images' frame_id must agree.
        rate_hz: nominal rate.
        calibration: optional fixed calibration {width, height, intrinsics: 9 numbers row-major,
            ego_from_camera: 16 numbers row-major}; without it CameraInfo and TF are used.
    """

    name: str
    topic: str
    info_topic: str
    frame: str
    rate_hz: float = 10.0
    calibration: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        require(
            0 < self.rate_hz <= 200, f'rig.cameras.{self.name}.rate_hz', '0..200', self.rate_hz
        )


@dataclass(frozen=True)
class LidarConfig:
    """The LiDAR of the rig; `ego_from_lidar`: optional 16 numbers row-major instead of TF."""

    name: str
    topic: str
    frame: str
    rate_hz: float = 10.0
    ego_from_lidar: list[float] | None = None

    def __post_init__(self) -> None:
        require(0 < self.rate_hz <= 200, f'rig.lidar.{self.name}.rate_hz', '0..200', self.rate_hz)


@dataclass(frozen=True)
class RigConfig:
    """The sensors of a vehicle."""

    cameras: tuple[CameraConfig, ...]
    lidar: LidarConfig
    ego_frame: str = 'base_link'
    odometry_topic: str = 'odom'

    def __post_init__(self) -> None:
        names = self.sensor_names
        require(len(self.cameras) >= 1, 'rig.cameras', 'at least one camera', len(self.cameras))
        require(len(set(names)) == len(names), 'rig', 'distinct sensor names', names)
        topics = [c.topic for c in self.cameras] + [self.lidar.topic]
        require(len(set(topics)) == len(topics), 'rig', 'distinct sensor topics', topics)

    @property
    def sensor_names(self) -> tuple[str, ...]:
        """Cameras in order, then the LiDAR."""
        return (*(camera.name for camera in self.cameras), self.lidar.name)

    @property
    def kinds(self) -> dict[str, SensorKind]:
        """Sensor name -> kind, in rig order."""
        return {
            **{camera.name: SensorKind.CAMERA for camera in self.cameras},
            self.lidar.name: SensorKind.LIDAR,
        }


@dataclass(frozen=True)
class SensingConfig:
    """Limits by which a sensor counts as late, dead, frozen or back."""

    deadline: float = parameter(
        0.05, 'a sample waits this long for expected sensors after its anchor', 's', (0.001, 5)
    )
    tolerance: float = parameter(
        0.055, 'largest distance of image stamp and reference stamp', 's', (0.001, 5)
    )
    max_age_periods: float = parameter(
        1.5, 'data older than this many nominal periods is never current', within=(0.5, 50)
    )
    start_timeout: float = parameter(
        2.0, 'a sensor that never spoke is not waited for after this', 's', (0.01, 60)
    )
    future_tolerance: float = parameter(
        0.05, 'a stamp further ahead of the clock is invalid', 's', (0.001, 60)
    )
    max_latency: float = parameter(
        1.0, 'a message that comes this much later than the promptest is old', 's', (0.001, 60)
    )
    readmit_frames: int = parameter(
        2, 'good frames in a row before a lost sensor is used again', within=(1, 100)
    )
    frozen_frames: int = parameter(3, 'identical frames until FROZEN', within=(2, 100))
    flap_limit: int = parameter(
        3, 'losses within flap_window; one more leads to quarantine', within=(1, 100)
    )
    flap_window: float = parameter(10.0, 'the time in which losses count', 's', (0.1, 60))
    quarantine: float = parameter(10.0, 'a flapping sensor is kept out this long', 's', (0.1, 60))
    clock_jump: float = parameter(
        0.5, 'the clock going back by more than this starts a new epoch', 's', (0.01, 60)
    )
    min_cameras: int = parameter(
        1, 'fewer usable cameras do not make a camera branch', within=(1, 100)
    )

    def __post_init__(self) -> None:
        check_ranges(self, 'sensing.')
