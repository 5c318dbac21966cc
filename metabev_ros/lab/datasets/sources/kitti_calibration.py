"""Calibration of KITTI's car, its poses, and what its one labelled camera sees.

The ego frame is the ground below the rear axle, x forward. KITTI's sensor set-up
(https://www.cvlibs.net/datasets/kitti/setup.php) gives the mounting: the GPS/IMU unit stands
0.05 m behind the rear axle, 0.93 m above the road; the Velodyne is 0.81 m in front of it and
0.80 m above it, level, and taken to be on the middle of the car. The Velodyne therefore stands
0.76 m in front of the rear axle and 1.73 m above the road.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import (
    NUSCENES_MAP_GRID,
    inverse_rigid,
    rigid_transform,
    rotation_z,
    transform_points,
)
from metabev_ros.lab.datasets.sources.kitti_files import KittiLabels, numbers, read_lines
from metabev_ros.structures import CameraCalibration

EGO_FROM_LIDAR = rigid_transform(np.eye(3), (0.81 - 0.05, 0.0, 0.93 + 0.80))
# A Volkswagen Passat B6 Variant: 4.77 m long, 1.82 m wide, 1.1 m of it behind the rear axle.
OWN_VEHICLE = np.array([-1.1, 3.67, -0.91, 0.91])
COLUMN_HEIGHTS = np.linspace(0.0, 2.0, 9)  # of an upright object, metres above the ground
EARTH_RADIUS = 6378137.0  # as KITTI's development kit
_NEAREST = 0.1  # metres in front of the camera; nearer nothing is projected


@dataclass(frozen=True, eq=False)
class KittiCalibration:
    """Calibration of one frame or sequence.

    Attributes:
        image_from_rect: (3, 4) float64 `P2`: rectified frame of camera 0 to pixels of camera 2.
        rect_from_lidar: (4, 4) float64 `R0_rect` times `Tr_velo_to_cam`.
        lidar_from_imu: (4, 4) float64 `Tr_imu_to_velo`.
    """

    image_from_rect: np.ndarray
    rect_from_lidar: np.ndarray
    lidar_from_imu: np.ndarray

    @property
    def rect_from_ego(self) -> np.ndarray:
        """(4, 4) float64."""
        return self.rect_from_lidar @ inverse_rigid(EGO_FROM_LIDAR)

    @property
    def ego_from_imu(self) -> np.ndarray:
        """(4, 4) float64."""
        return EGO_FROM_LIDAR @ self.lidar_from_imu

    def camera(self, size: tuple[int, int]) -> CameraCalibration:
        """The left colour camera; its pictures are rectified.

        Args:
            size: (width, height) of its pictures.
        """
        intrinsics = self.image_from_rect[:, :3]
        # P2 = K [I | t]: camera 2 stands beside camera 0, in whose frame the labels are.
        camera_from_rect = np.eye(4)
        camera_from_rect[:3, 3] = np.linalg.solve(intrinsics, self.image_from_rect[:, 3])
        ego_from_camera = inverse_rigid(camera_from_rect @ self.rect_from_ego)
        return CameraCalibration(*size, intrinsics.copy(), ego_from_camera)

    def boxes_in_ego(self, labels: KittiLabels) -> np.ndarray:
        """(M, 9) float64 gravity centre, length, width, height, yaw, NaN velocity.

        A label stands upright in the camera's frame and is upright in ego here: the pitch between
        the two, about half a degree, is lost, as in every reader of KITTI.
        """
        ego_from_rect = inverse_rigid(self.rect_from_ego)
        height, width, length = labels.sizes.T
        centres = labels.bottoms - np.outer(height / 2, (0.0, 1.0, 0.0))
        zero = np.zeros_like(labels.turns)
        ahead = np.stack([np.cos(labels.turns), zero, -np.sin(labels.turns)], axis=1)
        ahead = ahead @ ego_from_rect[:3, :3].T
        yaw = np.arctan2(ahead[:, 1], ahead[:, 0])
        centres = transform_points(ego_from_rect, centres)
        unknown = np.full_like(yaw, np.nan)
        return np.column_stack([centres, length, width, height, yaw, unknown, unknown])

    def objects_known(self, size: tuple[int, int], dont_care: np.ndarray) -> np.ndarray:
        """Cells that KITTI's labellers looked at: (Y, X) bool on `geometry.NUSCENES_MAP_GRID`.

        A cell is known where any part of the column from the ground to 2 m above it is in the
        picture. It is not where half of that column or more falls into one DontCare region: that
        is the wedge behind, and around, the things there, but not what stands well before them.

        Args:
            size: (width, height) of the picture.
            dont_care: (R, 4) left, top, right, bottom of the regions, pixels.
        """
        xy = NUSCENES_MAP_GRID.centres()[..., None, :].repeat(len(COLUMN_HEIGHTS), axis=-2)
        heights = np.broadcast_to(COLUMN_HEIGHTS, xy.shape[:-1])
        rect = transform_points(self.rect_from_ego, np.concatenate([xy, heights[..., None]], -1))
        at = rect @ self.image_from_rect[:, :3].T + self.image_from_rect[:, 3]
        with np.errstate(divide='ignore', invalid='ignore'):
            pixels = at[..., :2] / at[..., 2:]
        before = at[..., 2] > _NEAREST
        seen = before & _within(pixels, (0, 0, size[0] - 1, size[1] - 1))
        known = np.asarray(seen.any(-1))
        for region in dont_care:
            inside = before & _within(pixels, tuple(region.tolist()))
            known &= 2 * inside.sum(-1) < len(COLUMN_HEIGHTS)
        return np.asarray(known)


def _within(pixels: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    """(...) bool: (..., 2) pixels inside left, top, right, bottom."""
    u, v = pixels[..., 0], pixels[..., 1]
    return np.asarray((u >= box[0]) & (u <= box[2]) & (v >= box[1]) & (v <= box[3]))


def read_calibration(path: Path) -> KittiCalibration:
    """Calibration of a `calib/*.txt` of either benchmark, which name its lines differently.

    Raises:
        ConfigError: for a file that is missing, lacks a line, or holds a rotation that is none.
    """
    lines = {words[0].rstrip(':'): words[1:] for words in read_lines(path)}

    def matrix(names: tuple[str, ...], shape: tuple[int, int]) -> np.ndarray:
        for name in names:
            if name in lines:
                where = f'{path}: {name}'
                return numbers(where, lines[name], shape[0] * shape[1]).reshape(shape)
        raise ConfigError(
            str(path), f'a line {names[0]}', f'lines {sorted(lines)[:12]}', 'load it anew'
        )

    rectified = _rigid(path, 'R0_rect', matrix(('R0_rect', 'R_rect'), (3, 3)), np.zeros(3))
    placed = matrix(('Tr_velo_to_cam', 'Tr_velo_cam'), (3, 4))
    imu = matrix(('Tr_imu_to_velo', 'Tr_imu_velo'), (3, 4))
    projection = matrix(('P2',), (3, 4))
    if projection[0, 0] <= 0 or projection[1, 1] <= 0:
        raise ConfigError(f'{path}: P2', 'positive focal lengths', str(projection[:, :3].tolist()))
    return KittiCalibration(
        projection,
        rectified @ _rigid(path, 'Tr_velo_to_cam', placed[:, :3], placed[:, 3]),
        _rigid(path, 'Tr_imu_to_velo', imu[:, :3], imu[:, 3]),
    )


def _rigid(path: Path, name: str, rotation: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(4, 4); the rotation is made one to the last digit: the files have seven to twelve."""
    left, scale, right = np.linalg.svd(rotation)
    if np.abs(scale - 1).max() > 1e-3 or np.linalg.det(rotation) < 0:
        raise ConfigError(
            f'{path}: {name}', 'a rotation', str(rotation.round(4).tolist()), 'load it anew'
        )
    return rigid_transform(left @ right, offset)


