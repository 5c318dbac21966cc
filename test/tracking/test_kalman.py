"""The filter against simulated truth: its covariances are what it errs by."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from metabev_ros.tracking.kalman import correct, predict

OBJECTS, STEPS, PERIOD = 400, 40, 0.1
DENSITY, CLIMB = 4.0, 0.1
NOISE = np.array([[0.3, 0.1, 0.0], [0.1, 0.2, 0.0], [0.0, 0.0, 0.04]])
START = np.diag([0.3, 0.2, 0.04, 9.0, 9.0])


def simulated(rng: np.random.Generator):
    """Yield truth (N, 5) and measurements (N, 3) of objects with the noise of the model."""
    truth = rng.multivariate_normal(np.zeros(5), START, OBJECTS)
    blocks = np.array([[PERIOD**3 / 3, PERIOD**2 / 2], [PERIOD**2 / 2, PERIOD]]) * DENSITY
    for _ in range(STEPS):
        for axis in range(2):
            truth[:, axis] += truth[:, 3 + axis] * PERIOD
            truth[:, [axis, 3 + axis]] += rng.multivariate_normal([0, 0], blocks, OBJECTS)
        truth[:, 2] += rng.normal(0, np.sqrt(CLIMB * PERIOD), OBJECTS)
        yield truth, truth[:, :3] + rng.multivariate_normal(np.zeros(3), NOISE, OBJECTS)


def normalised(error: np.ndarray, covariance: np.ndarray) -> float:
    """Mean squared error in units of the covariance, over all objects."""
    return float(np.einsum('ni,nij,nj->n', error, np.linalg.inv(covariance), error).mean())


def test_the_error_is_as_large_as_the_covariance_says():
    """NEES and NIS inside the 99.9 % interval of a consistent filter (Bar-Shalom, section 5.4)."""
    rng = np.random.default_rng(1)
    mean, covariance = np.zeros((OBJECTS, 5)), np.tile(START, (OBJECTS, 1, 1))
    noise, density = np.tile(NOISE, (OBJECTS, 1, 1)), np.full(OBJECTS, DENSITY)
    low, high = (chi2.ppf(p, 5 * OBJECTS) / OBJECTS for p in (0.0005, 0.9995))
    outside = 0
    for truth, measured in simulated(rng):
        mean, covariance = predict(mean, covariance, PERIOD, density, CLIMB)
        nis = normalised(measured - mean[:, :3], covariance[:, :3, :3] + noise)
        assert nis == pytest.approx(3, abs=0.5)
        mean, covariance = correct(mean, covariance, measured, noise)
        outside += not low <= normalised(truth - mean, covariance) <= high
    assert outside <= 1


def test_a_filter_with_a_wrong_process_noise_would_fail_that():
    rng = np.random.default_rng(1)
    mean, covariance = np.zeros((OBJECTS, 5)), np.tile(START, (OBJECTS, 1, 1))
    noise = np.tile(NOISE, (OBJECTS, 1, 1))
    truth = np.zeros((OBJECTS, 5))
    for now, measured in simulated(rng):
        truth = now
        mean, covariance = predict(mean, covariance, PERIOD, np.full(OBJECTS, 0.5), CLIMB)
        mean, covariance = correct(mean, covariance, measured, noise)
    assert normalised(truth - mean, covariance) > 6.5


def test_two_steps_give_what_one_of_their_sum_gives():
    mean, covariance = np.arange(5.0)[None], START[None]
    density = np.array([2.0])
    whole = predict(mean, covariance, 0.7, density, CLIMB)
    parts = predict(*predict(mean, covariance, 0.3, density, CLIMB), 0.4, density, CLIMB)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_a_correction_equals_the_textbook_form():
    """P - K S K' and x + K (z - H x), of one object after the other."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(7, 5, 5))
    covariance = half @ np.swapaxes(half, 1, 2) + np.eye(5)
    mean, measured, noise = (
        rng.normal(size=(7, 5)),
        rng.normal(size=(7, 3)),
        np.tile(NOISE, (7, 1, 1)),
    )
    got_mean, got_covariance = correct(mean, covariance, measured, noise)
    see = np.eye(3, 5)
    for k in range(7):
        spread = see @ covariance[k] @ see.T + noise[k]
        gain = covariance[k] @ see.T @ np.linalg.inv(spread)
        np.testing.assert_allclose(got_mean[k], mean[k] + gain @ (measured[k] - see @ mean[k]))
        np.testing.assert_allclose(
            got_covariance[k], covariance[k] - gain @ spread @ gain.T, atol=1e-9
        )
