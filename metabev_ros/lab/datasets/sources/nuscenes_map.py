"""The map expansion of nuScenes, drawn onto the map grid as BEVFusion and the devkit draw it.

`NuScenesMap.get_map_mask` (nuscenes-devkit 1.2.0) cuts a polygon off at the border of the patch,
rounds its corners to cells and fills it with its edges; then it clears the holes with their edges,
whatever lay there before. A polygon that crosses itself is left out, unless it is a drivable area.
Lines are cut off at the same border, their corners rounded down, and drawn two cells wide. The
same is done here without shapely, which the devkit needs for the cuts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.geometry import NUSCENES_MAP_GRID
from metabev_ros.lab.datasets.sources.json_rows import AGAIN, number, read_json
from metabev_ros.structures import DRIVABLE_CLASS, MAP_CLASSES

# Layers of the map JSON that are polygons, and those that are lines; together MAP_CLASSES.
POLYGONS = {name: (name,) for name in MAP_CLASSES if name != 'divider'}
LINES = {'divider': ('road_divider', 'lane_divider')}
OLDEST = '1.3'  # the devkit refuses what is older
_MAX_CORNERS = 5000
_MARGIN = max(NUSCENES_MAP_GRID.shape)  # cells: an edge to there leaves the grid where it was cut
T = TypeVar('T')


@dataclass(frozen=True, eq=False)
class Shape:
    """A polygon with its holes, or a line: (N, 2) float64 corners in the map's frame."""

    corners: np.ndarray
    holes: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True, eq=False)
class CityMap:
    """Shapes of a city, by class of MAP_CLASSES, and their borders (N, 4) x y min, x y max."""

    shapes: dict[str, list[Shape]]
    borders: dict[str, np.ndarray]

    def draw(self, world_from_ego: np.ndarray) -> np.ndarray:
        """(K, Y, X) bool layers on `geometry.NUSCENES_MAP_GRID` around the vehicle.

        Its heading is where its x axis points to in the plane; roll and pitch count for nothing.
        """
        centre = world_from_ego[:2, 3]
        forward = world_from_ego[:2, 0] / np.hypot(*world_from_ego[:2, 0])
        turn = np.array([forward, [-forward[1], forward[0]]])
        layers: list[np.ndarray] = []
        for name in MAP_CLASSES:
            shapes = [
                [_cells(c, centre, turn) for c in (shape.corners, *shape.holes)]
                for shape in self._near(name, centre)
            ]
            layers.append(draw_lines(shapes) if name in LINES else draw_polygons(shapes))
        return np.stack(layers)

    def _near(self, name: str, centre: np.ndarray) -> Iterator[Shape]:
        grid, borders = NUSCENES_MAP_GRID, self.borders[name]
        reach = np.hypot(max(-grid.x_min, grid.x_max), max(-grid.y_min, grid.y_max))
        near = (borders[:, :2] <= centre + reach) & (borders[:, 2:] >= centre - reach)
        return (self.shapes[name][i] for i in np.flatnonzero(near.all(axis=1)))


def map_file(folder: Path, location: str) -> Path:
    """The path of a city's map in the folder of a data set."""
    return folder / 'maps' / 'expansion' / f'{location}.json'


