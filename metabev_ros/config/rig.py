"""The sensors of a vehicle: what they send, where they sit and what is known of them.

`docs/rig.md` and `config/rig.schema.json` are made from these fields.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.structures import DistortionModel, Modality, SensorKind

MAX_CAMERAS, MAX_LIDARS = 12, 4
MAX_RATE = 200.0  # Hz
MIN_RATE = 0.1
MAX_OFFSET = 86_400.0  # seconds
# What a ROS topic may be called: names of letters, digits and '_', relative, absolute or private.
_TOPIC = re.compile(r'^(~/|/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*$')


class Transport(enum.Enum):
    """Form in which the images of a camera travel."""

    RAW = 'raw'  # sensor_msgs/Image
    COMPRESSED = 'compressed'  # sensor_msgs/CompressedImage, JPEG or PNG


class TimeUnit(enum.Enum):
    """Unit of a point's own time."""

    SECONDS = 's'
    MICROSECONDS = 'us'
    NANOSECONDS = 'ns'


@dataclass(frozen=True)
class IntrinsicsConfig:
    """Fixed intrinsics of a camera, in place of its CameraInfo.

    Attributes:
        width, height: of its images, pixels.
        matrix: 9 numbers, row-major, pixels: K, or P without its last column when `rectified`.
        distortion_model: as CameraInfo names it.
        distortion: D, as long as the model asks for; empty for none.
    """

    width: int
    height: int
    matrix: tuple[float, ...]
    distortion_model: DistortionModel = DistortionModel.PLUMB_BOB
    distortion: tuple[float, ...] = ()


@dataclass(frozen=True)
class PointTime:
    """The field of a cloud that holds each point's own time.

    Attributes:
        field: its name.
        unit: its unit.
        absolute: true where it is a time on the clock of the stamps; false where it is relative
            to the message's stamp, negative before it.
    """

    field: str
    unit: TimeUnit = TimeUnit.SECONDS
    absolute: bool = False


@dataclass(frozen=True)
class EgoBox:
    """The box around the vehicle, in metres in the ego frame; returns inside are its own."""

    x_min: float
    x_max: float
    y_min: float
    y_max: float
    z_min: float
    z_max: float

    def __post_init__(self) -> None:
        for axis in 'xyz':
            low, high = getattr(self, f'{axis}_min'), getattr(self, f'{axis}_max')
            require(
                -30 <= low < high <= 30,
                f'rig.ego_box.{axis}_min, {axis}_max',
                'min < max, within 30 m',
                (low, high),
            )

    @property
    def footprint(self) -> np.ndarray:
        """(4,) float64 x_min, x_max, y_min, y_max, as `Sample.own_vehicle`."""
        return np.array([self.x_min, self.x_max, self.y_min, self.y_max])


@dataclass(frozen=True)
class CameraConfig:
    """One camera of the rig; topics are relative to the node's namespace.

    Attributes:
        name: how outputs call it.
        topic: of its images.
        frame: TF frame of its optical frame; the images' frame_id must agree.
        transport: what is sent on `topic`.
        rectified: the images are free of distortion: CameraInfo's P counts and D does not.
        info_topic: of its CameraInfo; empty with fixed `intrinsics`.
        rate_hz: nominal rate.
        time_offset: seconds that are added to its stamps.
        estimate_time_offset: its offset to the other sensors is measured at the start, and said.
        intrinsics: fixed; without them those of CameraInfo count.
        ego_from_camera: fixed pose, 16 numbers, row-major; without it that of TF counts.
    """

    name: str
    topic: str
    frame: str
    transport: Transport
    rectified: bool
    info_topic: str = ''
    rate_hz: float = 10.0
    time_offset: float = 0.0
    estimate_time_offset: bool = False
    intrinsics: IntrinsicsConfig | None = None
    ego_from_camera: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        where = f'rig.cameras.{self.name}'
        _check_sensor(where, self)
        require(
            bool(self.info_topic) != (self.intrinsics is not None),
            f'{where}.info_topic',
            'the topic of its CameraInfo, or fixed intrinsics in its place',
            repr(self.info_topic),
        )
        if self.info_topic:
            _check_topic(f'{where}.info_topic', self.info_topic)


@dataclass(frozen=True)
class LidarConfig:
    """One LiDAR of the rig.

    Attributes:
        name, topic, frame, rate_hz, time_offset, estimate_time_offset: as a camera's.
        ego_from_lidar: fixed pose, 16 numbers, row-major; without it that of TF counts.
        intensity_scale: what its intensities are multiplied by to lie in 0..255.
        point_time: where the points say when each was measured; without it a sweep is taken as
            measured at its stamp.
    """

    name: str
    topic: str
    frame: str
    rate_hz: float = 10.0
    time_offset: float = 0.0
    estimate_time_offset: bool = False
    ego_from_lidar: tuple[float, ...] | None = None
    intensity_scale: float = 1.0
    point_time: PointTime | None = None

    def __post_init__(self) -> None:
        where = f'rig.lidars.{self.name}'
        _check_sensor(where, self)
        require(
            0 < self.intensity_scale <= 1e6,
            f'{where}.intensity_scale',
            'a number in 0..1e6',
            self.intensity_scale,
        )


