"""The road network of one drive: a main road with bends, and streets that cross it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STEP = 0.5  # metres between the samples of a path
MARGIN = 95.0  # metres of road before the first and after the last ego position


@dataclass(frozen=True)
class Path:
    """A curve by arc length.

    Attributes:
        start: arc length of the first sample, metres.
        xy: (N, 2) world positions every STEP metres.
        heading: (N,) radians, unwrapped.
    """

    start: float
    xy: np.ndarray
    heading: np.ndarray

    @property
    def end(self) -> float:
        """Arc length of the last point, metres."""
        return self.start + (len(self.xy) - 1) * STEP

    def pose(
        self, s: np.ndarray | float, d: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """World (x, y, heading, curvature) at arc length `s`, `d` metres to the left.

        Beyond its ends the path goes straight on.
        """
        s = np.asarray(s, dtype=np.float64)
        # Asked for thousands of short lines: np.clip alone would take a third of the time.
        place = np.minimum(np.maximum((s - self.start) / STEP, 0), len(self.xy) - 1.000001)
        index = place.astype(np.int64)
        part = place - index
        point = self.xy[index] + part[..., None] * (self.xy[index + 1] - self.xy[index])
        turn = self.heading[index + 1] - self.heading[index]
        heading = self.heading[index] + part * turn
        beyond = s - np.minimum(np.maximum(s, self.start), self.end)
        cosine, sine = np.cos(heading), np.sin(heading)
        x = point[..., 0] + beyond * cosine - d * sine
        y = point[..., 1] + beyond * sine + d * cosine
        return x, y, heading, np.where(beyond == 0, turn / STEP, 0.0)

    def ribbon(self, s0: float, s1: float, d0: float, d1: float, step: float = 2.0) -> np.ndarray:
        """(M, 2) world polygon of the strip between two arc lengths and two offsets."""
        s = np.linspace(s0, s1, max(2, int(abs(s1 - s0) / step) + 2))
        both = np.concatenate([s, s[::-1]])
        aside = np.repeat([d0, d1], len(s))
        return np.stack(self.pose(both, aside)[:2], axis=-1)

    def line(self, s0: float, s1: float, d: float, step: float = 2.0) -> np.ndarray:
        """(M, 2) world polyline at one offset."""
        s = np.linspace(s0, s1, max(2, int(abs(s1 - s0) / step) + 2))
        return np.stack(self.pose(s, d)[:2], axis=-1)


@dataclass(frozen=True)
class SideStreet:
    """A street that leaves the main road to one side.

    Attributes:
        path: arc length 0 on the main road's centre line, growing away from it.
        at: arc length of the junction on the main road.
        side: +1 left, -1 right.
        half_width: metres from its centre line to its kerb.
        mouth: arc length where the main road's kerb is.
        length: metres.
    """

    path: Path
    at: float
    side: int
    half_width: float
    mouth: float
    length: float


@dataclass(frozen=True)
class RoadNetwork:
    """The main road's cross-section and everything along it; right-hand traffic.

    Attributes:
        length: metres the ego drives.
        lanes_right, lanes_left: moving lanes with and against the ego.
        lane_width, strip, walkway: metres; the strip between the outer lane and the kerb holds
            parked vehicles and work zones.
        junctions: (s, half width) pairs.
        streets: the side streets.
    """

    main: Path
    length: float
    lanes_right: int
    lanes_left: int
    lane_width: float
    strip: float
    walkway: float
    junctions: tuple[tuple[float, float], ...]
    streets: tuple[SideStreet, ...]

    @property
    def right_edge(self) -> float:
        """Metres from the centre line to the right kerb."""
        return self.lanes_right * self.lane_width + self.strip

    @property
    def left_edge(self) -> float:
        """Distance of the left edge from the path, metres."""
        return self.lanes_left * self.lane_width + self.strip

    def edge(self, side: int) -> float:
        """Distance of the edge on a side (1 left, -1 right) from the path, metres."""
        return self.left_edge if side > 0 else self.right_edge

    def lanes(self, side: int) -> int:
        """Number of lanes on a side (1 left, -1 right)."""
        return self.lanes_left if side > 0 else self.lanes_right

    def clear_intervals(
        self, s0: float, s1: float, margin: float = 7.0
    ) -> list[tuple[float, float]]:
        """The parts of [s0, s1] that are not in a junction."""
        cursor, parts = s0, []
        for at, half in self.junctions:
            parts.append((cursor, min(at - half - margin, s1)))
            cursor = max(cursor, at + half + margin)
        parts.append((cursor, s1))
        return [(a, b) for a, b in parts if b - a > 1.0]


def build_roads(rng: np.random.Generator, length: float) -> RoadNetwork:
    """A network along which the ego can drive `length` metres."""
    return build_network(rng, _main_path(rng, length), length, draw_section(rng))


@dataclass(frozen=True)
class Section:
    """A main road from kerb to kerb and beyond, as `RoadNetwork` has it."""

    lane_width: float
    lanes_right: int
    lanes_left: int
    strip: float
    walkway: float

    @property
    def edges(self) -> dict[int, float]:
        """Metres from the centre line to the kerb on the left (1) and on the right (-1)."""
        return {
            1: self.lanes_left * self.lane_width + self.strip,
            -1: self.lanes_right * self.lane_width + self.strip,
        }


def draw_section(rng: np.random.Generator) -> Section:
    """A cross-section of one or two lanes each way."""
    lane_width = rng.uniform(3.3, 3.7)
    lanes_right, lanes_left = (int(n) for n in rng.integers(1, 3, size=2))
    return Section(
        lane_width, lanes_right, lanes_left, rng.uniform(3.9, 4.4), rng.uniform(2.6, 4.2)
    )


def build_network(
    rng: np.random.Generator,
    main: Path,
    length: float,
    section: Section,
    crossings: tuple[tuple[float, float], ...] = (),
    others: Sequence[np.ndarray] = (),
) -> RoadNetwork:
    """Side streets along a main road.

    Args:
        crossings: (s, half width) where other main roads cross it; no side street is near.
        others: (N, 2) lines of roads that its side streets must end before.
    """
    junctions, streets = list(crossings), []
    s = -MARGIN + rng.uniform(15, 75)
    while s < length + MARGIN - 15:
        half = rng.uniform(3.6, 4.8)
        curvature = np.abs(main.pose(np.linspace(s - 18, s + 18, 13), 0.0)[3]).max()
        if curvature < 0.004 and all(abs(s - at) > 45 for at, _ in crossings):
            sides = ((1, -1), (1,), (-1,))[int(rng.choice(3, p=[0.6, 0.2, 0.2]))]
            for side in sides:
                streets.append(_side_street(rng, main, s, side, half, section.edges[side], others))
            junctions.append((s, half))
            s += rng.uniform(55, 110)
        else:
            s += 10.0
    return RoadNetwork(
        main,
        length,
        section.lanes_right,
        section.lanes_left,
        section.lane_width,
        section.strip,
        section.walkway,
        tuple(sorted(junctions)),
        tuple(streets),
    )


def _main_path(rng: np.random.Generator, length: float) -> Path:
    count = int(np.ceil((length + 2 * MARGIN) / STEP)) + 1
    curvature = np.zeros(count)
    heading = 0.0
    cursor = rng.uniform(0, 90)
    while cursor < length + 2 * MARGIN:
        angle = np.deg2rad(rng.uniform(12, 80)) * rng.choice([-1, 1])
        if abs(heading + angle) > np.deg2rad(85):
            angle = -angle
        radius = rng.uniform(38, 90)
        span = min(abs(angle) * radius / 0.75, 130.0)
        s = np.arange(count) * STEP - cursor
        bump = np.clip(np.minimum(s, span - s) / (0.25 * span), 0, 1)
        curvature += np.sign(angle) * bump / radius
        heading += np.sign(angle) * bump.sum() * STEP / radius
        cursor += span + rng.uniform(40, 150)
    return integrate(-MARGIN, np.zeros(2), rng.uniform(-np.pi, np.pi), curvature)


def integrate(start: float, origin: np.ndarray, heading0: float, curvature: np.ndarray) -> Path:
    """The path that begins at `origin` and has this curvature every STEP metres."""
    heading = heading0 + np.concatenate([[0], np.cumsum(curvature[:-1]) * STEP])
    middle = heading[:-1] + curvature[:-1] * STEP / 2
    steps = STEP * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
    xy = origin + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return Path(start, xy, heading)


def _side_street(
    rng: np.random.Generator,
    main: Path,
    at: float,
    side: int,
    half: float,
    edge: float,
    others: Sequence[np.ndarray],
) -> SideStreet:
    x, y, heading, _ = main.pose(at, 0.0)
    length = 85.0
    count = int(length / STEP) + 1
    bend = np.zeros(count)
    bend[int((edge + 10) / STEP) :] = rng.uniform(-1, 1) / 120.0
    path = integrate(0.0, np.array([x, y]), float(heading + side * np.pi / 2), bend)
    clear = np.ones(len(path.xy), dtype=bool)
    far = main.xy[np.abs(main.start + np.arange(len(main.xy)) * STEP - at) > 50]
    far = np.concatenate([far, *others])
    if len(far):
        distance = np.linalg.norm(path.xy[::4, None] - far[None, ::8], axis=-1).min(axis=1)
        clear = np.repeat(distance > 32, 4)[: len(path.xy)]
    usable = len(clear) if clear.all() else int(np.argmin(clear))
    return SideStreet(path, at, side, half, edge, max(min(length, usable * STEP), edge + 6))
