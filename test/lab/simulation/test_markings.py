"""Road markings and where they lie."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.ground_worlds import GroundWorld, ground_world

from metabev_ros.lab.datasets.synthetic.ground import STOP_LINE
from metabev_ros.lab.simulation.markings import (
    Brush,
    Centre,
    Markings,
    MarkingStyle,
    Zebra,
    draw_style,
    paint_markings,
)

WIDTH = 0.14
STYLE = MarkingStyle(width=WIDTH, centre=Centre.YELLOW, edge_dash=np.inf)


def painted(world: GroundWorld, style: MarkingStyle) -> Markings:
    return paint_markings(style, world.ground, ((world.roads, world.parks),))


def profile(
    world: GroundWorld, markings: Markings, middle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Place and width of the line near an offset, every decimetre of a clear stretch."""
    s0, s1 = max(
        world.roads.clear_intervals(world.roads.main.start, world.roads.main.end),
        key=lambda span: span[1] - span[0],
    )
    s, d = np.arange(s0 + 1, s1 - 1, 0.1), np.linspace(-0.25, 0.25, 201)
    grid_s, grid_d = np.meshgrid(s, middle + d, indexing='ij')
    xy = np.stack(world.roads.main.pose(grid_s, grid_d)[:2], axis=-1).reshape(-1, 2)
    share = markings.paint.at(xy, np.full(len(xy), 0.005, np.float32)) / 255
    share = share.reshape(grid_s.shape)
    return (share * grid_d).sum(1) / share.sum(1), share.sum(1) * (d[1] - d[0])


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_a_line_is_as_wide_as_its_style_says_and_does_not_waver(seed):
    world = ground_world(seed)
    markings = painted(world, STYLE)
    for middle in (0.0, world.roads.left_edge - world.roads.strip):
        place, width = profile(world, markings, middle)
        assert abs(width.mean() - WIDTH) < 0.025
        assert width.std() < 0.02
        assert np.abs(place - middle).max() < 0.03


def test_only_yellow_lines_are_yellow():
    world = ground_world(0)
    s0, s1 = world.roads.clear_intervals(0.0, 60.0)[0]
    line = world.roads.main.line(s0 + 1, s1 - 1, 0.0)
    edge = world.roads.main.line(s0 + 1, s1 - 1, -world.roads.lane_width)
    yellow = painted(world, STYLE)
    assert yellow.is_yellow(line).all() and not yellow.is_yellow(edge).any()
    white = painted(world, dataclasses.replace(STYLE, centre=Centre.DASHED_WHITE))
    assert not white.is_yellow(line).any()


@pytest.mark.parametrize('seed', range(4))
def test_stop_lines_are_painted_where_the_labels_say_in_every_style(seed):
    world = ground_world(seed % 3)
    markings = painted(world, draw_style(np.random.default_rng(seed)))
    for at, half in world.roads.junctions:
        s = at - half - 6.2
        if not world.roads.main.start + 2 < s < world.roads.main.end - 2:
            continue
        d = -world.roads.lane_width * np.linspace(0.3, 0.8, 6)
        xy = np.stack(world.roads.main.pose(np.full(6, s), d)[:2], axis=-1)
        assert (world.ground.sample(world.ground.labels, xy) & STOP_LINE > 0).all()
        assert (markings.paint.at(xy, np.full(6, 0.01, np.float32)) > 200).all()


@pytest.mark.parametrize('value', [62, 200])
def test_a_filled_circle_has_its_area_and_no_value_but_those_of_inside_and_outside(value):
    brush = Brush(np.zeros(2), np.array([4.0, 3.0]), value=128)
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    brush.fill(np.array([2.0, 1.5]) + 0.4 * np.stack([np.cos(turn), np.sin(turn)], axis=-1), value)
    assert {int(brush.image.min()), int(brush.image.max())} == {value, 128}
    area = (brush.image.astype(float) - 128).sum() / (value - 128) * brush.cell**2
    assert abs(area - np.pi * 0.4**2) < 0.04


def test_what_is_drawn_beyond_the_raster_is_left_out():
    brush = Brush(np.zeros(2), np.array([4.0, 3.0]))
    brush.cover(np.array([[9.0, 9.0], [10.0, 9.0], [10.0, 10.0]]))
    assert not brush.image.any()
    brush.cover(np.array([[-1.0, -1.0], [9.0, -1.0], [9.0, 9.0], [-1.0, 9.0]]))
    assert (brush.image == 255).all()


def test_styles_are_drawn_differently():
    styles = [draw_style(np.random.default_rng(seed)) for seed in range(40)]
    assert {style.centre for style in styles} == set(Centre)
    assert {style.zebra for style in styles} == set(Zebra)
