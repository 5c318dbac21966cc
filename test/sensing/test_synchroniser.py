"""Sensor loss and return with a fake clock; the oracle is the schedule (reliability rows 1-15)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.fake_drive import (
    CAMERAS,
    LIDAR,
    MS,
    SENSORS,
    T0,
    Drive,
    check_truth,
    front_end,
    play,
    set_up,
)

from metabev_ros.config import SensingConfig
from metabev_ros.structures import Modality, SensorState

PHASES = range(0, 100, 5)
OFFSETS = {
    'before': {name: -43 + 8 * i for i, name in enumerate(CAMERAS)},
    'together': dict.fromkeys(CAMERAS, 0),
    'after': {name: 6 * i for i, name in enumerate(CAMERAS)},
}
DEADLINE, PERIOD = 50 * MS, 100 * MS


def run(drive: Drive, config: SensingConfig | None = None, **options):
    end = set_up(front_end(config))
    out = play(end, drive.events, **options)
    check_truth(out, drive)
    return end, out


def states(sample):
    return {report.name: report.state for report in sample.sensors}


@pytest.mark.parametrize('offsets', OFFSETS)
def test_with_all_sensors_every_sweep_makes_a_fused_sample_without_waiting(offsets):
    drive = Drive(3, offsets=OFFSETS[offsets])
    _, out = run(drive)
    assert [sample.stamp_ns for _, sample in out] == [at for at, _ in drive.sent[LIDAR].values()]
    complete = [max(arrivals[k][1] for arrivals in drive.sent.values()) for k in range(30)]
    assert [time for time, _ in out] == complete
    assert all(len(sample.used_sensors) == 7 for _, sample in out)
    assert {report.state for _, s in out for report in s.sensors} == {SensorState.OK}


@pytest.mark.parametrize('jitter', [10, 20])
def test_jitter_of_a_fifth_of_the_period_raises_no_alarm(jitter):
    _, out = run(Drive(20, jitter=jitter, offsets={n: -10 + 2 * i for i, n in enumerate(CAMERAS)}))
    assert len(out) == 200
    assert all(sample.modality is Modality.FUSED for _, sample in out)
    assert {report.state for _, s in out for report in s.sensors} == {SensorState.OK}


@pytest.mark.parametrize('phase', PHASES)
@pytest.mark.parametrize('camera', ['cam2', 'cam5'])
def test_one_dead_camera_is_late_then_stale_and_waited_for_twice_at_most(camera, phase):
    death = 1.0 + phase / 1000
    drive = Drive(3, dead={camera: [(death, 9)]})
    _, out = run(drive)
    assert len(out) == 30
    without = [(time, sample) for time, sample in out if camera not in sample.used_sensors]
    last_stamp, _ = drive.last_sent(camera, death)
    assert without[0][1].stamp_ns <= last_stamp + PERIOD + 50 * MS
    assert [states(sample)[camera] for _, sample in without[:3]] == [
        SensorState.LATE,
        SensorState.STALE,
        SensorState.STALE,
    ]
    waits = [time - drive.sent[LIDAR][round((s.stamp_ns - T0) / PERIOD)][1] for time, s in without]
    assert waits[:2] == [DEADLINE] * 2 and set(waits[2:]) == {0}


@pytest.mark.parametrize('pair', list(itertools.combinations(CAMERAS, 2)))
def test_two_dead_cameras_are_both_named_and_the_rate_is_kept(pair):
    _, out = run(Drive(2.5, dead=dict.fromkeys(pair, [(1.0, 9)])))
    assert len(out) == 25
    assert set(SENSORS) - set(out[-1][1].used_sensors) == set(pair)
    assert all(sample.modality is Modality.FUSED for _, sample in out)


@pytest.mark.parametrize('phase', PHASES)
@pytest.mark.parametrize('offsets', OFFSETS)
def test_when_all_cameras_die_the_next_sweep_makes_a_lidar_sample_in_time(offsets, phase):
    death = 1.0 + phase / 1000
    drive = Drive(2.5, dead=dict.fromkeys(CAMERAS, [(death, 9)]), offsets=OFFSETS[offsets])
    _, out = run(drive)
    assert len(out) == 25
    lidar_only = [(time, s) for time, s in out if s.modality is Modality.LIDAR]
    sweeps = {at: arrival for at, arrival in drive.sent[LIDAR].values()}
    assert lidar_only and [s for _, s in out[-len(lidar_only) :]] == [s for _, s in lidar_only]
    newest_image = max(drive.last_sent(name, death)[0] for name in CAMERAS)
    assert lidar_only[0][1].stamp_ns <= newest_image + 50 * MS + PERIOD
    assert all(time - sweeps[s.stamp_ns] <= DEADLINE for time, s in lidar_only)
    assert all(time == sweeps[s.stamp_ns] for time, s in lidar_only[2:])


@pytest.mark.parametrize('phase', PHASES)
@pytest.mark.parametrize('offsets', ['before', 'together'])
def test_when_the_lidar_dies_the_cameras_go_on_within_period_plus_deadline(offsets, phase):
    death = 1.0 + phase / 1000
    drive = Drive(4, dead={LIDAR: [(death, 9)]}, offsets=OFFSETS[offsets])
    _, out = run(drive)
    _, last_sweep_arrival = drive.last_sent(LIDAR, death)
    camera_only = [(time, s) for time, s in out if s.modality is Modality.CAMERA]
    assert camera_only[0][0] <= last_sweep_arrival + PERIOD + DEADLINE
    times = [time for time, _ in out]
    assert max(b - a for a, b in itertools.pairwise(times)) <= 200 * MS
    assert len(camera_only) >= (4 - death) * 10 - 2
    assert all(len(s.used_sensors) == 6 for _, s in camera_only[1:])
    assert states(camera_only[-1][1])[LIDAR] is SensorState.STALE


@pytest.mark.parametrize('phase', range(0, 100, 10))
def test_cameras_later_than_the_sweep_take_over_with_their_next_frames(phase):
    death = 1.0 + phase / 1000
    drive = Drive(3, dead={LIDAR: [(death, 9)]}, offsets=OFFSETS['after'])
    _, out = run(drive)
    times = [time for time, _ in out]
    assert max(b - a for a, b in itertools.pairwise(times)) <= 200 * MS
    assert out[-1][1].modality is Modality.CAMERA and len(out[-1][1].used_sensors) == 6


def test_when_everything_dies_there_are_no_samples_and_reports_show_stale():
    drive = Drive(1.5, dead=dict.fromkeys(SENSORS, [(1.0, 9)]))
    end, out = run(drive, until=T0 + 61_000 * MS)
    assert out[-1][1].stamp_ns < T0 + 1000 * MS
    now = T0 + 61_000 * MS
    assert end.poll(now) == [] and end.next_deadline_ns() is None
    assert {report.state for report in end.reports(now)} == {SensorState.STALE}
    assert end.modality(now) is Modality.NONE


def test_modality_is_none_as_soon_as_everything_is_overdue():
    end, _ = run(Drive(1), until=T0 + 915 * MS)
    assert end.modality(T0 + 915 * MS) is Modality.FUSED
    late = T0 + 900 * MS + 10 * MS + 2 * PERIOD + DEADLINE
    end.poll(late)
    assert end.modality(late) is Modality.NONE


def test_everything_returns_together_after_ten_seconds_and_no_old_frame_is_used():
    drive = Drive(13, dead=dict.fromkeys(SENSORS, [(1.0, 11.0)]))
    end, out = run(drive)
    after = [(time, s) for time, s in out if s.stamp_ns > T0 + 10_900 * MS]
    assert after[0][0] <= T0 + 11_000 * MS + 2 * PERIOD + DEADLINE
    assert after[-1][1].modality is Modality.FUSED and end.epoch == 0
    fused = next(s for _, s in after if len(s.used_sensors) == 7)
    assert fused.stamp_ns <= T0 + 11_200 * MS


@pytest.mark.parametrize('phase', PHASES)
@pytest.mark.parametrize('offsets', OFFSETS)
def test_revived_cameras_are_used_from_the_second_good_frame(offsets, phase):
    back = 2.0 + phase / 1000
    drive = Drive(4, dead=dict.fromkeys(CAMERAS, [(1.0, back)]), offsets=OFFSETS[offsets])
    _, out = run(drive)
    for name in CAMERAS:
        first, second = [k for k, (at, _) in drive.sent[name].items() if at >= T0 + back * 1e9][:2]
        fresh = [s for _, s in out if name in s.used_sensors and s.stamp_ns > T0 + 1800 * MS]
        assert fresh[0].cameras[name].stamp_ns == drive.sent[name][second][0]
        recovering = [s for _, s in out if states(s)[name] is SensorState.RECOVERING]
        assert all(name not in s.used_sensors for s in recovering)
        assert first < second


@pytest.mark.parametrize('phase', PHASES)
@pytest.mark.parametrize('offsets', OFFSETS)
def test_a_revived_lidar_takes_the_trigger_back_within_three_periods(offsets, phase):
    back = 2.0 + phase / 1000
    drive = Drive(4, dead={LIDAR: [(1.0, back)]}, offsets=OFFSETS[offsets])
    _, out = run(drive)
    returned = [times for times in drive.sent[LIDAR].values() if times[0] >= T0 + back * 1e9]
    with_sweep = [s for _, s in out if s.sweep is not None and s.stamp_ns > T0 + 1500 * MS]
    assert with_sweep[0].stamp_ns <= returned[2][0]
    fused = next(s for _, s in out if len(s.used_sensors) == 7 and s.stamp_ns > T0 + 1500 * MS)
    assert fused.stamp_ns <= returned[0][0] + 400 * MS
    assert [s.modality for _, s in out[-10:]] == [Modality.FUSED] * 10
    times = [time for time, _ in out]
    assert max(b - a for a, b in itertools.pairwise(times)) <= 250 * MS


@pytest.mark.parametrize(
    'absent',
    [(name,) for name in SENSORS] + [tuple(n for n in SENSORS if n != name) for name in SENSORS],
)
def test_a_sensor_that_never_spoke_is_not_waited_for_after_the_start_timeout(absent):
    drive = Drive(5, dead=dict.fromkeys(absent, [(-9, 99)]))
    _, out = run(drive)
    first = min(min(v.values())[1] for v in drive.sent.values() if v)
    present = set(SENSORS) - set(absent)
    assert out[0][0] <= first + 2000 * MS + PERIOD + DEADLINE
    late = [(time, s) for time, s in out if time > first + 2200 * MS]
    assert len(late) >= 26
    for time, sample in late:
        assert set(sample.used_sensors) == present
        assert all(states(sample)[name] is SensorState.NEVER for name in absent)
        assert (
            time
            - max(
                drive.sent[r.name][k][1]
                for r in sample.sensors
                if r.used
                for k in drive.sent[r.name]
                if drive.sent[r.name][k][0] == sample.stamp_ns - r.age_ns
            )
            == 0
        )


def test_a_flapping_camera_is_quarantined_and_every_label_is_true():
    square = [(t, t + 0.5) for t in np.arange(1.0, 20.0, 1.0)]
    drive = Drive(35, dead={'cam1': square})
    _, out = run(drive)
    assert len(out) == 350
    quarantined = [
        s for _, s in out if 'quarantine' in dict((r.name, r.reason) for r in s.sensors)['cam1']
    ]
    assert quarantined and all('cam1' not in s.used_sensors for s in quarantined)
    assert 'cam1' in out[-1][1].used_sensors, 'back when the flapping has ended'
    changes = sum(a != b for a, b in itertools.pairwise('cam1' in s.used_sensors for _, s in out))
    assert changes <= 16, 'far fewer than the 38 edges of the fault'


@pytest.mark.parametrize('sensor', ['cam3', LIDAR])
def test_a_sensor_at_a_quarter_of_its_rate_is_used_when_it_sends(sensor):
    drive = Drive(8, drop=lambda name, k: name == sensor and k >= 10 and k % 4)
    _, out = run(drive)
    sent = [k for k in drive.sent[sensor] if k >= 24]
    used = [s for _, s in out if sensor in s.used_sensors and s.stamp_ns > T0 + 2300 * MS]
    assert len(used) >= len(sent) - 2
    assert len(out) >= 78
    assert any('rate: 2.5 Hz' in r.reason for r in out[-1][1].sensors if r.name == sensor) or (
        states(out[-1][1])[sensor] is SensorState.MISSING
    )


@pytest.mark.parametrize(
    'first,second',
    [*itertools.permutations(['cam4', LIDAR], 2), (CAMERAS, (LIDAR,)), ((LIDAR,), CAMERAS)],
)
def test_a_second_death_during_the_first_is_handled_like_a_first(first, second):
    first, second = (x if isinstance(x, tuple) else (x,) for x in (first, second))
    dead = {**dict.fromkeys(first, [(1.0, 9)]), **dict.fromkeys(second, [(2.0, 9)])}
    drive = Drive(4, dead=dead)
    end, out = run(drive)
    survivors = set(SENSORS) - set(dead)
    late = [s for _, s in out if s.stamp_ns > T0 + 2400 * MS]
    if survivors:
        assert len(late) >= 14 and all(set(s.used_sensors) == survivors for s in late)
    else:
        assert not late and end.modality(T0 + 4000 * MS) is Modality.NONE


@pytest.mark.parametrize('share,fewest', [(0.2, 290), (0.4, 260), (0.6, 230)])
def test_random_drops_never_make_a_wrong_label(share, fewest):
    rng = np.random.default_rng(int(share * 10))
    lost = rng.random((len(SENSORS), 300)) < share
    drive = Drive(30, drop=lambda name, k: lost[SENSORS.index(name), k])
    assert sum(len(sent) for sent in drive.sent.values()) < 0.95 * 7 * 300, 'fault present'
    end, out = run(drive)
    times = [time for time, _ in out]
    assert len(out) >= fewest
    for _, sample in out:
        for report in sample.sensors:
            k = round((sample.stamp_ns - T0) / PERIOD)
            if report.used and report.name == LIDAR:
                assert k in drive.sent[LIDAR]
    assert times == sorted(times)
    assert {r.received for r in end.reports(T0 + 30_000 * MS)} == {
        len(sent) for sent in drive.sent.values()
    }


def test_the_mode_may_change_at_every_output_without_a_wrong_label():
    rng = np.random.default_rng(7)
    mode = rng.integers(1, 4, 200)

    def drop(name, k):
        return not mode[k] & (2 if name == LIDAR else 1)

    config = SensingConfig(readmit_frames=1, flap_limit=100)
    end = set_up(front_end(config))
    drive = Drive(20, drop=drop)
    out = play(end, drive.events)
    check_truth(out, drive)
    assert {s.modality for _, s in out} == {Modality.CAMERA, Modality.LIDAR, Modality.FUSED}


@pytest.mark.parametrize(
    'dead',
    [
        {},
        dict.fromkeys(CAMERAS, [(1.0, 2.0)]),
        {LIDAR: [(1.0, 2.03)]},
        {'cam1': [(0.5, 1.7)]},
        dict.fromkeys(SENSORS, [(1.0, 1.6)]),
    ],
)
def test_polling_in_between_changes_nothing(dead):
    drive = Drive(3.5, dead=dead, jitter=10)
    plain = [end_sample for _, end_sample in _pushed_only(drive)]
    polled = [s for _, s in play(set_up(front_end()), drive.events, poll_ms=3)]
    assert len(plain) == len(polled) > 25
    for a, b in zip(plain, polled, strict=True):
        assert (a.stamp_ns, a.modality, a.sensors, a.epoch) == (
            b.stamp_ns,
            b.modality,
            b.sensors,
            b.epoch,
        )


def _pushed_only(drive):
    end, out = set_up(front_end()), []
    for arrival, topic, message in drive.events:
        out += [(arrival, s) for s in end.push(topic, message, arrival)]
    return out + [(0, s) for s in end.poll(drive.events[-1][0] + 400 * MS)]


def test_a_camera_branch_needs_the_configured_number_of_cameras():
    config = SensingConfig(min_cameras=3)
    drive = Drive(3, dead=dict.fromkeys(CAMERAS[:4], [(1.0, 9)]))
    end = set_up(front_end(config))
    out = play(end, drive.events)
    check_truth(out, drive)
    last = out[-1][1]
    assert last.modality is Modality.LIDAR
    assert {r.reason for r in last.sensors if r.name in ('cam4', 'cam5')} == {
        'fewer than 3 cameras'
    }


def test_a_camera_that_is_200_ms_late_is_never_used_and_not_waited_for():
    drive = Drive(4, latency={'cam2': 205})
    _, out = run(drive)
    assert len(out) == 40 and all('cam2' not in s.used_sensors for _, s in out[3:])
    report = next(r for r in out[-1][1].sensors if r.name == 'cam2')
    assert 'late' in report.reason
    waited = [time - drive.sent[LIDAR][k][1] for k, (time, _) in enumerate(out)]
    assert sum(wait > 0 for wait in waited) <= 25, waited


@pytest.mark.parametrize('sweep_latency', [0, 30, 60, 90])
def test_a_slow_lidar_driver_still_gets_the_trigger_back(sweep_latency):
    drive = Drive(5, dead={LIDAR: [(1.0, 2.0)]}, latency={LIDAR: sweep_latency})
    _, out = run(drive)
    assert all(len(s.used_sensors) == 7 for _, s in out[-15:])
