"""One labelled sample on disk, whatever data set it comes from: written and read here only.

A record is one `.npz` without compression. It holds what the front end would have handed to the
pipeline (images at the network's size, points with the vehicle's motion taken out) and the truth.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.files import replacing
from metabev_ros.geometry import (
    NUSCENES_MAP_GRID,
    inverse_rigid,
    rigid_transform,
    rotation_z,
)
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.point_packing import PREFIX, pack_points, unpack_points
from metabev_ros.lab.datasets.samples import LIDAR_NAME
from metabev_ros.structures import (
    DETECTION_CLASSES,
    MAP_CLASSES,
    CameraCalibration,
    CameraImage,
    Modality,
    Sample,
    SensorKind,
    SensorReport,
    SensorState,
    Sweep,
)

RECORD_VERSION = 3  # 1 had neither names nor masks; 2 had no packed points
_READABLE = (2, RECORD_VERSION)
REMEDY = 'import the data again'


@dataclass(frozen=True, eq=False)
class SampleRecord:
    """A labelled sample as arrays: N cameras (0 or more), P points (0 without a LiDAR), M boxes.

    Attributes:
        token: the sample's name in its data set.
        scene: the drive that it belongs to.
        stamp_ns: reference stamp.
        cameras: names, in order.
        pixels: (N, H, W, 3) uint8 RGB at the network's input size, rectified.
        intrinsics: (N, 3, 3) float64 of `pixels`.
        ego_from_camera: (N, 4, 4) float64, from where the camera was when it took the picture to
            the ego frame at the reference stamp.
        camera_ages_ns: (N,) int64 reference stamp minus the image's.
        depth: (N, h, w) float32 metres along the optical axis at the feature pixels; inf where it
            is not known.
        points: (P, 5) float32 `POINT_COLUMNS`; all sweeps, the newest first.
        ego_from_lidar: (4, 4) float64, identity where the points are in the ego frame.
        lidar_mount: (4, 4) float64 pose in the ego frame of the LiDAR whose sweep is the newest;
            None where it is not known.
        own_vehicle: as in `Sample`.
        world_from_ego: (4, 4) float64 at the reference stamp, a frame that stands still for the
            length of a scene; NaN where it is not known.
        boxes, labels, num_lidar_pts, visibility, track_ids, map_layers, attributes, map_known,
            ignored, ignored_labels, objects_known: as in `GroundTruth`.
    """

    token: str
    scene: str
    stamp_ns: int
    cameras: tuple[str, ...]
    pixels: np.ndarray
    intrinsics: np.ndarray
    ego_from_camera: np.ndarray
    camera_ages_ns: np.ndarray
    depth: np.ndarray
    points: np.ndarray
    ego_from_lidar: np.ndarray
    world_from_ego: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    num_lidar_pts: np.ndarray
    visibility: np.ndarray
    track_ids: np.ndarray
    map_layers: np.ndarray
    ignored: np.ndarray
    ignored_labels: np.ndarray
    attributes: np.ndarray | None = None
    map_known: np.ndarray | None = None
    objects_known: np.ndarray | None = None
    lidar_mount: np.ndarray | None = None
    own_vehicle: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, expected in self._shapes().items():
            array = getattr(self, name)
            if array is not None and not _fits(array.shape, expected):
                raise ConfigError(f'record {self.token}: {name}', str(expected), str(array.shape))
        self._check_content()

    def _shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Name -> shape; None: any length."""
        n, m, r = len(self.cameras), len(self.labels), len(self.ignored)
        grid = NUSCENES_MAP_GRID.shape
        layers = (len(MAP_CLASSES), *grid)
        return {
            'pixels': (n, None, None, 3),
            'intrinsics': (n, 3, 3),
            'ego_from_camera': (n, 4, 4),
            'camera_ages_ns': (n,),
            'depth': (n, None, None),
            'points': (None, 5),
            'ego_from_lidar': (4, 4),
            'world_from_ego': (4, 4),
            'boxes': (m, 9),
            'num_lidar_pts': (m,),
            'visibility': (m,),
            'track_ids': (m,),
            'attributes': (m,),
            'map_layers': layers,
            'map_known': layers,
            'ignored': (r, 7),
            'ignored_labels': (r,),
            'objects_known': grid,
            'lidar_mount': (4, 4),
            'own_vehicle': (4,),
        }

    def _check_content(self) -> None:
        where = f'record {self.token}'
        if not np.isfinite(self.points).all():
            raise ConfigError(f'{where}: points', 'finite values', 'others')
        sizes = self.boxes[:, 3:6]
        if not np.isfinite(self.boxes[:, :7]).all() or (sizes <= 0).any():
            raise ConfigError(f'{where}: boxes', 'finite boxes of positive size', 'others')
        known = (self.labels >= 0) & (self.labels < len(DETECTION_CLASSES))
        if not known.all():
            raise ConfigError(
                f'{where}: labels', f'0..{len(DETECTION_CLASSES) - 1}', str(self.labels[~known])
            )

    @property
    def modality(self) -> Modality:
        """The sensors that it has."""
        return Modality.from_presence(len(self.cameras) > 0, len(self.points) > 0)

    @property
    def lidar_from_points(self) -> np.ndarray | None:
        """As in `LabelledSample`; None also where the points are as the LiDAR sees them."""
        mount = self.lidar_mount
        if mount is None and not np.array_equal(self.ego_from_lidar, np.eye(4)):
            mount = self.ego_from_lidar  # the points are in the frame of their LiDAR
        if mount is None:
            return None
        place = forward_lidar(mount) @ self.ego_from_lidar
        return None if np.allclose(place, np.eye(4), rtol=0, atol=1e-9) else place

    @property
    def truth(self) -> GroundTruth:
        """The truth, without depth."""
        names = [f.name for f in dataclasses.fields(GroundTruth) if f.name != 'depth']
        return GroundTruth(**{name: getattr(self, name) for name in names})

    @property
    def sample(self) -> Sample:
        """The sample that the front end would have handed out; all sensors healthy."""
        cameras: dict[str, CameraImage | None] = {}
        height, width = self.pixels.shape[1:3]
        for i, name in enumerate(self.cameras):
            calibration = CameraCalibration(
                width, height, self.intrinsics[i], self.ego_from_camera[i]
            )
            stamp_ns = self.stamp_ns - int(self.camera_ages_ns[i])
            cameras[name] = CameraImage(stamp_ns, self.pixels[i], calibration)
        sweep = None
        if len(self.points):
            sweep = Sweep(self.stamp_ns, self.points, self.ego_from_lidar)
        return Sample(
            self.stamp_ns,
            cameras,
            sweep,
            self.modality,
            self._reports(),
            own_vehicle=self.own_vehicle,
        )

    def _reports(self) -> tuple[SensorReport, ...]:
        ages = dict(zip(self.cameras, self.camera_ages_ns.tolist(), strict=True))
        kinds = dict.fromkeys(ages, SensorKind.CAMERA)
        if len(self.points):
            kinds[LIDAR_NAME] = SensorKind.LIDAR
        return tuple(
            SensorReport(
                name,
                kind,
                SensorState.OK,
                used=True,
                stamp_ns=self.stamp_ns - ages.get(name, 0),
                age_ns=ages.get(name, 0),
            )
            for name, kind in kinds.items()
        )


