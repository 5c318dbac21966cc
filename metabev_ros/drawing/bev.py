"""The bird's-eye view: ego x (forward) points up, ego y (left) points left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.drawing.style import (
    BACKGROUND,
    DIM_COLOUR,
    MAP_COLOURS,
    SUBPIXEL_BITS,
    TEXT_COLOUR,
    TRUTH_COLOUR,
    put_text,
)
from metabev_ros.geometry import NUSCENES_MAP_GRID, BevGrid, box_corners
from metabev_ros.structures import (
    DETECTION_CLASSES,
    MAP_CLASSES,
    OTHER_COLOUR,
    Colour,
    class_colour,
)


@dataclass(frozen=True)
class BevView:
    """Part of the ego plane that a BEV picture shows; the ego is in its middle.

    Attributes:
        width, height: pixels.
        half_length: metres from the ego to the upper border.
    """

    width: int = 640
    height: int = 640
    half_length: float = 50.0

    @property
    def metres_per_pixel(self) -> float:
        """Size of a pixel, metres."""
        return 2 * self.half_length / self.height

    def pixels(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) float64 picture coordinates (u right, v down) of ego metres (x, y)."""
        xy = np.asarray(xy, dtype=np.float64)
        centre = np.array([self.width, self.height]) / 2 - 0.5
        return centre - xy[..., 1::-1] / self.metres_per_pixel

    def metres(self) -> np.ndarray:
        """(height, width, 2) float64 ego (x, y) of the pixel centres."""
        u, v = np.meshgrid(np.arange(self.width), np.arange(self.height))
        x = (self.height / 2 - 0.5 - v) * self.metres_per_pixel
        y = (self.width / 2 - 0.5 - u) * self.metres_per_pixel
        return np.stack([x, y], axis=-1)


def draw_map(
    view: BevView,
    layers: np.ndarray,
    grid: BevGrid = NUSCENES_MAP_GRID,
    class_names: Sequence[str] = MAP_CLASSES,
) -> np.ndarray:
    """The map alone: (K, Y, X) probabilities or bool on `grid`, painted in class order.

    The opacity follows the probability from 0.25 (unseen) to 0.75 (solid), so doubt is visible.
    """
    picture = np.full((view.height, view.width, 3), BACKGROUND, dtype=np.float32)
    xy = view.metres()
    column = ((xy[..., 0] - grid.x_min) / grid.cell - 0.5).astype(np.float32)
    row = ((xy[..., 1] - grid.y_min) / grid.cell - 0.5).astype(np.float32)
    for layer, name in zip(layers, class_names, strict=True):
        value = cv2.remap(
            np.asarray(layer, dtype=np.float32),
            column,
            row,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0.0,
        )
        alpha = np.clip((value - 0.25) / 0.5, 0.0, 1.0)[..., None]
        colour = np.array(MAP_COLOURS.get(name, OTHER_COLOUR), np.float32)
        picture += alpha * (colour - picture)
    return np.round(picture).astype(np.uint8)


def draw_bev(
    view: BevView,
    layers: np.ndarray | None = None,
    grid: BevGrid = NUSCENES_MAP_GRID,
    points: np.ndarray | None = None,
    boxes: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    scores: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    class_names: Sequence[str] = DETECTION_CLASSES,
    map_classes: Sequence[str] = MAP_CLASSES,
) -> np.ndarray:
    """Map, points, boxes with heading and velocity, truth outlines, ego marker, metre rings.

    Args:
        layers: (K, Y, X) probabilities or bool on `grid`; None for no map.
        points: (P, >=3) metres in the EGO frame.
        boxes: (M, 9) ego frame with `labels` (M,); `scores` (M,) make weak boxes fainter.
        truth: (T, >=7) boxes drawn as thin light outlines.
    """
    if layers is None:
        layers, map_classes = np.zeros((0, grid.rows, grid.columns)), ()
    picture = draw_map(view, layers, grid, map_classes)
    _draw_rings(picture, view)
    if points is not None:
        _draw_points(picture, view, points)
    if truth is not None and len(truth):
        for corners in box_corners(np.asarray(truth, dtype=np.float64))[:, :4, :2]:
            _polyline(picture, view, corners, TRUTH_COLOUR, closed=True)
    if boxes is not None and labels is not None and len(boxes):
        order = np.arange(len(boxes)) if scores is None else np.argsort(scores, kind='stable')
        for index in order:
            strength = 1.0 if scores is None else 0.45 + 0.55 * float(scores[index])
            red, green, blue = class_colour(class_names[int(labels[index])])
            _draw_bev_box(
                picture,
                view,
                np.asarray(boxes[index], dtype=np.float64),
                (int(red * strength), int(green * strength), int(blue * strength)),
            )
    _draw_ego(picture, view)
    return picture


def _polyline(
    picture: np.ndarray,
    view: BevView,
    xy: np.ndarray,
    colour: Colour,
    closed: bool = False,
    thickness: int = 1,
) -> None:
    points = np.clip(view.pixels(xy), -1e5, 1e5) * (1 << SUBPIXEL_BITS)
    cv2.polylines(
        picture,
        [np.round(points).astype(np.int32)],
        closed,
        colour,
        thickness,
        cv2.LINE_AA,
        SUBPIXEL_BITS,
    )


def _draw_bev_box(picture: np.ndarray, view: BevView, box: np.ndarray, colour: Colour) -> None:
    corners = box_corners(box[None])[0, :4, :2]
    _polyline(picture, view, corners, colour, closed=True, thickness=2)
    front = (corners[0] + corners[3]) / 2
    _polyline(picture, view, np.stack([box[:2], front]), colour, thickness=2)
    if len(box) >= 9 and np.hypot(box[7], box[8]) > 0.5:  # where it will be in one second
        _polyline(picture, view, np.stack([front, front + box[7:9]]), colour)


def _draw_points(picture: np.ndarray, view: BevView, points: np.ndarray) -> None:
    uv = np.round(view.pixels(points[:, :2])).astype(np.int64)
    inside = (uv >= 0).all(axis=1) & (uv[:, 0] < view.width) & (uv[:, 1] < view.height)
    height = np.clip((points[inside, 2] + 0.5) / 3.0, 0.0, 1.0)[:, None]
    colours = (1 - height) * np.array([92, 104, 120]) + height * np.array([120, 215, 235])
    picture[uv[inside, 1], uv[inside, 0]] = colours.astype(np.uint8)


def _draw_rings(picture: np.ndarray, view: BevView) -> None:
    layer = picture.copy()
    centre = tuple(int(round(c)) for c in view.pixels(np.zeros(2)))
    for radius in range(10, int(view.half_length) + 1, 10):
        pixels = int(round(radius / view.metres_per_pixel))
        cv2.circle(layer, centre, pixels, DIM_COLOUR, 1, cv2.LINE_AA)
        if radius % 20 == 0:
            put_text(layer, f'{radius} m', centre[0] + 4, centre[1] - pixels + 14, 9, TEXT_COLOUR)
    cv2.addWeighted(layer, 0.5, picture, 0.5, 0.0, dst=picture)


def _draw_ego(picture: np.ndarray, view: BevView) -> None:
    outline = np.array([[3.4, 0.0], [1.8, 0.9], [-1.0, 0.9], [-1.0, -0.9], [1.8, -0.9]])
    pixels = np.round(view.pixels(outline) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(picture, [pixels], (240, 244, 248), cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.polylines(picture, [pixels], True, (40, 44, 50), 1, cv2.LINE_AA, SUBPIXEL_BITS)
