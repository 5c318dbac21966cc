"""Files of one Argoverse 2 drive: poses, calibration, annotations, sweeps and pictures.

Argoverse's egovehicle frame has its origin at the centre of the rear axle; ego here is the ground
below it. The two differ by the axle's height, `AXLE_HEIGHT`: a wheel's radius, and where the road
under and around the vehicle lies in real sweeps (0.26 to 0.39 m below the origin).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.geometry import (
    inverse_rigid,
    quaternion_to_rotation,
    rigid_transform,
    rotation_to_quaternion,
)
from metabev_ros.lab.datasets.sources.feather import REMEDY, read_feather
from metabev_ros.structures import CameraCalibration

AXLE_HEIGHT = 0.33  # metres
EGO_FROM_AXLE = rigid_transform(np.eye(3), (0.0, 0.0, AXLE_HEIGHT))
# A Ford Fusion: 4.87 m long, 1.85 m wide, 1.1 m of it behind the rear axle.
OWN_VEHICLE = np.array([-1.1, 3.77, -0.93, 0.93])
RING_CAMERAS = (
    'ring_front_center',
    'ring_front_left',
    'ring_front_right',
    'ring_side_left',
    'ring_side_right',
    'ring_rear_left',
    'ring_rear_right',
)
LONGEST_POSE_GAP_NS = 200_000_000  # between two poses motion is taken to be even
FARTHEST_M = 1e6  # from the origin of a city
LARGEST_M = 1e3
_POSE = {name: 'f8' for name in ('qw', 'qx', 'qy', 'qz', 'tx_m', 'ty_m', 'tz_m')}


@dataclass(frozen=True, eq=False)
class Poses:
    """Places of the vehicle.

    Attributes:
        stamps_ns: (N,) int64, rising.
        world_from_ego: (N, 4, 4) float64; the world is the city's frame.
    """

    stamps_ns: np.ndarray
    world_from_ego: np.ndarray

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """(4, 4) world_from_ego, between poses by even motion; None far from any."""
        after = int(np.searchsorted(self.stamps_ns, stamp_ns))
        if after < len(self.stamps_ns) and self.stamps_ns[after] == stamp_ns:
            return self.world_from_ego[after]
        if after in (0, len(self.stamps_ns)):
            return None
        begin, end = self.stamps_ns[after - 1 : after + 1].tolist()
        if end - begin > LONGEST_POSE_GAP_NS:
            return None
        first, last = self.world_from_ego[after - 1 : after + 1]
        return _between(first, last, (stamp_ns - begin) / (end - begin))

    def motion(self, target_ns: int, source_ns: int) -> np.ndarray | None:
        """ego(target)_from_ego(source); None where a pose is not known."""
        target, source = self.at(target_ns), self.at(source_ns)
        if target is None or source is None:
            return None
        return inverse_rigid(target) @ source


def _between(first: np.ndarray, last: np.ndarray, share: float) -> np.ndarray:
    """The pose at a share of the way; turns are small, so the chord of quaternions is enough."""
    a, b = rotation_to_quaternion(first[:3, :3]), rotation_to_quaternion(last[:3, :3])
    mixed = (1 - share) * a + share * (b if a @ b > 0 else -b)
    x, y, z, w = (mixed / np.linalg.norm(mixed)).tolist()
    offset = (1 - share) * first[:3, 3] + share * last[:3, 3]
    return rigid_transform(quaternion_to_rotation(x, y, z, w), offset)


@dataclass(frozen=True, eq=False)
class Annotations:
    """All cuboids of a drive: N of them.

    Attributes:
        stamps_ns: (N,) int64.
        tracks: (N,) int64 numbers of the drive's tracks.
        categories: (N,) names.
        boxes: (N, 7) float64 x y z length width height yaw in ego, gravity centre.
        points: (N,) int64 LiDAR points inside, as published.
    """

    stamps_ns: np.ndarray
    tracks: np.ndarray
    categories: np.ndarray
    boxes: np.ndarray
    points: np.ndarray


def _transforms(path: Path, table: dict[str, np.ndarray]) -> np.ndarray:
    """(N, 4, 4) of rows of a quaternion and an offset."""
    rows = np.column_stack([table[name] for name in _POSE])
    if (np.abs(rows) > FARTHEST_M).any():
        raise ConfigError(str(path), f'places within {FARTHEST_M:g} m', 'others', REMEDY)
    try:
        matrices = [
            rigid_transform(quaternion_to_rotation(x, y, z, w), offset)
            for (w, x, y, z, *offset) in rows.tolist()
        ]
    except ConfigError as error:
        raise ConfigError(str(path), error.expected, error.got, REMEDY) from error
    return np.array(matrices).reshape(-1, 4, 4)


def read_poses(drive: Path) -> Poses:
    """Poses of a drive.

    Raises:
        ConfigError: for a file that is missing, damaged or empty.
    """
    path = drive / 'city_SE3_egovehicle.feather'
    table = read_feather(path, {'timestamp_ns': 'i8', **_POSE})
    stamps, first = np.unique(table['timestamp_ns'], return_index=True)
    if not len(stamps):
        raise ConfigError(str(path), 'poses', 'an empty table', REMEDY)
    return Poses(stamps, (_transforms(path, table) @ inverse_rigid(EGO_FROM_AXLE))[first])


def read_cameras(drive: Path) -> dict[str, CameraCalibration]:
    """Ring cameras of a drive by name.

    The published pictures are rectified: `k1` to `k3` tell what was taken out of them, and
    Argoverse's own camera model leaves them aside, as we do
    (https://argoverse.github.io/user-guide/datasets/sensor.html#sensor-suite).

    Raises:
        ConfigError: for a file that is missing or damaged, or lacks a camera.
    """
    path = drive / 'calibration/intrinsics.feather'
    kinds = dict.fromkeys(('fx_px', 'fy_px', 'cx_px', 'cy_px'), 'f8')
    sizes = dict.fromkeys(('width_px', 'height_px'), 'i8')
    lens = read_feather(path, {'sensor_name': 'str', **kinds, **sizes})
    mount_path = drive / 'calibration/egovehicle_SE3_sensor.feather'
    mount = read_feather(mount_path, {'sensor_name': 'str', **_POSE})
    placed = dict(zip(mount['sensor_name'], _transforms(mount_path, mount), strict=True))
    names = list(lens['sensor_name'])
    cameras: dict[str, CameraCalibration] = {}
    for name in RING_CAMERAS:
        for where, known in ((path, names), (mount_path, placed)):
            if name not in known:
                raise ConfigError(str(where), f'a row {name}', 'none', REMEDY)
        row = names.index(name)
        fx, fy, cx, cy = (float(lens[kind][row]) for kind in kinds)
        cameras[name] = CameraCalibration(
            int(lens['width_px'][row]),
            int(lens['height_px'][row]),
            np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]),
            EGO_FROM_AXLE @ placed[name],
        )
    return cameras


def read_annotations(drive: Path) -> Annotations:
    """Cuboids of a drive; those that lean are made upright, as everywhere here.

    Raises:
        ConfigError: for a file that is missing, damaged or empty.
    """
    path = drive / 'annotations.feather'
    sizes = dict.fromkeys(('length_m', 'width_m', 'height_m'), 'f8')
    table = read_feather(
        path,
        {
            'timestamp_ns': 'i8',
            'track_uuid': 'str',
            'category': 'str',
            'num_interior_pts': 'i8',
            **sizes,
            **_POSE,
        },
    )
    if not len(table['timestamp_ns']):
        raise ConfigError(str(path), 'annotations', 'an empty table', REMEDY)
    size = np.column_stack([table[name] for name in sizes])
    if (size <= 0).any() or (size > LARGEST_M).any():
        expected = f'cuboids of positive size, to {LARGEST_M:g} m'
        raise ConfigError(str(path), expected, 'others', REMEDY)
    placed = EGO_FROM_AXLE @ _transforms(path, table)
    yaw = np.arctan2(placed[:, 1, 0], placed[:, 0, 0])
    return Annotations(
        table['timestamp_ns'],
        np.unique(table['track_uuid'].astype(str), return_inverse=True)[1].astype(np.int64),
        table['category'],
        np.column_stack([placed[:, :3, 3], size, yaw]),
        table['num_interior_pts'],
    )


def read_sweep(path: Path) -> np.ndarray:
    """(P, 5) float32 `POINT_COLUMNS` of a sweep in the egovehicle frame at its stamp.

    The publisher has taken the vehicle's motion out: `offset_ns` tells when a point was measured,
    but its place is that at the sweep's stamp.

    Raises:
        ConfigError: for a file that is missing, damaged or empty.
    """
    table = read_feather(path, {**dict.fromkeys('xyz', 'f4'), 'intensity': 'f4'})
    intensity = table['intensity']
    if not len(intensity) or intensity.min() < 0 or intensity.max() > 255:
        raise ConfigError(str(path), 'points of intensity 0..255', 'others', REMEDY)
    return np.column_stack([table['x'], table['y'], table['z'], intensity, 0 * intensity])


def stamped_files(folder: Path, ending: str) -> dict[int, Path]:
    """Stamp -> file of a folder of files that are named by their nanoseconds, in order.

    Raises:
        ConfigError: for a folder that is missing or empty, or other names.
    """
    paths = sorted(folder.glob(f'*.{ending}')) if folder.is_dir() else []
    wrong = [path.name for path in paths if not path.stem.isdecimal() or len(path.stem) > 19]
    if not paths or wrong:
        raise ConfigError(
            str(folder),
            f'files named by nanoseconds, *.{ending}',
            clean_text(wrong[0]) if wrong else 'none',
            'load the whole drive',
        )
    return dict(sorted((int(path.stem), path) for path in paths))
