"""Key frames of nuScenes: a real one, and invented ones, for folders in its schema."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from metabev_ros.geometry import inverse_rigid, points_in_box, rigid_transform, rotation_z

RACK = 'static_object.bicycle_rack'
CATEGORIES = {  # one for each class
    'car': 'vehicle.car',
    'truck': 'vehicle.truck',
    'trailer': 'vehicle.trailer',
    'bus': 'vehicle.bus.rigid',
    'construction_vehicle': 'vehicle.construction',
    'bicycle': 'vehicle.bicycle',
    'motorcycle': 'vehicle.motorcycle',
    'pedestrian': 'human.pedestrian.adult',
    'traffic_cone': 'movable_object.trafficcone',
    'barrier': 'movable_object.barrier',
}
OTHERS = (
    'animal',
    'human.pedestrian.child',
    'human.pedestrian.construction_worker',
    'human.pedestrian.personal_mobility',
    'human.pedestrian.police_officer',
    'human.pedestrian.stroller',
    'human.pedestrian.wheelchair',
    'movable_object.debris',
    'movable_object.pushable_pullable',
    RACK,
    'vehicle.bus.bendy',
    'vehicle.emergency.ambulance',
    'vehicle.emergency.police',
)
ATTRIBUTES = (
    'vehicle.moving',
    'vehicle.stopped',
    'vehicle.parked',
    'cycle.with_rider',
    'cycle.without_rider',
    'pedestrian.sitting_lying_down',
    'pedestrian.standing',
    'pedestrian.moving',
)
CAMERAS = (
    'CAM_FRONT',
    'CAM_FRONT_RIGHT',
    'CAM_FRONT_LEFT',
    'CAM_BACK',
    'CAM_BACK_LEFT',
    'CAM_BACK_RIGHT',
)


@dataclass(frozen=True)
class Object:
    """An annotated object.

    Attributes:
        box: (7,) `x y z l w h yaw` in the LiDAR frame; it stands upright in the map's frame.
        velocity: (2,) m/s in the LiDAR frame, NaN for one that is seen in this key frame only.
        attribute: '' for none.
        visibility: token, 1 to 4.
    """

    category: str
    box: np.ndarray
    velocity: np.ndarray
    lidar_points: int
    radar_points: int = 0
    attribute: str = ''
    visibility: str = '4'


@dataclass(frozen=True)
class Camera:
    stamp_us: int
    jpeg: bytes
    size: tuple[int, int]  # width, height
    intrinsics: np.ndarray
    ego_from_camera: np.ndarray
    world_from_ego: np.ndarray


@dataclass(frozen=True)
class Keyframe:
    """One key frame; `points` (P, 5) float32 x y z intensity ring in the LiDAR frame."""

    token: str
    stamp_us: int
    world_from_ego: np.ndarray
    ego_from_lidar: np.ndarray
    points: np.ndarray
    objects: tuple[Object, ...]
    cameras: dict[str, Camera]


@dataclass(frozen=True)
class Plan:
    """What is made from a key frame.

    Attributes:
        keyframes: the given one first.
        sweeps: of the LiDAR before each of them.
        period_us: between key frames.
        speed, turn_rate: of the vehicle, m/s and rad/s.
        scenes: names; each has the same content in its own rows.
        radar: whether there are files of a radar.
    """

    keyframes: int = 1
    sweeps: int = 0
    period_us: int = 500_000
    speed: float = 6.0
    turn_rate: float = 0.15
    scenes: tuple[str, ...] = ('scene-0103',)
    radar: bool = True

    def moved(self, offset_us: int) -> np.ndarray:
        """(4, 4) ego now from ego after so long."""
        seconds = offset_us / 1e6
        turn = self.turn_rate * seconds
        way = [np.sin(turn) / self.turn_rate, (1 - np.cos(turn)) / self.turn_rate, 0.0]
        return rigid_transform(rotation_z(turn), self.speed * np.array(way))


def orthonormal(matrix: np.ndarray) -> np.ndarray:
    """The nearest rigid transform: the pickle's have the precision of float32."""
    left, _, right = np.linalg.svd(np.asarray(matrix)[:3, :3])
    return rigid_transform(left @ right, np.asarray(matrix)[:3, 3])


def real_annotations(shared_data: Path) -> dict:
    """The pickle of the real key frame; it is ours to read."""
    path = next((shared_data / 'nuscenes_keyframe').glob('*.pkl'))
    return pickle.loads(path.read_bytes())


