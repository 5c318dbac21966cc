"""Grids, edges, rasters and road coordinates under the simulated ground."""

from __future__ import annotations

import numpy as np
import pytest
from support.ground_worlds import ground_world

from metabev_ros.errors import ConfigError
from metabev_ros.lab.simulation.detail_tiles import GRASS_TILE, TILE, detail_tiles
from metabev_ros.lab.simulation.edges import node_distance
from metabev_ros.lab.simulation.node_grid import NodeGrid, straightened
from metabev_ros.lab.simulation.rasters import RasterPyramid
from metabev_ros.lab.simulation.road_frame import road_frame


def test_a_grid_is_exact_on_planes_and_continuous_across_its_cells():
    rng = np.random.default_rng(0)
    grid = NodeGrid(np.array([-3.0, 2.0]), 0.5, np.zeros((9, 7)))
    plane = NodeGrid(grid.origin, 0.5, grid.points() @ np.array([2.0, -3.0]) + 1)
    xy = grid.origin + rng.uniform(0, [3.0, 4.0], (1000, 2))
    np.testing.assert_allclose(plane.at(xy), xy @ np.array([2.0, -3.0]) + 1)
    rough = NodeGrid(grid.origin, 0.5, rng.normal(size=(9, 7)))
    step = 1e-7
    assert np.abs(rough.at(xy + step) - rough.at(xy)).max() < 1e-5
    np.testing.assert_allclose(rough.at(grid.points()), rough.values, atol=1e-12)
    np.testing.assert_array_equal(rough.at(np.array([[-99.0, 2.0]])), rough.values[:1, 0])


def test_a_grid_without_a_cell_is_refused():
    with pytest.raises(ConfigError, match='node grid'):
        NodeGrid(np.zeros(2), 1.0, np.zeros((1, 5)))


def test_straightened_blocks_are_flat_and_meet_their_neighbours():
    values = np.random.default_rng(1).normal(size=(9, 9))
    where = np.array([[True, False], [False, True]])
    flat = straightened(values, 4, where)
    coarse = NodeGrid(np.zeros(2), 4.0, flat[::4, ::4])
    inner = np.random.default_rng(2).uniform(0, 4, (200, 2))
    fine = NodeGrid(np.zeros(2), 1.0, flat)
    np.testing.assert_allclose(fine.at(inner), coarse.at(inner))
    np.testing.assert_array_equal(flat[1:4, 5:8], values[1:4, 5:8])


@pytest.mark.parametrize('turn', [0.0, 0.3, 0.7, 1.2])
def test_the_distance_from_a_straight_edge_is_good_to_centimetres(turn):
    cell, step = 0.125, 4
    normal = np.array([np.cos(turn), np.sin(turn)])
    y, x = np.mgrid[0:400, 0:400] * cell
    exact = x * normal[0] + y * normal[1] - 25 * normal.sum()
    found = node_distance(exact > 0, cell, step, 16)
    assert found.shape == (401 // 4 + 1, 401 // 4 + 1)
    inner = (slice(20, 80), slice(20, 80))  # beside the border the edge ends
    found, exact = found[inner], exact[::step, ::step][inner]
    error = (found - exact)[np.abs(exact) < 0.5]
    assert np.abs(error - error.mean()).max() < 0.03
    assert abs(error.mean()) < cell  # of the mask itself
    assert (
        np.sign(found[np.abs(exact) > cell]).tolist()
        == np.sign(exact[np.abs(exact) > cell]).tolist()
    )


@pytest.mark.parametrize('turn', [0.0, 0.7])
def test_a_distance_of_metres_is_good_to_a_decimetre(turn):
    normal = np.array([np.cos(turn), np.sin(turn)])
    y, x = np.mgrid[0:400, 0:400] * 0.125
    exact = x * normal[0] + y * normal[1] - 25 * normal.sum()
    found = node_distance(exact > 0, 0.125, 4, 16, reach=3.0)[20:80, 20:80]
    exact = exact[::4, ::4][20:80, 20:80]
    assert np.abs(found - exact)[np.abs(exact) < 2.5].max() < 0.15


def test_a_pyramid_gives_the_mean_to_large_pixels_and_its_border_to_the_outside():
    image = np.zeros((64, 64), dtype=np.uint8)
    image[:, ::2] = 200
    pyramid = RasterPyramid.of(np.array([5.0, 5.0]), 0.1, image, outside=7)
    xy = np.random.default_rng(3).uniform(6.5, 9.5, (50, 2))
    np.testing.assert_allclose(pyramid.at(xy, np.full(50, 0.4)), 100, atol=1)
    on = np.array([[5.2, 6.0], [5.3, 6.0], [90.0, 6.0]])
    np.testing.assert_allclose(pyramid.at(on, np.full(3, 0.01)), [200, 0, 7], atol=1)


def test_tiles_are_1_on_average_at_every_size_and_repeat():
    tiles, rng = detail_tiles(), np.random.default_rng(4)
    xy = rng.uniform(-40, 40, (40_000, 2)).astype(np.float32)
    for kind in (TILE, GRASS_TILE):
        for footprint in (0.001, 0.02, 0.1, 5.0):
            detail = tiles.at(kind, xy, np.full(len(xy), footprint, np.float32))
            assert abs(detail.mean() - 1) < 0.03
    period = np.float32(0.004 * 1024)
    exact = np.round(xy / np.float32(0.004)) * np.float32(0.004) + np.float32(0.002)
    near = np.full(len(xy), 0.001, np.float32)
    same = tiles.at(TILE, exact, near) == tiles.at(TILE, exact + period, near)
    assert same.mean() > 0.99


def test_the_road_frame_gives_places_along_and_across_the_nearest_road():
    roads = ground_world(0).roads
    xy = roads.main.xy
    frame = road_frame(xy.min(axis=0) - 80, xy.max(axis=0) + 80, [roads])
    rng = np.random.default_rng(5)
    s, d = rng.uniform(roads.main.start, roads.main.end, 2000), rng.uniform(-6, 6, 2000)
    x, y, _, _ = roads.main.pose(s, d)
    along, across, lane = frame.at(np.stack([x, y], axis=-1))
    mine = (lane == np.float32(roads.lane_width)) & (
        np.min([np.abs(s - at) for at, _ in roads.junctions] or [np.full(2000, 99)], axis=0) > 15
    )
    assert mine.mean() > 0.3
    assert np.quantile(np.abs(along - s)[mine], 0.99) < 0.3
    assert np.quantile(np.abs(across - d)[mine], 0.99) < 0.06
