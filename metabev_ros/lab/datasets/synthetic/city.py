"""A city of main roads that cross, and a way through it that turns at the crossings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.datasets.synthetic.actors import Crowd, Population
from metabev_ros.lab.datasets.synthetic.config import Weather
from metabev_ros.lab.datasets.synthetic.ground import CarPark, paint_networks
from metabev_ros.lab.datasets.synthetic.light import draw_light
from metabev_ros.lab.datasets.synthetic.motion import Driving, RouteMotion
from metabev_ros.lab.datasets.synthetic.population import fill_network, queue_before
from metabev_ros.lab.datasets.synthetic.roads import (
    MARGIN,
    STEP,
    Path,
    RoadNetwork,
    Section,
    build_network,
    draw_section,
    integrate,
)
from metabev_ros.lab.datasets.synthetic.scenery import line_networks, place_car_parks
from metabev_ros.lab.datasets.synthetic.world import World, texture_pyramid

_LEAD = 40.0  # metres of the way behind the vehicle at the start
_STRAIGHT = 40.0  # metres without a bend on each side of a crossing
_RAMP = 4.0  # metres over which the steering goes from straight to full
_NO_CAR_PARK = 45.0  # metres around a crossing: those of both roads would meet there
_FINE = 0.05


@dataclass(frozen=True)
class Leg:
    """One main road of the way.

    Attributes:
        main: arc length 0 where the road before crosses, `length` where the next one does.
        lane: the ego's; d: metres to the left of the centre line.
        enter, leave: arc lengths between which the ego follows the lane.
        turn: +1 when it goes on to the left, -1 to the right.
    """

    main: Path
    length: float
    section: Section
    lane: int
    enter: float
    leave: float
    turn: int

    @property
    def d(self) -> float:
        """Place of the ego's lane, metres to the left of the centre line."""
        return _lane_offset(self.section, self.lane)


def _lane_offset(section: Section, lane: int) -> float:
    return -(lane + 0.5) * section.lane_width


def build_city(
    seed: int, duration: float, cruise: float | None, radius: float, weather: Weather
) -> World:
    """A world with a way that lasts.

    Args:
        duration: seconds.
        cruise: m/s where nothing is in the way; None draws it from the seed.
        radius: of the turns at crossings, metres.
    """
    rng = np.random.default_rng([seed, 11])
    cruise = rng.uniform(11.0, 15.0) if cruise is None else cruise
    legs = _draw_legs(rng, cruise * (duration + 4.0) + 60.0, radius)
    ego = RouteMotion(_knots(legs, radius), _LEAD, Driving(cruise))
    starts = [_start_of(leg, ego) for leg in legs]
    driven = float(ego.distance(duration))
    reached = sum(start + leg.enter <= driven for start, leg in zip(starts, legs, strict=True))
    legs, starts = legs[: reached + 1], starts[: reached + 1]
    networks = _networks(rng, legs)
    parks = [_car_parks(rng, roads, k, len(legs)) for k, roads in enumerate(networks)]
    ground = paint_networks(rng, list(zip(networks, parks, strict=True)))
    scenery = line_networks(rng, networks, ground)
    population = _populate(rng, legs, networks, parks, starts, ego, duration)
    light = draw_light(np.random.default_rng([seed, 2]), weather)
    return World(ego, ground, texture_pyramid(ground.texture), scenery, population, light)


def _draw_legs(rng: np.random.Generator, reach: float, radius: float) -> list[Leg]:
    """Main roads in the order of the way; turns alternate, so that no road comes back."""
    turn = 1 if rng.uniform() < 0.5 else -1
    span = _turn_span(radius)
    point, heading, bent = np.zeros(2), rng.uniform(-np.pi, np.pi), 0.0
    section = draw_section(rng)
    lane = int(rng.integers(section.lanes_right))
    enter, covered, legs = -_LEAD, 0.0, []
    while covered < reach:
        length = rng.uniform(70, 95) if not legs else rng.uniform(125, 175)
        main, angle = _main_road(rng, point, heading, length, bent)
        bent, heading = bent + angle, heading + angle
        following = draw_section(rng)
        next_lane = int(rng.integers(following.lanes_right))
        leave = length - turn * _lane_offset(following, next_lane) - span
        legs.append(Leg(main, length, section, lane, enter, leave, turn))
        enter = turn * _lane_offset(section, lane) + span
        covered += length
        x, y = main.pose(length, 0.0)[:2]
        point, heading = np.array([float(x), float(y)]), heading + turn * np.pi / 2
        section, lane, turn = following, next_lane, -turn
    return legs


