"""Speeds over time."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.simulation.plans import SpeedPlan, distances

PLANS = [
    SpeedPlan.steady(7.0),
    SpeedPlan.stop(9.0, 2.0, 1.0),
    SpeedPlan.start(6.0, 1.5, -0.5),
    SpeedPlan.walk(1.4, 9.0, 0.7),
    SpeedPlan((-1.0, 2.0, 3.0), (2.0, -1.0, -1.5)),
]


@pytest.mark.parametrize('plan', PLANS)
def test_the_way_is_the_sum_of_the_speeds(plan: SpeedPlan):
    times = np.linspace(-3, 12, 15_001)
    speeds = np.array([plan.speed(t) for t in times])
    ways = distances(plan, times)
    steps = (speeds[1:] + speeds[:-1]) / 2 * np.diff(times)
    assert np.allclose(np.diff(ways), steps, atol=1e-5)
    assert plan.distance(0.0) == pytest.approx(0.0, abs=1e-12)


def test_who_stops_stands_after_the_braking_distance():
    plan = SpeedPlan.stop(10.0, 2.0)
    assert plan.distance(5.0) == pytest.approx(25.0)
    assert plan.speed(5.1) == 0.0 and plan.distance(60.0) == pytest.approx(25.0)


def test_who_crosses_walks_exactly_that_far():
    plan = SpeedPlan.walk(1.3, 11.0, 2.0)
    assert plan.distance(1.9) == 0.0
    assert plan.distance(60.0) == pytest.approx(11.0)
    late = SpeedPlan.walk(1.3, 11.0, -60.0)
    assert late.distance(5.0) - late.distance(-61.0) == pytest.approx(11.0)


def test_times_that_do_not_rise_are_refused():
    with pytest.raises(ConfigError):
        SpeedPlan((0.0, 0.0), (1.0, 2.0))
    with pytest.raises(ConfigError):
        SpeedPlan((0.0, 1.0), (1.0,))
