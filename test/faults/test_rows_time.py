"""Fault matrix D, time, with the injector; and J, load, with a made-up clock."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from support.fake_drive import LIDAR, MS, SENSORS, T0, front_end
from support.injected_drive import DEADLINE, VEHICLE, fault, run, stream
from support.random_plans import random_plan

from metabev_ros import wire
from metabev_ros.faults.plan import What
from metabev_ros.node.workers import Mailbox
from metabev_ros.structures import Modality, Sample, SensorState, Sweep

YEAR = 365 * 86400.0
LAST = 3.99  # the sweeps of a stream of 4 s end here; the cameras go on for a moment
PERIOD = VEHICLE.period(LIDAR)


def shifted(seconds: float, name: str, begin: float = 1.0, end: float = 2.0):
    return run(fault('wrong', name, begin, end, what=What.STAMP, seconds=seconds), seconds=3.0)


def dead_between(result, name: str, begin: float = 1.25, end: float = 1.95) -> bool:
    return not any(name in s.used_sensors for _, s in result.between(begin, end))


@pytest.mark.parametrize('name', ['cam2', LIDAR])
def test_row_046_a_zero_stamp_is_invalid_and_never_replaced_by_now(name):
    result = shifted(-1e12, name)
    assert {t.out_stamp_ns for t in result.truth_of(name) if t.action == 'damaged'} == {0}
    assert dead_between(result, name) and len(result.out) >= 50
    reasons = {r.reason for r in result.of(name) if r.state is SensorState.INVALID}
    assert any(reason.startswith('stamp') for reason in reasons)
    assert result.samples[-1].used_sensors == SENSORS


@pytest.mark.parametrize('name', ['cam5', LIDAR])
@pytest.mark.parametrize('seconds', [10.0, YEAR])
def test_row_047_a_future_stamp_is_refused_and_normal_frames_are_used_at_once(seconds, name):
    end = 1.0 + 1.6 * VEHICLE.period(name) / 1e9
    result = shifted(seconds, name, end=end)  # one or two messages: no loss, no re-admission
    bad = [t for t in result.truth_of(name) if t.action == 'damaged']
    assert 1 <= len(bad) <= 2
    assert not any(r.stamp_ns in {t.out_stamp_ns for t in bad} for r in result.of(name))
    good = [
        t.out_stamp_ns
        for t in result.truth_of(name)
        if t.number > bad[-1].number + (len(bad) > 1) * 2
    ]
    used = {r.stamp_ns for r in result.of(name) if r.used}
    without = {r.stamp_ns for r in run(seconds=3.0).of(name) if r.used}
    assert set(good) & without <= used, 'the watermark did not move'
    assert result.end.reports(T0 + 3000 * MS)[SENSORS.index(name)].rejected == len(bad)


def test_row_047_a_stamp_within_the_tolerance_ahead_of_the_clock_is_accepted():
    result = shifted(0.05, 'cam2')
    used = {r.stamp_ns for r in result.of('cam2') if r.used}
    assert (
        sum(t.out_stamp_ns in used for t in result.truth_of('cam2') if t.action == 'damaged') >= 9
    )


@pytest.mark.parametrize('name', ['cam2', LIDAR])
def test_row_048_050_one_sensor_ten_seconds_back_is_left_out_alone(name):
    result = shifted(-10.0, name)
    assert dead_between(result, name) and result.end.epoch == 0
    assert all(set(SENSORS) - {name} <= set(s.used_sensors) for _, s in result.between(1.3, 1.9))
    assert name in result.samples[-1].used_sensors


def test_row_050_a_camera_that_steps_back_by_less_than_a_second_is_named_and_left_out():
    result = shifted(-0.3, 'cam2')
    assert dead_between(result, 'cam2') and result.end.epoch == 0
    assert any(r.reason.startswith('backwards') for r in result.of('cam2'))


def test_row_051_messages_in_disorder_never_make_the_output_stamps_go_back():
    messages = list(stream(3.0))
    order = np.random.default_rng(3).permutation(5)
    for start in range(20, len(messages) - 5, 5):
        block = messages[start : start + 5]
        times = [m.log_time_ns for m in block]
        messages[start : start + 5] = [
            replace(block[i], log_time_ns=at) for i, at in zip(order, times, strict=True)
        ]
    result = run(messages=tuple(messages))
    stamps = [s.stamp_ns for s in result.samples]
    assert stamps == sorted(set(stamps)) and len(stamps) >= 40, 'a sweep behind its next is lost'


def test_row_052_a_camera_200_ms_late_is_never_used_and_the_delay_is_said():
    result = run(fault('delayed', 'cam2', 1.0, seconds=0.2), seconds=4.0)
    assert len(result.out) == 80
    late = [r for _, s in result.between(1.3, 3.8) for r in s.sensors if r.name == 'cam2']
    assert not any(r.used for r in late)
    assert any('late' in r.reason and 'ms' in r.reason for r in late)


def test_row_053_a_drifting_camera_is_said_before_it_leaves_the_window():
    """1 ms a second would take two minutes; 10 ms a second shows the same in twelve."""
    result = run(fault('wrong', 'cam5', 4.0, what=What.DRIFT, seconds=-0.01), seconds=22.0)
    reports = result.of('cam5')
    first_said = next(k for k, r in enumerate(reports) if 'skew' in r.reason)
    first_lost = next(k for k, r in enumerate(reports) if not r.used)
    assert first_said + 10 < first_lost, 'a second of warning at the least'
    assert all(r.state is SensorState.SUSPECT for r in reports[first_said:first_lost])
    assert {r.state for r in reports[:first_said]} == {SensorState.OK}
    for sample in result.samples:  # no burst of pairing with a wrong sweep
        if sample.cameras['cam5'] is not None:
            age = sample.stamp_ns - sample.cameras['cam5'].stamp_ns
            assert -55 * MS <= age <= 1.5 * VEHICLE.period('cam5')


@pytest.mark.parametrize('hours', [1, -1])
def test_row_054_a_step_of_the_clock_by_an_hour_costs_a_second_at_most(hours):
    step = hours * 3600 * 10**9
    second = [m for m in stream(6.0, start=T0 + step) if m.log_time_ns >= T0 + step + 3 * 10**9]
    first = [m for m in stream(6.0) if m.log_time_ns < T0 + 3 * 10**9]
    result = run(messages=tuple([*first, *second]))
    after = [s for s in result.samples if -100 < (s.stamp_ns - T0 - step) / 1e9 < LAST + 2]
    assert after[0].stamp_ns <= T0 + step + 4 * 10**9
    assert after[-1].used_sensors == SENSORS and result.end.epoch == (hours < 0)


def test_row_055_while_the_clock_stands_still_nothing_dies_and_afterwards_all_is_normal():
    """Minutes of polling at one and the same time, as the heartbeat does while /clock pauses."""
    messages, end = stream(4.0), front_end(None, VEHICLE.rig())
    halt = next(k for k, m in enumerate(messages) if m.log_time_ns > T0 + 2000 * MS)
    before = [s for m in messages[:halt] for s in pushed(end, m)]
    now = messages[halt - 1].log_time_ns
    states = {tuple(r.state for r in end.reports(now)) for _ in range(600) if end.poll(now) == []}
    assert len(states) == 1 and end.modality(now) is Modality.FUSED
    after = [s for m in messages[halt:] for s in pushed(end, m)]
    after = [s for s in after if s.stamp_ns < T0 + LAST * 1e9]
    assert len(before) >= 39 and len(after) >= 38 and end.epoch == 0
    assert all(len(s.used_sensors) == 7 for s in [*before, *after])


def pushed(end, item) -> list[Sample]:
    return end.push(item.topic, wire.deserialize(item.cdr, item.msgtype), item.log_time_ns)


@pytest.mark.parametrize('begin', [1.0, 1.033, 1.06, 1.095])
def test_row_093_a_start_while_the_streams_run_makes_full_outputs_at_once_and_of_new_frames(begin):
    messages = stream(4.0)
    start = T0 + round(begin * 1e9)
    late = [m for m in messages if m.log_time_ns >= start]
    latched = [replace(m, log_time_ns=start) for m in messages if m.log_time_ns < T0 - 400 * MS]
    result = run(messages=(*latched, *late))
    assert result.out[0][0] <= start + 2 * PERIOD + DEADLINE
    assert result.samples[0].stamp_ns >= start - PERIOD
    assert len(result.out) >= 55
    assert all(len(s.used_sensors) == 7 for _, s in result.between(0, LAST)[1:])


@pytest.mark.parametrize('seed', range(25))
def test_row_119_random_plans_of_all_types_never_break_the_rules(seed):
    """Up to three faults at once on different sensors; `check_truth` holds every output."""
    result = run(*random_plan(seed), seconds=6.0, seed=seed)
    assert len(result.out) >= 75
    assert all(s.modality is not Modality.NONE for s in result.samples)


# ---------------------------------------------------------------------------------------- load
def overload(service_ms, periods: int = 60) -> list[tuple[int, int]]:
    """(stamp, age at publication) in ms of the outputs that a worker with this service makes.

    The clock is made up; the mailbox is the node's. A sample arrives every 100 ms; the worker
    takes one when it is free, as `InferenceWorker.run` does.
    """
    box, free_at, made = Mailbox(), 0, []
    for k in range(periods):
        now = 100 * k
        while free_at <= now and (waiting := box.get(0)) is not None:
            begun = max(free_at, waiting.stamp_ns)
            free_at = begun + service_ms(waiting.stamp_ns // 100)
            made.append((waiting.stamp_ns, free_at - waiting.stamp_ns))
        box.put(
            Sample(now, {}, Sweep(now, np.ones((1, 5), np.float32), np.eye(4)), Modality.LIDAR)
        )
        if free_at <= now:
            waiting = box.get(0)
            free_at = now + service_ms(waiting.stamp_ns // 100)
            made.append((waiting.stamp_ns, free_at - waiting.stamp_ns))
    return made


def test_row_115_under_twofold_overload_the_newest_sample_wins_and_ages_are_bounded():
    made = overload(lambda k: 200)
    steps = {b[0] - a[0] for a, b in zip(made[2:], made[3:], strict=False)}
    assert steps == {200}, 'every second sample'
    assert max(age for _, age in made) <= 100 + 2 * 200


@pytest.mark.parametrize('service', [30, 60, 80])
def test_row_116_latency_is_back_after_one_slowdown_as_soon_as_it_can_be(service):
    """The newest sample waited up to one period; each output makes up period - service of that."""
    made = overload(lambda k: 500 if k == 10 else service)
    slow = next(i for i, (_, age) in enumerate(made) if age >= 500)
    bound = 1 + math.ceil(100 / (100 - service))
    assert made[slow - 1][1] == service and len(made) >= 55
    assert all(age == service for _, age in made[slow + bound :])
    assert all(age <= 100 + service for _, age in made[slow + 1 :]), 'no queue'
