"""Frozen, validated configuration. A number that follows from others is a property.

Longer than other modules so that every field of a rig or model file is found in one place.
"""
from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import NUSCENES_MAP_GRID, BevGrid
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES, SensorKind


def _require(condition: bool, where: str, expected: str, got) -> None:
    if not condition:
        raise ConfigError(where, expected, str(got), 'correct the configuration')


# ---------------------------------------------------------------------------------- the rig
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
        _require(0 < self.rate_hz <= 200, f'rig.cameras.{self.name}.rate_hz', '0..200',
                 self.rate_hz)


@dataclass(frozen=True)
class LidarConfig:
    """The LiDAR of the rig; `ego_from_lidar`: optional 16 numbers row-major instead of TF."""

    name: str
    topic: str
    frame: str
    rate_hz: float = 10.0
    ego_from_lidar: list | None = None

    def __post_init__(self) -> None:
        _require(0 < self.rate_hz <= 200, f'rig.lidar.{self.name}.rate_hz', '0..200',
                 self.rate_hz)


@dataclass(frozen=True)
class RigConfig:
    """The sensors of a vehicle."""

    cameras: tuple[CameraConfig, ...]
    lidar: LidarConfig
    ego_frame: str = 'base_link'
    odometry_topic: str = 'odom'

    def __post_init__(self) -> None:
        names = self.sensor_names
        _require(len(self.cameras) >= 1, 'rig.cameras', 'at least one camera', len(self.cameras))
        _require(len(set(names)) == len(names), 'rig', 'distinct sensor names', names)
        topics = [c.topic for c in self.cameras] + [self.lidar.topic]
        _require(len(set(topics)) == len(topics), 'rig', 'distinct sensor topics', topics)

    @property
    def sensor_names(self) -> tuple[str, ...]:
        """Cameras in order, then the LiDAR."""
        return (*(camera.name for camera in self.cameras), self.lidar.name)

    @property
    def kinds(self) -> dict[str, SensorKind]:
        return {**{camera.name: SensorKind.CAMERA for camera in self.cameras},
                self.lidar.name: SensorKind.LIDAR}


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
        for name in ('deadline', 'tolerance', 'max_age_periods', 'start_timeout', 'flap_window',
                     'future_tolerance', 'max_latency', 'quarantine', 'clock_jump'):
            value = getattr(self, name)
            _require(0 < value <= 60, f'sensing.{name}', '0..60', value)
        for name, low in (('readmit_frames', 1), ('frozen_frames', 2), ('flap_limit', 1),
                          ('min_cameras', 1)):
            _require(low <= getattr(self, name) <= 100, f'sensing.{name}', f'{low}..100',
                     getattr(self, name))


# -------------------------------------------------------------------------------- the model
class CameraBackbone(enum.Enum):
    """Image backbones; later systems add theirs here."""

    NANO = 'nano'


class LidarEncoder(enum.Enum):
    """LiDAR encoders."""

    PILLAR = 'pillar'


class DecoderFfn(enum.Enum):
    """Feed-forward part of the decoder layers."""

    MLP = 'mlp'


class DetectionHead(enum.Enum):
    """Detection heads."""

    CENTER = 'center'


