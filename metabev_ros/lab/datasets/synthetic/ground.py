"""The painted ground of a drive: picture, materials and map labels from the same polygons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.lab.datasets.synthetic.roads import Path, RoadNetwork, SideStreet
from metabev_ros.structures import MAP_CLASSES

DRIVABLE, CROSSING, WALKWAY, STOP_LINE, CARPARK, DIVIDER = (1 << k for k in range(6))
GRASS, ASPHALT, PAVING, PAINT, KERB, PARKING = range(6)
_COLOURS = np.array(
    [
        [78, 98, 52],
        [86, 86, 90],
        [152, 146, 138],
        [226, 226, 220],
        [178, 176, 172],
        [104, 100, 98],
    ],
    dtype=np.uint8,
)
_YELLOW = (214, 170, 50)
# LiDAR reflectivity 0..255 of each material.
MATERIAL_REFLECTIVITY = np.array([34, 9, 26, 115, 48, 15], dtype=np.float32)
_MAX_PIXELS = 14_000_000
_LABEL_LINE = 1.0  # metres: the nuScenes devkit draws lines 2 cells of 0.5 m thick


@dataclass(frozen=True)
class CarPark:
    """A paved rectangle behind the walkway, on the main road's offsets."""

    s0: float
    s1: float
    side: int
    depth: float


@dataclass(frozen=True)
class Ground:
    """Rasters over the world; pixel (row, column) is at origin + (column, row) * cell.

    Attributes:
        origin: (2,) world metres of the centre of pixel (0, 0).
        cell: metres.
        texture: (H, W, 3) uint8 RGB.
        material: (H, W) uint8.
        labels: (H, W) uint8, bit k set where MAP_CLASSES[k] holds.
    """

    origin: np.ndarray
    cell: float
    texture: np.ndarray
    material: np.ndarray
    labels: np.ndarray

    def sample(self, raster: np.ndarray, xy: np.ndarray, outside: int = 0) -> np.ndarray:
        """Nearest values of one raster at (..., 2) world points."""
        place = np.rint((xy - self.origin) / self.cell).astype(np.int32)
        column, row = place[..., 0], place[..., 1]
        inside = (column >= 0) & (column < raster.shape[1]) & (row >= 0) & (row < raster.shape[0])
        values = raster[np.where(inside, row, 0), np.where(inside, column, 0)]
        return np.where(inside, values, np.uint8(outside))

    def map_layers(self, world_xy: np.ndarray) -> np.ndarray:
        """(K, ...) bool: which map classes hold at (..., 2) world points."""
        bits = self.sample(self.labels, world_xy)
        return np.stack([(bits >> k & 1).astype(bool) for k in range(len(MAP_CLASSES))])


