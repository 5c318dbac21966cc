"""Which detection is whose, beside oracles, and the numbers of classes and branches."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import chi2, multivariate_normal

from metabev_ros.errors import ConfigError
from metabev_ros.structures import DETECTION_CLASSES, Modality
from metabev_ros.tracking.association import GATE, greedy_pairs, pair_costs
from metabev_ros.tracking.motion import CLASS_MOTION, ClassMotion, MotionTable
from metabev_ros.tracking.noise import BOX_NOISE, BoxNoise


def test_the_least_cost_is_taken_first_and_everything_once():
    costs = np.array([[1.0, 2.0, np.inf], [0.5, np.inf, np.inf], [np.inf, np.inf, np.inf]])
    rows, columns = greedy_pairs(costs)
    assert list(zip(rows, columns, strict=True)) == [(1, 0), (0, 1)]


def test_where_objects_are_apart_the_pairs_are_those_of_the_best_assignment():
    rng = np.random.default_rng(0)
    for _ in range(50):
        places = rng.permutation(40)[:8, None] * 10.0 * np.array([1.0, 0.3])
        order = rng.permutation(8)
        seen = places[order] + rng.normal(0, 0.3, (8, 2))
        spread = np.tile(np.eye(2) * 0.2, (8, 1, 1))
        costs = pair_costs(places, spread, seen, spread, np.full(8, 4.0))
        rows, columns = greedy_pairs(costs)
        best = linear_sum_assignment(np.where(np.isfinite(costs), costs, 1e6))
        assert sorted(zip(rows, columns, strict=True)) == sorted(zip(*best, strict=True))


def test_a_cost_is_minus_twice_the_log_likelihood():
    rng = np.random.default_rng(0)
    here, there = rng.normal(0, 0.5, (4, 2)), rng.normal(0, 0.5, (5, 2))
    halves = rng.normal(size=(9, 2, 2))
    spreads = halves @ np.swapaxes(halves, 1, 2) + np.eye(2)
    costs = pair_costs(here, spreads[:4], there, spreads[4:], np.full(4, 50.0))
    for i in range(4):
        for j in range(5):
            likely = multivariate_normal(here[i], spreads[i] + spreads[4 + j]).logpdf(there[j])
            assert costs[i, j] == pytest.approx(-2 * likely - 2 * np.log(2 * np.pi))


def test_gates_are_a_quantile_of_the_distance_and_metres():
    assert pytest.approx(chi2.ppf(0.999, 2), abs=0.02) == GATE
    spread = np.tile(np.eye(2) * 100.0, (1, 1, 1))
    seen = np.array([[3.9, 0.0], [4.1, 0.0]])
    costs = pair_costs(np.zeros((1, 2)), spread, seen, np.zeros((2, 2, 2)), np.array([4.0]))
    assert np.isfinite(costs).tolist() == [[True, False]]
    tight = pair_costs(np.zeros((1, 2)), spread / 1e4, seen, np.zeros((2, 2, 2)), np.array([9.0]))
    assert not np.isfinite(tight).any()


def test_every_class_and_every_branch_has_numbers():
    assert set(CLASS_MOTION) == set(DETECTION_CLASSES)
    assert set(BOX_NOISE) == set(Modality) - {Modality.NONE}
    table = MotionTable.of(DETECTION_CLASSES)
    names = np.array(DETECTION_CLASSES)
    vehicles = names[table.group == table.group[0]]
    assert set(vehicles) == {'car', 'truck', 'construction_vehicle', 'bus', 'trailer'}


def test_a_box_of_cameras_is_uncertain_along_the_ray_and_more_so_farther_away():
    places = np.array([[10.0, 0.0, 0.0], [0.0, 30.0, 0.0]])
    near, far = BOX_NOISE[Modality.CAMERA].covariances(places)
    assert near[0, 0] > near[1, 1] and far[1, 1] > far[0, 0] and far[1, 1] > 2 * near[0, 0]
    turned = BOX_NOISE[Modality.CAMERA].covariances(np.array([[7.0, 7.0, 0.0]]))[0]
    along = np.array([1.0, 1.0]) / np.sqrt(2)
    reach = np.hypot(7, 7)
    noise = BOX_NOISE[Modality.CAMERA]
    expected = (noise.along + noise.along_share * reach) ** 2
    assert along @ turned[:2, :2] @ along == pytest.approx(expected)
    assert near[0, 0] > 4 * BOX_NOISE[Modality.LIDAR].covariances(places)[0, 0, 0]


@pytest.mark.parametrize('value', [0.0, -1.0, float('nan'), 1e9])
def test_impossible_numbers_are_refused(value):
    with pytest.raises(ConfigError):
        ClassMotion('vehicle', value, 1.0, 1.0, 1.0)
    with pytest.raises(ConfigError):
        BoxNoise(value, 0.0, 0.1, 0.0, 0.1, 0.1)
