"""Points in eight bytes, exactly or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.lab.datasets.point_packing import pack_points, unpack_points


def grid_points(count: int = 500) -> np.ndarray:
    rng = np.random.default_rng(0)
    points = np.zeros((count, 5), np.float32)
    points[:, :3] = np.rint(rng.uniform(-100, 100, (count, 3)) * 256) / 256
    points[:, 3] = rng.integers(0, 256, count)
    points[:, 4] = rng.choice(np.array([0, 0.05, 0.1], np.float32), count)
    return points


def test_points_on_steps_come_back_bit_for_bit():
    points = grid_points()
    packed = pack_points(points)
    assert packed is not None
    assert sum(array.nbytes for array in packed.values()) < 0.45 * points.nbytes
    np.testing.assert_array_equal(unpack_points(packed), points)


@pytest.mark.parametrize(
    ('column', 'value'), [(0, 0.001), (1, 130.0), (3, 3.5), (3, -1.0), (3, 256.0)]
)
def test_points_that_would_lose_something_are_not_packed(column: int, value: float):
    points = grid_points()
    points[7, column] = value
    assert pack_points(points) is None


def test_many_different_lags_are_not_packed():
    points = grid_points()
    points[:, 4] = np.arange(len(points)) * 1e-4
    assert pack_points(points) is None


def test_no_points_pack_too():
    packed = pack_points(np.zeros((0, 5), np.float32))
    assert packed is not None
    assert unpack_points(packed).shape == (0, 5)
