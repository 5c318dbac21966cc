"""Real sweeps laid out as Argoverse 2's sensor data set is, with drawn pictures and a made map."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow
import pyarrow.feather
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation, Slerp

LOG = '02678d04-cc9f-3148-9f95-1ba66347dff9'
CITY = 'PIT'
# Argoverse's names of our classes.
CATEGORIES = {
    'car': 'REGULAR_VEHICLE',
    'truck': 'BOX_TRUCK',
    'trailer': 'VEHICULAR_TRAILER',
    'pedestrian': 'PEDESTRIAN',
    'bicycle': 'BICYCLE',
    'motorcycle': 'MOTORCYCLE',
    'traffic_cone': 'CONSTRUCTION_CONE',
}
AXLE_HEIGHT = 0.33
CAMERA_YAW = {  # degrees, of the published vehicles, about
    'ring_front_center': 0,
    'ring_front_left': 45,
    'ring_front_right': -45,
    'ring_side_left': 99,
    'ring_side_right': -99,
    'ring_rear_left': 153,
    'ring_rear_right': -153,
}
IMAGE_LAG_NS = (3_000_000, -11_000_000)  # of the pictures of each sweep


@dataclass(frozen=True, eq=False)
class RealAv2:
    """The real pair of sweeps, `av2_*.npz`, in order."""

    sweeps: list[dict[str, np.ndarray]]

    @classmethod
    def read(cls, folder: Path) -> RealAv2:
        """Both sweeps."""
        sweeps: list[dict[str, np.ndarray]] = []
        for path in sorted(folder.glob('av2_*.npz')):
            with np.load(path) as file:
                sweeps.append({name: file[name] for name in file.files})
        return cls(sweeps)

    @property
    def stamps(self) -> list[int]:
        """Nanoseconds."""
        return [int(sweep['stamp_ns']) for sweep in self.sweeps]

    def city_from_axle(self, stamp_ns: int) -> tuple[Rotation, np.ndarray]:
        """The vehicle's pose at any stamp: between the published poses, and going on beyond."""
        rows = np.array([sweep['city_from_ego_wxyz_xyz'] for sweep in self.sweeps])
        turns = Rotation.from_quat(rows[:, [1, 2, 3, 0]])
        share = (stamp_ns - self.stamps[0]) / (self.stamps[1] - self.stamps[0])
        if 0 <= share <= 1:
            turn = Slerp([0, 1], turns)(share)
        else:
            turn = turns[0] * Rotation.from_rotvec(share * (turns[0].inv() * turns[1]).as_rotvec())
        return turn, rows[0, 4:] + share * (rows[1, 4:] - rows[0, 4:])

    def tracks(self) -> list[list[str]]:
        """A name of every box's track: boxes of one class that are at one place are one object."""
        first, second = self.sweeps
        names = [f'track-{i:03d}' for i in range(len(first['boxes']))]
        places = []
        for sweep, stamp in zip(self.sweeps, self.stamps, strict=True):
            turn, offset = self.city_from_axle(stamp)
            places.append(turn.apply(sweep['boxes'][:, :3] - [0, 0, AXLE_HEIGHT]) + offset)
        apart = np.linalg.norm(places[0][:, None] - places[1][None], axis=-1)
        apart[first['labels'][:, None] != second['labels'][None]] = 1e3
        then = [f'track-new-{row:03d}' for row in range(len(places[1]))]
        for before, row in zip(*linear_sum_assignment(apart), strict=True):
            if apart[before, row] < 1.5:
                then[row] = names[before]
        return [names, then]


