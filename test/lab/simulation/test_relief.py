"""Hills over the plane."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.simulation.relief import STEEPEST, Relief, draw_relief

LOW, HIGH = np.array([-80.0, -60.0]), np.array([260.0, 190.0])


def slopes(relief: Relief) -> np.ndarray:
    xy = np.random.default_rng(0).uniform(LOW, HIGH, (20_000, 2))
    return np.rad2deg(np.arctan(np.linalg.norm(relief.gradient(xy), axis=-1)))


def drawn(seed: int, strength: float = 1.0) -> Relief:
    return draw_relief(np.random.default_rng([seed, 7]), LOW, HIGH, strength)


def test_no_slope_is_steeper_than_the_bound_and_worlds_differ():
    steepest = np.array([slopes(drawn(seed)).max() for seed in range(24)])
    assert steepest.max() < STEEPEST
    assert (steepest < 1.0).sum() >= 4 and (steepest > 2.0).sum() >= 4


def test_the_gradient_is_the_slope_of_the_height():
    relief, step = drawn(3), 1e-4
    xy = np.random.default_rng(1).uniform(LOW, HIGH, (500, 2))
    for axis in (0, 1):
        offset = step * np.eye(2)[axis]
        rise = (relief.height(xy + offset) - relief.height(xy - offset)) / (2 * step)
        np.testing.assert_allclose(relief.gradient(xy)[:, axis], rise, atol=1e-8)


def test_real_ground_varies_by_decimetres_within_fifty_metres_in_hilly_worlds():
    xy = np.random.default_rng(2).uniform(LOW + 50, HIGH - 50, (400, 2))
    away = np.array([50.0, 0.0])
    change = [
        np.abs(drawn(seed).height(xy + away) - drawn(seed).height(xy)).max() for seed in range(24)
    ]
    assert np.median(change) > 0.3 and max(change) > 1.0


def test_strength_0_is_a_plane_and_a_wrong_strength_is_refused():
    assert np.abs(drawn(5, 0.0).height(np.array([[3.0, 4.0], [90.0, 80.0]]))).max() == 0
    with pytest.raises(ConfigError, match=r'draw_relief\.strength'):
        drawn(5, 1.5)


def test_any_shape_of_points_is_taken():
    xy = np.random.default_rng(3).uniform(LOW, HIGH, (3, 4, 2))
    relief = drawn(1)
    assert relief.height(xy).shape == (3, 4) and relief.gradient(xy).shape == (3, 4, 2)
    assert relief.height(xy)[1, 2] == relief.height(xy[1, 2])
