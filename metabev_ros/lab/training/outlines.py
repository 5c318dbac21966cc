"""Outline of a box in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.geometry import box_corners, inverse_rigid, transform_points

NEAREST = 0.5  # metres; a box that reaches nearer to the camera's plane has no outline


@dataclass(frozen=True, eq=False)
class Outline:
    """Place of a box in a picture.

    Attributes:
        polygon: (V, 2) float64 column and row of the convex hull of its corners.
        inside: left, top, right, bottom of its pixels in the picture, the last two exclusive.
        distance: metres from the camera's plane to its centre.
    """

    polygon: np.ndarray
    inside: tuple[int, int, int, int]
    distance: float

    @property
    def frame(self) -> np.ndarray:
        """(4,) left, top, right, bottom of the whole outline."""
        return np.concatenate([self.polygon.min(0), self.polygon.max(0)])

    def mask(self, height: int, width: int) -> np.ndarray:
        """(H, W) bool pixels of it."""
        canvas = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(canvas, np.rint(self.polygon).astype(np.int32), 1)
        return canvas.astype(bool)


def outline_of(
    box: np.ndarray,
    intrinsics: np.ndarray,
    ego_from_camera: np.ndarray,
    shape: tuple[int, ...],
) -> Outline | None:
    """The outline of a box; None where it is not seen, or reaches behind the camera.

    Args:
        box: (>= 7,) in the ego frame.
        shape: (H, W) of the picture.
    """
    corners = box_corners(np.asarray(box, np.float64)[None, :7])[0]
    seen = transform_points(inverse_rigid(ego_from_camera), corners)
    if seen[:, 2].min() < NEAREST:
        return None
    pixels = seen @ intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:3]
    height, width = shape[:2]
    low, high = np.rint(pixels.min(0)), np.rint(pixels.max(0)) + 1  # as the mask is filled
    left, top = np.clip(low, 0, (width, height)).astype(int).tolist()
    right, bottom = np.clip(high, 0, (width, height)).astype(int).tolist()
    if left >= right or top >= bottom:
        return None
    hull = cv2.convexHull(pixels.astype(np.float32))[:, 0].astype(np.float64)
    return Outline(hull, (left, top, right, bottom), float(seen[:, 2].mean()))