@dataclass(frozen=True)
class CameraBranchConfig:
    """Image encoder and lift-splat.

    Attributes:
        height, width: network input, pixels.
        stride: input pixels per feature pixel.
        feature_channels: channels after the backbone and neck.
        context_channels: channels lifted into the BEV.
        depth_min, depth_max, depth_step: metres; bins are [min, max) in steps.
        bev_channels: channels of the camera BEV map.
        splat_row: entries per row of the lift-splat tables (more pad, fewer make more rows).
    """

    backbone: CameraBackbone = CameraBackbone.NANO
    height: int = 128
    width: int = 352
    stride: int = 8
    feature_channels: int = 96
    context_channels: int = 48
    depth_min: float = 1.0
    depth_max: float = 57.0
    depth_step: float = 1.4
    bev_channels: int = 64
    splat_row: int = 16

    def __post_init__(self) -> None:
        for name in ('height', 'width'):
            _require(getattr(self, name) % 32 == 0, f'model.camera.{name}', 'a multiple of 32',
                     getattr(self, name))
        _require(0 < self.depth_min < self.depth_max and self.depth_step > 0,
                 'model.camera.depth', '0 < depth_min < depth_max and depth_step > 0',
                 (self.depth_min, self.depth_max, self.depth_step))

    @property
    def feature_shape(self) -> tuple[int, int]:
        """(h, w) of the image features."""
        return self.height // self.stride, self.width // self.stride

    @property
    def depth_bins(self) -> int:
        return round((self.depth_max - self.depth_min) / self.depth_step)


@dataclass(frozen=True)
class LidarBranchConfig:
    """Pillar encoder.

    Attributes:
        pillar: edge of a pillar, metres; the BEV cell is twice that.
        points_per_pillar: more points than this in a pillar are dropped in arrival order.
        max_pillars: more pillars than this are dropped, farthest first.
        z_min, z_max: metres in the ego frame.
        pillar_channels, bev_channels: widths.
    """

    encoder: LidarEncoder = LidarEncoder.PILLAR
    pillar: float = 0.4
    points_per_pillar: int = 12
    max_pillars: int = 12000
    z_min: float = -3.0
    z_max: float = 5.0
    pillar_channels: int = 32
    bev_channels: int = 64

    def __post_init__(self) -> None:
        _require(self.z_min < self.z_max, 'model.lidar.z', 'z_min < z_max',
                 (self.z_min, self.z_max))
        _require(self.points_per_pillar >= 1 and self.max_pillars >= 1, 'model.lidar',
                 'positive pillar sizes', (self.points_per_pillar, self.max_pillars))

    @property
    def pillar_features(self) -> int:
        """x y z intensity time_lag, offset in the pillar (x y), height over the mean, count."""
        return 9


@dataclass(frozen=True)
class DecoderConfig:
    """BEV-evolving decoder (paper section 3.3).

    Attributes:
        channels: query width d.
        cell: edge of a meta-BEV query cell, metres.
        heads, points: attention heads and sampled points per head and modality.
        cross_layers, self_layers: N cross-modal layers, then M self-attention layers.
        ffn_ratio: hidden width of the FFN over d.
    """

    ffn: DecoderFfn = DecoderFfn.MLP
    channels: int = 96
    cell: float = 1.6
    heads: int = 4
    points: int = 4
    cross_layers: int = 2
    self_layers: int = 1
    ffn_ratio: int = 2
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _require(self.channels % self.heads == 0, 'model.decoder.channels',
                 f'a multiple of heads ({self.heads})', self.channels)


@dataclass(frozen=True)
class HeadConfig:
    """BEV neck and heads.

    Attributes:
        neck_channels: width of the BEV neck's output at `ModelConfig.bev_grid`.
        det_channels, map_channels: widths inside the heads.
        max_detections: boxes kept per sample.
        score_threshold: boxes below are dropped.
        nms_radius_scale: centre-distance NMS radius as a share of a class's mean size.
    """

    detection: DetectionHead = DetectionHead.CENTER
    neck_channels: int = 64
    det_channels: int = 64
    map_channels: int = 32
    max_detections: int = 200
    score_threshold: float = 0.05
    nms_radius_scale: float = 0.5

    def __post_init__(self) -> None:
        _require(1 <= self.max_detections <= 500, 'model.head.max_detections', '1..500',
                 self.max_detections)
        _require(0 <= self.score_threshold < 1, 'model.head.score_threshold', '[0, 1)',
                 self.score_threshold)


