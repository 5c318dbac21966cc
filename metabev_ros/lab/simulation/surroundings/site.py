"""Ground on which something may stand: what the map says, and what stands there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import DRIVABLE, WALKWAY, Ground
from metabev_ros.lab.datasets.synthetic.roads import Path, RoadNetwork

_CELL = 0.5  # metres of the raster of what is taken
_COARSE = 4  # cells of the raster of ways to the roads
_BEYOND = 60.0  # metres around the painted ground that are filled too
_CORNER = 2.6  # metres of walkway beside a side street


@dataclass(frozen=True)
class Site:
    """The ground and what is taken of it."""

    ground: Ground
    _taken: np.ndarray
    _low: np.ndarray
    _way: np.ndarray

    @classmethod
    def of(cls, ground: Ground, networks: Sequence[RoadNetwork]) -> Site:
        """Nothing is taken."""
        rows, columns = ground.labels.shape
        low = ground.origin - _BEYOND
        size = np.array([columns, rows]) * ground.cell + 2 * _BEYOND
        width, height = np.ceil(size / _CELL).astype(int)
        shape = (int(height), int(width))
        coarse = np.ones((shape[0] // _COARSE + 1, shape[1] // _COARSE + 1), dtype=np.uint8)
        for roads in networks:
            line = np.rint((roads.main.xy - low) / (_CELL * _COARSE)).astype(np.int32)
            cv2.polylines(coarse, [line[:, None]], False, 0)
        way = np.minimum(cv2.distanceTransform(coarse, cv2.DIST_L2, 3), 1e4) * (_CELL * _COARSE)
        return cls(ground, np.zeros(shape, dtype=bool), low, way)

    def way(self, xy: np.ndarray) -> np.ndarray:
        """(...) metres from (..., 2) points to the nearest main road's centre line."""
        row, column, _ = self._cells(xy)
        return self._way[row // _COARSE, column // _COARSE]

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest (x, y) that is filled, metres."""
        rows, columns = self._taken.shape
        return self._low, self._low + np.array([columns, rows]) * _CELL

    def accept(self, marks: np.ndarray, walkway: bool, take: bool) -> np.ndarray:
        """(N,) bool: which of the (N, K, 2) footprints are free, one after the other.

        Args:
            walkway: a walkway is free ground.
            take: those that are accepted are taken at once.
        """
        row, column, inside = self._cells(marks)
        fits = np.array((self.off_road(marks, walkway) & inside).all(axis=1))
        if not take:
            return fits & ~self._taken[row, column].any(axis=1)
        for k in np.flatnonzero(fits):
            if self._taken[row[k], column[k]].any():
                fits[k] = False
            else:
                self._taken[row[k], column[k]] = True
        return fits

    def off_road(self, xy: np.ndarray, walkway: bool) -> np.ndarray:
        """(...) bool: which (..., 2) points lie on no mapped surface."""
        bits = self.ground.sample(self.ground.labels, xy)
        return np.asarray((bits & ~np.uint8(WALKWAY) if walkway else bits) == 0)

    def on_drivable(self, xy: np.ndarray) -> np.ndarray:
        """(...) bool: which (..., 2) points lie on a drivable surface."""
        return self.ground.sample(self.ground.labels, xy) & DRIVABLE > 0

    def is_free(self, xy: np.ndarray) -> np.ndarray:
        """(...) bool: which (..., 2) points are inside and not taken."""
        row, column, inside = self._cells(xy)
        return inside & ~self._taken[row, column]

    def take(self, xy: np.ndarray) -> None:
        """Nothing else may stand at these (..., 2) points."""
        row, column, inside = self._cells(xy)
        self._taken[row[inside], column[inside]] = True

    def reserve(self, polygons: Sequence[np.ndarray]) -> None:
        """Nothing may stand on these (N, 2) polygons."""
        mask = np.zeros(self._taken.shape, dtype=np.uint8)
        for polygon in polygons:
            corners = np.rint(((polygon - self._low) / _CELL - 0.5) * 16).astype(np.int32)
            cv2.fillPoly(mask, [corners], 1, shift=4)
        self._taken[mask > 0] = True

    def _cells(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        place = np.floor((xy - self._low) / _CELL).astype(np.int64)
        column, row = place[..., 0], place[..., 1]
        height, width = self._taken.shape
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        return np.where(inside, row, 0), np.where(inside, column, 0), inside


@dataclass(frozen=True)
class Front:
    """One side of a road; what stands along it has its +y axis towards the road.

    Attributes:
        side: +1 left of the path, -1 right.
        kerb: metres from the path to the kerb.
        walkway: metres from the kerb to the walkway's back edge.
        s0, s1: arc lengths, metres.
        is_main: of a main road.
        junctions: arc lengths of the mouths' edges before which signals stand.
    """

    path: Path
    side: int
    kerb: float
    walkway: float
    s0: float
    s1: float
    is_main: bool
    junctions: tuple[float, ...] = ()

    def at(self, s: np.ndarray | float, d: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """(..., 2) points `d` metres behind the kerb, and the yaw of what faces the road."""
        x, y, heading, _ = self.path.pose(s, self.side * (self.kerb + np.asarray(d)))
        return np.stack([x, y], axis=-1), heading + (np.pi if self.side > 0 else 0.0)


def fronts(roads: RoadNetwork) -> list[Front]:
    """Both sides of the main road and of its side streets."""
    found = [
        Front(
            roads.main,
            side,
            roads.edge(side),
            roads.walkway,
            roads.main.start,
            roads.main.end,
            True,
            tuple(at + side * half for at, half in roads.junctions),
        )
        for side in (1, -1)
    ]
    for street in roads.streets:
        begin = street.mouth + roads.walkway
        if street.length - begin > 8:
            found += [
                Front(
                    street.path, side, street.half_width, _CORNER, begin, street.length + 12, False
                )
                for side in (1, -1)
            ]
    return found
