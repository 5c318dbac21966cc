"""Strips along the main street: parked vehicles and cycles, and work zones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.datasets.synthetic.actors import Crowd
from metabev_ros.lab.datasets.synthetic.roads import MARGIN, RoadNetwork

_STRIP_MIX = (
    ('cars', 0.27),
    ('work', 0.31),
    ('truck', 0.06),
    ('trailer', 0.09),
    ('bus', 0.06),
    ('cycles', 0.15),
    ('gap', 0.06),
)


def fill_strip(crowd: Crowd, main: int, roads: RoadNetwork, side: int) -> None:
    """Fill the strip on one side of the main street, item after item.

    Args:
        main: index of the main street's path.
        side: -1 right, 1 left.
    """
    rng, strip = crowd.rng, _Strip(crowd, main, roads, side)
    for s0, s1 in roads.clear_intervals(-MARGIN, roads.length + MARGIN, margin=7.5):
        cursor = s0 + rng.uniform(0.5, 4)
        while cursor < s1 - 1:
            kind = crowd.choose(_STRIP_MIX)
            curvature = roads.main.pose(min(cursor + 6, s1), 0.0)[3]
            stretch = 1 / max(0.4, 1 - max(0.0, float(curvature * strip.middle)))
            end = strip.place(kind, cursor, s1, stretch * 1.04)
            cursor = end + rng.uniform(1.0, 3.5) * stretch


@dataclass(frozen=True)
class _Strip:
    """One side's strip; its methods place an item and return where it ends.

    Their arguments: `cursor`, where the item begins, and `s1`, where the strip ends, in metres of
    the main street's arc length; `stretch`, that arc length for each metre of the strip.
    """

    crowd: Crowd
    main: int
    roads: RoadNetwork
    side: int

    @property
    def middle(self) -> float:
        """Lateral place of the strip's middle, metres to the left of the main street's."""
        return self.side * (self.roads.edge(self.side) - self.roads.strip / 2)

    @property
    def turn(self) -> float:
        """Heading of the traffic beside it, against the path's, radians."""
        return 0.0 if self.side < 0 else np.pi

    def place(self, kind: str, cursor: float, s1: float, stretch: float) -> float:
        """Place an item of `_STRIP_MIX`."""
        if kind == 'gap':
            return cursor + 3.0
        if kind == 'work':
            return self._work_zone(cursor, s1, stretch)
        if kind == 'cycles':
            return self._cycles(cursor, s1, stretch)
        if kind == 'cars':
            return self._parked('car', int(self.crowd.rng.integers(1, 4)), cursor, s1, stretch)
        return self._parked(kind, 1, cursor, s1, stretch)

    def _cycles(self, cursor: float, s1: float, stretch: float) -> float:
        rng = self.crowd.rng
        for _ in range(int(rng.integers(2, 6))):
            name = 'motorcycle' if rng.uniform() < 0.5 else 'bicycle'
            if cursor + 1.2 * stretch > s1:
                break
            d = self.middle + rng.uniform(-0.3, 0.3)
            across = self.turn + self.side * np.pi / 2
            self.crowd.add(name, self.main, cursor + 0.6 * stretch, d, across)
            cursor += 1.2 * stretch
        return cursor

    def _parked(self, name: str, count: int, cursor: float, s1: float, stretch: float) -> float:
        rng = self.crowd.rng
        for _ in range(count):
            size = self.crowd.size(name)
            room = (size[0] + 1.0) * stretch
            if cursor + room > s1:
                break
            d, turn = self.middle + rng.uniform(-0.15, 0.15), self.turn + rng.normal(0, 0.015)
            self.crowd.add(name, self.main, cursor + room / 2, d, turn, size=size)
            cursor += room
        return cursor

    def _work_zone(self, cursor: float, s1: float, stretch: float) -> float:
        """Cones taper in, barriers shield a construction vehicle on the traffic side."""
        crowd, main, side, rng = self.crowd, self.main, self.side, self.crowd.rng
        vehicle = crowd.size('construction_vehicle')
        length = (vehicle[0] + rng.uniform(3.5, 6.5)) * stretch
        if cursor + length > s1:
            return cursor + 2.0
        kerb = side * self.roads.edge(side)
        traffic = kerb - side * (self.roads.strip - 0.45)
        centre = kerb - side * (vehicle[1] / 2 + 0.1)
        turn = self.turn + np.pi * rng.integers(2)
        crowd.add('construction_vehicle', main, cursor + length / 2, centre, turn, size=vehicle)
        for s in np.arange(cursor + 1.4 * stretch, cursor + length - 1.4 * stretch, 3.0 * stretch):
            crowd.add('barrier', main, s, traffic, self.turn + side * np.pi / 2)
        for end in (cursor, cursor + length):
            for share in (0.15, 0.5, 0.85) if rng.uniform() < 0.8 else (0.2, 0.8):
                d = kerb - side * (0.4 + share * (self.roads.strip - 0.8))
                crowd.add('traffic_cone', main, end, d, rng.uniform(-np.pi, np.pi))
        if rng.uniform() < 0.5:
            heading = rng.uniform(-np.pi, np.pi)
            crowd.add('pedestrian', main, cursor + 0.9 * stretch, centre, heading)
        return cursor + length + 0.5 * stretch
