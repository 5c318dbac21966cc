"""Traces of years on a road: repaired patches, tar, manholes, gullies, oil and tyre marks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import Ground
from metabev_ros.lab.datasets.synthetic.roads import Path, RoadNetwork
from metabev_ros.lab.simulation.markings import Brush, Networks
from metabev_ros.lab.simulation.rasters import RasterPyramid

NEUTRAL = 128  # value of a road that has nothing; the road's colour is multiplied by value / 128
_LID, _GRATE = 0, 1
_LID_CELL = 1.0  # metres of the cells in which lids are looked up
_LID_RADIUS, _GRATE_SIZE = 0.31, (0.25, 0.18)  # metres


@dataclass(frozen=True)
class RoadWear:
    """Traces to be seen on the roads.

    Attributes:
        factors: of the colour, as multiples of `NEUTRAL`.
        lids: (L, 5) float32: x and y from the factors' origin, cosine and sine of the heading,
            and kind, of manholes and gullies.
        lid_of: (R, C) int32 row of `lids` near a cell of `_LID_CELL`, -1 for none.
    """

    factors: RasterPyramid
    lids: np.ndarray
    lid_of: np.ndarray

    def engrave(
        self, colour: np.ndarray, rows: np.ndarray, xy: np.ndarray, footprint: np.ndarray
    ) -> None:
        """Draw the relief of lids and grates into the rows of (N, 3) colours that are near.

        Args:
            rows: (M,) of `colour`.
            xy, footprint: (M, 2) and (M,) metres of these rows.
        """
        place = xy - self.factors.origin
        column, row = np.clip(
            (place / _LID_CELL).astype(np.int32), 0, np.array(self.lid_of.shape[::-1]) - 1
        ).T
        found = self.lid_of[row, column]
        some = np.flatnonzero((found >= 0) & (footprint < 0.05))
        if not len(some):
            return
        x, y, c, s, kind = self.lids[found[some]].T
        dx, dy = (place[some] - np.stack([x, y], axis=-1)).astype(np.float32).T
        u, v = c * dx + s * dy, -s * dx + c * dy
        plain = np.clip(footprint[some] * 40 - 0.4, 0, 1)  # from afar the pattern is one gray
        studs = np.sin(u * 80) * np.sin(v * 80)
        slats = np.sin(u * 90)
        lid = (np.hypot(u, v) < _LID_RADIUS) & (kind == _LID)
        grate = (np.abs(u) < _GRATE_SIZE[0]) & (np.abs(v) < _GRATE_SIZE[1]) & (kind == _GRATE)
        pattern = np.where(lid, 0.14 * studs, np.where(grate, 0.75 * slats, 0.0))
        colour[rows[some]] *= (1 + (1 - plain) * pattern).astype(np.float32)[:, None]


class _Lids:
    """Collects lids while roads are worn."""

    def __init__(self, brush: Brush) -> None:
        self.brush = brush
        self.rows: list[tuple[float, float, float, float, float]] = []

    def add(self, path: Path, s: float, d: float, kind: int) -> None:
        x, y, heading, _ = (float(value) for value in path.pose(s, d))
        x, y = x - float(self.brush.origin[0]), y - float(self.brush.origin[1])
        self.rows.append((x, y, float(np.cos(heading)), float(np.sin(heading)), float(kind)))

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        lids = np.array(self.rows, dtype=np.float32).reshape(-1, 5)
        height, width = self.brush.image.shape
        cells = self.brush.cell / _LID_CELL
        shape = (int(height * cells) + 1, int(width * cells) + 1)
        table = np.full(shape, -1, dtype=np.int32)
        for down in (-0.4, 0.4):
            for right in (-0.4, 0.4):
                column, row = ((lids[:, :2] + [right, down]) / _LID_CELL).astype(int).T
                inside = (row >= 0) & (row < table.shape[0])
                inside &= (column >= 0) & (column < table.shape[1])
                table[row[inside], column[inside]] = np.flatnonzero(inside)
        return lids, table


def wear_roads(rng: np.random.Generator, ground: Ground, networks: Networks) -> RoadWear:
    """The wear of all roads of a world.

    The age of the world is drawn: from a road of last year to one that was mended often.
    """
    high = ground.origin + ground.cell * np.array(ground.labels.shape[::-1])
    brush = Brush(ground.origin, high, NEUTRAL)
    lids, age = _Lids(brush), rng.uniform(0.1, 1.0)
    for roads, parks in networks:
        for path, s0, s1, right, left in _pieces(roads):
            _sections(rng, brush, path, (s0, s1), (right, left))
            _patches(rng, brush, path, (s0, s1), (right, left), age)
            _trench(rng, brush, path, (s0, s1), (right, left), age)
            _manholes(rng, lids, path, (s0, s1), (right, left))
            _gullies(rng, lids, path, (s0, s1), (right, left))
            _tar(rng, brush, path, (s0, s1), (right, left), age)
            _tyre_marks(rng, brush, path, (s0, s1), (right, left))
            _stains(rng, brush, path, (s0, s1), (right, left), int((s1 - s0) * 0.25 * age))
        for park in parks:
            near = roads.edge(park.side) + roads.walkway
            across = sorted((park.side * near, park.side * (near + park.depth)))
            span, count = (park.s0, park.s1), int((park.s1 - park.s0) * 1.5)
            _stains(rng, brush, roads.main, span, (across[0], across[1]), count)
    return RoadWear(brush.pyramid(NEUTRAL), *lids.table())


def _pieces(roads: RoadNetwork) -> list[tuple[Path, float, float, float, float]]:
    pieces = [(roads.main, roads.main.start, roads.main.end, -roads.right_edge, roads.left_edge)]
    for street in roads.streets:
        half = street.half_width
        pieces.append((street.path, street.mouth, street.length, -half, half))
    return pieces


_Span = tuple[float, float]


def _patches(
    rng: np.random.Generator, brush: Brush, path: Path, along: _Span, across: _Span, age: float
) -> None:
    """Rectangles of newer or older asphalt with a seam of tar around."""
    for _ in range(rng.poisson((along[1] - along[0]) / 14 * age)):
        length, width = rng.uniform(0.6, 7.0), rng.uniform(0.6, 2.6)
        s = rng.uniform(along[0], along[1])
        d = rng.uniform(across[0], max(across[0], across[1] - width))
        area = path.ribbon(s, min(s + length, along[1]), d, d + width)
        brush.fill(area, int(np.clip(rng.normal(112, 14), 78, 150)))
        brush.stroke(np.concatenate([area, area[:1]]), int(rng.integers(70, 105)), 0.05)


def _trench(
    rng: np.random.Generator, brush: Brush, path: Path, along: _Span, across: _Span, age: float
) -> None:
    """Place of a pipe along the road."""
    if rng.uniform() > 0.6 * age:
        return
    s0, s1 = np.sort(rng.uniform(along[0], along[1], 2))
    d, width = rng.uniform(across[0] + 0.5, across[1] - 1.5), rng.uniform(0.5, 1.1)
    brush.fill(path.ribbon(s0, s1, d, d + width), int(rng.integers(98, 146)))
    for edge in (d, d + width):
        brush.stroke(path.line(s0, s1, edge), int(rng.integers(66, 100)), 0.06)


def _manholes(
    rng: np.random.Generator, lids: _Lids, path: Path, along: _Span, across: _Span
) -> None:
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    s = along[0] + rng.uniform(2, 20)
    while s < along[1]:
        d = rng.uniform(across[0] + 1.0, across[1] - 1.0)
        centre = np.stack(path.pose(s, d)[:2], axis=-1)
        for radius, value in ((0.46, 118), (0.36, 62), (_LID_RADIUS, int(rng.integers(76, 98)))):
            lids.brush.fill(centre + radius * ring, value)
        lids.add(path, s, d, _LID)
        s += rng.uniform(12, 55)


def _gullies(
    rng: np.random.Generator, lids: _Lids, path: Path, along: _Span, across: _Span
) -> None:
    length, width = _GRATE_SIZE
    for side in (0, 1):
        d = across[side] + (1 - 2 * side) * (width + 0.06)
        for s in np.arange(along[0] + rng.uniform(3, 20), along[1], rng.uniform(18, 35)):
            lids.brush.fill(path.ribbon(s - length, s + length, d - width, d + width), 64)
            lids.add(path, float(s), d, _GRATE)


def _sections(
    rng: np.random.Generator, brush: Brush, path: Path, along: _Span, across: _Span
) -> None:
    """Stretches of the road, or of one half of it, that have another surface."""
    s = along[0] + rng.uniform(-40, 60)
    while s < along[1]:
        length = rng.uniform(8, 70)
        sides = [across, (across[0], 0.0), (0.0, across[1])][int(rng.integers(3))]
        if rng.uniform() < 0.6:
            end = min(s + length, along[1])
            value = int(np.clip(rng.normal(126, 20), 84, 178))
            brush.fill(path.ribbon(max(s, along[0]), end, *sides), value)
        s += length + rng.uniform(0, 60)


def _tar(
    rng: np.random.Generator, brush: Brush, path: Path, along: _Span, across: _Span, age: float
) -> None:
    """Cracks that were sealed with tar: dark lines that wander."""
    for _ in range(rng.poisson((along[1] - along[0]) / 12 * age * age)):
        steps = int(rng.integers(6, 40))
        lengthwise = rng.uniform() < 0.6
        walk = np.cumsum(rng.normal(0, 0.09, steps)) + rng.normal(0, 0.03, steps)
        run = 0.35 * np.arange(steps)
        s, d = rng.uniform(along[0], along[1]), rng.uniform(across[0], across[1])
        s, d = (s + run, d + walk) if lengthwise else (s + walk, d + run)
        d = np.clip(d, across[0] + 0.1, across[1] - 0.1)
        line = np.stack(path.pose(np.clip(s, *along), d)[:2], axis=-1)
        brush.stroke(line, int(rng.integers(52, 92)), rng.choice([0.05, 0.06, 0.09]))


def _tyre_marks(
    rng: np.random.Generator, brush: Brush, path: Path, along: _Span, across: _Span
) -> None:
    """Pairs of tracks of somebody who braked: ever darker, and lighter at their edges."""
    for _ in range(rng.poisson((along[1] - along[0]) / 60)):
        s, length = rng.uniform(along[0], along[1]), rng.uniform(3, 16)
        d = rng.uniform(across[0] + 0.6, max(across[0] + 0.6, across[1] - 2.4))
        drift, dark = rng.normal(0, 0.5), rng.uniform(8, 34)
        place = np.linspace(0, 1, 13)
        for track in (0.0, rng.uniform(1.4, 1.65)):
            x, y = path.pose(s + length * place, d + track + drift * place**2)[:2]
            line = np.stack([x, y], axis=-1)
            for first in range(0, 12, 2):
                value = NEUTRAL - dark * (first + 2) / 12
                brush.stroke(line[first : first + 3], int((value + NEUTRAL) / 2), 0.25)
                brush.stroke(line[first : first + 3], int(value), 0.125)


def _stains(
    rng: np.random.Generator,
    brush: Brush,
    path: Path,
    along: _Span,
    across: _Span,
    count: int,
) -> None:
    """Blots of oil, soft at the edge."""
    size = 24
    axis = np.linspace(-1, 1, size)
    blot = np.clip(1 - np.hypot(*np.meshgrid(axis, axis)), 0, 1)
    for _ in range(count):
        x, y = path.pose(rng.uniform(*along), rng.uniform(*across))[:2]
        radius = int(np.exp(rng.uniform(np.log(2), np.log(14))))  # pixels
        shape = cv2.resize(blot, (2 * radius, 2 * radius), interpolation=cv2.INTER_LINEAR)
        column, row = np.rint((np.array([x, y]) - brush.origin) / brush.cell).astype(int) - radius
        view = brush.image[max(row, 0) : row + 2 * radius, max(column, 0) : column + 2 * radius]
        if view.shape == shape.shape:
            view[:] = view * (1 - rng.uniform(0.15, 0.45) * shape)
