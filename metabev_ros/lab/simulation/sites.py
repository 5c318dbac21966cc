"""Roads of a drive, the state of their junctions, and the way of the ego through them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from metabev_ros.lab.datasets.synthetic.actors import Profile
from metabev_ros.lab.datasets.synthetic.ground import CarPark
from metabev_ros.lab.datasets.synthetic.motion import Driving, EgoMotion, LaneMotion, RouteMotion
from metabev_ros.lab.datasets.synthetic.roads import MARGIN, Path, RoadNetwork, Section
from metabev_ros.lab.simulation.areas import Area
from metabev_ros.lab.simulation.junctions import arms_of, draw_ways
from metabev_ros.lab.simulation.plans import SpeedPlan
from metabev_ros.lab.simulation.roadways import HABITS, draw_network, draw_path, draw_section
from metabev_ros.lab.simulation.routes import join_lines, lane_line, path_along
from metabev_ros.lab.simulation.style import Style

_BEHIND = MARGIN - 1.0  # metres of the ego's way behind it at the start
_FRONT = 3.7  # metres from the ego's origin to its bumper


@dataclass(frozen=True)
class Roadway:
    """A main road and what happens on it.

    Attributes:
        network: the road.
        parks: whether vehicles park in its strips.
        flows: whether its traffic moves; otherwise it waits at the crossings.
        crossings: (s, half width) of the main roads that cross it.
        speed: m/s of its traffic.
        starts: seconds after which those who wait start; None: they stay.
        sides: on which pedestrians and parked vehicles are.
        verge: metres of grass between the kerb and the rest of the walkway.
    """

    network: RoadNetwork
    parks: bool
    flows: bool
    crossings: tuple[tuple[float, float], ...]
    speed: tuple[float, float]
    starts: float | None = None
    sides: tuple[int, ...] = (1, -1)
    verge: float = 0.0


@dataclass(frozen=True)
class Site:
    """Everything of a layout but who is there.

    Attributes:
        ego_lane: of the first roadway; None where the ego is in no lane.
        profile: the ego's way over time.
        route: the ego's way by arc length where it leaves its lane, 0 where it is at t = 0.
        areas: ground that the roads do not describe.
        ways: (N, 3) x, y and heading of the ways of others who turn at crossings.
    """

    style: Style
    roadways: tuple[Roadway, ...]
    car_parks: tuple[tuple[CarPark, ...], ...]
    ego: EgoMotion
    profile: Profile
    ego_lane: int | None
    route: Path | None = None
    areas: tuple[Area, ...] = field(default=())
    ways: tuple[np.ndarray, ...] = field(default=())


@dataclass(frozen=True)
class _Leg:
    main: Path
    section: Section
    parks: bool
    length: float  # to the next crossing
    turn: int


def ego_plan(rng: np.random.Generator, speed: float, seconds: float) -> SpeedPlan:
    """Way of a driver with nothing in the way: steady, faster or slower."""
    drawn = rng.uniform()
    if drawn < 0.45:
        return SpeedPlan.steady(speed)
    begin = rng.uniform(-1.0, 0.6 * seconds)
    if drawn < 0.7:
        lower = speed * rng.uniform(0.2, 0.8)
        first, last = (lower, speed) if rng.uniform() < 0.5 else (speed, lower)
        span = abs(first - last) / rng.uniform(0.7, 2.2)
        return SpeedPlan((begin, begin + span + 0.1), (first, last))
    if drawn < 0.85:
        return SpeedPlan.stop(speed, rng.uniform(1.2, 3.2), begin)
    return SpeedPlan.start(speed, rng.uniform(1.0, 2.2), begin)


def draw_streets(rng: np.random.Generator, style: Style, seconds: float) -> Site:
    """Streets with the ego going straight, turning, or waiting at a crossing."""
    habits = HABITS[style]
    drawn = rng.uniform()
    if drawn < habits.turns:
        return _turning(rng, style, seconds)
    crossing = style in (Style.DOWNTOWN, Style.ARTERIAL, Style.INDUSTRIAL, Style.RESIDENTIAL)
    if crossing and rng.uniform() < 0.55:
        return _crossing(rng, style, seconds)
    return _single(rng, style, seconds)


def _single(rng: np.random.Generator, style: Style, seconds: float) -> Site:
    """One road along which the ego drives."""
    speed = float(rng.uniform(*HABITS[style].speed))
    section, parks = draw_section(rng, style)
    length = max(20.0, speed * (seconds + 1))
    main = draw_path(rng, style, np.zeros(2), rng.uniform(-np.pi, np.pi), length)
    network = draw_network(rng, style, main, length, section)
    lane = int(rng.integers(section.lanes_right))
    profile = ego_plan(rng, speed, seconds)
    ego = LaneMotion(main, -(lane + 0.5) * section.lane_width, profile)
    road = Roadway(network, parks, True, (), speeds_around(speed))
    return Site(style, (road,), ((),), ego, profile, lane)


def speeds_around(speed: float) -> tuple[float, float]:
    """Speeds of the traffic where the ego has one."""
    return max(2.0, 0.65 * speed), max(4.0, 1.3 * speed)


def _crossing(rng: np.random.Generator, style: Style, seconds: float) -> Site:
    """Two roads that cross; the ego goes straight on, waits, starts or brakes."""
    speed = float(rng.uniform(*HABITS[style].speed))
    kind = ('drives', 'waits', 'starts', 'brakes')[int(rng.choice(4, p=[0.3, 0.4, 0.18, 0.12]))]
    other, other_parks = draw_section(rng, style)
    half = max(other.edges.values())
    to_line, profile, starts = _approach(rng, kind, speed, seconds)
    at = to_line + half + 6.5
    length = max(at, speed * (seconds + 1))
    section, parks = draw_section(rng, style)
    heading = rng.uniform(-np.pi, np.pi)
    main = draw_path(rng, style, np.zeros(2), heading, length, (at,))
    x, y, ahead, _ = (float(v) for v in main.pose(at, 0.0))
    angle = np.deg2rad(np.clip(rng.normal(90, 12), 65, 115)) * rng.choice([-1, 1])
    leg = draw_path(rng, style, np.array([x, y]), ahead + angle, 0.0, (0.0,))
    for _ in range(4):
        if not _too_near(leg, main):
            break
        leg = draw_path(rng, style, np.array([x, y]), ahead + angle, 0.0, (0.0,))
    own = max(section.edges.values())
    first = draw_network(rng, style, main, length, section, ((at, half),), (leg.xy,))
    lines = [main.xy, *(street.path.xy for street in first.streets)]
    second = draw_network(rng, style, leg, 0.0, other, ((0.0, own),), lines)
    lane = int(rng.integers(section.lanes_right))
    moves = kind == 'drives'
    around = speeds_around(speed)
    roads = (
        Roadway(first, parks, moves, ((at, half),), around, starts),
        Roadway(
            second, other_parks, not moves and starts is None, ((0.0, own),), speeds_around(speed)
        ),
    )
    ego = LaneMotion(main, -(lane + 0.5) * section.lane_width, profile)
    arms = [*arms_of(main, at, section), *arms_of(leg, 0.0, other)]
    ways = draw_ways(rng, arms, 3, max(half, own) + 4.0)
    return Site(style, roads, ((), ()), ego, profile, lane, ways=ways)


def _approach(
    rng: np.random.Generator, kind: str, speed: float, seconds: float
) -> tuple[float, SpeedPlan, float | None]:
    """Metres from the ego to the stop line, its plan, and when the traffic starts."""
    if kind == 'drives':
        return rng.uniform(-10, 0.7 * speed * seconds), ego_plan(rng, speed, seconds), None
    cars = int(rng.choice([0, 1, 2, 3], p=[0.3, 0.4, 0.18, 0.12]))
    line = _FRONT + rng.uniform(0.3, 2.0) + cars * 7.2
    if kind == 'waits':
        return line, SpeedPlan.steady(0.0), None
    if kind == 'starts':
        begin = rng.uniform(-1.0, 0.5 * seconds)
        wait = begin + 1.1 * cars + 0.6
        return line, SpeedPlan.start(0.8 * speed, rng.uniform(1.0, 1.6), wait), begin
    brake = rng.uniform(1.4, 2.6)
    plan = SpeedPlan.stop(speed, brake, rng.uniform(-0.5, 0.3 * seconds))
    return line + plan.distance(plan.times[-1]), plan, None


def _turning(rng: np.random.Generator, style: Style, seconds: float) -> Site:
    """A way that turns at every crossing."""
    cruise = float(rng.uniform(*np.minimum(HABITS[style].speed, 12.0)))
    legs = _draw_legs(rng, style, cruise * (seconds + 2.0))
    networks: list[RoadNetwork] = []
    roads: list[Roadway] = []
    for k, leg in enumerate(legs):
        crossings = []
        if k > 0:
            crossings.append((0.0, max(legs[k - 1].section.edges.values())))
        if k + 1 < len(legs):
            crossings.append((leg.length, max(legs[k + 1].section.edges.values())))
        lines = [other.main.xy for other in legs if other is not leg]
        lines += [street.path.xy for roads_ in networks for street in roads_.streets]
        network = draw_network(
            rng, style, leg.main, leg.length, leg.section, tuple(crossings), lines
        )
        networks.append(network)
        roads.append(Roadway(network, leg.parks, k == 0, tuple(crossings), speeds_around(cruise)))
    line = _route_line(rng, legs)
    ego = RouteMotion(line, _BEHIND, Driving(cruise, rng.uniform(1.5, 3.0), rng.uniform(1, 2)))
    lane = _lane_for(legs[0])
    first, second = legs[:2]
    arms = arms_of(first.main, first.length, first.section)
    arms += arms_of(second.main, 0.0, second.section)
    reach = max(*first.section.edges.values(), *second.section.edges.values()) + 4.0
    ways = draw_ways(rng, arms, 3, reach)
    route = path_along(line, -_BEHIND)
    return Site(style, tuple(roads), ((),) * len(roads), ego, ego, lane, route, ways=ways)


def _draw_legs(rng: np.random.Generator, style: Style, reach: float) -> list[_Leg]:
    """Roads in the order of the way; turns alternate, so that no road comes back."""
    point, heading = np.zeros(2), rng.uniform(-np.pi, np.pi)
    turn, covered, legs = int(rng.choice([-1, 1])), 0.0, []
    length = float(rng.uniform(24, min(max(30.0, 0.7 * reach), 90)))
    while True:
        section, parks = draw_section(rng, style)
        last = len(legs) > 0 and covered + length > reach
        main = draw_path(rng, style, point, heading, length, (0.0, length))
        for _ in range(4):
            if not any(_too_near(main, leg.main) for leg in legs):
                break
            main = draw_path(rng, style, point, heading, length, (0.0, length))
        legs.append(_Leg(main, section, parks, length, turn))
        covered += length
        if last:
            return legs
        x, y, ahead, _ = (float(v) for v in main.pose(length, 0.0))
        angle = np.deg2rad(np.clip(rng.normal(90, 10), 68, 112))
        point, heading = np.array([x, y]), ahead + turn * angle
        length, turn = max(float(rng.uniform(90, 160)), 0.0), -turn
        if covered + length > reach:
            length = max(reach - covered, 40.0)


def _too_near(main: Path, other: Path) -> bool:
    """Tell whether two roads come near each other elsewhere than where they cross."""
    gaps = np.linalg.norm(main.xy[::10, None] - other.xy[None, ::10], axis=-1)
    s = main.start + 5.0 * np.arange(len(gaps))
    return bool((gaps[np.abs(s) > 60] < 40).any())


def _lane_for(leg: _Leg) -> int:
    """Inner lane for a turn to the left, outer lane for one to the right."""
    return 0 if leg.turn > 0 else leg.section.lanes_right - 1


def _route_line(rng: np.random.Generator, legs: list[_Leg]) -> np.ndarray:
    """(N, 3) x, y and heading of the whole way, from _BEHIND metres before the start."""
    enter, line = -_BEHIND, np.zeros((0, 3))
    for k, leg in enumerate(legs):
        d = -(_lane_for(leg) + 0.5) * leg.section.lane_width
        if k + 1 == len(legs):
            leave, reach = leg.length + MARGIN - 5.0, 0.0
        else:
            following = legs[k + 1]
            across = (_lane_for(following) + 0.5) * following.section.lane_width
            reach = rng.uniform(7.0, 10.0) if leg.turn < 0 else rng.uniform(9.0, 14.0)
            leave = leg.length + leg.turn * across - reach
        piece = lane_line(leg.main, enter, leave, d)
        line = piece if k == 0 else join_lines(line, piece)
        enter = leg.turn * -d + reach
    return line
