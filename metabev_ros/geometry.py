"""BEV grids, rigid transforms, projection, yaw. Transforms are `<target>_from_<source>`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metabev_ros.errors import ConfigError


@dataclass(frozen=True)
class BevGrid:
    """A square-celled grid in the ego frame; row = y index, column = x index, 0 at the minimum.

    Attributes:
        x_min, x_max, y_min, y_max: outer borders, metres.
        cell: edge of a cell, metres.
    """

    x_min: float
    x_max: float
    y_min: float
    y_max: float
    cell: float

    def __post_init__(self) -> None:
        for low, high, axis in ((self.x_min, self.x_max, 'x'), (self.y_min, self.y_max, 'y')):
            count = (high - low) / self.cell if self.cell > 0 else 0
            if count < 1 or abs(count - round(count)) > 1e-6:
                raise ConfigError(
                    f'BevGrid.{axis}',
                    'a positive whole number of cells',
                    f'[{low}, {high}] m in cells of {self.cell} m',
                )

    @property
    def columns(self) -> int:
        """Number of cells along x."""
        return round((self.x_max - self.x_min) / self.cell)

    @property
    def rows(self) -> int:
        """Number of cells along y."""
        return round((self.y_max - self.y_min) / self.cell)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) = (Y, X)."""
        return self.rows, self.columns

    def with_cell(self, cell: float) -> BevGrid:
        """The same area in cells of another size."""
        return BevGrid(self.x_min, self.x_max, self.y_min, self.y_max, cell)

    def cell_index(self, xy: np.ndarray) -> np.ndarray:
        """Flat cell index row * X + column of (..., 2) metres, -1 outside; int32."""
        column = np.floor((xy[..., 0] - self.x_min) / self.cell)
        row = np.floor((xy[..., 1] - self.y_min) / self.cell)
        inside = (column >= 0) & (column < self.columns) & (row >= 0) & (row < self.rows)
        return np.where(inside, row * self.columns + column, -1).astype(np.int32)

    def centres(self) -> np.ndarray:
        """(Y, X, 2) float64 metres (x, y) of the cell centres."""
        x = self.x_min + (np.arange(self.columns) + 0.5) * self.cell
        y = self.y_min + (np.arange(self.rows) + 0.5) * self.cell
        return np.stack(np.meshgrid(x, y), axis=-1)


# The area and cells of the nuScenes map benchmark (BEVFusion `evaluate_map`).
NUSCENES_MAP_GRID = BevGrid(-50.0, 50.0, -50.0, 50.0, 0.5)


