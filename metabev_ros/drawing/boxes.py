"""3-D boxes on camera images."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from metabev_ros.drawing.style import (
    SUBPIXEL_BITS,
    put_text,
    text_width,
)
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import BOX_EDGES, box_corners, inverse_rigid, transform_points
from metabev_ros.structures import DETECTION_CLASSES, CameraCalibration, Colour, class_colour

NEAR_PLANE_M = 0.1
FRONT_FACE = (0, 3, 7, 4)  # corners of geometry.box_corners


def draw_boxes_on_image(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray | None,
    calibration: CameraCalibration,
    class_names: Sequence[str] = DETECTION_CLASSES,
    colour: Colour | None = None,
    with_text: bool = True,
) -> np.ndarray:
    """A copy of a rectified image with 3-D boxes: class colours, front face shaded.

    Args:
        image: (H, W, 3) uint8 RGB of the size that `calibration` describes.
        boxes: (M, >=7) in the ego frame, as in `Detections`.
        labels: (M,) indices into `class_names`.
        scores: (M,) written beside the class; None for truth.
        colour: one colour for all boxes instead of the class colours.

    Raises:
        ConfigError: if the image does not have the calibration's size.
    """
    if image.shape[:2] != (calibration.height, calibration.width):
        raise ConfigError(
            'draw_boxes_on_image',
            f'{calibration.width} x {calibration.height}',
            f'{image.shape[1]} x {image.shape[0]}',
            'scale the calibration too',
        )
    picture = np.ascontiguousarray(image).copy()
    boxes = np.asarray(boxes, dtype=np.float64)
    if len(boxes) == 0:
        return picture
    corners = transform_points(inverse_rigid(calibration.ego_from_camera), box_corners(boxes))
    for index in np.argsort(-corners[..., 2].mean(axis=1), kind='stable'):
        name = class_names[int(labels[index])]
        text = '' if not with_text else name if scores is None else f'{name} {scores[index]:.2f}'
        _draw_camera_box(
            picture, corners[index], calibration.intrinsics, colour or class_colour(name), text
        )
    return picture


def clip_near(polygon: np.ndarray, near: float = NEAR_PLANE_M) -> np.ndarray:
    """The part of a closed (N, 3) polygon in the optical frame with z >= near.

    Sutherland-Hodgman; returns (K, 3), K = 0 when nothing is left.
    """
    if (polygon[:, 2] >= near).all():
        return polygon
    kept: list[np.ndarray] = []
    for start, end in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if start[2] >= near:
            kept.append(start)
        if (start[2] >= near) != (end[2] >= near):
            kept.append(start + (end - start) * (near - start[2]) / (end[2] - start[2]))
    return np.array(kept).reshape(-1, 3)


def _fixed_point(intrinsics: np.ndarray, points_camera: np.ndarray) -> np.ndarray:
    """(N, 2) int32 pixels times 2**SUBPIXEL_BITS of points in front of the near plane."""
    uvw = points_camera @ intrinsics.T
    pixels = np.clip(uvw[:, :2] / uvw[:, 2:], -1e6, 1e6)  # int32 must hold the fixed point
    return np.round(pixels * (1 << SUBPIXEL_BITS)).astype(np.int32)


def _draw_camera_box(
    picture: np.ndarray, corners: np.ndarray, intrinsics: np.ndarray, colour: Colour, text: str
) -> None:
    height, width = picture.shape[:2]
    if (corners[:, 2] < NEAR_PLANE_M).all():
        return
    segments = [clip_near(corners[list(edge)])[:2] for edge in BOX_EDGES]
    segments = [_fixed_point(intrinsics, s) for s in segments if len(s) == 2]
    if not segments:
        return
    ends = np.concatenate(segments) / (1 << SUBPIXEL_BITS)
    low, high = ends.min(axis=0), ends.max(axis=0)
    if low[0] >= width or low[1] >= height or high[0] < 0 or high[1] < 0:
        return
    front = clip_near(corners[list(FRONT_FACE)])
    if len(front) >= 3:
        shaded = picture.copy()
        cv2.fillPoly(shaded, [_fixed_point(intrinsics, front)], colour, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.addWeighted(shaded, 0.3, picture, 0.7, 0.0, dst=picture)
    thickness = 2 if height >= 360 else 1
    for segment in segments:
        cv2.line(
            picture,
            segment[0].tolist(),
            segment[1].tolist(),
            colour,
            thickness,
            cv2.LINE_AA,
            SUBPIXEL_BITS,
        )
    size = max(8.0, height / 60)
    if text and high[0] - low[0] > 2.5 * size:  # a tiny box would drown under its label
        baseline = int(np.clip(low[1] - 3, size + 1, height - 2))
        left = int(np.clip(low[0], 0, max(width - text_width(text, size), 0)))
        put_text(picture, text, left + 1, baseline + 1, size, (0, 0, 0))
        put_text(picture, text, left, baseline, size, colour)
