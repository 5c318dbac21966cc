"""The sensors of a vehicle and when one of them counts as lost."""

from __future__ import annotations

from dataclasses import dataclass

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
    calibration: dict | None = None

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
    ego_from_lidar: list | None = None

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
        return {
            **{camera.name: SensorKind.CAMERA for camera in self.cameras},
            self.lidar.name: SensorKind.LIDAR,
        }


@dataclass(frozen=True)
class SensingConfig:
    """When a sensor counts as late, dead, frozen, back. Times in seconds.

    Attributes:
        deadline: how long a sample waits for expected sensors after its anchor arrived.
        tolerance: largest |image stamp - reference stamp|.
        max_age_periods: data older than this many nominal periods is never used as current.
        start_timeout: after this a sensor that never spoke is no longer waited for.
        future_tolerance: a stamp further ahead of the clock than this is invalid.
        max_latency: a message this much later after its stamp than the promptest is old.
        readmit_frames: consecutive good frames before a lost sensor is used again.
        frozen_frames: identical frames until FROZEN.
        flap_limit, flap_window, quarantine: more losses than `flap_limit` in `flap_window`
            seconds keep a sensor out for `quarantine` seconds.
        clock_jump: the clock going back by more than this starts a new epoch.
        min_cameras: fewer usable cameras than this do not make a camera branch.
    """

    deadline: float = 0.05
    tolerance: float = 0.055
    max_age_periods: float = 1.5
    start_timeout: float = 2.0
    future_tolerance: float = 0.05
    max_latency: float = 1.0
    readmit_frames: int = 2
    frozen_frames: int = 3
    flap_limit: int = 3
    flap_window: float = 10.0
    quarantine: float = 10.0
    clock_jump: float = 0.5
    min_cameras: int = 1

    def __post_init__(self) -> None:
        for name in (
            'deadline',
            'tolerance',
            'max_age_periods',
            'start_timeout',
            'flap_window',
            'future_tolerance',
            'max_latency',
            'quarantine',
            'clock_jump',
        ):
            value = getattr(self, name)
            require(0 < value <= 60, f'sensing.{name}', '0..60', value)
        for name, low in (
            ('readmit_frames', 1),
            ('frozen_frames', 2),
            ('flap_limit', 1),
            ('min_cameras', 1),
        ):
            require(
                low <= getattr(self, name) <= 100,
                f'sensing.{name}',
                f'{low}..100',
                getattr(self, name),
            )
