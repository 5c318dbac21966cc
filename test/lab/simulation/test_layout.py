"""Layouts: roads, the ego's way and who is there."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from metabev_ros.lab.datasets.synthetic.rig import EGO_BOX
from metabev_ros.lab.datasets.synthetic.world import boxes_in_ego, without_overlap
from metabev_ros.lab.simulation.cast import Role
from metabev_ros.lab.simulation.layout import Layout, draw_layout
from metabev_ros.lab.simulation.painting import paint_layout
from metabev_ros.lab.simulation.routes import hitch_points
from metabev_ros.lab.simulation.style import Style
from metabev_ros.structures import DETECTION_CLASSES

SECONDS = 6.0
TIMES = (0.0, 2.6, 5.9)
SEEDS = range(60)
# Per cent of all boxes within 60 m: lowest and highest; nuScenes lies between them.
BANDS = {
    'car': (36, 54),
    'truck': (5, 11),
    'construction_vehicle': (0.3, 2.5),
    'bus': (0.6, 2.5),
    'trailer': (0.8, 4),
    'barrier': (8, 20),
    'motorcycle': (0.4, 2.5),
    'bicycle': (0.3, 2.5),
    'pedestrian': (13, 26),
    'traffic_cone': (4, 13),
}


@cache
def layout_of(seed: int, style: Style | None = None, every_class: bool = False) -> Layout:
    return draw_layout(seed, SECONDS, style, every_class)


def near(layout: Layout, t: float, reach: float = 60.0) -> tuple[np.ndarray, np.ndarray]:
    """Boxes in the ego frame of those who exist near it, and their rows."""
    world, exists = layout.population.at(t)
    boxes = boxes_in_ego(world, layout.ego.world_from_ego(t))
    rows = np.flatnonzero(exists & (np.hypot(boxes[:, 0], boxes[:, 1]) < reach))
    return boxes[rows], rows


def counts(layouts: list[Layout]) -> np.ndarray:
    """(10,) boxes of each class in some layouts."""
    total = np.zeros(len(DETECTION_CLASSES))
    for layout in layouts:
        for t in TIMES:
            labels = layout.population.labels[near(layout, t)[1]]
            total += np.bincount(labels, minlength=len(total))
    return total


def test_classes_are_as_frequent_as_in_real_traffic():
    total = counts([layout_of(seed) for seed in SEEDS])
    shares = 100 * total / total.sum()
    for name, share in zip(DETECTION_CLASSES, shares, strict=True):
        low, high = BANDS[name]
        assert low < share < high, (name, share)


def test_rare_classes_are_more_frequent_on_demand_but_not_the_rule():
    seeds = range(24)
    rare = [DETECTION_CLASSES.index(n) for n in ('bus', 'trailer', 'construction_vehicle')]
    often = counts([layout_of(seed, None, True) for seed in seeds])
    seldom = counts([layout_of(seed) for seed in seeds])
    ratio = (often[rare].sum() / often.sum()) / (seldom[rare].sum() / seldom.sum())
    assert 1.3 < ratio < 4
    assert often.argmax() == DETECTION_CLASSES.index('car')


def test_nobody_meets_anybody_nor_the_ego():
    for seed in SEEDS:
        layout = layout_of(seed)
        for t in np.arange(0.05, SECONDS, 0.83):
            boxes, _ = near(layout, t, 90.0)
            assert len(without_overlap(boxes)) == len(boxes)


def test_equal_seeds_give_equal_layouts():
    for style in Style:
        first, second = layout_of(5, style), draw_layout(5, SECONDS, style)
        for field in dataclasses.fields(first.population):
            if field.name not in ('paths', 'profiles'):
                a = getattr(first.population, field.name)
                assert np.array_equal(a, getattr(second.population, field.name))
        times = np.linspace(0, SECONDS, 9)
        assert np.array_equal(first.ego.planar(times), second.ego.planar(times))
        for one, other in zip(first.networks, second.networks, strict=True):
            assert np.array_equal(one.main.xy, other.main.xy)


def test_other_seeds_give_other_layouts():
    assert not np.array_equal(layout_of(1).population.s[:5], layout_of(2).population.s[:5])


@pytest.mark.parametrize('style', Style)
def test_every_style_is_bounded_and_has_ground_and_company(style: Style):
    fast = style in (Style.MOTORWAY, Style.RURAL)
    for seed in range(4):
        layout = layout_of(seed, style)
        assert layout.style is style
        xy = np.concatenate([roads.main.xy for roads in layout.networks])
        assert np.ptp(xy, axis=0).max() < (440 if fast else 400)
        assert 3 <= len(layout.population.labels) < 900
        boxes, _ = layout.population.at(1.0)
        assert np.all(np.isfinite(boxes)) and np.all(boxes[:, 3:6] > 0)


def test_the_ego_stays_on_what_is_drivable():
    x0, x1, y0, y1, _ = EGO_BOX
    corners = np.array([[x0, y0], [x0, y1], [x1, y0], [x1, y1]])
    for style in Style:
        layout = layout_of(3, style)
        ground = paint_layout(np.random.default_rng(0), layout)
        for t in (0.0, 3.0, SECONDS):
            world_from_ego = layout.ego.world_from_ego(t)
            places = corners @ world_from_ego[:2, :2].T + world_from_ego[:2, 3]
            assert np.all(ground.sample(ground.labels, places) & 0b10001), (style, t)


def test_styles_differ():
    def mean(style: Style, name: str) -> float:
        return counts([layout_of(seed, style) for seed in range(8)])[
            DETECTION_CLASSES.index(name)
        ] / (8 * len(TIMES))

    assert mean(Style.DOWNTOWN, 'pedestrian') > 3 * mean(Style.INDUSTRIAL, 'pedestrian')
    assert mean(Style.INDUSTRIAL, 'truck') > 2 * mean(Style.RESIDENTIAL, 'truck')
    assert mean(Style.CAR_PARK, 'car') > 30
    assert mean(Style.RURAL, 'car') < 15
    assert mean(Style.MOTORWAY, 'pedestrian') < 1.5


def test_velocities_are_those_of_the_positions():
    step = 1e-4
    for seed in range(12):
        layout = layout_of(seed)
        for t in (0.71, 3.33):
            before, after = (layout.population.at(t + dt)[0] for dt in (-step, step))
            boxes, exists = layout.population.at(t)
            found = (after[:, :2] - before[:, :2]) / (2 * step)
            error = np.hypot(*(found - boxes[:, 7:9]).T)[exists]
            # A step may lie across a sample of a path, where the direction changes a little.
            assert np.quantile(error, 0.98) < 0.02
            assert error.max() < 0.7


def test_the_ego_moves_as_it_says():
    step = 1e-3
    for style in Style:
        ego = layout_of(8, style).ego
        for t in (0.7, 4.4):
            before, now, after = ego.planar(np.array([t - step, t, t + step]))
            vx, vy, turn = ego.velocity(t)
            c, s = np.cos(now[2]), np.sin(now[2])
            found = (after - before) / (2 * step)
            assert np.hypot(c * vx - s * vy - found[0], s * vx + c * vy - found[1]) < 0.15
            assert abs(turn - found[2]) < 0.1


def test_drivers_stand_drive_slow_down_and_turn():
    speeds, turns, steady = [], [], 0
    for seed in SEEDS:
        ego = layout_of(seed).ego
        velocity = np.array([ego.velocity(t) for t in np.linspace(0, SECONDS, 7)])
        speeds.append(velocity[:, 0])
        turns.append(np.ptp(ego.planar(np.array([0.0, SECONDS]))[:, 2]))
        steady += np.ptp(velocity[:, 0]) < 0.3
    speeds = np.array(speeds)
    assert 0.05 < np.mean(np.abs(speeds) < 0.1) < 0.35  # stand
    assert np.mean(np.ptp(speeds, axis=1) > 2.0) > 0.1  # change their speed
    assert np.mean(np.array(turns) > 0.7) > 0.08
    assert speeds.max() > 18
    assert steady < 0.75 * len(SEEDS)


def test_some_reverse_out_of_a_bay():
    slowest = min(
        layout_of(seed, Style.CAR_PARK).ego.velocity(t)[0] for seed in range(24) for t in TIMES
    )
    assert -2.5 < slowest < -0.3


def test_a_trailer_hangs_on_its_truck_even_in_bends():
    pairs, most = 0, 0.0
    for seed in range(20):
        layout = layout_of(seed, Style.INDUSTRIAL)
        people = layout.population
        trailers = np.flatnonzero(people.tractor >= 0)
        trailers = trailers[people.roles[trailers] != Role.PARKED]
        for t in TIMES:
            boxes, exists = people.at(t)
            there = trailers[exists[trailers]]
            truck, trailer = boxes[people.tractor[there]], boxes[there]
            first, second = hitch_points(truck, trailer)
            # Between two samples of a path it cuts the bend.
            assert np.all(np.hypot(*(first - second).T) < 0.25)
            angles = np.abs((truck[:, 6] - trailer[:, 6] + np.pi) % (2 * np.pi) - np.pi)
            most = max(most, float(angles.max(initial=0.0)))
            pairs += len(there)
        labels = people.labels[people.tractor[trailers]]
        assert np.all(labels == DETECTION_CLASSES.index('truck'))
    assert pairs > 20
    assert most > 0.1


def test_roles_fit_what_one_sees():
    for seed in range(20):
        people = layout_of(seed).population
        speed = np.hypot(*people.at(2.0)[0][:, 7:9].T)
        still = np.isin(people.roles, [Role.PARKED, Role.THING, Role.STANDING, Role.SITTING])
        assert np.all(speed[still] == 0)
        person = people.labels == DETECTION_CLASSES.index('pedestrian')
        assert np.all(people.roles[person] >= Role.STANDING)
        assert not np.any(people.roles[~person] >= Role.STANDING)


def test_ways_grow_as_those_who_walk_go():
    people = layout_of(0, Style.DOWNTOWN).population
    walks = people.roles == Role.WALKING
    made = people.ways(2.0) - people.ways(1.5)
    speed = np.hypot(*people.at(1.75)[0][:, 7:9].T)
    assert walks.any()
    assert np.quantile(np.abs(made / 0.5 - speed)[walks], 0.75) < 0.1


def test_a_part_of_the_actors_moves_as_the_whole():
    people = layout_of(4, Style.INDUSTRIAL).population
    rows = np.flatnonzero(np.arange(len(people.labels)) % 3 > 0)
    part = people.take(rows)
    for a, b in zip(part.at(1.3), people.at(1.3), strict=True):
        assert np.array_equal(a, b[rows])
    towed = np.flatnonzero(part.tractor >= 0)
    assert np.array_equal(rows[part.tractor[towed]], people.tractor[rows[towed]])


def test_a_long_drive_has_company_to_its_end():
    layout = draw_layout(2, 60.0, Style.DOWNTOWN)
    for t in (0.0, 30.0, 59.0):
        boxes, _ = near(layout, t)
        assert len(boxes) > 5
        assert len(without_overlap(boxes)) == len(boxes)
