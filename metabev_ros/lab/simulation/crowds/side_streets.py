"""Side streets: who waits there, leaves the main road, parks and walks."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.roads import RoadNetwork, SideStreet
from metabev_ros.lab.simulation.cast import Cast
from metabev_ros.lab.simulation.crowds.lanes import Flow, Lane, fill_lane, queue, turn_into
from metabev_ros.lab.simulation.crowds.parked import park_along
from metabev_ros.lab.simulation.crowds.people import cross_road, stroll
from metabev_ros.lab.simulation.crowds.places import Habits
from metabev_ros.lab.simulation.routes import join_lines, lane_line
from metabev_ros.lab.simulation.sites import Roadway
from metabev_ros.lab.simulation.style import Style

STOP = 6.4  # metres from a junction to its stop line


def fill_street(
    cast: Cast,
    style: Style,
    road: Roadway,
    street: SideStreet,
    seconds: float,
    habits: Habits,
) -> None:
    """A side street: who waits, leaves, parks and walks there."""
    rng, path, half = cast.rng, street.path, street.half_width
    if street.length < street.mouth + 20.0:
        return  # a stub
    index = cast.add_path(path)
    inward = Lane(path, index, half / 2, -1, street.mouth + STOP, street.length)
    busy = 40.0 / (habits.gap + 15.0)
    if inward.high - inward.low > 12:
        queue(cast, style, inward, -street.mouth - STOP, int(rng.poisson(0.9 * busy)))
    outward = Lane(path, index, -half / 2, 1, street.mouth + 5, street.length, False)
    if rng.uniform() < 0.5:
        fill_lane(cast, style, outward, Flow((3.0, 8.0), 3 * habits.gap, seconds))
    for _ in range(int(rng.poisson(0.7 * busy))):
        turn_into(cast, style, _turn(rng, road.network, street), (3.0, 6.0), 1)
    share = rng.uniform(*habits.parked)
    for side in (1, -1):
        if half > 3.6 and rng.uniform() < 0.7:
            interval = street.mouth + 9.0, street.length
            park_along(cast, style, path, index, interval, side * half, share)
        band = side * (half + 0.2), side * (half + 2.4)
        stroll(
            cast, path, index, (street.mouth + 4, street.length), band,
            0.6 * rng.uniform(*habits.people),
        )  # fmt: skip
    cross_road(
        cast, path, street.mouth + 3.3, half, -half, int(rng.poisson(habits.crossing * 0.6)),
        seconds,
    )  # fmt: skip


def _turn(rng: np.random.Generator, roads: RoadNetwork, street: SideStreet) -> np.ndarray:
    """(N, 3) a way from the main road into the street or out of it."""
    width, at, side = roads.lane_width, street.at, street.side
    entering = rng.uniform() < 0.5
    forward = roads.lanes_left == 0 or rng.uniform() < 0.5
    lanes = roads.lanes_right if forward else roads.lanes_left
    # A turn to the near side leaves or takes the outer lane, one across the road the inner lane.
    near = (side < 0) == forward
    d = (-1 if forward else 1) * ((lanes - 1 if near else 0) + 0.5) * width
    away = 1 if forward else -1
    reach = street.half_width + (5.0 if near else 7.0)
    if entering:
        first = lane_line(roads.main, at - away * 45, at - away * reach, d)
        second = lane_line(street.path, street.mouth + 5.0, street.length, -street.half_width / 2)
    else:
        first = lane_line(street.path, street.length, street.mouth + 5.0, street.half_width / 2)
        end = roads.main.end if forward else roads.main.start
        second = lane_line(roads.main, at + away * reach, end, d)
    return join_lines(first, second)