def forward_lidar(ego_from_lidar: np.ndarray) -> np.ndarray:
    """The transform from the ego frame to a LiDAR's, turned until its y axis looks forward.

    Args:
        ego_from_lidar: (4, 4), with any heading.

    Returns:
        (4, 4) float64; x is right, y forward and z the LiDAR's own axis, as nuScenes has it.
    """
    lidar_from_ego = inverse_rigid(ego_from_lidar)
    forward = lidar_from_ego[:3, 0]
    turn = rotation_z(np.pi / 2 - np.arctan2(forward[1], forward[0]))
    return rigid_transform(turn, np.zeros(3)) @ lidar_from_ego


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        want is None or have == want for have, want in zip(shape, expected, strict=True)
    )


def write_record(path: Path, record: SampleRecord) -> None:
    """Write a record; an interrupted write leaves no file, or the old one."""
    arrays: dict[str, Any] = {'version': np.array(RECORD_VERSION)}
    for item in dataclasses.fields(record):
        value = getattr(record, item.name)
        if value is not None:
            arrays[item.name] = np.array(value, dtype=str) if item.name == 'cameras' else value
    packed = pack_points(record.points)
    if packed is not None:
        del arrays['points']
        arrays.update(packed)
    with replacing(path) as part, open(part, 'wb') as file:
        np.savez(file, **arrays)


def read_record(path: Path) -> SampleRecord:
    """Read a record.

    Raises:
        ConfigError: where the file is missing, no record, of another version, or contradicts
            itself.
    """
    arrays = read_arrays(path, None)
    wanted = {item.name: item for item in dataclasses.fields(SampleRecord)}
    missing = [
        name
        for name, item in wanted.items()
        if item.default is dataclasses.MISSING and name not in arrays
    ]
    if missing:
        raise ConfigError(str(path), 'all arrays of a record', f'without {missing}', REMEDY)
    values: dict[str, Any] = {name: arrays[name] for name in wanted if name in arrays}
    values['token'], values['scene'] = str(arrays['token']), str(arrays['scene'])
    values['stamp_ns'] = int(arrays['stamp_ns'])
    values['cameras'] = tuple(arrays['cameras'].tolist())
    return SampleRecord(**values)


def read_arrays(path: Path, names: Sequence[str] | None) -> dict[str, np.ndarray]:
    """Read some arrays of a record by the names of its fields, and nothing else of it.

    Args:
        names: None: all.

    Raises:
        ConfigError: where the file is missing, no record, or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            version = int(file['version']) if 'version' in file.files else 1
            if version in _READABLE:
                return _arrays_of(file, names)
    except FileNotFoundError as error:
        raise ConfigError(str(path), 'a record', 'no such file', REMEDY) from error
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile, EOFError) as error:
        raise ConfigError(
            str(path), 'a record', f'{type(error).__name__}: {error}', REMEDY
        ) from error
    raise ConfigError(
        str(path), f'a record of version {RECORD_VERSION}', f'version {version}', REMEDY
    )


def _arrays_of(
    file: Mapping[str, np.ndarray], names: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """The named arrays, or all; packed points are unpacked."""
    stored = [name for name in file if not name.startswith(PREFIX)]
    is_packed = len(stored) < len(file)
    wanted = [*stored, *(['points'] if is_packed else [])] if names is None else names
    return {
        name: unpack_points(file) if is_packed and name == 'points' else file[name]
        for name in wanted
    }


def has_array(path: Path, name: str) -> bool:
    """Tell whether a record holds an array that not all records have.

    Raises:
        ConfigError: where the file is missing or no record.
    """
    try:
        with zipfile.ZipFile(path) as file:
            return f'{name}.npy' in file.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        got = f'{type(error).__name__}: {error}'
        raise ConfigError(str(path), 'a record', got, REMEDY) from error
