"""Every frame that could be used is used, whatever the rates, phases and delays of the sensors.

`benchmark/timing_sweep.py` runs the whole grid; this is every pair of rates at some of it.
"""

from __future__ import annotations

import itertools

import pytest
from support.timing_sweep import RATES, TOLERANCES, Count, Timing, judge

PHASES, LAGS = (0.0, 0.7, 0.45, 0.2), (0.0, 100.0, -40.0, 40.0, -100.0)


def timings(tolerance: float) -> list[Timing]:
    """Every pair of rates, each at a phase and a lag that go round."""
    begin = TOLERANCES.index(tolerance)
    return [
        Timing(camera, lidar, PHASES[k % len(PHASES)], LAGS[k % len(LAGS)], tolerance)
        for k, (camera, lidar) in enumerate(itertools.product(RATES, RATES), begin)
    ]


@pytest.mark.parametrize('tolerance', TOLERANCES)
def test_every_frame_that_could_be_used_is_used(tolerance):
    counts = {timing: judge(timing) for timing in timings(tolerance)}
    short = {t: c for t, c in counts.items() if c.used < c.could or c.nearest < c.fused}
    assert not short
    assert sum(counts.values(), Count()).could > 500


@pytest.mark.parametrize('tolerance', TOLERANCES)
def test_every_sweep_makes_a_sample_and_no_frame_is_used_that_could_not_be(tolerance):
    for timing in timings(tolerance)[::4]:
        count = judge(timing)
        assert count.samples == count.sweeps, timing
        assert count.wrong == 0, timing