def wrap_angle(angle: np.ndarray) -> np.ndarray:
    """Wrap radians to [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def rotation_z(yaw: float) -> np.ndarray:
    """(3, 3) float64 counter-clockwise rotation about z."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def rigid_transform(rotation: np.ndarray, translation: ArrayLike) -> np.ndarray:
    """(4, 4) float64 from a (3, 3) rotation and a translation in metres."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = translation
    return matrix


def inverse_rigid(target_from_source: np.ndarray) -> np.ndarray:
    """source_from_target of a (4, 4) rigid transform."""
    rotation = target_from_source[:3, :3].T
    return rigid_transform(rotation, -rotation @ target_from_source[:3, 3])


def shared_motion(
    target: Mapping[str, np.ndarray], source: Mapping[str, np.ndarray]
) -> np.ndarray | None:
    """target_from_source of two poses in the first frame that knows both; None without one.

    Args:
        target: name of a frame -> (4, 4) frame_from_target.
        source: the same of the other pose.
    """
    for frame, frame_from_target in target.items():
        if frame in source:
            return inverse_rigid(frame_from_target) @ source[frame]
    return None


def quaternion_to_rotation(x: float, y: float, z: float, w: float) -> np.ndarray:
    """(3, 3) float64 of a unit quaternion.

    Raises:
        ConfigError: if it is not finite or its norm is off by more than 1e-2 (tf2's tolerance).
    """
    q = np.array([x, y, z, w], dtype=np.float64)
    norm = np.linalg.norm(q)
    if not np.isfinite(norm) or abs(norm - 1.0) > 1e-2:
        raise ConfigError('quaternion', 'a unit quaternion', f'{q.tolist()}')
    x, y, z, w = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def rotation_to_quaternion(rotation: np.ndarray) -> np.ndarray:
    """(4,) float64 unit quaternion `x y z w`, w >= 0, of a (3, 3) rotation.

    The eigenvector form is stable for every angle (Bar-Itzhack 2000).
    """
    r = np.asarray(rotation, dtype=np.float64)
    k = (
        np.array(
            [
                [
                    r[0, 0] - r[1, 1] - r[2, 2],
                    r[0, 1] + r[1, 0],
                    r[0, 2] + r[2, 0],
                    r[2, 1] - r[1, 2],
                ],
                [
                    r[0, 1] + r[1, 0],
                    r[1, 1] - r[0, 0] - r[2, 2],
                    r[1, 2] + r[2, 1],
                    r[0, 2] - r[2, 0],
                ],
                [
                    r[0, 2] + r[2, 0],
                    r[1, 2] + r[2, 1],
                    r[2, 2] - r[0, 0] - r[1, 1],
                    r[1, 0] - r[0, 1],
                ],
                [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)],
            ]
        )
        / 3.0
    )
    q = np.linalg.eigh(k)[1][:, -1]
    return q if q[3] >= 0 else -q


def transform_points(target_from_source: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(..., 3) points of the source frame in the target frame."""
    return points @ target_from_source[:3, :3].T + target_from_source[:3, 3]


def project_points(
    intrinsics: np.ndarray, points_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pin-hole projection.

    Args:
        intrinsics: (3, 3).
        points_camera: (..., 3) in the optical frame.

    Returns:
        (..., 2) pixels (u, v) and (...) depth in metres; pixels mean nothing where depth <= 0.
    """
    depth = points_camera[..., 2]
    safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
    uvw = points_camera @ intrinsics.T
    return uvw[..., :2] / safe[..., None], depth


# Pairs of corners of `box_corners`: bottom, top, uprights.
BOX_EDGES = (
    (0, 1),
    (1, 2),
    (2, 3),
    (3, 0),
    (4, 5),
    (5, 6),
    (6, 7),
    (7, 4),
    (0, 4),
    (1, 5),
    (2, 6),
    (3, 7),
)


def box_corners(boxes: np.ndarray) -> np.ndarray:
    """(M, 8, 3) corners of (M, >=7) boxes `x y z l w h yaw`.

    Corners 0..3 are the bottom face counter-clockwise from front-left, 4..7 the top face.
    """
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) / 2.0
    xy = signs[None] * boxes[:, None, 3:5]
    c, s = np.cos(boxes[:, 6, None]), np.sin(boxes[:, 6, None])
    x = c * xy[..., 0] - s * xy[..., 1] + boxes[:, 0, None]
    y = s * xy[..., 0] + c * xy[..., 1] + boxes[:, 1, None]
    corners = np.empty((len(boxes), 8, 3))
    corners[:, :4, 0] = corners[:, 4:, 0] = x
    corners[:, :4, 1] = corners[:, 4:, 1] = y
    corners[:, :4, 2] = (boxes[:, 2] - boxes[:, 5] / 2)[:, None]
    corners[:, 4:, 2] = (boxes[:, 2] + boxes[:, 5] / 2)[:, None]
    return corners


def points_in_box(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(P,) bool: which of (P, >=3) points lie inside one box `x y z l w h yaw`."""
    delta = points[:, :3] - box[:3]
    c, s = np.cos(box[6]), np.sin(box[6])
    along = np.abs(c * delta[:, 0] + s * delta[:, 1])
    across = np.abs(-s * delta[:, 0] + c * delta[:, 1])
    return (along <= box[3] / 2) & (across <= box[4] / 2) & (np.abs(delta[:, 2]) <= box[5] / 2)
