"""The machines that a sensor's monitor is made of, each on its own."""

from __future__ import annotations

import pytest
from support.fake_drive import MS, T0

from metabev_ros.config import SensingConfig
from metabev_ros.sensing.health.admission import Admission
from metabev_ros.sensing.health.corruption import Corruption
from metabev_ros.sensing.health.drift import Drift
from metabev_ros.sensing.health.silence import Silence
from metabev_ros.sensing.health.stamps import Stamps
from metabev_ros.structures import SensorState

PERIOD = 100 * MS
DEADLINE = 50 * MS


def test_silence_names_the_moment_it_became_too_long_whenever_somebody_looks():
    silence = Silence(DEADLINE)
    assert silence.tick(T0, PERIOD) is None and silence.misses == 0
    silence.hear(T0)
    edge = T0 + DEADLINE + 2 * PERIOD
    assert silence.tick(edge - 1, PERIOD) is None and silence.misses == 1
    assert silence.tick(edge, PERIOD) == silence.tick(edge + 9 * PERIOD, PERIOD) == edge
    assert silence.misses == 2 and silence.is_silent


def test_any_message_ends_silence_but_only_a_sound_one_ends_missed_samples():
    silence = Silence(DEADLINE)
    assert silence.hear(T0) == 0
    assert not silence.miss_sample() and silence.miss_sample()
    silence.tick(T0 + 9 * PERIOD, PERIOD)
    assert silence.hear(T0 + 10 * PERIOD) == 10 * PERIOD
    assert silence.misses == 2 and not silence.is_silent
    silence.end()
    assert silence.misses == 0


def test_a_frozen_frame_is_one_too_many_at_once_and_an_invalid_one_at_the_second():
    corruption = Corruption()
    assert corruption.bad is None and corruption.add(SensorState.FROZEN, T0)
    corruption.end()
    assert not corruption.add(SensorState.INVALID, T0) and corruption.bad is SensorState.INVALID
    assert corruption.add(SensorState.INVALID, T0 + PERIOD)
    assert corruption.is_recent(T0 + PERIOD + 9, 10)
    assert not corruption.is_recent(T0 + PERIOD + 10, 10)


def test_a_sensor_that_never_spoke_cannot_be_lost():
    admission = Admission(PERIOD, SensingConfig())
    admission.lose(T0)
    assert not admission.lost
    assert admission.admit(T0, 0, needed=False) == ''
    admission.lose(T0)
    assert admission.lost


def test_good_frames_that_lie_too_far_apart_are_not_in_a_row():
    admission = Admission(PERIOD, SensingConfig(readmit_frames=2))
    admission.admit(T0, 0, needed=False)
    admission.lose(T0)
    said = [admission.admit(T0, gap, needed=False) for gap in (PERIOD, 5 * PERIOD + 1)]
    assert said == ['good frame 1 of 2'] * 2 and admission.is_next_trusted
    assert admission.admit(T0, 5 * PERIOD, needed=False) == '' and not admission.lost


@pytest.mark.parametrize('apart, out', [(0.9, True), (1.1, False)], ids=['inside', 'outside'])
def test_only_losses_inside_the_window_count_for_the_quarantine(apart, out):
    config = SensingConfig(readmit_frames=1, flap_limit=1, flap_window=1.0, quarantine=2.0)
    admission = Admission(PERIOD, config)
    admission.admit(T0, 0, needed=False)
    admission.lose(T0)
    admission.admit(T0, 0, needed=False)
    second = T0 + round(apart * 1e9)
    admission.lose(second)
    assert admission.in_quarantine(second + 2_000 * MS - 1) is out
    assert not admission.in_quarantine(second + 2_000 * MS)
    admission.forget()
    assert not admission.in_quarantine(second)


@pytest.mark.parametrize(
    'drift, flaw',
    [(24, ''), (26, 'skew: +26 ms since the start'), (-26, 'skew: -26 ms since the start')],
)
def test_more_than_half_the_way_to_the_tolerance_is_a_drift(drift, flaw):
    machine = Drift(50 * MS)
    for skew in [0] * 40 + [drift * MS] * 40:
        machine.add(skew)
    assert machine.flaw == flaw
    machine.forget()
    assert machine.flaw == ''


@pytest.mark.parametrize(
    'steps, period',
    [
        ([2, 2, 2], 2 * PERIOD),
        ([2, 2], PERIOD),  # too few to tell
        ([1, 1, 1], PERIOD),
        ([2, 2, 3], PERIOD),  # not steady
        ([6, 6, 6], PERIOD),  # silence, not a rate
    ],
    ids=['slow', 'two', 'nominal', 'unsteady', 'absent'],
)
def test_only_a_steady_slow_sensor_is_expected_less_often(steps, period):
    stamps = Stamps(10.0)
    at = T0
    stamps.add(at, at)
    for step in steps:
        at += step * PERIOD
        stamps.add(at, at)
    assert stamps.period_ns == period
    assert stamps.next_due == (at + period, at + period)


def test_the_next_message_is_expected_to_lag_as_much_as_the_slowest_of_the_newest():
    stamps = Stamps(10.0)
    assert stamps.next_due is None
    lags = [90 * MS, 5 * MS, 30 * MS, 5 * MS, 5 * MS, 5 * MS]
    for k, lag in enumerate(lags):
        stamps.add(T0 + k * PERIOD, T0 + k * PERIOD + lag)
    due = T0 + len(lags) * PERIOD
    assert stamps.next_due == (due, due + 30 * MS)