def real_keyframe(shared_data: Path) -> Keyframe:
    """The real key frame."""
    plain = real_annotations(shared_data)
    names = {index: name for name, index in plain['metainfo']['categories'].items()}
    info, folder = plain['data_list'][0], shared_data / 'nuscenes_keyframe'
    world_from_ego = orthonormal(info['ego2global'])
    ego_from_lidar = orthonormal(info['lidar_points']['lidar2ego'])
    cameras = {}
    for name in CAMERAS:
        image = info['images'][name]
        ego_from_camera = orthonormal(image['cam2ego'])
        world_from_camera = (
            world_from_ego @ ego_from_lidar @ inverse_rigid(orthonormal(image['lidar2cam']))
        )
        cameras[name] = Camera(
            round(image['timestamp'] * 1e6),
            (folder / image['img_path']).read_bytes(),
            (1600, 900),
            np.array(image['cam2img']),
            ego_from_camera,
            world_from_camera @ inverse_rigid(ego_from_camera),
        )
    objects = [
        Object(
            CATEGORIES[names[i['bbox_label_3d']]] if i['bbox_label_3d'] >= 0 else 'animal',
            np.array(i['bbox_3d']),
            np.array(i['velocity']),
            int(i['num_lidar_pts']),
            int(i['num_radar_pts']),
        )
        for i in info['instances']
    ]
    points = np.fromfile(folder / info['lidar_points']['lidar_path'], np.float32).reshape(-1, 5)
    return Keyframe(
        info['token'],
        round(info['timestamp'] * 1e6),
        world_from_ego,
        ego_from_lidar,
        points,
        tuple(objects),
        cameras,
    )


def invented_keyframe(seed: int = 0, count: int = 40) -> Keyframe:
    """A key frame of random numbers: objects of all classes, some in a bicycle rack."""
    rng = np.random.RandomState(seed)  # its stream is frozen (NEP 19)
    tilt = _turned(rng.uniform(-0.02, 0.02, 3))
    world_from_ego = rigid_transform(
        rotation_z(rng.uniform(-3, 3)) @ tilt, [*rng.uniform(300, 900, 2), 0.0]
    )
    ego_from_lidar = rigid_transform(
        rotation_z(-np.pi / 2) @ _turned(rng.uniform(-0.02, 0.02, 3)), [0.94, 0.0, 1.84]
    )
    points = np.concatenate(
        [
            rng.uniform([-30, -30, -2], [30, 30, 2], (3000, 3)),
            rng.uniform(0, 255, (3000, 1)),
            rng.randint(0, 32, (3000, 1)),
        ],
        axis=1,
    ).astype(np.float32)
    points[:200, :2] /= 15  # near the sensor
    stamp_us = 1_532_402_927_647_951 + seed * 10_000_000
    jpeg = cv2.imencode('.jpg', rng.randint(0, 255, (90, 160, 3)).astype(np.uint8))[1].tobytes()
    cameras = {}
    for index, name in enumerate(CAMERAS):
        offset_us = -43_000 + 7_000 * index
        optical = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
        cameras[name] = Camera(
            stamp_us + offset_us,
            jpeg,
            (160, 90),
            np.array([[126.0, 0, 81], [0, 126, 45], [0, 0, 1]]),
            rigid_transform(rotation_z(index * np.pi / 3) @ optical, [1.5, 0.1 * index, 1.5]),
            world_from_ego @ Plan().moved(offset_us),
        )
    objects = [_invented_object(rng, points, i) for i in range(count)]
    rack = np.array([8.0, 4.0, -0.5, 6.0, 2.5, 2.0, 0.4])
    objects.append(Object(RACK, rack, np.zeros(2), 5))
    for category in ('vehicle.bicycle', 'vehicle.motorcycle', 'human.pedestrian.adult'):
        inside = np.array([*rng.uniform(-0.8, 0.8, 2), 0, 0, 0, 0, 0]) + rack
        inside[3:6] = 1.6, 0.6, 1.2
        objects.append(Object(category, inside, np.zeros(2), 9, 0, '', '2'))
    return Keyframe(
        token_of(f'invented {seed}'),
        stamp_us,
        world_from_ego,
        ego_from_lidar,
        points,
        tuple(objects),
        cameras,
    )


def _turned(angles: np.ndarray) -> np.ndarray:
    """(3, 3) rotation by a small vector of angles."""
    return cv2.Rodrigues(np.asarray(angles, np.float64))[0]


def _invented_object(rng, points: np.ndarray, index: int) -> Object:
    names = (*CATEGORIES.values(), 'animal', 'movable_object.debris', 'vehicle.bus.bendy')
    category = names[index % len(names)]
    box = np.concatenate(
        [
            rng.uniform([-45, -45, -1.5], [45, 45, 1.5]),
            rng.uniform(0.5, 6.0, 3),
            rng.uniform(-np.pi, np.pi, 1),
        ]
    )
    velocity = rng.normal(0, 3, 2) if index % 7 else np.full(2, np.nan)
    kind = category.split('.')[0]
    attribute = {'vehicle': 'vehicle.moving', 'human': 'pedestrian.standing'}.get(kind, '')
    if category in ('vehicle.bicycle', 'vehicle.motorcycle'):
        attribute = 'cycle.with_rider'
    return Object(
        category,
        box,
        velocity,
        int(points_in_box(points, box).sum()),
        int(rng.randint(0, 3)),
        attribute if index % 5 else '',
        str(rng.randint(1, 5)),
    )


def with_racks(keyframe: Keyframe, boxes: Iterable[np.ndarray]) -> Keyframe:
    """The key frame with bicycle racks, (7,) each in the LiDAR frame."""
    racks = [Object(RACK, np.asarray(box, float), np.zeros(2), 1) for box in boxes]
    return dataclasses.replace(keyframe, objects=(*keyframe.objects, *racks))


def token_of(name: str) -> str:
    return hashlib.md5(name.encode()).hexdigest()
