"""The ground of a recorded scene, drawn from its map."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import (
    ASPHALT,
    CARPARK,
    DIVIDER,
    DRIVABLE,
    GRASS,
    KERB,
    PAINT,
    PARKING,
    PAVING,
    WALKWAY,
    Ground,
)
from metabev_ros.lab.simulation.cast import Actors
from metabev_ros.lab.simulation.painting import TEXTURE_COLOURS
from metabev_ros.lab.simulation.traffic_file import TrafficScene
from metabev_ros.structures import DETECTION_CLASSES

_REACH = 110.0  # metres around the ego's way
_MOST_PIXELS = 14_000_000
_WALKWAY = 3.0  # metres beside kerbs
_LABEL_LINE = 1.0  # metres of a divider's label, as `ground` has it
_OUTLINE = 'ROAD_LINE_SOLID_SINGLE_WHITE'  # closed: around roads, and around islands in them
_BROKEN = 'ROAD_LINE_BROKEN_SINGLE_WHITE'
_YELLOW = (214, 170, 50)
_FEWEST = 4  # vehicles off the roads that make a car park
_AROUND = 4.0  # metres around them that belong to it


def paint_traffic(
    scene: TrafficScene, origin: np.ndarray, population: Actors, seed: int
) -> Ground:
    """Rasters of a scene.

    Args:
        origin: (2,) of the world in the city's frame, metres.
        population: its actors, in the world.
    """
    way = scene.ego[:, :2] - origin
    low, high = way.min(axis=0) - _REACH, way.max(axis=0) + _REACH
    cell = max(0.125, float(np.sqrt(np.prod(high - low) / _MOST_PIXELS)))
    columns, rows = np.ceil((high - low) / cell).astype(int).tolist()
    lines = [(kind, line - origin, polygon - origin) for kind, line, polygon in scene.lines]
    road = _road(lines, low, cell, (rows, columns))
    material = np.full((rows, columns), GRASS, np.uint8)
    labels = np.zeros((rows, columns), np.uint8)
    walkway = (_grown(road, _WALKWAY / cell) > 0) & (road == 0)
    material[walkway], labels[walkway] = PAVING, WALKWAY
    park = _car_park(population, road, low, cell)
    material[park], labels[park] = PARKING, CARPARK
    kerb = (_grown(road, 0.25 / cell) > 0) & (road == 0)
    material[kerb] = KERB
    material[road > 0], labels[road > 0] = ASPHALT, DRIVABLE
    yellow = _lines(lines, low, cell, material, labels)
    texture = _texture(np.random.default_rng([seed, 44]), material, yellow)
    return Ground(low, cell, texture, material, labels)


def _pixels(xy: np.ndarray, low: np.ndarray, cell: float) -> np.ndarray:
    """(N, 2) int32 sixteenths of a pixel; what is far outside is moved to where it fits."""
    return np.rint(np.clip((xy - low) / cell, -20_000, 40_000) * 16).astype(np.int32)


def _road(
    lines: Sequence[tuple[str, np.ndarray, np.ndarray]],
    low: np.ndarray,
    cell: float,
    shape: tuple[int, int],
) -> np.ndarray:
    """(R, C) uint8: inside the outlines but not in islands, and on lanes."""
    road = np.zeros(shape, np.uint8)
    outlines = [
        _pixels(line, low, cell)
        for kind, line, _ in lines
        if kind == _OUTLINE and len(line) > 3 and np.hypot(*(line[0] - line[-1])) < 0.5
    ]
    if outlines:
        cv2.fillPoly(road, outlines, 1, shift=4)  # an even number of outlines is outside
    for kind, _, polygon in lines:
        if kind.startswith('LANE') and len(polygon) > 2:
            cv2.fillPoly(road, [_pixels(polygon, low, cell)], 1, shift=4)
    return road


def _grown(mask: np.ndarray, pixels: float) -> np.ndarray:
    """The mask and what is around it."""
    size = 2 * round(pixels) + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def _car_park(population: Actors, road: np.ndarray, low: np.ndarray, cell: float) -> np.ndarray:
    """(R, C) bool around vehicles that stand off the roads, where they are many."""
    boxes = np.concatenate([path.xy[:1] for path in population.paths[1:]] or [np.zeros((0, 2))])
    wheels = np.isin(
        population.labels, [DETECTION_CLASSES.index(name) for name in ('car', 'truck', 'bus')]
    )
    still = np.array([np.hypot(*np.ptp(path.xy, axis=0)) < 1.0 for path in population.paths[1:]])
    mask = np.zeros(road.shape, np.uint8)
    if not (wheels & still).any():
        return mask > 0
    place = np.rint((boxes[wheels & still] - low) / cell).astype(int)
    inside = np.all((place >= 0) & (place < np.array(road.shape[::-1])), axis=1)
    place = place[inside]
    off = place[road[place[:, 1], place[:, 0]] == 0]
    if len(off) < _FEWEST:
        return mask > 0
    radius = round(_AROUND / cell)
    for x, y in off.tolist():
        cv2.circle(mask, (x, y), radius, 1, -1)
    size = 2 * radius + 1
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    count, found = cv2.connectedComponents(closed)
    part = np.asarray(found, dtype=np.int64)
    vehicles = np.bincount(part[off[:, 1], off[:, 0]], minlength=count)
    vehicles[0] = 0
    return (vehicles >= _FEWEST)[part] & (road == 0)


def _lines(
    lines: Sequence[tuple[str, np.ndarray, np.ndarray]],
    low: np.ndarray,
    cell: float,
    material: np.ndarray,
    labels: np.ndarray,
) -> np.ndarray:
    """Paint dividers onto the roads; returns (R, C) uint8 where they are yellow."""
    divider, paint = np.zeros_like(labels), np.zeros_like(labels)
    yellow = np.zeros_like(labels)
    for kind, line, _ in lines:
        if not kind.startswith('ROAD_LINE') or kind == _OUTLINE or len(line) < 2:
            continue
        whole = _pixels(line, low, cell)
        cv2.polylines(divider, [whole], False, 1, max(1, round(_LABEL_LINE / cell)), shift=4)
        pieces = (
            [_pixels(dash, low, cell) for dash in dashes(line)] if kind == _BROKEN else [whole]
        )
        cv2.polylines(paint, pieces, False, 1, 1, shift=4)
        if 'YELLOW' in kind:
            cv2.polylines(yellow, [whole], False, 1, 1, shift=4)
    on_road = labels & DRIVABLE > 0
    labels[on_road & (divider > 0)] |= DIVIDER
    material[on_road & (paint > 0)] = PAINT
    return yellow


def dashes(line: np.ndarray, dash: float = 3.0, period: float = 7.5) -> list[np.ndarray]:
    """(2, 2) pieces of a polyline."""
    steps = np.hypot(*np.diff(line, axis=0).T)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    starts = np.arange(0.0, min(way[-1], 1e4), period)
    ends = np.minimum(starts + dash, way[-1])
    both = [
        np.stack([np.interp(s, way, line[:, k]) for k in range(2)], -1) for s in (starts, ends)
    ]
    return list(np.stack(both, axis=1))


def _texture(rng: np.random.Generator, material: np.ndarray, yellow: np.ndarray) -> np.ndarray:
    """Colours of the materials with grain."""
    texture = TEXTURE_COLOURS[material]
    texture[(yellow > 0) & (material == PAINT)] = _YELLOW
    grain = np.clip(128 + rng.normal(0, 8, (512, 512)), 0, 255).astype(np.uint8)
    rows, columns = material.shape
    tiled = np.tile(grain, (rows // 512 + 1, columns // 512 + 1))[:rows, :columns]
    return cv2.addWeighted(texture, 1.0, cv2.cvtColor(tiled, cv2.COLOR_GRAY2RGB), 1.0, -128.0)
