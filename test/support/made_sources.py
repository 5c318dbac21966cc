"""Made-up frames in the form of the real ones of KITTI and Argoverse 2, where those are absent.

Every box holds as many points as it says: they are drawn inside of it, and the ground lies below.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from support.av2_folder import AXLE_HEIGHT, RealAv2
from support.kitti_folder import RealKitti

SIZES = {  # length, width, height
    'car': (4.2, 1.8, 1.5),
    'truck': (8.0, 2.5, 3.2),
    'pedestrian': (0.8, 0.6, 1.7),
    'bicycle': (1.7, 0.6, 1.6),
}
KITTI_SIZE = (1242, 375)
KITTI_OBJECTS = {  # token -> class, x, y, yaw
    '000002': [('car', 35.0, -3.0, 0.01)],
    '000008': [
        ('car', 7.0, 2.5, -0.3),
        ('car', 13.0, 3.0, 2.8),
        ('car', 12.0, -4.0, -0.25),
        ('car', 19.0, -1.0, -0.3),
        ('car', 34.0, -7.0, 2.7),
        ('car', 25.0, -8.5, 3.1),
    ],
    '000134': [
        ('car', 14.0, 3.3, 0.0),
        ('bicycle', 21.0, -9.0, -1.9),
        ('pedestrian', 20.0, 0.7, -1.6),
        ('pedestrian', 18.0, 5.0, 1.5),
        ('bicycle', 28.0, -10.5, -0.5),
        ('car', 30.0, -19.5, -1.6),
    ],
}
# Two far regions, one before which nothing stands.
KITTI_REGIONS = np.array([[700.0, 160.0, 740.0, 190.0], [500.0, 165.0, 510.0, 170.0]])
AV2_OBJECTS = [  # class, x, y, yaw, speed
    ('car', 9.0, 4.0, 0.1, 0.0),
    ('car', 15.0, 4.2, 0.0, 0.0),
    ('car', 22.0, 4.1, 3.1, 0.0),
    ('car', -12.0, -4.0, 0.0, 0.0),
    ('car', 30.0, 0.0, 0.0, 7.0),
    ('car', -25.0, 1.0, 3.0, 4.0),
    ('truck', -18.0, 8.0, 1.5, 0.0),
    ('pedestrian', 6.0, -7.0, 0.7, 1.2),
    ('pedestrian', 12.0, 9.0, -2.0, 0.8),
    ('bicycle', -8.0, 6.0, 0.4, 3.0),
]


def _points_in(box: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3) inside nine tenths of a box."""
    x, y, z, *size, yaw = box
    along, across, up = (rng.uniform(-0.45, 0.45, (count, 3)) * size).T
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.column_stack(
        [x + cos * along - sin * across, y + sin * along + cos * across, z + up]
    )


def _ground(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3) just below the boxes."""
    return np.column_stack([rng.uniform(-45, 45, (count, 2)), np.full(count, -0.2)])


def _box(name: str, x: float, y: float, yaw: float) -> np.ndarray:
    length, width, height = SIZES[name]
    return np.array([x, y, height / 2, length, width, height, yaw])


def made_kitti_frames(folder: Path) -> list[RealKitti]:
    """Three frames; their picture is drawn into the folder."""
    picture = folder / 'drawn.png'
    width, height = KITTI_SIZE
    pixels = np.linspace(0, 255, width * height * 3).reshape(height, width, 3)
    cv2.imwrite(str(picture), pixels.astype(np.uint8))
    return [_kitti_frame(token, picture) for token in KITTI_OBJECTS]


def _kitti_frame(token: str, picture: Path) -> RealKitti:
    rng = np.random.default_rng(int(token))
    objects = KITTI_OBJECTS[token]
    boxes = np.array([_box(*entry) for entry in objects])
    counts = rng.integers(3, 60, len(boxes))
    parts = [_points_in(box, n, rng) for box, n in zip(boxes, counts, strict=True)]
    points = np.concatenate([*parts, _ground(4000, rng)]) - [0.76, 0, 1.73]
    ego_from_lidar = np.eye(4)
    ego_from_lidar[:3, 3] = 0.76, 0, 1.73
    optical = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    rect_from_ego = np.eye(4)
    rect_from_ego[:3, :3] = cv2.Rodrigues(np.array([[0.011], [0.002], [-0.001]]))[0] @ optical
    rect_from_ego[:3, 3] = 0.015, 1.647, -1.05
    arrays = {
        'points': np.column_stack([points, rng.random(len(points))]).astype(np.float32),
        'ego_from_lidar': ego_from_lidar,
        'boxes': boxes.astype(np.float32),
        'labels': np.array([name for name, *_ in objects]),
        'num_lidar_pts': counts,
        'image_from_rect': np.array(
            [[721.5377, 0, 609.5593, 44.85728], [0, 721.5377, 172.854, 0.216], [0, 0, 1, 0.002746]]
        ),
        'rect_from_ego': rect_from_ego,
        'ignored_image_regions': KITTI_REGIONS,
    }
    return RealKitti(token, arrays, picture)


def made_av2_pair() -> RealAv2:
    """Two sweeps 0.1 s apart: the vehicle turns at 0.1 rad/s and drives at 8 m/s."""
    rng = np.random.default_rng(2)
    still = _ground(8000, rng) + rng.normal(0, 0.05, (8000, 3)) * [0, 0, 1]
    still = still[rng.random(len(still)) < 0.9]
    inside = [_points_in(_box(*entry[:4]), 40, rng) for entry in AV2_OBJECTS]
    return RealAv2([_av2_sweep(0.1 * k, still, inside, rng) for k in range(2)])


def _av2_sweep(
    seconds: float, still: np.ndarray, inside: list[np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    turn, gone = 0.1 * seconds, 8.0 * seconds
    cos, sin = np.cos(turn), np.sin(turn)
    ego_from_first = np.array([[cos, sin], [-sin, cos]])

    def seen(points: np.ndarray) -> np.ndarray:
        moved = points.copy()
        moved[:, :2] = (points[:, :2] - [gone, 0]) @ ego_from_first.T
        return moved

    boxes, clouds = [], [seen(still)]
    for (name, x, y, yaw, speed), points in zip(AV2_OBJECTS, inside, strict=True):
        moved = np.array([np.cos(yaw), np.sin(yaw), 0]) * speed * seconds
        box = _box(name, x, y, yaw)
        box[:3] = seen((box[:3] + moved)[None])[0]
        box[6] -= turn
        boxes.append(box)
        clouds.append(seen(points + moved))
    points = np.concatenate(clouds) - [0, 0, AXLE_HEIGHT]
    points = points.astype(np.float16).astype(np.float32)
    count = len(points)
    angle = 0.6 + turn
    return {
        'points': np.column_stack([points, rng.integers(0, 256, count)]).astype(np.float32),
        'boxes': np.array(boxes, np.float32),
        'labels': np.array([name for name, *_ in AV2_OBJECTS]),
        'num_lidar_pts': np.full(len(boxes), 40, np.int32),
        'stamp_ns': np.array(315966265259836000 + round(seconds * 1e9)),
        'city_from_ego_wxyz_xyz': np.array(
            [
                np.cos(angle / 2),
                0,
                0,
                np.sin(angle / 2),
                5223.8 + gone * np.cos(0.6),
                2385.4 + gone * np.sin(0.6),
                69.0,
            ]
        ),
        'laser': rng.integers(0, 64, count),
        'offset': np.linspace(0, 106_000_000, count).astype(np.int64),
    }
