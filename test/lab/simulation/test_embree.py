"""Embree's scenes: masks, reach, packets that are not full, and matrices of what turns."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.lab.simulation.embree import EmbreeScene, matrices_of

SQUARE = np.array([[0, -1, -1], [0, 1, -1], [0, 1, 1], [0, -1, 1]], np.float32)
HALVES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
AHEAD = np.array([[1.0, 0, 0]], np.float32)


def moved(x: float) -> np.ndarray:
    matrix = np.eye(4, dtype=np.float32)[None, :3].copy()
    matrix[0, 0, 3] = x
    return matrix


def two_walls(masked: bool = False) -> EmbreeScene:
    wall = EmbreeScene.triangles(SQUARE, HALVES)
    return EmbreeScene.instances([wall, wall], [moved(5.0), moved(9.0)], masked)


@pytest.mark.parametrize('count', [1, 15, 16, 17, 40])
def test_any_number_of_rays_meets_what_is_nearest(count: int):
    origins = np.tile(np.array([[7.0, 0.3, 0.2]], np.float32), (count, 1))
    origins[::2, 0] = 0.0
    distance, triangle, which, weights = two_walls().nearest(origins, AHEAD.repeat(count, 0))
    np.testing.assert_allclose(distance[::2], 5.0, atol=1e-5)
    np.testing.assert_allclose(distance[1::2], 2.0, atol=1e-5)
    assert set(which[::2]) == {0}
    assert set(which[1::2]) <= {1}
    assert ((triangle >= 0) & (triangle < 2)).all()
    assert weights.shape == (count, 2)


def test_rays_that_meet_nothing_say_so():
    origins = np.full((3, 3), 20.0, np.float32)
    distance, triangle, which, _ = two_walls().nearest(origins, AHEAD.repeat(3, 0))
    assert np.isinf(distance).all()
    assert triangle.tolist() == which.tolist() == [-1, -1, -1]


def test_no_rays_and_no_triangles_meet_nothing():
    nothing = EmbreeScene.triangles(np.zeros((0, 3)), np.zeros((0, 3)))
    assert not nothing.blocks(np.zeros((2, 3), np.float32), AHEAD.repeat(2, 0)).any()
    assert len(two_walls().nearest(np.zeros((0, 3)), np.zeros((0, 3)))[0]) == 0


def test_a_ray_meets_only_the_scenes_of_its_mask():
    origins = np.array([[7.0, 0, 0]] * 3, np.float32)
    masks = np.array([1, 2, 3], np.uint32)
    met = two_walls(masked=True).blocks(origins, AHEAD.repeat(3, 0), masks=masks)
    assert met.tolist() == [False, True, True]


def test_what_drives_and_turns_is_where_it_is_at_every_time():
    box = np.eye(4)
    box[:3, :3] *= (4.0, 2.0, 1.5)
    box[:3, 3] = 3.0, -1.0, 0.8
    velocity, rate = np.array([9.0, 2.0, 0.0]), 1.2
    matrices = matrices_of(box, velocity, rate, -0.1, 0.0)
    lags = np.linspace(-0.1, 0.0, 57)
    place = np.interp(lags, (-0.1, 0.0), (0, len(matrices) - 1))
    first = np.minimum(place.astype(int), len(matrices) - 2)
    between = matrices[first] + (place - first)[:, None, None] * (
        matrices[first + 1] - matrices[first]
    )
    corner = np.array([0.5, 0.5, 0.5, 1.0])
    c, s = np.cos(rate * lags), np.sin(rate * lags)
    expected = np.stack(
        [3 + c * 2 - s * 1 + 9 * lags, -1 + s * 2 + c * 1 + 2 * lags, 1.55 + 0 * lags], -1
    )
    assert np.abs(between @ corner - expected).max() < 2e-4
    assert len(matrices_of(box, np.zeros(3), 0.0, -0.1, 0.0)) == 1
