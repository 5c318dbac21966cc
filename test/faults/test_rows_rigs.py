"""Fault matrix: rigs of other sensors, clocks that step or run apart, frames that serve again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.any_rig import camera, drive, lidar, numbers, play, ready, rig_of, said, sweeps_in
from support.fake_drive import MS, T0, cloud, ring

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.sensing.clock import ClockWatch
from metabev_ros.structures import Modality, SensorState

SECOND = 1_000 * MS
LIDAR_PERIOD, CAMERA_PERIOD, DEADLINE = 50 * MS, 83_333_333, 50 * MS


def since(out, seconds: float):
    """Outputs whose stamp lies so many seconds after T0 or later."""
    return [s for _, s in out if s.stamp_ns >= T0 + round(seconds * SECOND)]


# --------------------------------------------------------------------------- several LiDARs
@pytest.mark.parametrize('phase', [0.0, 0.013, 0.027, 0.041])
def test_row_120_of_two_lidars_the_first_dies_and_the_other_leads_and_gives_the_lead_back(phase):
    rig, death = rig_of(6, 2), 2.0 + phase
    events = drive(rig, 6, lambda name, at: name != 'lidar0' or not death <= at < 4.0)
    out = play(ready(rig), events)
    full = [s for _, s in out if T0 + SECOND <= s.stamp_ns < T0 + 2 * SECOND]
    assert all(len(s.used_sensors) == 8 and len(sweeps_in(s)) == 2 for s in full)
    assert {said(s, 'lidar0').age_ns for s in full} == {0}, 'the first one leads'
    alone = [s for s in since(out, death + 0.2) if s.stamp_ns < T0 + 4 * SECOND]
    assert len(alone) >= 33 and {s.modality for s in alone} == {Modality.FUSED}
    assert {said(s, 'lidar1').age_ns for s in alone} == {0}, 'the other one leads'
    assert {said(s, 'lidar0').state for s in alone} == {SensorState.STALE}
    stamps = [s.stamp_ns for _, s in out]
    assert max(np.diff(stamps)) <= 2 * LIDAR_PERIOD + DEADLINE
    last = since(out, 4.3)
    assert last and {said(s, 'lidar0').age_ns for s in last} == {0}
    assert all(len(s.used_sensors) == 8 for s in last)


def test_row_120_when_both_lidars_die_the_cameras_go_on():
    rig = rig_of(4, 2)
    out = play(ready(rig), drive(rig, 5, lambda name, at: name[0] == 'c' or at < 2.0))
    alone = since(out, 2.3)
    assert len(alone) >= 30 and {s.modality for s in alone} == {Modality.CAMERA}
    assert all(len(s.used_sensors) == 4 for s in alone)


def test_row_120_a_bad_second_lidar_changes_only_itself():
    rig = rig_of(2, 2)

    def empty(name, k, stamp):
        return cloud(np.zeros((0, 4)), stamp, name) if name == 'lidar1' and k >= 40 else None

    out = since(play(ready(rig), drive(rig, 4, make=empty)), 2.3)
    assert {said(s, 'lidar1').state for s in out} <= {SensorState.INVALID, SensorState.STALE}
    assert all(set(s.used_sensors) == {'cam0', 'cam1', 'lidar0'} for s in out)
    assert all(len(sweeps_in(s)) == 1 for s in out)


# ------------------------------------------------------------------------------ other rigs
@pytest.mark.parametrize('cameras', [1, 6, 12])
def test_row_121_cameras_alone_are_a_rig(cameras):
    rig = rig_of(cameras, 0)
    out = play(ready(rig), drive(rig, 4))
    assert len(out) >= 46 and {s.modality for _, s in out} == {Modality.CAMERA}
    assert all(len(s.used_sensors) == cameras for s in since(out, 0.3))


def test_row_121_of_cameras_alone_the_leader_dies_and_the_next_one_leads():
    rig = rig_of(3, 0)
    out = play(ready(rig), drive(rig, 5, lambda name, at: name != 'cam0' or at < 2.0))
    late = since(out, 2.4)
    assert len(late) >= 28 and all(set(s.used_sensors) == {'cam1', 'cam2'} for s in late)


@pytest.mark.parametrize('lidars', [1, 4])
def test_row_121_lidars_alone_are_a_rig(lidars):
    rig = rig_of(0, lidars)
    out = play(ready(rig), drive(rig, 4))
    assert len(out) >= 78 and {s.modality for _, s in out} == {Modality.LIDAR}
    assert all(len(sweeps_in(s)) == lidars for s in since(out, 0.3))


# ------------------------------------------------------------------------ images that serve again
@pytest.mark.parametrize('camera_hz', [10.0, 12.0, 15.0])
def test_row_122_with_a_faster_lidar_a_picture_serves_again_and_its_age_is_said(camera_hz):
    rig = rig_of(6, 1)
    rig = replace(rig, cameras=tuple(replace(c, rate_hz=camera_hz) for c in rig.cameras))
    out = since(play(ready(rig), drive(rig, 5)), 0.5)
    assert len(out) >= 88 and all(len(s.used_sensors) == 7 for s in out)
    ages = [said(s, f'cam{k}').age_ns for s in out for k in range(6)]
    assert max(ages) <= 1.5e9 / camera_hz
    shown = [numbers(s)['cam0'] for s in out]
    assert shown == sorted(shown) and len(set(shown)) < len(shown), 'some of them twice'
    assert {r.state for s in out for r in s.sensors} == {SensorState.OK}


@pytest.mark.parametrize('lidar_hz,camera_hz', [(5.0, 20.0), (5.0, 30.0), (10.0, 30.0)])
def test_row_122_pictures_that_come_much_faster_than_the_sweeps_are_never_late(
    lidar_hz, camera_hz
):
    rig = rig_of(6, 1)
    rig = RigConfig(
        tuple(replace(c, rate_hz=camera_hz) for c in rig.cameras),
        (replace(rig.lidars[0], rate_hz=lidar_hz),),
    )
    out = since(play(ready(rig), drive(rig, 5)), 0.5)
    assert len(out) >= 4.4 * lidar_hz and all(len(s.used_sensors) == 7 for s in out)
    assert {r.state for s in out for r in s.sensors} == {SensorState.OK}
    assert {r.rejected for r in out[-1].sensors} == {0}
    assert all(abs(said(s, f'cam{k}').age_ns) <= 55 * MS for s in out for k in range(6))


def test_row_122_a_picture_does_not_serve_again_once_its_successor_is_overdue():
    rig = rig_of(2, 1)
    out = play(ready(rig), drive(rig, 4, lambda name, at: name != 'cam0' or at < 2.0))
    used = [said(s, 'cam0') for _, s in out if said(s, 'cam0').used]
    assert max(r.age_ns for r in used) <= 1.5 * CAMERA_PERIOD
    states = [said(s, 'cam0').state for s in since(out, 2.0) if not said(s, 'cam0').used]
    assert states[0] is SensorState.LATE and set(states[2:]) == {SensorState.STALE}


# ---------------------------------------------------------------------------------- epochs
def returns(rig: RigConfig, events, step_s: float, epochs: int, lag_ns: int = 0):
    """Outputs come again within a second of a step, of all sensors, and go on to the end."""
    end = ready(rig, T0 - 500 * MS + lag_ns)
    out = play(end, events)
    assert end.epoch == epochs
    step = next(k for k, (_, topic, m) in enumerate(events) if k and _true(m) >= step_s)
    begun = events[step][0]
    back = [(time, s) for time, s in out if time >= begun and len(s.used_sensors) == 7]
    first = next(time for time, s in back if s.epoch == epochs)
    assert first - begun <= SECOND, f'{(first - begun) / 1e9:.2f} s until outputs return'
    assert sum(time >= first for time, _ in back) >= 25
    return out


def _true(message) -> float:
    return (message.header.stamp.sec * 10**9 + message.header.stamp.nanosec - T0) / 1e9


def test_row_123_a_bag_without_its_clock_that_pauses_for_two_seconds_goes_on():
    rig = rig_of(6, 1)
    pause = T0 + 3 * SECOND
    events = drive(rig, 6, arrival=lambda name, ns: ns + 2 * SECOND * (ns >= pause))
    returns(rig, events, 3.0, epochs=1)


@pytest.mark.parametrize('lag_s', [0, 3600])
def test_row_123_a_bag_that_is_played_at_half_its_rate_never_falls_silent_for_a_second(lag_s):
    rig = rig_of(6, 1)
    events = drive(rig, 8, arrival=lambda name, ns: T0 + 2 * (ns - T0) + lag_s * SECOND)
    out = play(ready(rig, T0 - 500 * MS + lag_s * SECOND), events)
    times = [time for time, _ in out]
    assert max(np.diff(times)) <= SECOND and times[-1] >= events[-1][0] - SECOND
    assert {s.modality for s in since(out, 1.0)} <= {Modality.FUSED, Modality.CAMERA}


def test_row_123_four_steps_back_of_three_tenths_each_end_in_outputs():
    rig = rig_of(6, 1)
    steps = [T0 + k * SECOND for k in (2, 3, 4, 5)]

    def stamp(name, ns):
        return ns - 300 * MS * sum(ns >= step for step in steps)

    out = play(ready(rig), drive(rig, 18, stamp=stamp))
    times = [time for time, _ in out]
    assert max(np.diff(times)) <= SECOND
    after = since(out, 5.5)
    assert all(s.sweep is not None for s in after) and len(after) >= 200
    assert all(len(s.used_sensors) == 7 for s in since(out, 15.5)), 'behind the quarantine'


# A clock that goes back begins an epoch; that the stamps did not go with it begins another.
@pytest.mark.parametrize(('step_s', 'epochs'), [(2.0, 1), (-2.0, 2)])
def test_row_124_a_clock_of_the_node_that_steps_under_ptp_stamps_costs_a_second(step_s, epochs):
    rig, lag = rig_of(6, 1), 10 * SECOND
    step = T0 + 3 * SECOND

    def arrival(name, ns):
        return ns + lag + round(step_s * SECOND) * (ns >= step)

    returns(rig, drive(rig, 6, arrival=arrival), 3.0, epochs=epochs, lag_ns=lag)


def test_row_124_one_sensor_alone_that_steps_is_left_out_and_begins_no_epoch():
    rig = rig_of(6, 1)
    events = drive(
        rig, 6, stamp=lambda name, ns: ns - 2 * SECOND * (name == 'cam1' and ns > T0 + 2 * SECOND)
    )
    end = ready(rig)
    out = play(end, events)
    assert end.epoch == 0
    late = since(out, 2.5)
    assert late and all(set(rig.sensor_names) - {'cam1'} == set(s.used_sensors) for s in late)


@pytest.mark.parametrize('name', ['cam1', 'lidar0'])
def test_row_125_one_prompt_message_in_an_offset_stream_costs_that_message(name):
    rig, lag = rig_of(6, 1), 20 * SECOND
    number = 30

    def stamp(sensor, ns):
        period = LIDAR_PERIOD if sensor == 'lidar0' else CAMERA_PERIOD
        hit = sensor == name and (ns - T0) // period == number
        return ns + lag if hit else ns

    events = drive(rig, 6, stamp=stamp, arrival=lambda sensor, ns: ns + lag)
    end = ready(rig, T0 - 500 * MS + lag)
    out = play(end, events)
    # Where the leader is missed, another one leads, and the leader's next sweep may be late.
    assert end.epoch == 0 and 1 <= said(out[-1][1], name).rejected <= 2
    lost = [s for s in since(out, 0.5) if len(s.used_sensors) < 7]
    assert len(lost) <= 3 and len(out) >= 114


def test_row_125_one_prompt_message_at_the_very_start_costs_a_second():
    rig, lag = rig_of(3, 1), 20 * SECOND
    events = drive(
        rig,
        6,
        stamp=lambda name, ns: ns + lag * (name == 'cam0' and ns < T0 + CAMERA_PERIOD),
        arrival=lambda name, ns: ns + lag,
    )
    out = play(ready(rig, T0 - 500 * MS + lag), events)
    late = since(out, 1.2)
    assert len(late) >= 90 and all(len(s.used_sensors) == 4 for s in late)


def test_row_125_one_message_more_prompt_than_usual_does_not_move_what_is_usual():
    watch = ClockWatch(SensingConfig(), 1)
    for k in range(12):
        watch.went_back(T0 + k * 100 * MS)
        lag = (2000 if k != 8 else 1200) * MS
        watch.take('cam0', watch.now_ns - lag)
    assert watch.offset_ns == 2000 * MS


# --------------------------------------------------------------------------- time offsets
@pytest.mark.parametrize('name', ['cam1', 'lidar0'])
def test_row_126_a_sensor_on_tai_is_in_its_place_by_the_constant_of_the_rig_file(name):
    plain = rig_of(3, 1)
    tai = RigConfig(
        tuple(replace(c, time_offset=-37.0 * (c.name == name)) for c in plain.cameras),
        tuple(replace(s, time_offset=-37.0 * (s.name == name)) for s in plain.lidars),
    )
    events = drive(tai, 4, stamp=lambda sensor, ns: ns + 37 * SECOND * (sensor == name))
    shifted = [s for _, s in play(ready(tai), events)]
    wanted = [s for _, s in play(ready(plain), drive(plain, 4))]
    assert [s.stamp_ns for s in shifted] == [s.stamp_ns for s in wanted]
    assert [s.sensors for s in shifted] == [s.sensors for s in wanted]
    left_out = [s for _, s in play(ready(plain), events)]
    assert not any(name in s.used_sensors for s in left_out), 'without the constant it is refused'


@pytest.mark.parametrize('offset_s', [37.0, -0.25])
def test_row_126_an_offset_that_is_estimated_is_used_and_said(offset_s):
    rig = RigConfig(
        (camera('cam0'), camera('cam1', estimate_time_offset=True)), (lidar('lidar0'),)
    )
    shift = round(offset_s * SECOND)
    events = drive(rig, 5, stamp=lambda name, ns: ns + shift * (name == 'cam1'))
    end = ready(rig)
    out = since(play(end, events), 1.5)
    assert out and all(len(s.used_sensors) == 3 for s in out)
    reason = end.reports(events[-1][0])[1].reason
    assert 'time offset' in reason and f'{-offset_s:+.1f}' in reason
    plain = rig_of(2, 1)
    wanted = since(play(ready(plain), drive(plain, 5)), 1.5)
    off = [
        abs(said(a, 'cam1').age_ns - said(b, 'cam1').age_ns)
        for a, b in zip(out, wanted, strict=True)
    ]
    assert max(off) <= 2 * MS, 'its frames lie where they truly do'


def test_row_126_a_lidar_whose_sweeps_number_is_known_leads_with_an_offset_too():
    rig = RigConfig((camera('cam0'),), (lidar('lidar0', time_offset=-37.0),))
    events = drive(
        rig,
        2,
        stamp=lambda name, ns: ns + 37 * SECOND * (name == 'lidar0'),
        make=lambda name, k, ns: cloud(ring(k), ns, name) if name == 'lidar0' else None,
    )
    out = play(ready(rig), events)
    assert [sweeps_in(s)[0] for _, s in out[1:]] == list(range(1, len(out)))
    assert out[-1][1].stamp_ns < T0 + 2 * SECOND
