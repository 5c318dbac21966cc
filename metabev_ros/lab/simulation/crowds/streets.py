"""Streets filled with their traffic, those who stand beside it, and people."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import CarPark
from metabev_ros.lab.datasets.synthetic.roads import RoadNetwork
from metabev_ros.lab.simulation.areas import Area, Surface
from metabev_ros.lab.simulation.cast import Cast
from metabev_ros.lab.simulation.crowds.lanes import (
    Flow,
    Lane,
    add_vehicle,
    fill_lane,
    mix_of,
    queue,
    turn_into,
)
from metabev_ros.lab.simulation.crowds.lot import fill_aisles
from metabev_ros.lab.simulation.crowds.parked import (
    double_park,
    fill_car_park,
    fill_driveways,
    fill_yard,
    park_along,
)
from metabev_ros.lab.simulation.crowds.people import board_cars, cross_road, stroll, wait_at_kerb
from metabev_ros.lab.simulation.crowds.places import HABITS, Habits
from metabev_ros.lab.simulation.crowds.side_streets import STOP, fill_street
from metabev_ros.lab.simulation.crowds.works import barrier_row, construction_site, work_zone
from metabev_ros.lab.simulation.sites import Roadway, Site
from metabev_ros.lab.simulation.style import Style


def populate(cast: Cast, site: Site, seconds: float) -> tuple[Area, ...]:
    """Fill a site; those who are added first stay where two would meet.

    Returns:
        Paved places that belong to those who stand there.
    """
    areas: list[Area] = []
    rng, habits = cast.rng, HABITS[site.style]
    ways = [cast.add_path(road.network.main) for road in site.roadways]
    for k, road in enumerate(site.roadways):
        areas += _works(cast, site, road, habits, k == 0)
    _route(cast, site, habits)
    for line in site.ways:
        turn_into(cast, site.style, line, (3.5, 7.0), int(rng.integers(1, 3)))
    for k, (road, way) in enumerate(zip(site.roadways, ways, strict=True)):
        _lanes(cast, site, road, way, habits, k, seconds)
        for street in road.network.streets:
            fill_street(cast, site.style, road, street, seconds, habits)
    for road, way, parks in zip(site.roadways, ways, site.car_parks, strict=True):
        areas += _beside(cast, site, road, way, habits, parks)
        for park in parks:
            near = road.network.edge(park.side) + road.network.walkway
            if park.depth > 30 and site.style is Style.CAR_PARK:
                fill_aisles(cast, road.network, way, park)
            if site.style is Style.INDUSTRIAL and park.depth > 24:
                fill_yard(cast, road.network.main, park, near)
            else:
                fill_car_park(cast, site.style, road.network, park)
    board_cars(cast, 0.04)
    for road, way in zip(site.roadways, ways, strict=True):
        _people(cast, road, way, habits, seconds)
    return tuple(areas)


def _works(cast: Cast, site: Site, road: Roadway, habits: Habits, has_ego: bool) -> list[Area]:
    """Work zones and rows of barriers along the kerbs, and construction sites beside them."""
    rng, roads = cast.rng, road.network
    areas: list[Area] = []
    for side in road.sides:
        mine = has_ego and side < 0 and site.ego_lane == roads.lanes(side) - 1
        kerb = side * roads.edge(side)
        for s0, s1 in roads.clear_intervals(roads.main.start, roads.main.end, margin=7.5):
            room = s1 - s0
            for _ in range(int(rng.poisson(habits.works * room / 200))):
                length = rng.uniform(16, 55)
                if room > length + 4:
                    outer, inner = _closed(rng, roads, side, mine)
                    work_zone(cast, roads.main, rng.uniform(s0, s1 - length), length, outer, inner)
            if rng.uniform() < habits.barriers and room > 20:
                length = rng.uniform(12, min(70, room))
                begin = rng.uniform(s0, s1 - length)
                d = kerb + side * rng.uniform(0.3, 0.9)
                barrier_row(cast, roads.main, begin, begin + length, d, d, 0.04)
            if rng.uniform() < habits.works * cast.rare * room / 330 and room > 24:
                length, depth = rng.uniform(18, min(45, room)), rng.uniform(10, 24)
                front = kerb + side * (roads.walkway + 0.4)
                begin = rng.uniform(s0, s1 - length)
                ground = construction_site(cast, roads.main, begin, length, front, depth)
                areas.append(Area(ground, Surface.SITE))
    return areas


def _closed(
    rng: np.random.Generator, roads: RoadNetwork, side: int, mine: bool
) -> tuple[float, float]:
    """Metres to the left of the path between which a work zone lies."""
    kerb = side * roads.edge(side)
    outer = kerb + side * rng.choice([0.0, 0.3, min(roads.walkway, 2.0)])
    if roads.lanes(side) > 1 and not mine and rng.uniform() < 0.45:
        return outer, kerb - side * (roads.strip + roads.lane_width - 0.4)
    if roads.strip > 2.0:
        return outer, kerb - side * (roads.strip - 0.4)
    return kerb + side * max(roads.walkway, 3.2), kerb + side * 0.3


def _route(cast: Cast, site: Site, habits: Habits) -> None:
    """Vehicles before and behind the ego on its own way, where it turns."""
    if site.route is None:
        return
    lane = Lane(site.route, cast.add_path(site.route), 0.0, 1, site.route.start, site.route.end)
    # The speeds of others do not fit the bends: all move as the ego does.
    rng, profile = cast.rng, cast.add_profile(site.profile)
    for ahead in (1, -1):
        cursor = ahead * 5.0
        while -60 < cursor < 140:
            cursor += ahead * (rng.uniform(4, 9) + rng.exponential(habits.gap))
            name = cast.choose(mix_of(cast, site.style))
            cursor += ahead * add_vehicle(cast, lane, name, cursor, ahead, profile)


def _lanes(
    cast: Cast, site: Site, road: Roadway, way: int, habits: Habits, k: int, seconds: float
) -> None:
    """All moving lanes of a main road."""
    roads, main, rng = road.network, road.network.main, cast.rng
    for side in (-1, 1):
        for number in range(roads.lanes(side)):
            d = side * (number + 0.5) * roads.lane_width
            lane = Lane(main, way, d, -side, main.start, main.end)
            mine = k == 0 and side < 0 and number == site.ego_lane
            gap = habits.gap * float(np.exp(rng.normal(0, 0.4)))
            flow = Flow(road.speed, gap, seconds)
            if mine and site.route is not None:
                continue  # its traffic goes the way of the ego
            if road.flows:
                fill_lane(cast, site.style, lane, flow, (0.0, site.profile) if mine else None)
            else:
                _wait(cast, site, road, lane, side, flow, mine)


def _wait(
    cast: Cast, site: Site, road: Roadway, lane: Lane, side: int, flow: Flow, mine: bool
) -> None:
    """A lane whose traffic waits at the crossings, and some who went on."""
    rng = cast.rng
    for at, half in road.crossings:
        stop = lane.direction * at - half - STOP
        count = int(rng.poisson(3.0))
        if mine:
            count = max(count, 8)
        start = None if road.starts is None else (road.starts, float(rng.uniform(*road.speed)))
        queue(cast, site.style, lane, stop, count, start, (0.0, site.profile) if mine else None)
    at, half = road.crossings[-1 if lane.direction > 0 else 0]
    if lane.direction > 0:
        gone = Lane(lane.path, lane.index, lane.d, 1, at + half + 4, lane.high, False)
    else:
        gone = Lane(lane.path, lane.index, lane.d, -1, lane.low, at - half - 4, False)
    fill_lane(cast, site.style, gone, Flow(flow.speed, 2.5 * flow.gap, flow.seconds))


def _beside(
    cast: Cast,
    site: Site,
    road: Roadway,
    way: int,
    habits: Habits,
    parks: tuple[CarPark, ...],
) -> list[Area]:
    """Vehicles that stand beside a main road."""
    rng, roads, main = cast.rng, road.network, road.network.main
    areas: list[Area] = []
    for side in road.sides:
        kerb = side * roads.edge(side)
        share = rng.uniform(*habits.parked)
        has_drives = rng.uniform() < habits.driveways
        for interval in roads.clear_intervals(main.start, main.end, margin=7.5):
            if road.parks:
                park_along(cast, site.style, main, way, interval, kerb, share)
            elif roads.walkway > 1.2 and rng.uniform() < 0.12:
                park_along(cast, site.style, main, way, interval, kerb + side * 0.9, 0.25 * share)
            elif site.style is Style.MOTORWAY and rng.uniform() < 0.1:
                park_along(cast, site.style, main, way, interval, kerb, 0.04)
            if has_drives:
                if any(
                    p.side == side and p.s0 < interval[1] and interval[0] < p.s1 for p in parks
                ):
                    continue
                back = roads.edge(side) + roads.walkway
                for polygon in fill_driveways(cast, main, interval, side, back):
                    areas.append(Area(polygon, Surface.DRIVEWAY))
            if road.parks and rng.uniform() < 0.08:
                s = rng.uniform(*interval)
                lane = side * (roads.lanes(side) - 0.35) * roads.lane_width
                double_park(cast, main, way, s, lane, -side)
    return areas


def _between(road: Roadway) -> list[tuple[float, float]]:
    """Arc lengths of a main road that are in none of its crossings."""
    cursor, parts = road.network.main.start, []
    for at, half in road.crossings:
        parts.append((cursor, at - half - 4.0))
        cursor = at + half + 4.0
    parts.append((cursor, road.network.main.end))
    return [(low, high) for low, high in parts if high - low > 4.0]


def _people(cast: Cast, road: Roadway, way: int, habits: Habits, seconds: float) -> None:
    """People on the walkways of a main road and across it."""
    rng, roads, main = cast.rng, road.network, road.network.main
    density = rng.uniform(*habits.people)
    for side in road.sides:
        kerb = side * roads.edge(side)
        band = kerb + side * (road.verge + 0.3), kerb + side * (roads.walkway - 0.2)
        if roads.walkway > 0.9:
            for interval in _between(road):
                stroll(cast, main, way, interval, band, density)
        for at, half in roads.junctions:
            if rng.uniform() < 0.5 * min(1.0, habits.crossing):
                s = at + rng.choice([-1, 1]) * (half + 3.3)
                wait_at_kerb(cast, main, s, kerb, int(rng.integers(1, 5)))
        if roads.walkway > 1.5 and rng.uniform() < min(density, 0.5):  # a bus stop
            s = rng.uniform(main.start + 40, main.end - 40)
            wait_at_kerb(cast, main, s, kerb + side * 0.6, int(rng.integers(2, 8)))
    if len(road.sides) < 2 or habits.crossing == 0:
        return
    ends = roads.left_edge, -roads.right_edge
    for at, half in road.crossings if not road.flows else ():
        for sign in (1, -1):
            count = int(rng.poisson(habits.crossing))
            cross_road(cast, main, at + sign * (half + 3.3), *ends, count, seconds)
    for _ in range(int(rng.poisson(0.5 * density * 4))):  # without a crossing
        s = rng.uniform(main.start + 60, main.end - 60)
        cross_road(cast, main, s, *ends, 1, seconds)
