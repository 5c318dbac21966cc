"""Edges of depth against edges of the picture: whether points and pixels meet.

Levinson and Thrun, "Automatic Online Calibration of Cameras and Lasers" (RSS 2013): a point on the
near side of a jump in range lies on an edge of the picture, where the calibration is right. The
camera is turned in small steps; where another turn makes far more of these points meet edges, the
calibration is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.geometry import inverse_rigid, transform_points
from metabev_ros.sensing.calibration import Intrinsics
from metabev_ros.structures import DistortionModel

STEP, REACH = 1.0, 9.0  # degrees, of the turns that are tried
_CELL = 0.4  # degrees, of the grid that neighbours are found in
_JUMP, _JUMP_METRES = 1.1, 0.5  # a jump is more than that share and that much
_NEAREST, _FARTHEST = 3.0, 50.0  # metres
_BLUR = 0.5  # degrees
LEAST_POINTS = 150  # on edges, in the pictures of a camera
_LEAST_SEEN = 10  # of them in one picture


@dataclass(frozen=True)
class View:
    """One picture, and the points on edges at its time.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        scale: w as a share of the camera's width.
        edges: (E, 3) in the ego frame at the time of the picture.
    """

    pixels: np.ndarray
    scale: float
    edges: np.ndarray


@dataclass(frozen=True)
class Meeting:
    """The turn of a camera at which points meet edges best.

    Attributes:
        yaw, pitch: degrees to the left and down.
        gain: the agreement there as a share of that without a turn; 1 and more.
        clear: how far it stands out of all turns, in standard deviations.
        points: on edges that were seen.
    """

    yaw: float
    pitch: float
    gain: float
    clear: float
    points: int

    @property
    def degrees(self) -> float:
        """Size of the turn."""
        return float(np.hypot(self.yaw, self.pitch))


def range_edges(points: np.ndarray) -> np.ndarray:
    """(P,) bool: points of a LiDAR on the near side of a jump in range to the left or right.

    Args:
        points: (P, 3) in the LiDAR frame; its z axis is about that of its rotation.
    """
    level = np.hypot(points[:, 0], points[:, 1])
    distance = np.linalg.norm(points, axis=1)
    rows = np.floor((np.rad2deg(np.arctan2(points[:, 2], level)) + 90) / _CELL).astype(int)
    width = int(360 / _CELL)
    azimuth = np.rad2deg(np.arctan2(points[:, 1], points[:, 0])) + 180
    columns = np.floor(azimuth / _CELL).astype(int) % width
    order = np.lexsort((azimuth, rows))
    along = distance[order]
    edge = np.zeros(len(points), bool)
    for shift in (1, -1):
        beside = np.roll(along, shift)
        same = rows[order] == np.roll(rows[order], shift)
        same &= np.abs(columns[order] - np.roll(columns[order], shift)) <= 3
        edge |= same & (beside > _JUMP * along + _JUMP_METRES)
    found = np.zeros(len(points), bool)
    found[order] = edge & (along > _NEAREST) & (along < _FARTHEST)
    return found


def find_turn(
    views: Sequence[View], lens: Intrinsics, ego_from_camera: np.ndarray
) -> Meeting | None:
    """Try turns of a camera; None where too few points lie on edges in its pictures."""
    turns = np.arange(-REACH, REACH + 0.5 * STEP, STEP)
    rotations = np.array([[_turned(yaw, pitch) for yaw in turns] for pitch in turns])
    total, weight = np.zeros((len(turns), len(turns))), 0
    for view in views:
        seen = transform_points(inverse_rigid(ego_from_camera), view.edges)
        seen = seen[seen[:, 2] > 0.5]
        strength = _edge_strength(view, lens)
        count = int(np.isfinite(_sampled(strength, seen, lens, view.scale)).sum())
        if count < _LEAST_SEEN:
            continue
        weight += count
        moved = (rotations[:, :, None] @ seen[:, :, None])[..., 0]
        values = _sampled(strength, moved.reshape(-1, 3), lens, view.scale)
        values = values.reshape(moved.shape[:3])
        good = np.isfinite(values)
        found = good.sum(axis=2)
        mean = np.where(good, values, 0.0).sum(axis=2) / np.maximum(found, 1)
        total += np.where(found >= _LEAST_SEEN, count * mean, 0.0)
    if weight < LEAST_POINTS:
        return None
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    usual = total[len(turns) // 2, len(turns) // 2]
    return Meeting(
        float(turns[column]),
        float(turns[row]),
        float(total.max() / max(usual, 1e-9)),
        float((total.max() - total.mean()) / max(total.std(), 1e-9)),
        weight,
    )


def _turned(yaw: float, pitch: float) -> np.ndarray:
    """(3, 3) for degrees, that moves points in the optical frame as if the camera had been turned.

    A camera turned to the left sees them farther right (x), one turned down farther up (-y).
    """
    yaw, pitch = np.deg2rad([yaw, pitch])
    a, b = np.cos(yaw), np.sin(yaw)
    c, d = np.cos(pitch), np.sin(pitch)
    about_y = np.array([[a, 0, b], [0, 1, 0], [-b, 0, a]])
    about_x = np.array([[1, 0, 0], [0, c, -d], [0, d, c]])
    return about_x @ about_y


def _edge_strength(view: View, lens: Intrinsics) -> np.ndarray:
    """(h, w) float32 upright edges, blurred, each row and place as strong as the others."""
    grey = cv2.cvtColor(view.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    slope = np.abs(cv2.Sobel(cv2.GaussianBlur(grey, (0, 0), 1.0), cv2.CV_32F, 1, 0))
    slope = np.minimum(slope, np.quantile(slope, 0.98))
    sigma = max(1.0, np.deg2rad(_BLUR) * lens.matrix[0, 0] * view.scale)
    strength = cv2.GaussianBlur(slope, (0, 0), sigma)
    return strength / max(float(strength.mean()), 1e-6)


def _sampled(
    strength: np.ndarray, points: np.ndarray, lens: Intrinsics, scale: float
) -> np.ndarray:
    """(P,) strength where points are seen; NaN outside of the picture."""
    pixels = project(points, lens)
    with np.errstate(invalid='ignore'):
        place = np.rint((pixels + 0.5) * scale - 0.5)
        height, width = strength.shape
        inside = (place >= 0).all(axis=1) & (place[:, 0] < width) & (place[:, 1] < height)
    values = np.full(len(points), np.nan)
    at = place[inside].astype(int)
    values[inside] = strength[at[:, 1], at[:, 0]]
    return values


def project(points: np.ndarray, lens: Intrinsics) -> np.ndarray:
    """(P, 2) float64 pixels of (P, 3) points in the optical frame; NaN where none sees them.

    A lens with distortion is trusted up to 60 degrees from its axis, beyond which its polynomial
    may fold.
    """
    found = np.full((len(points), 2), np.nan)
    is_fisheye = lens.distortion_model is DistortionModel.EQUIDISTANT and len(lens.distortion) > 0
    widest = np.deg2rad(85 if is_fisheye or not len(lens.distortion) else 60)
    angle = np.arctan2(np.hypot(points[:, 0], points[:, 1]), points[:, 2])
    seen = angle < widest
    if not seen.any():
        return found
    if not len(lens.distortion):
        uvw = points[seen] @ lens.matrix.T
        found[seen] = uvw[:, :2] / uvw[:, 2:]
        return found
    ahead, still = np.ascontiguousarray(points[seen], np.float64)[:, None], np.zeros(3)
    if is_fisheye:
        places, _ = cv2.fisheye.projectPoints(ahead, still, still, lens.matrix, lens.distortion)
    else:
        places, _ = cv2.projectPoints(ahead, still, still, lens.matrix, lens.distortion)
    found[seen] = places[:, 0]
    return found
