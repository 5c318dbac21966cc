"""Ways through junctions of main roads: from one arm into another, around an island or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.datasets.synthetic.roads import Path, Section
from metabev_ros.lab.simulation.areas import Area, Surface
from metabev_ros.lab.simulation.routes import join_lines, lane_line

_ENTRY = 0.45  # radians of a ring between an arm and where its traffic is on the ring
_FEWEST_M = 25.0  # metres of an arm that make it one


@dataclass(frozen=True, eq=False)
class Arm:
    """One road that leaves a junction.

    Attributes:
        path: the road; at: its arc length at the junction; sign: +1 when it leaves along the path.
        section: its lanes.
    """

    path: Path
    at: float
    sign: int
    section: Section

    @property
    def far(self) -> float:
        """Arc length of its other end."""
        return self.path.end if self.sign > 0 else self.path.start

    @property
    def angle(self) -> float:
        """World direction in which it leaves, radians."""
        heading = float(self.path.pose(self.at, 0.0)[2])
        return heading if self.sign > 0 else heading + np.pi

    def lanes(self, inward: bool) -> int:
        """Number of lanes towards the junction, or away from it."""
        along = (self.sign > 0) != inward
        return self.section.lanes_right if along else self.section.lanes_left

    def line(self, inward: bool, lane: int, reach: float) -> np.ndarray:
        """(N, 3) one lane as far as `reach` metres from the junction's middle."""
        along = (self.sign > 0) != inward
        d = (-1 if along else 1) * (lane + 0.5) * self.section.lane_width
        near = self.at + self.sign * reach
        return (
            lane_line(self.path, self.far, near, d)
            if inward
            else lane_line(self.path, near, self.far, d)
        )


@dataclass(frozen=True, eq=False)
class Ring:
    """A roundabout.

    Attributes:
        middle: (2,) world metres.
        outer, inner: radii of its kerbs, metres.
    """

    middle: np.ndarray
    outer: float
    inner: float

    def arc(self, first: float, last: float) -> np.ndarray:
        """(N, 3) counter-clockwise between the directions of two arms."""
        sweep = (last - first) % (2 * np.pi)
        sweep = 2 * np.pi if sweep < 0.2 else sweep
        angle = first + np.linspace(_ENTRY, max(sweep - _ENTRY, _ENTRY + 0.1), 40)
        radius = (self.outer + self.inner) / 2
        xy = self.middle + radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        return np.column_stack([xy, angle + np.pi / 2])

    def areas(self) -> tuple[Area, ...]:
        """Its ground, in the order of painting."""
        angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        return (
            Area(self.middle + self.outer * circle, Surface.ROAD),
            Area(self.middle + self.inner * circle, Surface.ISLAND),
        )


def arms_of(path: Path, at: float, section: Section) -> list[Arm]:
    """The arms of one road at a junction."""
    arms = [Arm(path, at, sign, section) for sign in (1, -1)]
    return [arm for arm in arms if abs(arm.far - at) > _FEWEST_M]


def way_through(
    first: Arm, second: Arm, lanes: tuple[int, int], reach: float, ring: Ring | None = None
) -> np.ndarray:
    """(N, 3) x, y and heading from one arm into another one.

    Args:
        lanes: those of the first and the second one, 0 the inner.
        reach: metres from the junction's middle where the lanes end.
    """
    into = first.line(True, lanes[0], reach)
    out = second.line(False, lanes[1], reach)
    if ring is None:
        return join_lines(into, out)
    return join_lines(join_lines(into, ring.arc(first.angle, second.angle)), out)


def draw_ways(
    rng: np.random.Generator,
    arms: Sequence[Arm],
    count: int,
    reach: float,
    ring: Ring | None = None,
) -> tuple[np.ndarray, ...]:
    """Ways of vehicles that turn, chosen at random among the arms."""
    ways = []
    for _ in range(count):
        first, second = (arms[int(k)] for k in rng.choice(len(arms), 2, replace=False))
        if first.lanes(True) == 0 or second.lanes(False) == 0:
            continue
        if ring is None and first.path is second.path:
            continue
        turn = (second.angle - first.angle) % (2 * np.pi)
        left = turn > np.pi  # the arm lies to the left of those who come
        lanes = (0, 0) if left else (first.lanes(True) - 1, second.lanes(False) - 1)
        ways.append(way_through(first, second, lanes, reach, ring))
    return tuple(ways)