def write_feather(path: Path, columns: dict[str, Any]) -> None:
    """A table, compressed as the published ones are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.feather.write_feather(pyarrow.table(columns), path, compression='zstd')


def write_av2_folder(folder: Path, real: RealAv2, split: str = 'val') -> Path:
    """The data set with one drive of two sweeps; returns `folder`."""
    drive = folder / split / LOG
    for sweep, stamp in zip(real.sweeps, real.stamps, strict=True):
        points = sweep['points']
        write_feather(
            drive / f'sensors/lidar/{stamp}.feather',
            {
                'x': points[:, 0].astype(np.float16),
                'y': points[:, 1].astype(np.float16),
                'z': points[:, 2].astype(np.float16),
                'intensity': points[:, 3].astype(np.uint8),
                'laser_number': sweep['laser'].astype(np.uint8),
                'offset_ns': sweep['offset'].astype(np.int32),
            },
        )
    images = [stamp + lag for stamp, lag in zip(real.stamps, IMAGE_LAG_NS, strict=True)]
    _write_poses(drive, real, sorted([*real.stamps, *images]))
    _write_annotations(drive, real)
    _write_cameras(drive, images)
    write_map(drive, made_map(real))
    return folder


def _write_poses(drive: Path, real: RealAv2, stamps: list[int]) -> None:
    poses = [real.city_from_axle(stamp) for stamp in stamps]
    quats = np.array([turn.as_quat() for turn, _ in poses])
    offsets = np.array([offset for _, offset in poses])
    write_feather(
        drive / 'city_SE3_egovehicle.feather',
        {'timestamp_ns': np.array(stamps), **pose_columns(quats, offsets)},
    )


def pose_columns(xyzw: np.ndarray, offsets: np.ndarray) -> dict[str, np.ndarray]:
    """The seven columns of poses."""
    columns = {name: xyzw[:, k] for name, k in (('qw', 3), ('qx', 0), ('qy', 1), ('qz', 2))}
    return columns | {name: offsets[:, k] for k, name in enumerate(('tx_m', 'ty_m', 'tz_m'))}


def _write_annotations(drive: Path, real: RealAv2) -> None:
    boxes = np.concatenate([sweep['boxes'] for sweep in real.sweeps]).astype(np.float64)
    labels = np.concatenate([sweep['labels'] for sweep in real.sweeps])
    quats = Rotation.from_rotvec(boxes[:, 6, None] * [0, 0, 1]).as_quat()
    write_feather(
        drive / 'annotations.feather',
        {
            'timestamp_ns': np.repeat(real.stamps, [len(s['boxes']) for s in real.sweeps]),
            'track_uuid': [name for names in real.tracks() for name in names],
            'category': [CATEGORIES[str(label)] for label in labels],
            'length_m': boxes[:, 3],
            'width_m': boxes[:, 4],
            'height_m': boxes[:, 5],
            **pose_columns(quats, boxes[:, :3] - [0, 0, AXLE_HEIGHT]),
            'num_interior_pts': np.concatenate([s['num_lidar_pts'] for s in real.sweeps]).astype(
                np.int64
            ),
        },
    )


def _write_cameras(drive: Path, stamps: list[int]) -> None:
    names = list(CAMERA_YAW)
    sizes = np.array([(155, 205) if name == 'ring_front_center' else (205, 155) for name in names])
    focal = np.full(len(names), 168.5)
    write_feather(
        drive / 'calibration/intrinsics.feather',
        {
            'sensor_name': names,
            'fx_px': focal,
            'fy_px': focal,
            'cx_px': sizes[:, 0] / 2 + 0.5,
            'cy_px': sizes[:, 1] / 2 - 0.5,
            'k1': np.full(len(names), -0.25),
            'k2': np.full(len(names), -0.13),
            'k3': np.full(len(names), 0.2),
            'height_px': sizes[:, 1],
            'width_px': sizes[:, 0],
        },
    )
    optical = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # ego axes of x right, y down, z ahead
    turns = [
        Rotation.from_euler('z', yaw, degrees=True).as_matrix() for yaw in CAMERA_YAW.values()
    ]
    quats = np.array([Rotation.from_matrix(turn @ optical).as_quat() for turn in turns])
    offsets = np.array([turn @ [0.3, 0, 0] + [1.35, 0, 1.4] for turn in turns])
    extra = {'sensor_name': [*names, 'up_lidar']}
    rows = pose_columns(np.vstack([quats, [0, 0, 0, 1]]), np.vstack([offsets, [1.35, 0, 1.64]]))
    write_feather(drive / 'calibration/egovehicle_SE3_sensor.feather', extra | rows)
    for name, (width, height) in zip(names, sizes.tolist(), strict=True):
        picture = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
        data = cv2.imencode('.jpg', picture.astype(np.uint8))[1].tobytes()
        folder = drive / 'sensors/cameras' / name
        folder.mkdir(parents=True)
        for stamp in stamps:
            (folder / f'{stamp}.jpg').write_bytes(data)


def made_map(real: RealAv2) -> dict[str, Any]:
    """A hand-made map, drawn in the ego frame of the first sweep and brought to the city.

    A road 16 m wide along x from -40 to 40 m, a crossing from x = 10 to 14 m, and lanes whose
    boundaries lie at y = 4 (white, dashed), 0 (yellow), -4 (none) and -6 (unknown).
    """

    def shape(*corners: tuple[float, float]) -> list[dict[str, float]]:
        turn, offset = real.city_from_axle(real.stamps[0])
        points = turn.apply([(x, y, -AXLE_HEIGHT) for x, y in corners]) + offset
        return [dict(zip('xyz', point.tolist(), strict=True)) for point in points]

    def lane(number: int, left: float, right: float, marks: tuple[str, str]) -> dict[str, Any]:
        return {
            'id': number,
            'is_intersection': False,
            'lane_type': 'VEHICLE',
            'left_lane_boundary': shape((-40, left), (40, left)),
            'left_lane_mark_type': marks[0],
            'right_lane_boundary': shape((-40, right), (40, right)),
            'right_lane_mark_type': marks[1],
            'successors': [],
            'predecessors': [],
            'right_neighbor_id': None,
            'left_neighbor_id': None,
        }

    return {
        'drivable_areas': {
            '1': {'id': 1, 'area_boundary': shape((-40, -8), (40, -8), (40, 8), (-40, 8))}
        },
        'lane_segments': {
            '10': lane(10, 4, 0, ('DASHED_WHITE', 'DOUBLE_SOLID_YELLOW')),
            '11': lane(11, -4, -6, ('NONE', 'UNKNOWN')),
        },
        'pedestrian_crossings': {
            '20': {'id': 20, 'edge1': shape((10, -8), (10, 8)), 'edge2': shape((14, -8), (14, 8))}
        },
    }


def write_map(drive: Path, content: dict[str, Any]) -> None:
    """The map of a drive under its published name."""
    path = drive / 'map' / f'log_map_archive_{drive.name}____{CITY}_city_31785.json'
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
