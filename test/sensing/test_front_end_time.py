"""Stamps and clocks, through the whole front end, with a fake clock."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from support.fake_drive import (
    CAMERAS,
    LIDAR,
    MS,
    SENSORS,
    T0,
    Drive,
    cloud,
    front_end,
    play,
    report,
    ring,
    run,
    set_up,
    stamp,
)

from metabev_ros.structures import Modality, SensorState

PERIOD, DEADLINE = 100 * MS, 50 * MS


def one_bad_stamp(name, k_bad, change):
    def make(sensor, k, at):
        if sensor != name or k != k_bad:
            return None
        message = Drive._message(name, k, at)
        message.header.stamp = change(at)
        return message

    return make


@pytest.mark.parametrize('name', ['cam2', LIDAR])
@pytest.mark.parametrize(
    'change,word',
    [
        (lambda at: stamp(0), 'stamp'),
        (lambda at: stamp(at + 300 * MS), 'future'),
        (lambda at: stamp(at + 10**10), 'future'),
        (lambda at: stamp(at + 365 * 86400 * 10**9), 'future'),
        (lambda at: SimpleNamespace(sec=-5, nanosec=0), 'stamp'),
        (lambda at: SimpleNamespace(sec=5, nanosec=10**9), 'stamp'),
    ],
)
def test_row_046_047_057_one_impossible_stamp_is_invalid_and_normal_frames_go_on(
    name, change, word
):
    drive = Drive(2.5, make=one_bad_stamp(name, 10, change))
    end = set_up(front_end())
    out = play(end, drive.events)
    samples = [s for _, s in out]
    assert all(b.stamp_ns > a.stamp_ns for a, b in itertools.pairwise(samples))
    hit = [s for s in samples if T0 + 940 * MS < s.stamp_ns < T0 + 1050 * MS]
    assert hit and not any(report(s, name).used for s in hit)
    assert any(report(s, name).reason.startswith(word) for s in hit)
    assert all(name in s.used_sensors for s in samples if s.stamp_ns > T0 + 1150 * MS)
    assert report(samples[-1], name).rejected == 1


def test_a_stamp_slightly_in_the_future_is_accepted():
    drive = Drive(2, latency={'cam5': -40})
    _, samples = run(drive)
    assert all('cam5' in s.used_sensors for s in samples)


@pytest.mark.parametrize('name', ['cam2', LIDAR])
def test_replayed_old_data_of_one_sensor_is_never_used(name):
    def make(sensor, k, at):
        if sensor == name and k >= 10:
            return Drive._message(name, k, at - 10**10)
        return None

    drive = Drive(3, make=make)
    end = set_up(front_end())
    samples = [s for _, s in play(end, drive.events)]
    assert end.epoch == 0 and len(samples) >= 28
    late = [s for s in samples if s.stamp_ns > T0 + 1200 * MS]
    assert all(set(s.used_sensors) == set(SENSORS) - {name} for s in late)
    assert report(samples[-1], name).rejected >= 19


def test_a_sensor_that_is_ten_seconds_behind_from_the_start_is_old():
    def make(sensor, k, at):
        return Drive._message('cam2', k, at - 10**10) if sensor == 'cam2' else None

    samples = [s for _, s in play(set_up(front_end()), Drive(3, make=make).events)]
    last = report(samples[-1], 'cam2')
    assert not last.used and last.reason.startswith('old') and last.state is SensorState.STALE


@pytest.mark.parametrize('name', ['cam2', LIDAR])
def test_the_same_message_again_is_ignored_and_no_input_is_used_twice(name):
    drive = Drive(2)
    topic = 'lidar/points' if name == LIDAR else f'{name}/image'
    doubled = []
    for event in drive.events:
        doubled += [event, (event[0] + 3 * MS, *event[1:])] if event[1] == topic else [event]
    drive.events = sorted(doubled, key=lambda event: event[0])
    end, samples = run(drive)
    assert len(samples) == 20 and all(len(s.used_sensors) == 7 for s in samples)
    assert report(samples[-1], name).rejected >= 19


@pytest.mark.parametrize('order', list(itertools.permutations(range(5))))
def test_row_051_stamps_increase_whatever_the_order_of_arrival(order):
    end = set_up(front_end())
    events = [
        (T0 + k * 10 * MS + 500 * MS, 'lidar/points', cloud(ring(i), T0 + i * PERIOD))
        for k, i in enumerate(order)
    ]
    stamps = [s.stamp_ns for _, s in play(end, events)]
    assert stamps == sorted(set(stamps)) and max(stamps) == T0 + 4 * PERIOD


@pytest.mark.parametrize('clock_too', [True, False])
@pytest.mark.parametrize('dead', [(), CAMERAS, (LIDAR,)])
def test_row_049_a_bag_that_loops_begins_a_new_epoch_and_outputs_resume(clock_too, dead):
    loops, length = 6, 3000 * MS
    events, ends = [], []
    for loop in range(loops):
        drive = Drive(3, dead=dict.fromkeys(dead, [(-9, 99)]), first=0)
        shift = 0 if clock_too else loop * (length + 200 * MS)
        events += [(arrival + shift, topic, message) for arrival, topic, message in drive.events]
        ends.append(len(events))
    end = set_up(front_end())
    samples = []
    for arrival, topic, message in events:
        samples += end.push(topic, message, arrival)
    assert end.epoch == loops - 1
    by_epoch = {epoch: [s for s in samples if s.epoch == epoch] for epoch in range(loops)}
    for epoch in range(1, loops):
        stamps = [s.stamp_ns for s in by_epoch[epoch]]
        assert stamps == sorted(set(stamps)) and len(stamps) >= 27
        assert stamps[0] <= T0 + 2 * PERIOD
        last = by_epoch[epoch][-1]
        assert set(last.used_sensors) == set(SENSORS) - set(dead)


def test_the_first_message_of_a_loop_is_judged_by_what_was_usual_before_it():
    events = list(Drive(3).events)
    topic = next(topic for _, topic, message in events if message.header.frame_id == LIDAR)
    # Of a queue somewhere: ten seconds older than all others.
    late = (events[0][0] - MS, topic, Drive._message(LIDAR, 999, T0 - 10**10))
    end = set_up(front_end())
    samples = [
        sample
        for arrival, topic, message in (*events, late, *events)
        for sample in end.push(topic, message, arrival)
    ]
    assert end.epoch == 1 and len(samples) > 55
    assert all(sample.stamp_ns >= T0 for sample in samples)


def test_row_050_one_sensor_that_jumps_back_is_left_out_alone():
    def make(sensor, k, at):
        return Drive._message(sensor, k, at - 5 * 10**9) if sensor == 'cam0' and k >= 10 else None

    end = set_up(front_end())
    samples = [s for _, s in play(end, Drive(3, make=make).events)]
    assert end.epoch == 0 and len(samples) == 30
    assert all(set(s.used_sensors) == set(SENSORS) - {'cam0'} for s in samples[10:])


def test_a_bag_played_without_its_clock_still_makes_fused_samples():
    drive = Drive(2)
    hour = 3600 * 10**9
    end = set_up(front_end(), T0 + hour - 500 * MS)
    out = play(end, [(arrival + hour, topic, m) for arrival, topic, m in drive.events])
    assert len(out) == 20 and all(s.modality is Modality.FUSED for _, s in out)


def test_row_075_a_queue_of_old_frames_after_a_stopped_publisher_is_not_used():
    drive = Drive(8)
    stop, go = T0 + 2000 * MS, T0 + 5000 * MS
    events = sorted(
        ((go if stop <= a < go else a), i, t, m) for i, (a, t, m) in enumerate(drive.events)
    )
    out = play(set_up(front_end()), [(a, t, m) for a, _, t, m in events])
    assert all(time - s.stamp_ns < 1200 * MS for time, s in out)
    assert out[-1][1].modality is Modality.FUSED


# ---------------------------------------------------------------------- the node's clock behind
def behind(drive: Drive, by_ns: int, begin: int):
    """The events of a drive as a node hears them whose clock is set back at a time."""
    return [(at - (by_ns if at >= begin else 0), topic, m) for at, topic, m in drive.events]


@pytest.mark.parametrize('by', [0.3, 2.0, 3600.0])
def test_outputs_return_within_a_second_when_the_nodes_clock_is_set_back(by):
    drive, begin, by_ns = Drive(6), T0 + 3000 * MS, round(by * 1e9)
    end = set_up(front_end())
    out = [s for at, topic, m in behind(drive, by_ns, begin) for s in end.push(topic, m, at)]
    later = [s for s in out if s.stamp_ns >= begin + 1000 * MS]
    assert len(later) >= 18 and all(s.used_sensors == SENSORS for s in later)
    assert 'ahead of the clock' in report(later[-1], LIDAR).reason


def test_one_sensor_ahead_of_all_others_stays_refused_also_when_it_is_the_only_one_left():
    dead = {name: [(3.0, 9)] for name in SENSORS if name != 'cam0'}
    drive = Drive(6, dead=dead)
    end = set_up(front_end())
    out = []
    for at, topic, message in drive.events:
        if topic == 'cam0/image':
            ahead = message.header.stamp.sec + 10
            message.header.stamp = SimpleNamespace(sec=ahead, nanosec=message.header.stamp.nanosec)
        out += end.push(topic, message, at)
    assert end.epoch == 0 and not any('cam0' in s.used_sensors for s in out)
    assert end.reports(at)[0].state is SensorState.INVALID


def test_most_sensors_are_believed_against_one_that_alone_was_left_and_lags():
    """One camera sends what it buffered, 1.5 s late, while the others are away."""
    away = {name: [(1.0, 4.0)] for name in SENSORS if name != 'cam0'}
    drive = Drive(8, dead=away, latency={'cam0': 5})
    events = sorted(
        (
            (at + (1500 * MS if topic == 'cam0/image' and at >= T0 + 1500 * MS else 0), topic, m)
            for at, topic, m in drive.events
        ),
        key=lambda event: event[0],
    )
    end = set_up(front_end())
    out = [(at, s) for at, topic, m in events for s in end.push(topic, m, at)]
    alone = [s for at, s in out if T0 + 3500 * MS <= at < T0 + 4000 * MS]
    assert alone and all(s.used_sensors == ('cam0',) and s.epoch == 1 for s in alone)
    later = [s for at, s in out if T0 + 5000 * MS <= at < T0 + 7900 * MS]
    assert len(later) >= 25
    assert all(set(s.used_sensors) == set(SENSORS) - {'cam0'} for s in later)