def read_city(path: Path) -> CityMap:
    """The map of a city; a process reads it once as long as the file stays the same.

    Raises:
        ConfigError: for a file that is missing, damaged, too old or of another kind.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise ConfigError(clean_text(path, 300), 'a map', 'no such file', AGAIN) from error
    return _read_city(path, (stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=4)
def _read_city(path: Path, _stamp: tuple[int, int]) -> CityMap:
    plain = read_json(path)
    where = clean_text(path, 300)
    version = plain.get('version', '1.0') if isinstance(plain, dict) else 'none'
    if not isinstance(version, str) or version < OLDEST:
        raise ConfigError(
            where,
            f'a map expansion of version {OLDEST} or newer',
            clean_text(version),
            'download the map expansion pack again',
        )
    try:
        shapes = _Reader(plain).shapes()
    except (KeyError, TypeError, ValueError) as error:
        kind = 'nothing called' if isinstance(error, KeyError) else 'wrong:'
        raise ConfigError(
            where, 'a map expansion of nuScenes', f'{kind} {clean_text(error, 200)}', AGAIN
        ) from error
    borders = {
        name: np.array([(*s.corners.min(axis=0), *s.corners.max(axis=0)) for s in found]).reshape(
            -1, 4
        )
        for name, found in shapes.items()
    }
    return CityMap(shapes, borders)


class _Reader:
    """Resolves the tokens of a map JSON."""

    def __init__(self, plain: dict[str, Any]) -> None:
        self._plain = plain
        self._nodes = self._by_token('node', lambda n: (number(n['x']), number(n['y'])))
        self._polygons = self._by_token('polygon', self._polygon)
        self._lines = self._by_token('line', lambda row: Shape(self._corners(row['node_tokens'])))

    def _by_token(self, layer: str, parse: Callable[[dict[str, Any]], T]) -> dict[str, T]:
        return {row['token']: parse(row) for row in self._plain[layer]}

    def _corners(self, tokens: list[str]) -> np.ndarray:
        return np.array([self._nodes[token] for token in tokens], np.float64).reshape(-1, 2)

    def _polygon(self, row: dict[str, Any]) -> Shape:
        holes = (self._corners(hole['node_tokens']) for hole in row['holes'])
        return Shape(
            self._corners(row['exterior_node_tokens']), tuple(h for h in holes if len(h) > 2)
        )

    def shapes(self) -> dict[str, list[Shape]]:
        """Shapes by class; those without an extent are left out."""
        found: dict[str, list[Shape]] = {}
        for name, layers in (POLYGONS | LINES).items():
            enough = 2 if name in LINES else 3
            shapes = [s for layer in layers for r in self._plain[layer] for s in self._of(r)]
            found[name] = [
                shape
                for shape in shapes
                if len(shape.corners) >= enough
                and (name in (DRIVABLE_CLASS, *LINES) or is_simple(shape.corners))
            ]
        return found

    def _of(self, row: dict[str, Any]) -> list[Shape]:
        """Shapes of a record: a drivable area has several polygons."""
        if 'line_token' in row and 'polygon_token' not in row:
            return [self._lines[row['line_token']]]
        tokens = row['polygon_tokens'] if 'polygon_tokens' in row else [row['polygon_token']]
        return [self._polygons[token] for token in tokens]


def is_simple(ring: np.ndarray) -> bool:
    """Tell whether no two edges of a polygon meet but neighbours in their corner.

    Args:
        ring: (N, 2) float64 corners; the last one may be the first one again.
    """
    closed = np.concatenate([ring, ring[:1]]) - ring[0]
    apart = (np.diff(closed, axis=0) != 0).any(axis=1)
    begin, step = closed[:-1][apart], np.diff(closed, axis=0)[apart]
    end, count = begin + step, len(begin)
    if count > _MAX_CORNERS:
        return True  # nobody draws such a thing by hand, and looking would take long
    low, high = np.minimum(begin, end), np.maximum(begin, end)
    for i in range(count - 2):
        others = slice(i + 2, count - 1 if i == 0 else count)
        one = _side(begin[i], step[i], begin[others]) * _side(begin[i], step[i], end[others])
        other = _side(begin[others], step[others], begin[i]) * _side(
            begin[others], step[others], end[i]
        )
        near = ((low[others] <= high[i]) & (high[others] >= low[i])).all(axis=1)
        if ((one <= 0) & (other <= 0) & near).any():
            return False
    return True


def _side(begin: np.ndarray, step: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Sign of the side of an edge that a point is on, 0 for on it."""
    delta = point - begin
    return np.sign(step[..., 0] * delta[..., 1] - step[..., 1] * delta[..., 0])


