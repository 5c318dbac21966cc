"""Curves through junctions, and trailers on them."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.lab.datasets.synthetic.roads import STEP, Section
from metabev_ros.lab.simulation.junctions import Ring, arms_of, draw_ways, way_through
from metabev_ros.lab.simulation.routes import (
    hitch_points,
    join_lines,
    lane_line,
    path_along,
    trailer_path,
)

LINE = np.stack([np.linspace(0, 120, 241), np.zeros(241), np.zeros(241)], axis=-1)
EAST = path_along(LINE, -60.0)
NORTH = path_along(
    np.stack([np.full(241, 60.0), np.linspace(-60, 60, 241), np.full(241, np.pi / 2)], -1), -60.0
)
SECTION = Section(3.5, 1, 1, 0.3, 2.0)


def is_smooth(line: np.ndarray, tightest: float) -> bool:
    """Whether headings are those of the steps, and no bend is tighter than a radius."""
    steps = np.diff(line[:, :2], axis=0)
    length = np.hypot(*steps.T)
    steps, middle = steps[length > 1e-6], ((line[1:, 2] + line[:-1, 2]) / 2)[length > 1e-6]
    along = np.cos(np.arctan2(steps[:, 1], steps[:, 0]) - middle)
    path = path_along(line)
    bend = np.abs(np.diff(path.heading)) / STEP
    return bool(along.min() > 0.97 and bend.max() < 1 / tightest)


def boxes_of(path, length: float) -> np.ndarray:
    boxes = np.zeros((len(path.xy), 7))
    boxes[:, :2], boxes[:, 6], boxes[:, 3] = path.xy, path.heading, length
    return boxes


@pytest.mark.parametrize('turn', [-1, 1])
def test_a_turn_leads_smoothly_from_one_lane_into_another(turn: int):
    first = lane_line(EAST, -40, 48 - 60, -1.75)
    d = -1.75
    second = lane_line(NORTH, turn * 12, turn * 60, turn * d)
    line = join_lines(first, second)
    assert is_smooth(line, 3.0)
    assert line[-1, 2] - line[0, 2] == pytest.approx(turn * np.pi / 2, abs=0.01)


def test_the_hitch_of_a_truck_is_that_of_its_trailer_and_the_trailer_cuts_the_corner():
    line = join_lines(lane_line(EAST, -40, -12, 0.0), lane_line(NORTH, 12, 60, 0.0))
    truck = path_along(line)
    trailer = trailer_path(truck, 6.0, 12.0)
    first, second = hitch_points(boxes_of(truck, 6.0), boxes_of(trailer, 12.0))
    assert np.hypot(*(first - second).T).max() < 1e-6
    corner = np.array([60.0, 0.0])
    # The middle of the bend lies to the left of both, the trailer is nearer to it.
    inside = corner + [-12.0, 12.0]
    nearest = [np.hypot(*(path.xy - inside).T).min() for path in (truck, trailer)]
    assert nearest[1] < nearest[0] - 0.5


def test_all_arms_of_a_roundabout_can_be_reached_around_its_island():
    middle = np.array([60.0, 0.0])
    ring = Ring(middle, 16.0, 10.0)
    arms = [*arms_of(EAST, 0.0, SECTION), *arms_of(NORTH, 0.0, SECTION)]
    assert len(arms) == 4
    turns = set()
    for going in arms:
        line = way_through(arms[1], going, (0, 0), 20.0, ring)
        distance = np.hypot(*(line[:, :2] - middle).T)
        assert distance.min() > 10.9  # half a car's width from the island
        assert is_smooth(line, 2.5)
        turns.add(round(float(line[-1, 2] - line[0, 2]) / (np.pi / 2)))
    assert turns == {-1, 0, 1, 2}


def test_an_arm_that_is_too_short_is_none():
    assert len(arms_of(EAST, 50.0, SECTION)) == 1


def test_ways_are_equal_for_equal_seeds_and_leave_one_way_streets_alone():
    one_way = Section(3.5, 1, 0, 0.3, 2.0)
    arms = [*arms_of(EAST, 0.0, one_way), *arms_of(NORTH, 0.0, one_way)]
    first, second = (draw_ways(np.random.default_rng(1), arms, 30, 12.0) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    # Out of a junction of two one-way streets lead two ways: east and north.
    ends = np.array([way[-1, :2] - [60.0, 0.0] for way in first])
    assert {(x > 20, y > 20) for x, y in ends.tolist()} == {(True, False), (False, True)}