def _main_road(
    rng: np.random.Generator, point: np.ndarray, heading: float, length: float, bent: float
) -> tuple[Path, float]:
    """A road through `point`, straight at both crossings, and the angle of its bend."""
    count = int(np.ceil((length + 2 * MARGIN) / STEP)) + 1
    room = length - 2 * _STRAIGHT
    curvature, angle = np.zeros(count), 0.0
    if room > 40.0:
        angle = np.deg2rad(rng.uniform(10, 28)) * (-np.sign(bent) if bent else rng.choice([-1, 1]))
        s = np.arange(count) * STEP - MARGIN - _STRAIGHT
        bump = np.clip(np.minimum(s, room - s) / (0.25 * room), 0, 1)
        curvature = angle * bump / (bump.sum() * STEP)
    start = point - MARGIN * np.array([np.cos(heading), np.sin(heading)])
    return integrate(-MARGIN, start, heading, curvature), float(angle)


def _turn_curve(radius: float) -> np.ndarray:
    """(N, 3) x, y and heading of a turn to the left by 90 degrees from the origin along x."""
    ramp = min(_RAMP, np.pi / 2 * radius)
    total = np.pi / 2 * radius + ramp
    s = np.linspace(0, total, int(total / _FINE) + 1)
    curvature = np.clip(np.minimum(s, total - s) / ramp, 0, 1) / radius
    middle = (curvature[1:] + curvature[:-1]) / 2 * np.diff(s)
    heading = np.concatenate([[0], np.cumsum(middle)])
    heading *= np.pi / 2 / heading[-1]
    between = (heading[1:] + heading[:-1]) / 2
    x = np.concatenate([[0], np.cumsum(np.cos(between) * np.diff(s))])
    y = np.concatenate([[0], np.cumsum(np.sin(between) * np.diff(s))])
    return np.stack([x, y, heading], axis=-1)


def _turn_span(radius: float) -> float:
    """Metres that a turn takes along each of the two roads."""
    return float(_turn_curve(radius)[-1, 0])


def _knots(legs: Sequence[Leg], radius: float) -> np.ndarray:
    """(N, 3) x, y and heading of the whole way."""
    pieces, curve = [], _turn_curve(radius)
    for leg in legs:
        s = np.linspace(leg.enter, leg.leave, int((leg.leave - leg.enter) / STEP) + 2)
        x, y, heading, _ = leg.main.pose(s, leg.d)
        pieces.append(np.stack([x, y, heading], axis=-1))
        c, sn = np.cos(heading[-1]), np.sin(heading[-1])
        across = leg.turn * curve[:, 1]
        turned = np.stack(
            [
                x[-1] + c * curve[:, 0] - sn * across,
                y[-1] + sn * curve[:, 0] + c * across,
                heading[-1] + leg.turn * curve[:, 2],
            ],
            axis=-1,
        )
        pieces.append(turned[1:-1])
    return np.concatenate(pieces[:-1])


def _start_of(leg: Leg, ego: RouteMotion) -> float:
    """Way of the ego at which its leg's arc length would be 0, metres."""
    x, y = leg.main.pose(leg.enter, leg.d)[:2]
    return ego.nearest(np.array([float(x), float(y)])) - leg.enter


def _networks(rng: np.random.Generator, legs: Sequence[Leg]) -> list[RoadNetwork]:
    networks, lines = [], [leg.main.xy for leg in legs]
    for k, leg in enumerate(legs):
        crossings = []
        if k > 0:
            crossings.append((0.0, max(legs[k - 1].section.edges.values())))
        if k + 1 < len(legs):
            crossings.append((leg.length, max(legs[k + 1].section.edges.values())))
        others = lines[:k] + lines[k + 1 :]
        others += [street.path.xy for roads in networks for street in roads.streets]
        networks.append(
            build_network(rng, leg.main, leg.length, leg.section, tuple(crossings), others)
        )
    return networks


def _car_parks(
    rng: np.random.Generator, roads: RoadNetwork, index: int, count: int
) -> tuple[CarPark, ...]:
    """Those that keep away from the crossings."""
    crossings = [0.0] * (index > 0) + [roads.length] * (index + 1 < count)
    return tuple(
        park
        for park in place_car_parks(rng, roads)
        if all(park.s1 < at - _NO_CAR_PARK or park.s0 > at + _NO_CAR_PARK for at in crossings)
    )


def _populate(
    rng: np.random.Generator,
    legs: Sequence[Leg],
    networks: Sequence[RoadNetwork],
    parks: Sequence[tuple[CarPark, ...]],
    starts: Sequence[float],
    ego: RouteMotion,
    duration: float,
) -> Population:
    crowd = Crowd(rng)
    for k, (leg, roads) in enumerate(zip(legs, networks, strict=True)):
        begin = -np.inf
        if k > 0:  # the traffic of the road before goes straight on, here it begins or waits
            half = max(legs[k - 1].section.edges.values())
            begin = half + 2.0
            queue_before(crowd, roads, half + 7.0)
        fill_network(crowd, roads, parks[k], leg.lane, ego, duration, -starts[k], begin)
    return crowd.population()
