"""Streets filled with actors, so that every class is near the ego at every time."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.actors import Crowd, Population, Profile, SpeedProfile
from metabev_ros.lab.datasets.synthetic.ground import CarPark
from metabev_ros.lab.datasets.synthetic.kerbside import fill_strip
from metabev_ros.lab.datasets.synthetic.roads import MARGIN, Path, RoadNetwork, SideStreet

_LANE_MIX = (
    ('car', 0.57),
    ('truck', 0.10),
    ('bus', 0.07),
    ('truck+trailer', 0.08),
    ('motorcycle', 0.09),
    ('bicycle', 0.09),
)
_QUEUE_MIX = (('car', 0.7), ('truck', 0.1), ('bus', 0.07), ('motorcycle', 0.07), ('bicycle', 0.06))
_TURNING_MIX = (('car', 0.72), ('truck', 0.12), ('motorcycle', 0.16))


def populate(
    rng: np.random.Generator,
    roads: RoadNetwork,
    car_parks: tuple[CarPark, ...],
    ego_lane: int,
    ego_profile: Profile,
    duration: float,
) -> Population:
    """Fill the streets so that every class is near the ego at every time."""
    crowd = Crowd(rng)
    fill_network(crowd, roads, car_parks, ego_lane, ego_profile, duration)
    return crowd.population()


def fill_network(
    crowd: Crowd,
    roads: RoadNetwork,
    car_parks: tuple[CarPark, ...],
    ego_lane: int,
    ego_profile: Profile,
    duration: float,
    ego_s: float = 0.0,
    begin: float = -np.inf,
) -> None:
    """Fill one network.

    Args:
        ego_lane: the lane that moves as the ego does; it keeps a gap for it.
        ego_s: where on the main road that gap is at t = 0, metres.
        begin: arc length before which the lanes of the main road are empty.
    """
    rng = crowd.rng
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
            gap = ego_s if is_ego else None
            _fill_lane(crowd, main, roads, side, lane, profile, duration, gap, begin)
        fill_strip(crowd, main, roads, side)
        _fill_walkway(crowd, main, roads, side, duration)
    for street in roads.streets:
        _fill_street(crowd, street, duration)
    for park in car_parks:
        _fill_car_park(crowd, main, roads, park)


def _fill_lane(
    crowd: Crowd,
    main: int,
    roads: RoadNetwork,
    side: int,
    lane: int,
    profile: Profile,
    duration: float,
    ego_s: float | None,
    begin: float,
) -> None:
    """Fill one lane; `ego_s` is where the ego is in it at t = 0, None where it is not."""
    rng, direction = crowd.rng, -side
    d = side * (lane + 0.5) * roads.lane_width
    index = crowd.add_profile(profile)
    travel = max(profile.distance(duration), 0.0)
    start, stop = -MARGIN, roads.length + MARGIN
    start, stop = (start - travel, stop) if direction > 0 else (start, stop + travel)
    cursor = start + rng.uniform(0, 20)
    turn = 0.0 if direction > 0 else np.pi
    window = (begin, np.inf)
    while cursor < stop:
        name = crowd.choose(_LANE_MIX)
        convoy = ['truck', 'trailer'] if name == 'truck+trailer' else [name]
        convoy = convoy[::-direction]  # the truck leads
        sizes = [crowd.size(member) for member in convoy]
        span = sum(size[0] for size in sizes) + 1.0 * (len(sizes) - 1)
        if ego_s is not None and cursor < ego_s + 11.0 and cursor + span > ego_s - 9.0:
            cursor = ego_s + 11.0 + rng.uniform(0, 8)
            continue
        for member, size in zip(convoy, sizes, strict=True):
            place = cursor + size[0] / 2
            crowd.add(member, main, place, d, turn, index, direction, window, size)
            cursor += size[0] + 1.0
        cursor += rng.uniform(4, 22)


def queue_before(crowd: Crowd, roads: RoadNetwork, crossing: float) -> None:
    """Vehicles that wait on a main road before another one crosses it at arc length 0.

    Args:
        crossing: metres from arc length 0 to the stop line.
    """
    rng, main = crowd.rng, crowd.add_path(roads.main)
    for lane in range(roads.lanes_right):
        cursor = -crossing - rng.uniform(0.3, 1.8)
        for _ in range(int(rng.integers(0, 6))):
            name = crowd.choose(_QUEUE_MIX)
            size = crowd.size(name)
            d = -(lane + 0.5) * roads.lane_width
            crowd.add(name, main, cursor - size[0] / 2, d, size=size)
            cursor -= size[0] + rng.uniform(1.0, 3.0)


def _fill_walkway(crowd: Crowd, main: int, roads: RoadNetwork, side: int, duration: float) -> None:
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


def _fill_street(crowd: Crowd, street: SideStreet, duration: float) -> None:
    path = crowd.add_path(street.path)
    _queue(crowd, path, street)
    _leave(crowd, path, street, duration)
    _cross(crowd, street)


def _queue(crowd: Crowd, path: int, street: SideStreet) -> None:
    """Vehicles that wait at the stop line."""
    rng = crowd.rng
    cursor = street.mouth + 7.0 + rng.uniform(0, 1.5)
    for _ in range(int(rng.integers(0, 6))):
        name = crowd.choose(_QUEUE_MIX)
        size = crowd.size(name)
        if cursor + size[0] > street.length:
            break
        crowd.add(name, path, cursor + size[0] / 2, street.half_width / 2, np.pi, size=size)
        cursor += size[0] + rng.uniform(1.0, 3.0)


def _leave(crowd: Crowd, path: int, street: SideStreet, duration: float) -> None:
    """Vehicles that leave the junction."""
    rng = crowd.rng
    edge, lane = street.mouth + 5.5, -street.half_width / 2
    profile = SpeedProfile(rng.uniform(3, 8))
    index = crowd.add_profile(profile)
    cursor = edge - profile.distance(duration)
    while cursor < street.length:
        name = crowd.choose(_TURNING_MIX)
        size = crowd.size(name)
        window = edge + size[0] / 2, street.length
        crowd.add(name, path, cursor + size[0] / 2, lane, 0.0, index, 1, window, size)
        cursor += size[0] + rng.uniform(8, 40)


def _cross(crowd: Crowd, street: SideStreet) -> None:
    """People on the zebra crossing."""
    rng = crowd.rng
    for k in range(int(rng.integers(0, 4))):
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


def _fill_car_park(crowd: Crowd, main: int, roads: RoadNetwork, park: CarPark) -> None:
    rng = crowd.rng
    near = roads.edge(park.side) + roads.walkway
    for d in (near + 2.8, near + park.depth - 2.8):
        for s in np.arange(park.s0 + 0.5 + 1.4, park.s1 - 1.3, 2.8):
            gate = abs(s - (park.s0 + park.s1) / 2) < 4.5 and d < near + 4
            if rng.uniform() < 0.5 and not gate:
                crowd.add(
                    'car', main, s, park.side * d, np.pi / 2 * (1 if rng.uniform() < 0.5 else -1)
                )