def _cells(corners: np.ndarray, centre: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """(N, 2) float64 column and row of corners, in cells from the lower corner of the grid."""
    grid = NUSCENES_MAP_GRID
    return ((corners - centre) @ turn.T - [grid.x_min, grid.y_min]) / grid.cell


def draw_polygons(shapes: list[list[np.ndarray]]) -> np.ndarray:
    """(Y, X) bool: each shape's first ring is filled, then its others are cleared."""
    size = np.array(NUSCENES_MAP_GRID.shape[::-1])
    canvas = np.zeros(np.add(NUSCENES_MAP_GRID.shape, _MARGIN), np.uint8)
    for rings in shapes:
        # A hole that the border cuts is a notch of the outline, whose edges are filled.
        cut = [((ring < 0) | (ring > size)).any() for ring in rings[1:]]
        notches = [ring for ring, is_cut in zip(rings[1:], cut, strict=True) if is_cut]
        holes = [ring for ring, is_cut in zip(rings[1:], cut, strict=True) if not is_cut]
        cv2.fillPoly(canvas, [_rounded(ring, size) for ring in (rings[0], *notches)], 1)
        if holes:
            cv2.fillPoly(canvas, [_rounded(ring, size) for ring in holes], 0)
    return canvas[_MARGIN:, _MARGIN:].astype(bool)


def _rounded(ring: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(M, 2) int32 corners on the canvas that draw inside of the grid what the cut ring draws.

    Where an edge crosses a border line it gets a corner. Every edge then lies on one side of each
    of them, and what is outside may be moved there: to the cells at `size`, which are no more on
    the canvas, and far below 0, on a part of the canvas that is cut off, as `cv2` does not draw
    faithfully what leaves the canvas.
    """
    points = _with_crossings(np.concatenate([ring, ring[:1]]), size)
    moved = np.where(points < -1e-9, -_MARGIN, np.minimum(points.round(), size))
    return (moved + _MARGIN).astype(np.int32)


def _with_crossings(points: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(M, 2) points of a line, and where it crosses x = 0, x = size, y = 0 and y = size."""
    begin, step = points[:-1], np.diff(points, axis=0)
    with np.errstate(divide='ignore', invalid='ignore'):
        shares = np.concatenate([-begin / step, (size - begin) / step], axis=1)
    shares = np.where((shares > 0) & (shares < 1), shares, 0.0)
    shares.sort(axis=1)
    every = np.concatenate([np.zeros((len(shares), 1)), shares], axis=1)
    found = begin[:, None] + every[..., None] * step[:, None]
    is_corner = np.concatenate([np.ones((len(shares), 1), bool), shares > 0], axis=1)
    found = found[is_corner]
    # On the line, not beside it by the last bit.
    for axis, border in ((0, 0.0), (0, size[0]), (1, 0.0), (1, size[1])):
        found[np.abs(found[:, axis] - border) < 1e-9, axis] = border
    return np.concatenate([found, points[-1:]])


def draw_lines(shapes: list[list[np.ndarray]]) -> np.ndarray:
    """(Y, X) bool: the first ring of each shape as a line."""
    canvas = np.zeros(NUSCENES_MAP_GRID.shape, np.uint8)
    size = np.array(canvas.shape[::-1])
    for rings in shapes:
        points = _with_crossings(rings[0], size)
        middle = (points[:-1] + points[1:]) / 2
        inside = np.all((middle >= 0) & (middle <= size), axis=1)
        for first, last in _runs(inside):
            piece = points[first : last + 1].astype(np.int32)
            cv2.polylines(canvas, [piece], isClosed=False, color=1, thickness=2)
    return canvas.astype(bool)


def _runs(inside: np.ndarray) -> Iterator[tuple[int, int]]:
    """(first, last + 1) of every stretch of True."""
    edges = np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8))
    return zip(*(np.flatnonzero(edges == sign).tolist() for sign in (1, -1)), strict=True)
