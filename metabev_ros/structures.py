"""The data that crosses layers: modality, sensor state, calibration, sample, results.

Frames are REP 103: ego = `base_link` (x forward, y left, z up), camera = optical frame
(x right, y down, z forward). All stamps are integer nanoseconds.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from metabev_ros.class_errors import ClassErrors
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import BevGrid

DETECTION_CLASSES = (
    'car',
    'truck',
    'construction_vehicle',
    'bus',
    'trailer',
    'barrier',
    'motorcycle',
    'bicycle',
    'pedestrian',
    'traffic_cone',
)
Colour = tuple[int, int, int]  # RGB, 0..255
CLASS_COLOURS: dict[str, Colour] = {  # in pictures and in RViz
    'car': (255, 158, 0),
    'truck': (255, 80, 60),
    'construction_vehicle': (180, 200, 60),
    'bus': (255, 105, 180),
    'trailer': (196, 136, 96),
    'barrier': (150, 160, 180),
    'motorcycle': (205, 40, 95),
    'bicycle': (220, 50, 230),
    'pedestrian': (70, 150, 255),
    'traffic_cone': (120, 220, 232),
}
OTHER_COLOUR: Colour = (200, 200, 60)  # a class without a colour of its own
DRIVABLE_CLASS = 'drivable_area'  # has an output of its own
MAP_CLASSES = (DRIVABLE_CLASS, 'ped_crossing', 'walkway', 'stop_line', 'carpark_area', 'divider')
POINT_COLUMNS = ('x', 'y', 'z', 'intensity', 'time_lag')


def class_colour(name: str) -> Colour:
    """The colour of a detection class; one fixed colour for classes that have none."""
    return CLASS_COLOURS.get(name, OTHER_COLOUR)


class Modality(enum.IntEnum):
    """Sensors that an output was made from; the bits are camera = 1, LiDAR = 2."""

    NONE = 0
    CAMERA = 1
    LIDAR = 2
    FUSED = 3

    @property
    def has_camera(self) -> bool:
        """Tell whether cameras are part of it."""
        return bool(self & 1)

    @property
    def has_lidar(self) -> bool:
        """Tell whether the LiDAR is part of it."""
        return bool(self & 2)

    @classmethod
    def from_presence(cls, camera: bool, lidar: bool) -> Modality:
        """The modality made from these two branches."""
        return cls(int(camera) | int(lidar) << 1)


class SensorKind(enum.Enum):
    """Kind of sensor."""

    CAMERA = 'camera'
    LIDAR = 'lidar'


class SensorState(enum.IntEnum):
    """Health of one sensor, from the monitor; the values are those of SensorStatus.msg."""

    OK = 0
    LATE = 1  # one frame missed its sample; not yet an alarm
    MISSING = 2  # no frame for this output
    STALE = 3  # two or more misses in a row: no longer waited for
    FROZEN = 4  # identical content again and again
    INVALID = 5  # undecodable, wrong size, dark, empty ...: see the reason
    UNCALIBRATED = 6  # no intrinsics that fit
    NO_TF = 7  # no transform from the sensor to the ego frame
    SUSPECT = 8  # used, but flagged
    RECOVERING = 9  # back, not yet trusted
    NEVER = 10  # nothing received since the start

    @property
    def is_usable(self) -> bool:
        """Tell whether data of a sensor in this state may enter a sample."""
        return self in (SensorState.OK, SensorState.SUSPECT, SensorState.LATE)


class DistortionModel(enum.Enum):
    """Distortion of a lens; the values are those of sensor_msgs/CameraInfo."""

    PLUMB_BOB = 'plumb_bob'
    RATIONAL_POLYNOMIAL = 'rational_polynomial'
    EQUIDISTANT = 'equidistant'  # a fisheye


@dataclass(frozen=True)
class CameraCalibration:
    """One camera.

    Attributes:
        intrinsics: (3, 3) float64, pixels, for an image of `width` x `height`; a pixel centre
            has integer coordinates.
        ego_from_camera: (4, 4) float64, optical frame to ego, metres.
        distortion: plumb_bob (5,), rational_polynomial (8, 12 or 14) or equidistant (4,)
            coefficients; empty when rectified.
        distortion_model: what they are coefficients of.
    """

    width: int
    height: int
    intrinsics: np.ndarray
    ego_from_camera: np.ndarray
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(0))
    distortion_model: DistortionModel = DistortionModel.PLUMB_BOB

    def __post_init__(self) -> None:
        _check_matrix('CameraCalibration.intrinsics', self.intrinsics, (3, 3))
        _check_matrix('CameraCalibration.ego_from_camera', self.ego_from_camera, (4, 4))
        if self.intrinsics[0, 0] <= 0 or self.intrinsics[1, 1] <= 0:
            raise ConfigError(
                'CameraCalibration.intrinsics',
                'positive focal lengths',
                f'{self.intrinsics[0, 0]}, {self.intrinsics[1, 1]}',
            )
        if self.width <= 0 or self.height <= 0:
            raise ConfigError(
                'CameraCalibration', 'a positive image size', f'{self.width} x {self.height}'
            )


def _check_matrix(where: str, matrix: np.ndarray, shape: tuple[int, int]) -> None:
    if np.shape(matrix) != shape or not np.isfinite(matrix).all():
        raise ConfigError(where, f'a finite {shape} matrix', f'shape {np.shape(matrix)}')


@dataclass(frozen=True)
class CameraImage:
    """One image as the network takes it.

    Attributes:
        stamp_ns: capture time.
        pixels: (H, W, 3) uint8 RGB at the network's input size, rectified.
        calibration: of `pixels` (after resize and crop); `ego_from_camera` maps to the ego
            frame at the sample's reference stamp once the synchroniser has put it in a sample.
    """

    stamp_ns: int
    pixels: np.ndarray
    calibration: CameraCalibration


@dataclass(frozen=True)
class Sweep:
    """One LiDAR sweep.

    Attributes:
        stamp_ns: reference time of the sweep.
        points: (P, 5) float32 `POINT_COLUMNS` in the LiDAR frame: metres, intensity 0..255,
            time lag in seconds (0 for the reference sweep). All finite.
        ego_from_lidar: (4, 4) float64.
    """

    stamp_ns: int
    points: np.ndarray
    ego_from_lidar: np.ndarray


@dataclass(frozen=True)
class SensorReport:
    """Facts about one sensor at the closing of a sample.

    Attributes:
        used: whether its data is in the sample.
        stamp_ns: stamp of its newest accepted message, None when there was none.
        age_ns: reference stamp minus the stamp of the data used (or newest seen); None if never.
        rate_hz: measured over the last seconds of message stamps.
        reason: short text, '' when all is well.
        received, rejected: messages since the start.
    """

    name: str
    kind: SensorKind
    state: SensorState
    used: bool = False
    stamp_ns: int | None = None
    age_ns: int | None = None
    rate_hz: float = 0.0
    reason: str = ''
    received: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class Sample:
    """Input of the pipeline, made by the synchroniser: only real, current, trusted data.

    Attributes:
        stamp_ns: reference stamp (LiDAR sweep, else the triggering camera).
        cameras: every configured camera in rig order; None where there is no usable image.
        sweep: None when there is no usable sweep.
        modality: chosen branch; agrees with what is present.
        sensors: one report per configured sensor, in rig order.
        epoch: counts clock resets (bag loops).
        injection: what injects faults into the inputs; '' when nothing does.
        ego_poses: frame at rest -> (4, 4) float64 rest_from_ego at the stamp. The vehicle's motion
            between two samples is known where they share a frame.
        own_vehicle: (4,) float64 x_min, x_max, y_min, y_max of the vehicle itself in the ego
            frame, metres; None where nobody says. Nothing else can have its centre in there.
    """

    stamp_ns: int
    cameras: Mapping[str, CameraImage | None]
    sweep: Sweep | None
    modality: Modality
    sensors: tuple[SensorReport, ...] = ()
    epoch: int = 0
    injection: str = ''
    ego_poses: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    own_vehicle: np.ndarray | None = None

    def __post_init__(self) -> None:
        camera = any(image is not None for image in self.cameras.values())
        present = Modality.from_presence(camera, self.sweep is not None)
        if self.modality & ~present:
            raise ConfigError(
                'Sample.modality',
                f'a subset of what is present ({present.name})',
                self.modality.name,
            )

    @property
    def used_sensors(self) -> tuple[str, ...]:
        """Names of the sensors whose data is in the sample."""
        return tuple(report.name for report in self.sensors if report.used)


@dataclass(frozen=True)
class Detections:
    """Boxes in the ego frame at the reference stamp, best first.

    Attributes:
        boxes: (M, 9) float32 `x y z length width height yaw vx vy`: gravity centre, metres,
            radians counter-clockwise from +x in [-pi, pi), metres a second.
        scores: (M,) float32 in [0, 1].
        labels: (M,) int64 indices into the class names.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class ModelInfo:
    """The model that made an output, and what runs it.

    Attributes:
        hash: SHA-256 (first 16 hex digits) of the contract.
        detection_classes: names that the labels of `Detections` index.
        map_classes: names of the map's layers, in order.
        map_grid: where the map's cells lie.
        backend, device, precision: the runtime, its device and its arithmetic.
        provider: the part of the runtime that computes ('cpu', 'cuda', ...).
        gpu_memory: bytes that the loaded model took on the GPU, 0 without one.
        calibrated_on: samples that its scores were calibrated on, in words; '': they are published
            as the network gives them.
        score_floor: boxes with less were dropped before anybody saw them.
        camera_reach: metres up to which its cameras' features lie on the map.
        errors: branch -> class -> what was measured; classes without a figure are missing.
    """

    name: str
    hash: str
    detection_classes: tuple[str, ...]
    map_classes: tuple[str, ...]
    map_grid: BevGrid
    backend: str
    device: str
    precision: str
    provider: str = 'cpu'
    gpu_memory: int = 0
    calibrated_on: str = ''
    score_floor: float = 0.0
    camera_reach: float = math.inf
    errors: Mapping[Modality, Mapping[str, ClassErrors]] = field(
        default_factory=dict[Modality, Mapping[str, ClassErrors]]
    )


@dataclass(frozen=True)
class PerceptionResult:
    """One output of the pipeline.

    Attributes:
        sample: the input, whose labels (modality, sensors, stamp) the output carries.
        detections: boxes.
        map_probabilities: (K, Y, X) float32 in [0, 1] on the model's map grid.
        latency_s: stage name -> seconds.
    """

    sample: Sample
    detections: Detections
    map_probabilities: np.ndarray
    latency_s: Mapping[str, float]