def _check_sensor(where: str, sensor: CameraConfig | LidarConfig) -> None:
    require(bool(re.fullmatch(r'\S{1,64}', sensor.name)), where, 'a name without spaces', '')
    require(bool(sensor.frame.strip('/')), f'{where}.frame', 'the name of a TF frame', "''")
    _check_topic(f'{where}.topic', sensor.topic)
    require(
        MIN_RATE <= sensor.rate_hz <= MAX_RATE,
        f'{where}.rate_hz',
        f'{MIN_RATE:g}..{MAX_RATE:g}',
        sensor.rate_hz,
    )
    require(
        math.isfinite(sensor.time_offset) and abs(sensor.time_offset) <= MAX_OFFSET,
        f'{where}.time_offset',
        f'seconds, at most {MAX_OFFSET:g}',
        sensor.time_offset,
    )
    require(
        not (sensor.time_offset and sensor.estimate_time_offset),
        f'{where}.time_offset',
        'a constant, or estimate_time_offset, not both',
        sensor.time_offset,
    )


def _check_topic(where: str, topic: str) -> None:
    require(bool(_TOPIC.match(topic)), where, 'the name of a ROS topic', repr(topic))


@dataclass(frozen=True)
class RigConfig:
    """The sensors of a vehicle.

    Attributes:
        cameras: 0 to 12, in the order of the outputs.
        lidars: 0 to 4; the stamps of the first one that lives are those of the samples.
        ego_frame: frame of the outputs, at the vehicle.
        odometry_topic: nav_msgs/Odometry of `ego_frame`; empty for none.
        motion_frame: TF frame that the vehicle moves in, used where odometry is silent; empty
            for none.
        ego_box: returns and centres of boxes inside are the vehicle's own and are left out.
    """

    cameras: tuple[CameraConfig, ...] = ()
    lidars: tuple[LidarConfig, ...] = ()
    ego_frame: str = 'base_link'
    odometry_topic: str = 'odom'
    motion_frame: str = 'odom'
    ego_box: EgoBox | None = None

    def __post_init__(self) -> None:
        names, count = self.sensor_names, (len(self.cameras), len(self.lidars))
        require(count[0] <= MAX_CAMERAS, 'rig.cameras', f'at most {MAX_CAMERAS}', count[0])
        require(count[1] <= MAX_LIDARS, 'rig.lidars', f'at most {MAX_LIDARS}', count[1])
        require(bool(names), 'rig', 'at least one camera or LiDAR', 'none')
        require(len(set(names)) == len(names), 'rig', 'distinct sensor names', names)
        if self.odometry_topic:
            _check_topic('rig.odometry_topic', self.odometry_topic)
        topics = [name.lstrip('/') for name in self._topics]
        twice = sorted({name for name in topics if topics.count(name) > 1})
        require(not twice, 'rig', 'a topic of its own for everything', f'{twice} twice')
        require(bool(self.ego_frame.strip('/')), 'rig.ego_frame', 'the name of a TF frame', "''")

    @property
    def _topics(self) -> list[str]:
        infos = [camera.info_topic for camera in self.cameras]
        named = [*(sensor.topic for sensor in self.sensors), *infos, self.odometry_topic]
        return [*filter(None, named), 'tf', 'tf_static', 'fault_injection']

    @property
    def sensors(self) -> tuple[CameraConfig | LidarConfig, ...]:
        """Cameras in order, then the LiDARs."""
        return (*self.cameras, *self.lidars)

    @property
    def sensor_names(self) -> tuple[str, ...]:
        """Names of the cameras in order, then those of the LiDARs."""
        return tuple(sensor.name for sensor in self.sensors)

    @property
    def kinds(self) -> dict[str, SensorKind]:
        """Sensor name -> kind, in rig order."""
        return {
            **{camera.name: SensorKind.CAMERA for camera in self.cameras},
            **{lidar.name: SensorKind.LIDAR for lidar in self.lidars},
        }

    def modality_of(self, sensors: Collection[str]) -> Modality:
        """The modality of an output that was made from these sensors."""
        return Modality.from_presence(
            any(camera.name in sensors for camera in self.cameras),
            any(lidar.name in sensors for lidar in self.lidars),
        )

    @property
    def sample_rate_hz(self) -> float:
        """Nominal rate of the samples: that of the first LiDAR, else of the fastest camera."""
        if self.lidars:
            return self.lidars[0].rate_hz
        return max(camera.rate_hz for camera in self.cameras)