class _Painter:
    """Draws polygons of world metres into the three rasters."""

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        area = float(np.prod(high - low))
        self.cell = max(0.125, np.sqrt(area / _MAX_PIXELS))
        self.origin = low
        columns, rows = np.ceil((high - low) / self.cell).astype(int)
        shape = (int(rows), int(columns))
        self.material = np.full(shape, GRASS, dtype=np.uint8)
        self.labels = np.zeros(shape, dtype=np.uint8)
        self.yellow = np.zeros(shape, dtype=np.uint8)

    def pixels(self, xy: np.ndarray) -> np.ndarray:
        return np.rint((xy - self.origin) / self.cell * 16).astype(np.int32)

    def area(self, polygon: np.ndarray, material: int, label: int, replace: bool = True) -> None:
        """Fills; `replace` drops the labels that were there, else only the material changes."""
        points = [self.pixels(polygon)]
        cv2.fillPoly(self.material, points, int(material), shift=4)
        if replace:
            cv2.fillPoly(self.labels, points, int(label), shift=4)

    def paint(self, polygon: np.ndarray, label: int = 0) -> None:
        """White paint on the road that leaves the labels there, adding `label`."""
        points = [self.pixels(polygon)]
        cv2.fillPoly(self.material, points, PAINT, shift=4)
        if label:
            self.add_label(polygon, label)

    def add_label(self, polygon: np.ndarray, label: int) -> None:
        points = self.pixels(polygon)
        low = np.maximum(points.min(axis=0) // 16 - 1, 0)
        high = points.max(axis=0) // 16 + 2
        view = self.labels[low[1] : high[1], low[0] : high[0]]
        if view.size:
            mask = np.zeros(view.shape, dtype=np.uint8)
            cv2.fillPoly(mask, [points - low * 16], int(label), shift=4)
            view |= mask

    def stroke(self, line: np.ndarray, width: float, yellow: bool = False) -> None:
        thickness = max(1, round(width / self.cell))
        points = [self.pixels(line)]
        cv2.polylines(self.material, points, False, PAINT, thickness, shift=4)
        if yellow:
            cv2.polylines(self.yellow, points, False, 1, thickness, shift=4)


def paint_ground(
    rng: np.random.Generator, roads: RoadNetwork, car_parks: tuple[CarPark, ...]
) -> Ground:
    """Draws the whole network."""
    return paint_networks(rng, ((roads, car_parks),))


def paint_networks(
    rng: np.random.Generator, networks: Sequence[tuple[RoadNetwork, tuple[CarPark, ...]]]
) -> Ground:
    """Draws networks that may cross: all walkways, then all roads, then what is painted on."""
    xy = np.concatenate([roads.main.xy for roads, _ in networks])
    reach = 80.0
    painter = _Painter(xy.min(axis=0) - reach, xy.max(axis=0) + reach)
    for roads, _ in networks:
        _walkways(painter, roads)
    for roads, car_parks in networks:
        _parks(painter, roads, car_parks)
    for roads, _ in networks:
        _carriageways(painter, roads)
    _kerbs(painter)
    for roads, car_parks in networks:
        _main_paint(painter, roads)
        for street in roads.streets:
            _street_paint(painter, roads, street)
        for park in car_parks:
            _bay_paint(painter, roads, park)
    return Ground(
        painter.origin, painter.cell, _texture(rng, painter), painter.material, painter.labels
    )


def _walkways(painter: _Painter, roads: RoadNetwork) -> None:
    main, walkway = roads.main, roads.walkway
    right, left = roads.right_edge, roads.left_edge
    painter.area(
        main.ribbon(main.start, main.end, -right - walkway, left + walkway), PAVING, WALKWAY
    )
    for street in roads.streets:
        half = street.half_width + 2.6
        painter.area(street.path.ribbon(0.0, street.length, -half, half), PAVING, WALKWAY)


def _parks(painter: _Painter, roads: RoadNetwork, car_parks: tuple[CarPark, ...]) -> None:
    main, walkway = roads.main, roads.walkway
    for park in car_parks:
        near = roads.edge(park.side) + walkway
        painter.area(
            main.ribbon(park.s0, park.s1, park.side * near, park.side * (near + park.depth)),
            PARKING,
            CARPARK,
        )
        gate = (park.s0 + park.s1) / 2
        painter.area(
            main.ribbon(
                gate - 3, gate + 3, park.side * (near - walkway - 0.5), park.side * (near + 0.3)
            ),
            ASPHALT,
            DRIVABLE,
        )


def _carriageways(painter: _Painter, roads: RoadNetwork) -> None:
    main = roads.main
    painter.area(
        main.ribbon(main.start, main.end, -roads.right_edge, roads.left_edge), ASPHALT, DRIVABLE
    )
    for street in roads.streets:
        half = street.half_width
        painter.area(street.path.ribbon(0.0, street.length, -half, half), ASPHALT, DRIVABLE)
        for sign in (1, -1):
            painter.area(_corner(street, sign), ASPHALT, DRIVABLE)


def _corner(street: SideStreet, sign: int, radius: float = 2.4) -> np.ndarray:
    """The rounded kerb where a street meets the main road."""
    angle = np.linspace(0, np.pi / 2, 7)
    s = street.mouth + radius * (1 - np.sin(angle))
    d = sign * (street.half_width + radius * (1 - np.cos(angle)))
    s = np.concatenate([[street.mouth - 1.0], s, [street.mouth - 1.0]])
    inner, outer = street.half_width - 0.5, street.half_width + radius
    d = np.concatenate([[sign * inner], d, [sign * outer]])
    return np.stack(street.path.pose(s, d)[:2], axis=-1)


def _kerbs(painter: _Painter) -> None:
    road = (painter.labels & DRIVABLE).astype(np.uint8)
    width = max(1, round(0.2 / painter.cell))
    grown = cv2.dilate(road, np.ones((2 * width + 1, 2 * width + 1), np.uint8))
    edge = (grown > road) & (painter.labels & WALKWAY > 0)
    painter.material[edge] = KERB


def _divider(painter: _Painter, line: np.ndarray) -> None:
    points = painter.pixels(line)
    thickness = max(1, round(_LABEL_LINE / painter.cell))
    low = np.maximum(points.min(axis=0) // 16 - thickness, 0)
    high = points.max(axis=0) // 16 + thickness + 1
    view = painter.labels[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros(view.shape, dtype=np.uint8)
    cv2.polylines(mask, [points - low * 16], False, int(DIVIDER), thickness, shift=4)
    view |= mask


def _main_paint(painter: _Painter, roads: RoadNetwork) -> None:
    main, width = roads.main, roads.lane_width
    for s0, s1 in roads.clear_intervals(main.start, main.end):
        _divider(painter, main.line(s0, s1, 0.0))
        for d in (-0.18, 0.18):
            painter.stroke(main.line(s0, s1, d), 0.13, yellow=True)
        for side in (1, -1):
            for lane in range(1, roads.lanes(side) + 1):
                d = side * lane * width
                _divider(painter, main.line(s0, s1, d))
                outer = lane == roads.lanes(side)
                dash, period = (2.0, 4.0) if outer else (3.0, 7.5)
                for s in np.arange(s0, s1 - dash, period):
                    painter.stroke(main.line(s, s + dash, d), 0.14)
    for at, half in roads.junctions:
        for sign in (1, -1):
            _zebra(
                painter,
                main,
                at + sign * (half + 1.8),
                at + sign * (half + 4.8),
                -roads.right_edge,
                roads.left_edge,
            )
        _stop(painter, main, at - half - 6.2, -roads.lanes_right * width, -0.3)
        _stop(painter, main, at + half + 6.2, 0.3, roads.lanes_left * width)


def _street_paint(painter: _Painter, roads: RoadNetwork, street: SideStreet) -> None:
    path, half, mouth = street.path, street.half_width, street.mouth
    _zebra(painter, path, mouth + 1.8, mouth + 4.8, -half, half)
    _stop(painter, path, mouth + 6.2, 0.3, half)
    if street.length > mouth + 8:
        _divider(painter, path.line(mouth + 7, street.length, 0.0))
        for s in np.arange(mouth + 7, street.length - 3, 6.0):
            painter.stroke(path.line(s, s + 3, 0.0), 0.14)


def _zebra(painter: _Painter, path: Path, s0: float, s1: float, d0: float, d1: float) -> None:
    painter.add_label(path.ribbon(s0, s1, d0, d1), CROSSING)
    for d in np.arange(d0 + 0.3, d1 - 0.5, 1.0):
        painter.paint(path.ribbon(s0, s1, d, d + 0.5, step=4.0))


def _stop(painter: _Painter, path: Path, s: float, d0: float, d1: float) -> None:
    painter.paint(path.ribbon(s - 0.2, s + 0.2, d0, d1))
    painter.add_label(path.ribbon(s - 0.6, s + 0.6, d0, d1), STOP_LINE)


def _bay_paint(painter: _Painter, roads: RoadNetwork, park: CarPark) -> None:
    near = roads.edge(park.side) + roads.walkway
    for d in (near + 0.3, near + park.depth - 5.3):
        for s in np.arange(park.s0 + 0.5, park.s1, 2.8):
            line = roads.main.line(s, s, park.side * d)
            end = roads.main.line(s, s, park.side * (d + 5.0))
            painter.stroke(np.concatenate([line[:1], end[:1]]), 0.12)


def _texture(rng: np.random.Generator, painter: _Painter) -> np.ndarray:
    """Colours with grain: fine noise per material and slow stains."""
    texture = _COLOURS[painter.material]
    texture[painter.yellow & (painter.material == PAINT) > 0] = _YELLOW
    size = 512
    fine = rng.normal(0, 7, (size, size)).astype(np.float32)
    slow = cv2.resize(
        rng.normal(0, 9, (24, 24)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
    )
    grain = np.clip(128 + fine + slow, 0, 255).astype(np.uint8)
    height, width = painter.material.shape
    tiled = np.tile(grain, (height // size + 1, width // size + 1))[:height, :width]
    half = cv2.cvtColor(tiled, cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(texture, 1.0, half, 1.0, -128.0)
