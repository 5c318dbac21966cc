"""Actors of the world in closed form over time: no frame needs another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import CarPark
from metabev_ros.lab.datasets.synthetic.models import CLASS_INDEX, draw_colours, draw_size
from metabev_ros.lab.datasets.synthetic.roads import MARGIN, Path, RoadNetwork, SideStreet

_LANE_MIX = (
    ('car', 0.57),
    ('truck', 0.10),
    ('bus', 0.07),
    ('truck+trailer', 0.08),
    ('motorcycle', 0.09),
    ('bicycle', 0.09),
)
_STRIP_MIX = (
    ('cars', 0.27),
    ('work', 0.31),
    ('truck', 0.06),
    ('trailer', 0.09),
    ('bus', 0.06),
    ('cycles', 0.15),
    ('gap', 0.06),
)


@dataclass(frozen=True)
class SpeedProfile:
    """Distance over time, shared by all actors of one lane: they keep their gaps for ever.

    speed(t) = mean * (1 + swing * sin(rate * t + phase)); with mean 0 it is `sway` metres to
    and fro, with speed sway * rate * cos(...), for people who cross a street.
    """

    mean: float
    swing: float = 0.0
    rate: float = 0.2
    phase: float = 0.0
    sway: float = 0.0

    def distance(self, t: float) -> float:
        """Way made from 0 to `t` seconds, metres."""
        angle = self.rate * t + self.phase
        drift = self.mean * (t - self.swing / self.rate * (np.cos(angle) - np.cos(self.phase)))
        return drift + self.sway * np.sin(angle)

    def speed(self, t: float) -> float:
        """Speed at `t` seconds, m/s."""
        angle = self.rate * t + self.phase
        return self.mean * (1 + self.swing * np.sin(angle)) + self.sway * self.rate * np.cos(angle)


STANDING = SpeedProfile(0.0)


@dataclass(frozen=True)
class Population:
    """All actors; row = track id.

    Attributes:
        labels: (N,) class indices.
        sizes: (N, 3) metres.
        colours: (N, 2, 3) float32.
        path: (N,) index into `paths`; s, d: (N,) place on it at t = 0.
        turn: (N,) radians added to the path's heading.
        profile: (N,) index into `profiles`; direction: (N,) sign of the motion along the path.
        window: (N, 2) the actor exists while its arc length lies between these.
    """

    paths: tuple[Path, ...]
    profiles: tuple[SpeedProfile, ...]
    labels: np.ndarray
    sizes: np.ndarray
    colours: np.ndarray
    path: np.ndarray
    s: np.ndarray
    d: np.ndarray
    turn: np.ndarray
    profile: np.ndarray
    direction: np.ndarray
    window: np.ndarray

    def at(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """World boxes at time t, seconds after frame 0.

        Returns:
            (N, 9) float64 `x y z l w h yaw vx vy` in the world, and (N,) bool who exists.
        """
        moved = np.array([profile.distance(t) for profile in self.profiles])[self.profile]
        rate = np.array([profile.speed(t) for profile in self.profiles])[self.profile]
        s = self.s + self.direction * moved
        boxes = np.zeros((len(s), 9))
        for index, path in enumerate(self.paths):
            rows = np.flatnonzero(self.path == index)
            x, y, heading, curvature = path.pose(s[rows], self.d[rows])
            speed = self.direction[rows] * rate[rows] * (1 - curvature * self.d[rows])
            # Actors that sway turn round with their motion.
            back = np.where((speed * np.cos(self.turn[rows]) < 0), np.pi, 0.0)
            boxes[rows, 0], boxes[rows, 1] = x, y
            boxes[rows, 6] = heading + self.turn[rows] + back
            boxes[rows, 7] = speed * np.cos(heading)
            boxes[rows, 8] = speed * np.sin(heading)
        boxes[:, 2] = self.sizes[:, 2] / 2
        boxes[:, 3:6] = self.sizes
        return boxes, (s >= self.window[:, 0]) & (s <= self.window[:, 1])


class _Crowd:
    """Collects actors."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.paths: list[Path] = []
        self.profiles = [STANDING]
        self.rows: list[tuple] = []

    def add_path(self, path: Path) -> int:
        self.paths.append(path)
        return len(self.paths) - 1

    def add_profile(self, profile: SpeedProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def size(self, name: str) -> np.ndarray:
        return draw_size(self.rng, CLASS_INDEX[name])

    def add(
        self,
        name: str,
        path: int,
        s: float,
        d: float,
        turn: float = 0.0,
        profile: int = 0,
        direction: int = 1,
        window: tuple[float, float] = (-np.inf, np.inf),
        size: np.ndarray | None = None,
    ) -> None:
        label = CLASS_INDEX[name]
        size = self.size(name) if size is None else size
        self.rows.append(
            (
                label,
                size,
                draw_colours(self.rng, label),
                path,
                s,
                d,
                turn,
                profile,
                direction,
                window,
            )
        )

    def population(self) -> Population:
        columns = [np.array(column) for column in zip(*self.rows, strict=True)]
        return Population(tuple(self.paths), tuple(self.profiles), *columns)


def populate(
    rng: np.random.Generator,
    roads: RoadNetwork,
    car_parks: tuple[CarPark, ...],
    ego_lane: int,
    ego_profile: SpeedProfile,
    duration: float,
) -> Population:
    """Fills the streets so that every class is near the ego at every time."""
    crowd = _Crowd(rng)
    main = crowd.add_path(roads.main)
    for side in (-1, 1):
        for lane in range(roads.lanes(side)):
            is_ego = side == -1 and lane == ego_lane
            profile = (
                ego_profile
                if is_ego
                else SpeedProfile(
                    rng.uniform(3, 13),
                    rng.uniform(0, 0.3),
                    rng.uniform(0.1, 0.4),
                    rng.uniform(0, 6),
                )
            )
            _fill_lane(crowd, main, roads, side, lane, profile, duration, is_ego)
        _fill_strip(crowd, main, roads, side)
        _fill_walkway(crowd, main, roads, side, duration)
    for street in roads.streets:
        _fill_street(crowd, street, duration)
    for park in car_parks:
        _fill_car_park(crowd, main, roads, park)
    return crowd.population()


def _choose(rng: np.random.Generator, mix: Sequence[tuple[str, float]]) -> str:
    names, shares = zip(*mix, strict=True)
    return names[int(np.searchsorted(np.cumsum(shares), rng.uniform(0, sum(shares) - 1e-9)))]


def _fill_lane(
    crowd: _Crowd,
    main: int,
    roads: RoadNetwork,
    side: int,
    lane: int,
    profile: SpeedProfile,
    duration: float,
    is_ego: bool,
) -> None:
    rng, direction = crowd.rng, -side
    d = side * (lane + 0.5) * roads.lane_width
    index = crowd.add_profile(profile)
    travel = max(profile.distance(duration), 0.0)
    start, stop = -MARGIN, roads.length + MARGIN
    start, stop = (start - travel, stop) if direction > 0 else (start, stop + travel)
    cursor = start + rng.uniform(0, 20)
    turn = 0.0 if direction > 0 else np.pi
    while cursor < stop:
        name = _choose(rng, _LANE_MIX)
        convoy = ['truck', 'trailer'] if name == 'truck+trailer' else [name]
        convoy = convoy[::-direction]  # the truck leads
        sizes = [crowd.size(member) for member in convoy]
        span = sum(size[0] for size in sizes) + 1.0 * (len(sizes) - 1)
        if is_ego and cursor < 11.0 and cursor + span > -9.0:
            cursor = 11.0 + rng.uniform(0, 8)
            continue
        for member, size in zip(convoy, sizes, strict=True):
            crowd.add(member, main, cursor + size[0] / 2, d, turn, index, direction, size=size)
            cursor += size[0] + 1.0
        cursor += rng.uniform(4, 22)


def _fill_strip(crowd: _Crowd, main: int, roads: RoadNetwork, side: int) -> None:
    rng = crowd.rng
    middle = side * (roads.edge(side) - roads.strip / 2)
    turn = 0.0 if side < 0 else np.pi
    for s0, s1 in roads.clear_intervals(-MARGIN, roads.length + MARGIN, margin=7.5):
        cursor = s0 + rng.uniform(0.5, 4)
        while cursor < s1 - 1:
            kind = _choose(rng, _STRIP_MIX)
            curvature = roads.main.pose(min(cursor + 6, s1), 0.0)[3]
            stretch = 1 / max(0.4, 1 - max(0.0, float(curvature * middle)))
            cursor = (
                _strip_item(
                    crowd, main, roads, kind, cursor, s1, middle, side, turn, stretch * 1.04
                )
                + rng.uniform(1.0, 3.5) * stretch
            )


def _strip_item(
    crowd: _Crowd,
    main: int,
    roads: RoadNetwork,
    kind: str,
    cursor: float,
    s1: float,
    middle: float,
    side: int,
    turn: float,
    stretch: float,
) -> float:
    rng = crowd.rng
    if kind == 'gap':
        return cursor + 3.0
    if kind == 'work':
        return _work_zone(crowd, main, roads, cursor, s1, middle, side, turn, stretch)
    if kind == 'cycles':
        for _ in range(int(rng.integers(2, 6))):
            name = 'motorcycle' if rng.uniform() < 0.5 else 'bicycle'
            if cursor + 1.2 * stretch > s1:
                break
            crowd.add(
                name,
                main,
                cursor + 0.6 * stretch,
                middle + rng.uniform(-0.3, 0.3),
                turn + side * np.pi / 2,
            )
            cursor += 1.2 * stretch
        return cursor
    for _ in range(int(rng.integers(1, 4)) if kind == 'cars' else 1):
        name = 'car' if kind == 'cars' else kind
        size = crowd.size(name)
        room = (size[0] + 1.0) * stretch
        if cursor + room > s1:
            break
        crowd.add(
            name,
            main,
            cursor + room / 2,
            middle + rng.uniform(-0.15, 0.15),
            turn + rng.normal(0, 0.015),
            size=size,
        )
        cursor += room
    return cursor


def _work_zone(
    crowd: _Crowd,
    main: int,
    roads: RoadNetwork,
    cursor: float,
    s1: float,
    middle: float,
    side: int,
    turn: float,
    stretch: float,
) -> float:
    """Cones taper in, barriers shield a construction vehicle on the traffic side."""
    rng = crowd.rng
    vehicle = crowd.size('construction_vehicle')
    length = (vehicle[0] + rng.uniform(3.5, 6.5)) * stretch
    if cursor + length > s1:
        return cursor + 2.0
    kerb = side * roads.edge(side)
    traffic = kerb - side * (roads.strip - 0.45)
    centre = kerb - side * (vehicle[1] / 2 + 0.1)
    crowd.add(
        'construction_vehicle',
        main,
        cursor + length / 2,
        centre,
        turn + np.pi * rng.integers(2),
        size=vehicle,
    )
    for s in np.arange(cursor + 1.4 * stretch, cursor + length - 1.4 * stretch, 3.0 * stretch):
        crowd.add('barrier', main, s, traffic, turn + side * np.pi / 2)
    for end in (cursor, cursor + length):
        for share in (0.15, 0.5, 0.85) if rng.uniform() < 0.8 else (0.2, 0.8):
            crowd.add(
                'traffic_cone',
                main,
                end,
                kerb - side * (0.4 + share * (roads.strip - 0.8)),
                rng.uniform(-np.pi, np.pi),
            )
    if rng.uniform() < 0.5:
        crowd.add('pedestrian', main, cursor + 0.9 * stretch, centre, rng.uniform(-np.pi, np.pi))
    return cursor + length + 0.5 * stretch


def _fill_walkway(
    crowd: _Crowd, main: int, roads: RoadNetwork, side: int, duration: float
) -> None:
    rng = crowd.rng
    for direction, share in ((1, 0.3), (-1, 0.7)):
        profile = SpeedProfile(rng.uniform(0.8, 1.6))
        index = crowd.add_profile(profile)
        d = side * (roads.edge(side) + share * roads.walkway)
        travel = profile.distance(duration)
        stop = roads.length + MARGIN + travel
        cursor = -MARGIN - travel
        while cursor < stop:
            crowd.add(
                'pedestrian',
                main,
                cursor,
                d + rng.uniform(-0.1, 0.1),
                0.0 if direction > 0 else np.pi,
                index,
                direction,
            )
            cursor += 1.4 if rng.uniform() < 0.3 else rng.uniform(12, 55)


def _fill_street(crowd: _Crowd, street: SideStreet, duration: float) -> None:
    rng = crowd.rng
    path = crowd.add_path(street.path)
    lane = street.half_width / 2
    edge = street.mouth + 5.5
    cursor = street.mouth + 7.0 + rng.uniform(0, 1.5)
    for _ in range(int(rng.integers(0, 6))):  # waiting at the stop line
        name = _choose(
            rng,
            (('car', 0.7), ('truck', 0.1), ('bus', 0.07), ('motorcycle', 0.07), ('bicycle', 0.06)),
        )
        size = crowd.size(name)
        if cursor + size[0] > street.length:
            break
        crowd.add(name, path, cursor + size[0] / 2, lane, np.pi, size=size)
        cursor += size[0] + rng.uniform(1.0, 3.0)
    profile = SpeedProfile(rng.uniform(3, 8))
    index = crowd.add_profile(profile)
    cursor = edge - profile.distance(duration)
    while cursor < street.length:  # leaving the junction
        name = _choose(rng, (('car', 0.72), ('truck', 0.12), ('motorcycle', 0.16)))
        size = crowd.size(name)
        crowd.add(
            name,
            path,
            cursor + size[0] / 2,
            -lane,
            0.0,
            index,
            1,
            (edge + size[0] / 2, street.length),
            size,
        )
        cursor += size[0] + rng.uniform(8, 40)
    for k in range(int(rng.integers(0, 4))):  # on the zebra crossing
        rate = rng.uniform(0.15, 0.3)
        sway = crowd.add_profile(
            SpeedProfile(0.0, 0.0, rate, rng.uniform(0, 6), street.half_width - 0.3)
        )
        crossing = crowd.add_path(_across(street, street.mouth + 2.3 + k))
        crowd.add('pedestrian', crossing, 0.0, 0.0, 0.0, sway)


def _across(street: SideStreet, s: float) -> Path:
    """A path across a street; arc length 0 on its centre line."""
    x, y, heading, _ = street.path.pose(s, 0.0)
    along = np.arange(-12.0, 12.01, 0.5)
    heading = heading + np.pi / 2
    xy = np.stack([x + along * np.cos(heading), y + along * np.sin(heading)], axis=-1)
    return Path(-12.0, xy, np.full(len(along), heading))


def _fill_car_park(crowd: _Crowd, main: int, roads: RoadNetwork, park: CarPark) -> None:
    rng = crowd.rng
    near = roads.edge(park.side) + roads.walkway
    for d in (near + 2.8, near + park.depth - 2.8):
        for s in np.arange(park.s0 + 0.5 + 1.4, park.s1 - 1.3, 2.8):
            gate = abs(s - (park.s0 + park.s1) / 2) < 4.5 and d < near + 4
            if rng.uniform() < 0.5 and not gate:
                crowd.add(
                    'car', main, s, park.side * d, np.pi / 2 * (1 if rng.uniform() < 0.5 else -1)
                )