@dataclass(frozen=True)
class ModelConfig:
    """One network: everything that changes its graph or its meaning.

    Attributes:
        bev_grid: grid of the detection maps and of both modality BEV maps.
        map_grid: grid of the map output.
    """

    name: str = 'metabev_nano'
    bev_grid: BevGrid = BevGrid(-51.2, 51.2, -51.2, 51.2, 0.8)
    map_grid: BevGrid = NUSCENES_MAP_GRID
    camera: CameraBranchConfig = field(default_factory=CameraBranchConfig)
    lidar: LidarBranchConfig = field(default_factory=LidarBranchConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    detection_classes: tuple[str, ...] = DETECTION_CLASSES
    map_classes: tuple[str, ...] = MAP_CLASSES

    def __post_init__(self) -> None:
        ratio = self.bev_grid.cell / self.lidar.pillar
        _require(abs(ratio - 2) < 1e-6, 'model.lidar.pillar',
                 f'half the BEV cell ({self.bev_grid.cell / 2} m)', self.lidar.pillar)
        ratio = self.decoder.cell / self.bev_grid.cell
        _require(abs(ratio - 2) < 1e-6, 'model.decoder.cell',
                 f'twice the BEV cell ({self.bev_grid.cell * 2} m)', self.decoder.cell)

    @property
    def pillar_grid(self) -> BevGrid:
        return self.bev_grid.with_cell(self.lidar.pillar)

    @property
    def query_grid(self) -> BevGrid:
        return self.bev_grid.with_cell(self.decoder.cell)

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON of this configuration."""
        text = json.dumps(to_plain(self), sort_keys=True, separators=(',', ':'))
        return hashlib.sha256(text.encode()).hexdigest()


# ------------------------------------------------------------------------------ YAML <-> dataclass
def to_plain(config) -> dict:
    """A frozen dataclass as plain dicts, lists, numbers and strings."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, enum.Enum):
        return config.value
    if isinstance(config, (tuple, list)):
        return [to_plain(item) for item in config]
    return config


def from_plain(kind: type, plain, where: str):
    """Build dataclass `kind` from plain data; unknown or missing keys and wrong types stop.

    Raises:
        ConfigError: naming the field's path.
    """
    _require(isinstance(plain, dict), where, f'a mapping for {kind.__name__}',
             type(plain).__name__)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(plain) - set(fields))
    _require(not unknown, where, f'only the keys {sorted(fields)}', f'unknown {unknown}')
    hints = typing.get_type_hints(kind)
    values = {name: _convert(hints[name], value, f'{where}.{name}')
              for name, value in plain.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(where, f'every required key of {kind.__name__}', str(error),
                          'add the missing key') from error


def _convert(hint, value, where: str):
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(a for a in typing.get_args(hint) if a is not type(None)), value,
                        where)
    if dataclasses.is_dataclass(hint):
        return from_plain(hint, value, where)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        allowed = [member.value for member in hint]
        _require(value in allowed, where, f'one of {allowed}', value)
        return hint(value)
    if origin is tuple:
        _require(isinstance(value, (list, tuple)), where, 'a list', type(value).__name__)
        item = typing.get_args(hint)[0]
        return tuple(_convert(item, v, f'{where}[{i}]') for i, v in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = origin or hint
    _require(isinstance(value, expected) and not (expected is int and isinstance(value, bool)),
             where, expected.__name__, repr(value))
    return value


def load_config(kind: type, path: Path | str):
    """Read a YAML file into the frozen dataclass `kind`.

    Raises:
        ConfigError: if the file is missing, no YAML, or does not fit.
    """
    path = Path(path)
    try:
        plain = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise ConfigError(str(path), 'a readable YAML file', str(error.strerror),
                          'check the path') from error
    except yaml.YAMLError as error:
        raise ConfigError(str(path), 'valid YAML', str(error).replace('\n', ' ')) from error
    return from_plain(kind, plain, path.name)


def save_config(config, path: Path | str) -> None:
    """Write a frozen dataclass as YAML."""
    Path(path).write_text(yaml.safe_dump(to_plain(config), sort_keys=False), encoding='utf-8')
