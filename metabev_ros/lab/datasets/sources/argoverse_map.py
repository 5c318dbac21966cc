"""Argoverse 2's vector map as layers, and the region that its metric looks at."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.geometry import NUSCENES_MAP_GRID, box_corners, inverse_rigid, transform_points
from metabev_ros.structures import MAP_CLASSES

KNOWN_LAYERS = ('drivable_area', 'ped_crossing', 'divider')
# A boundary without paint is no divider, nor is one of which nobody said what it is. Every painted
# one is, whatever its colour and pattern, the edge lines of a road among them.
NOT_PAINTED = ('NONE', 'UNKNOWN')
DIVIDER_CELLS = 2  # width of a line, as nuScenes' map API draws it
REGION_REACH_M = 5.0  # of the drivable area, by Argoverse's metric
MAX_MAP_BYTES = 64 << 20
_SHIFT = 8  # bits of a cell's fraction in OpenCV's coordinates


@dataclass(frozen=True, eq=False)
class VectorMap:
    """A drive's map in the city's frame.

    Attributes:
        drivable_areas: (N, 3) corners of each polygon.
        crossings: (4, 3) corners of each pedestrian crossing.
        dividers: (N, 3) points of each painted boundary of a lane.
    """

    drivable_areas: tuple[np.ndarray, ...]
    crossings: tuple[np.ndarray, ...]
    dividers: tuple[np.ndarray, ...]

    def layers(self, world_from_ego: np.ndarray) -> np.ndarray:
        """(K, Y, X) bool layers MAP_CLASSES on `geometry.NUSCENES_MAP_GRID` around a pose."""
        ego_from_world = inverse_rigid(world_from_ego)
        layers = np.zeros((len(MAP_CLASSES), *NUSCENES_MAP_GRID.shape), np.uint8)
        for name, shapes in (
            ('drivable_area', self.drivable_areas),
            ('ped_crossing', self.crossings),
        ):
            for corners in _cells(shapes, ego_from_world):
                cv2.fillPoly(layers[MAP_CLASSES.index(name)], [corners], 1, shift=_SHIFT)
        lines = _cells(self.dividers, ego_from_world)
        cv2.polylines(
            layers[MAP_CLASSES.index('divider')], lines, False, 1, DIVIDER_CELLS, shift=_SHIFT
        )
        return layers.astype(bool)


@dataclass(frozen=True, eq=False)
class RegionOfInterest:
    """Area that Argoverse's metric looks at: up to 5 m beside the drivable area.

    Attributes:
        drivable_areas: (N, 3) corners of each polygon in the city's frame.
        world_from_ego: (4, 4) of the frame.
    """

    drivable_areas: tuple[np.ndarray, ...]
    world_from_ego: np.ndarray

    def covers(self, boxes: np.ndarray) -> np.ndarray:
        """Tell which boxes have a corner in the region.

        Argoverse's own code draws the area in cells of 0.1 m, on a picture that ends where the
        areas do; here distances are exact, and the region ends there too.

        Args:
            boxes: (M, >=7) in the ego frame.

        Returns:
            (M,) bool.
        """
        corners = box_corners(np.asarray(boxes, np.float64)).reshape(-1, 3)
        inside = np.zeros(len(corners), bool)
        flat = transform_points(self.world_from_ego, corners)[:, :2]
        origin = self.world_from_ego[:2, 3]  # OpenCV measures in float32: stay near zero
        every = np.concatenate([np.zeros((0, 2)), *(area[:, :2] for area in self.drivable_areas)])
        if not len(every):
            return np.zeros(len(boxes), bool)
        on_picture = (flat >= np.floor(every.min(0))) & (flat < np.ceil(every.max(0)) + 1)
        for area in self.drivable_areas:
            low, high = area[:, :2].min(0) - REGION_REACH_M, area[:, :2].max(0) + REGION_REACH_M
            near = on_picture.all(1) & ~inside & ((flat >= low) & (flat <= high)).all(1)
            contour = (area[:, :2] - origin).astype(np.float32)
            for row in np.flatnonzero(near).tolist():
                place = tuple((flat[row] - origin).tolist())
                inside[row] = cv2.pointPolygonTest(contour, place, True) >= -REGION_REACH_M
        return np.asarray(inside.reshape(-1, 8).any(1))


def read_map(drive: Path) -> VectorMap:
    """The map of a drive, `map/log_map_archive_*.json`.

    Raises:
        ConfigError: for a file that is missing, damaged or of another layout.
    """
    paths = sorted((drive / 'map').glob('log_map_archive_*.json'))
    if len(paths) != 1:
        raise ConfigError(
            str(drive / 'map'),
            'one log_map_archive_*.json',
            f'{len(paths)}',
            'load the whole drive',
        )
    path = paths[0]
    try:
        if path.stat().st_size > MAX_MAP_BYTES:
            raise ConfigError(
                str(path), f'at most {MAX_MAP_BYTES} bytes', str(path.stat().st_size)
            )
        plain: Any = json.loads(path.read_text(encoding='utf-8'))
        areas = [_points(a['area_boundary']) for a in plain['drivable_areas'].values()]
        crossings = [
            np.concatenate([_points(c['edge1']), _points(c['edge2'])[::-1]])
            for c in plain['pedestrian_crossings'].values()
        ]
        dividers = [
            _points(lane[f'{side}_lane_boundary'])
            for lane in plain['lane_segments'].values()
            for side in ('left', 'right')
            if lane[f'{side}_lane_mark_type'] not in NOT_PAINTED
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        got = clean_text(f'{type(error).__name__}: {error}')
        raise ConfigError(
            str(path), 'a vector map of Argoverse 2', got, 'load the file anew'
        ) from error
    return VectorMap(tuple(areas), tuple(crossings), tuple(dividers))


def _points(vertices: Iterable[Any]) -> np.ndarray:
    """(N, 3) float64.

    Raises:
        ValueError: for less than two points, or values that are not finite.
    """
    points = np.array([[float(v['x']), float(v['y']), float(v['z'])] for v in vertices])
    if len(points) < 2 or not np.isfinite(points).all():
        raise ValueError('a shape of less than two finite points')
    return points


def _cells(shapes: tuple[np.ndarray, ...], ego_from_world: np.ndarray) -> list[np.ndarray]:
    """(N, 2) int32 of each shape that is near, in OpenCV's fixed-point columns and rows."""
    grid, result = NUSCENES_MAP_GRID, []
    corner = np.array([grid.x_min, grid.y_min])
    reach = np.array([grid.columns, grid.rows])
    for shape in shapes:
        cells = (transform_points(ego_from_world, shape)[:, :2] - corner) / grid.cell - 0.5
        # Far vertices would not fit into OpenCV's numbers; whole shapes out there are not drawn.
        if (cells.min(0) < reach + 2).all() and (cells.max(0) > -2).all():
            if np.abs(cells).max() < 2**20:
                result.append(np.round(cells * 2**_SHIFT).astype(np.int32))
    return result
