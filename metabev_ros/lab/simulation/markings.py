"""Road markings with smooth edges: lines, zebras, stop lines, arrows, bays; styles by world."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import PAINT, CarPark, Ground
from metabev_ros.lab.datasets.synthetic.roads import Path, RoadNetwork
from metabev_ros.lab.simulation.crowds.parked import bay_rows
from metabev_ros.lab.simulation.lots import BAY
from metabev_ros.lab.simulation.rasters import RasterPyramid

# A road network and its car parks, as `paint_networks` takes them.
Networks = Sequence[tuple[RoadNetwork, tuple[CarPark, ...]]]
_CELL = 0.0625  # metres: a line is at least two pixels wide
_MOST_PIXELS = 60_000_000
_TINT_CELL = 0.25
_LARGE = 200_000  # pixels of a polygon's surroundings whose edges are not smoothed
_PIECE = 5.0  # metres: long lines are drawn in pieces
_JUNCTION = 6.2  # metres from a junction to its stop lines


class Centre(enum.Enum):
    """Markings in the middle of a road."""

    DOUBLE_YELLOW = 'double_yellow'
    YELLOW = 'yellow'
    DOUBLE_WHITE = 'double_white'
    DASHED_WHITE = 'dashed_white'


class Zebra(enum.Enum):
    """Markings of a crossing."""

    BARS = 'bars'
    LADDER = 'ladder'
    LINES = 'lines'


@dataclass(frozen=True)
class MarkingStyle:
    """Markings of one world, in metres.

    Attributes:
        width: of lines.
        dash, period: of the lines between lanes.
        centre: of the road's middle.
        edge_dash: length of the outer line's dashes, 0 where there is none, infinite for solid.
        zebra: of crossings; bar: width of its bars and of the gaps.
        stop: width of stop lines.
        arrows: in the lanes before junctions.
    """

    width: float = 0.13
    dash: float = 3.0
    period: float = 7.5
    centre: Centre = Centre.DOUBLE_YELLOW
    edge_dash: float = 2.0
    zebra: Zebra = Zebra.BARS
    bar: float = 0.5
    stop: float = 0.4
    arrows: bool = False


def draw_style(rng: np.random.Generator) -> MarkingStyle:
    """The style of one world."""
    dash, period = ((3.0, 7.5), (3.0, 9.0), (3.0, 12.0), (1.5, 4.5), (6.0, 12.0), (4.0, 8.0))[
        int(rng.integers(6))
    ]
    return MarkingStyle(
        width=rng.uniform(0.10, 0.17),
        dash=dash,
        period=period,
        centre=list(Centre)[int(rng.choice(4, p=[0.35, 0.15, 0.2, 0.3]))],
        edge_dash=(2.0, 0.0, np.inf)[int(rng.choice(3, p=[0.4, 0.3, 0.3]))],
        zebra=list(Zebra)[int(rng.choice(3, p=[0.6, 0.2, 0.2]))],
        bar=rng.uniform(0.4, 0.6),
        stop=rng.uniform(0.3, 0.5),
        arrows=bool(rng.uniform() < 0.5),
    )


@dataclass(frozen=True)
class Markings:
    """Painted parts of the roads.

    Attributes:
        paint: share of each pixel that is painted, 0..255.
        yellow: (R, C) bool cells of `_TINT_CELL` metres from the paint's origin: the paint is
            yellow there.
    """

    paint: RasterPyramid
    yellow: np.ndarray

    def is_yellow(self, xy: np.ndarray) -> np.ndarray:
        """(N,) bool at (N, 2) world points."""
        place = np.rint((xy - self.paint.origin) / _TINT_CELL).astype(np.int32)
        rows, columns = self.yellow.shape
        column = np.clip(place[:, 0], 0, columns - 1)
        return self.yellow[np.clip(place[:, 1], 0, rows - 1), column]


class Brush:
    """Draws polygons of world metres with smooth edges."""

    def __init__(self, low: np.ndarray, high: np.ndarray, value: int = 0) -> None:
        """Start with a raster between two (2,) corners in which every pixel has one value."""
        self.origin = np.asarray(low, dtype=np.float64)
        self.cell = max(_CELL, float(np.sqrt(np.prod(high - low) / _MOST_PIXELS)))
        columns, rows = np.ceil((high - low) / self.cell).astype(int).tolist()
        self.image = np.full((rows, columns), value, dtype=np.uint8)
        columns, rows = (np.ceil((high - low) / _TINT_CELL).astype(int) + 1).tolist()
        self.yellow = np.zeros((rows, columns), dtype=np.uint8)

    def cover(self, polygon: np.ndarray, yellow: bool = False) -> None:
        """Add the share of each pixel that an (M, 2) polygon covers."""
        view, share = self._shares(polygon)
        if view.size:
            cv2.add(view, share, view)
        if yellow:
            points = np.rint((polygon - self.origin) / _TINT_CELL).astype(np.int32)
            cv2.polylines(self.yellow, [points], True, 1, 2)

    def fill(self, polygon: np.ndarray, value: int) -> None:
        """Give an (M, 2) polygon a value; pixels at its edge get a part of it."""
        view, share = self._shares(polygon)
        if view.size:
            part = share.astype(np.float32) * np.float32(1 / 255)
            old = view.astype(np.float32)
            view[:] = np.rint(old + (value - old) * part)

    def _shares(self, polygon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The part of the image that holds a polygon, and how much of its pixels that covers.

        Drawn enlarged and reduced: OpenCV's own smooth polygons grow by up to a pixel.
        """
        points = (polygon - self.origin) / self.cell
        limit = np.array(self.image.shape[::-1])
        low = np.clip(np.floor(points.min(axis=0)).astype(int) - 1, 0, limit)
        high = np.clip(np.ceil(points.max(axis=0)).astype(int) + 2, 0, limit)
        view = self.image[low[1] : high[1], low[0] : high[0]]
        if not view.size:
            return view, view
        scale = 4 if view.size < _LARGE else 1
        large = np.zeros((view.shape[0] * scale, view.shape[1] * scale), dtype=np.uint8)
        place = np.rint(((points - low + 0.5) * scale - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(large, [place], 255, shift=4)
        return view, cv2.resize(large, view.shape[::-1], interpolation=cv2.INTER_AREA)

    def stroke(self, line: np.ndarray, value: int, width: float) -> None:
        """Draw an (M, 2) line of at least one pixel's width."""
        points = np.rint((line - self.origin) / self.cell * 16).astype(np.int32)
        thickness = max(1, round(width / self.cell))
        cv2.polylines(self.image, [points], False, int(value), thickness, cv2.LINE_AA, shift=4)

    def pyramid(self, outside: int = 0) -> RasterPyramid:
        """Everything that has been drawn."""
        return RasterPyramid.of(self.origin, self.cell, self.image, 6, outside)


def markings_of_ground(ground: Ground) -> Markings:
    """The markings as the ground's raster has them: a world without a road network."""
    image = (ground.material == PAINT).view(np.uint8) * np.uint8(255)
    soft = cv2.GaussianBlur(image, (0, 0), 0.6)
    paint = RasterPyramid.of(ground.origin, ground.cell, soft, 5)
    return Markings(paint, np.zeros((2, 2), dtype=bool))


def paint_markings(style: MarkingStyle, ground: Ground, networks: Networks) -> Markings:
    """Paint all roads and car parks of a world; crossings and stop lines lie where labels say."""
    high = ground.origin + ground.cell * np.array(ground.labels.shape[::-1])
    brush = Brush(ground.origin, high)
    for roads, parks in networks:
        _main(brush, style, roads)
        for street in roads.streets:
            path, half, mouth = street.path, street.half_width, street.mouth
            _zebra(brush, style, path, (mouth + 1.8, mouth + 4.8), (-half, half))
            _across(brush, path, mouth + _JUNCTION, (0.3, half), style.stop)
            if street.length > mouth + 8:
                _dashes(brush, style, path, (mouth + 7, street.length - 3), 0.0, 3.0, 6.0)
        for park in parks:
            _bays(brush, style, roads, park)
    return Markings(brush.pyramid(), brush.yellow > 0)


def _main(brush: Brush, style: MarkingStyle, roads: RoadNetwork) -> None:
    main, width = roads.main, roads.lane_width
    for s0, s1 in roads.clear_intervals(main.start, main.end):
        if roads.lanes_left and roads.lanes_right:
            _centre(brush, style, main, s0, s1)
        else:
            _line(brush, main, (s0, s1), 0.0, style.width)
        for side in (1, -1):
            for lane in range(1, roads.lanes(side)):
                d = side * lane * width
                _dashes(brush, style, main, (s0, s1), d, style.dash, style.period)
            if not roads.lanes(side):
                continue
            d = side * roads.lanes(side) * width
            if np.isinf(style.edge_dash):
                _line(brush, main, (s0, s1), d, style.width)
            elif style.edge_dash > 0:
                _dashes(brush, style, main, (s0, s1), d, style.edge_dash, 2 * style.edge_dash)
    for at, half in roads.junctions:
        for sign in (1, -1):
            span = sorted((at + sign * (half + 1.8), at + sign * (half + 4.8)))
            _zebra(brush, style, main, (span[0], span[1]), (-roads.right_edge, roads.left_edge))
        right, left = -roads.lanes_right * width, roads.lanes_left * width
        _across(brush, main, at - half - _JUNCTION, (right, -0.3), style.stop)
        if left > 0.5:
            _across(brush, main, at + half + _JUNCTION, (0.3, left), style.stop)
        if style.arrows:
            _arrows(brush, roads, at, half)


def _centre(brush: Brush, style: MarkingStyle, main: Path, s0: float, s1: float) -> None:
    yellow = style.centre in (Centre.DOUBLE_YELLOW, Centre.YELLOW)
    if style.centre in (Centre.DOUBLE_YELLOW, Centre.DOUBLE_WHITE):
        for d in (-0.16, 0.16):
            _line(brush, main, (s0, s1), d, style.width, yellow)
    elif style.centre is Centre.YELLOW:
        _line(brush, main, (s0, s1), 0.0, style.width, yellow)
    else:
        _dashes(brush, style, main, (s0, s1), 0.0, style.dash, style.period)


def _line(
    brush: Brush,
    path: Path,
    span: tuple[float, float],
    d: float,
    width: float,
    yellow: bool = False,
) -> None:
    ends = np.linspace(*span, max(2, int(np.ceil((span[1] - span[0]) / _PIECE)) + 1))
    for s0, s1 in zip(ends[:-1], ends[1:], strict=True):
        brush.cover(path.ribbon(s0, s1, d - width / 2, d + width / 2, step=1.0), yellow)


def _dashes(
    brush: Brush,
    style: MarkingStyle,
    path: Path,
    span: tuple[float, float],
    d: float,
    dash: float,
    period: float,
) -> None:
    for s in np.arange(span[0], span[1] - dash, period):
        _line(brush, path, (s, s + dash), d, style.width)


def _across(brush: Brush, path: Path, s: float, across: tuple[float, float], width: float) -> None:
    brush.cover(path.ribbon(s - width / 2, s + width / 2, *across))


def _zebra(
    brush: Brush,
    style: MarkingStyle,
    path: Path,
    span: tuple[float, float],
    across: tuple[float, float],
) -> None:
    if style.zebra is not Zebra.BARS:
        for s in span:
            _across(brush, path, s, (across[0] + 0.2, across[1] - 0.2), 0.25)
    if style.zebra is not Zebra.LINES:
        for d in np.arange(across[0] + 0.3, across[1] - style.bar, 2 * style.bar):
            brush.cover(path.ribbon(*span, d, d + style.bar, step=1.5))


def _arrows(brush: Brush, roads: RoadNetwork, at: float, half: float) -> None:
    """An arrow in each lane that leads to a junction."""
    outline = np.array(  # metres ahead and to the left
        [(0, 0.08), (3.0, 0.08), (3.0, 0.38), (4.6, 0), (3.0, -0.38), (3.0, -0.08), (0, -0.08)]
    )
    for side, lanes in ((-1, roads.lanes_right), (1, roads.lanes_left)):
        ahead = -side
        start = at - ahead * (half + _JUNCTION + 9.0)
        if not roads.main.start < start < roads.main.end:
            continue
        for lane in range(lanes):
            d = side * (lane + 0.5) * roads.lane_width
            x, y, _, _ = roads.main.pose(start + ahead * outline[:, 0], d + ahead * outline[:, 1])
            brush.cover(np.stack([x, y], axis=-1))


def _bays(brush: Brush, style: MarkingStyle, roads: RoadNetwork, park: CarPark) -> None:
    near = roads.edge(park.side) + roads.walkway
    half = style.width / 2
    for middle, _ in bay_rows(park):
        across = sorted(park.side * (near + middle + end) for end in (-2.5, 2.5))
        for s in np.arange(park.s0 + 0.5, park.s1, BAY):
            brush.cover(roads.main.ribbon(s - half, s + half, across[0], across[1]))