def read_poses(path: Path, calibration: KittiCalibration) -> np.ndarray:
    """Poses of a sequence of the tracking benchmark, `oxts/0000.txt`, one line a frame.

    Latitude and longitude are projected by Mercator at the scale of the first latitude, as KITTI's
    development kit does (`convertOxtsToPose.m`).

    Returns:
        (F, 4, 4) float64 world_from_ego; the world's origin is the first IMU position.

    Raises:
        ConfigError: for a file that is missing or damaged.
    """
    lines = read_lines(path)
    if not lines:
        raise ConfigError(str(path), 'a line of 30 numbers a frame', 'an empty file')
    rows = np.stack([numbers(f'{path}, line {i + 1}', w, 30) for i, w in enumerate(lines)])
    if np.abs(rows[:, 0]).max() > 89:
        raise ConfigError(str(path), 'latitudes below 89 degrees', 'others', 'load it anew')
    scale = np.cos(np.radians(rows[0, 0]))
    east = scale * EARTH_RADIUS * np.radians(rows[:, 1])
    north = scale * EARTH_RADIUS * np.log(np.tan(np.radians(90 + rows[:, 0]) / 2))
    position = np.column_stack([east, north, rows[:, 2]])
    position -= position[0]
    imu_from_ego = inverse_rigid(calibration.ego_from_imu)
    poses = [
        rigid_transform(_attitude(*row[3:6]), offset) @ imu_from_ego
        for row, offset in zip(rows, position, strict=True)
    ]
    return np.stack(poses)


def _attitude(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """(3, 3): roll about x, then pitch about y, then yaw about z."""
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]]
    )
    about_y = np.array(
        [[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]]
    )
    return rotation_z(yaw) @ about_y @ about_x
