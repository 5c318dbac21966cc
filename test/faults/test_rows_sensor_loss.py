"""Fault matrix A, sensor loss: the injected truth is the oracle, times are exact.

Invariants "No waiting for the lost" (row 1), "Empty means looked" (row 5) and "Earned return"
(rows 8 and 9); `injected_drive.check_truth` holds its own at every output.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
import pytest
from support.fake_drive import CAMERAS, LIDAR, MS, SENSORS, T0
from support.injected_drive import DEADLINE, TOGETHER, VEHICLE, check_truth, fault, run
from support.made_model import MODEL

from metabev_ros import wire
from metabev_ros.config import SensingConfig
from metabev_ros.faults.pipe import DROPPED, PASSED
from metabev_ros.faults.plan import What
from metabev_ros.structures import Modality, SensorState
from metabev_ros.wire import StatusReport, encode_diagnostics, sensor_level

WARN, ERROR = 1, 2
PHASES = range(0, 100, 5)
PERIOD, CAMERA = VEHICLE.period(LIDAR), VEHICLE.period('cam0')
MAX_AGE = 3 * CAMERA // 2  # of a picture in a sample


@functools.cache
def clean_times(seconds: float) -> dict[int, int]:
    """When each output comes of a drive without faults, by its stamp."""
    return {s.stamp_ns: time for time, s in run(seconds=seconds).out}


def modalities(outputs) -> set[Modality]:
    return {sample.modality for _, sample in outputs}


def last_sent(result, name: str):
    """The newest message of a sensor that went out before its fault."""
    truths = result.truth_of(name)
    first = next(t.number for t in truths if t.action == DROPPED)
    return truths[first - 1]


@pytest.mark.parametrize('phase', PHASES)
@pytest.mark.parametrize('camera', ['cam0', 'cam2', 'cam5'])
def test_row_001_one_dead_camera_is_named_at_once_and_waited_for_twice_at_most(camera, phase):
    result = run(fault('off', camera, 1.0 + phase / 1000), seconds=2.5)
    assert len(result.out) == 50
    without = [(time, s) for time, s in result.out if camera not in s.used_sensors]
    last = last_sent(result, camera)
    assert without[0][1].stamp_ns <= last.out_stamp_ns + CAMERA + PERIOD
    assert [r.state for r in result.of(camera) if not r.used][:3] == [
        SensorState.LATE,
        SensorState.STALE,
        SensorState.STALE,
    ]
    assert [sensor_level(r.state) for r in result.of(camera) if not r.used][:2] == [WARN, ERROR]
    sweeps = {t.stamp_ns: t.out_arrival_ns for t in result.truth_of(LIDAR)}
    assert all(time - sweeps[s.stamp_ns] <= DEADLINE for time, s in without[:2])
    clean = clean_times(2.5)
    assert all(time <= clean[s.stamp_ns] for time, s in without[2:]), 'no extra wait'
    assert all(s.cameras[camera] is None for _, s in without), 'left out, not black'


def test_row_001_a_picture_serves_again_until_its_successor_is_overdue_and_not_after_that():
    """48 ms after one sweep is 52 ms before the next one: within the tolerance of both."""
    pace = dataclasses.replace(TOGETHER, offsets=(('cam2', 48),))
    result = run(fault('off', 'cam2', 1.0), seconds=2.5, pace=pace)
    used = [r.stamp_ns for r in result.of('cam2') if r.used]
    assert len(set(used)) == 10 and len(result.out) == 25
    assert used.count(used[-1]) == 1, 'its successor was overdue'


@pytest.mark.parametrize('pair', list(itertools.combinations(CAMERAS, 2)))
def test_row_002_two_dead_cameras_are_both_named_and_the_rate_is_kept(pair):
    result = run(fault('off', pair, 1.0), seconds=2.0)
    assert len(result.out) == 40 and modalities(result.out) == {Modality.FUSED}
    assert set(SENSORS) - set(result.samples[-1].used_sensors) == set(pair)
    assert all(result.of(name)[-1].state is SensorState.STALE for name in pair)


@pytest.mark.parametrize('phase', PHASES)
def test_row_003_without_cameras_every_sweep_makes_a_lidar_output(phase):
    result = run(fault('off', 'cameras', 1.0 + phase / 1000), seconds=2.5)
    assert len(result.out) == 50
    newest = max(last_sent(result, name).out_stamp_ns for name in CAMERAS)
    alone = [(time, s) for time, s in result.out if s.modality is Modality.LIDAR]
    assert alone[0][1].stamp_ns <= newest + CAMERA + PERIOD
    assert modalities(result.between(1.3)) == {Modality.LIDAR}


@pytest.mark.parametrize('phase', PHASES)
def test_row_004_without_lidar_the_cameras_go_on_at_their_own_rate_for_ten_seconds(phase):
    seconds = 12.0 if phase == 0 else 3.0
    death = 1.0 + phase / 1000
    result = run(fault('off', 'lidar', death), seconds=seconds)
    alone = [(time, s) for time, s in result.out if s.modality is Modality.CAMERA]
    assert alone[0][0] <= last_sent(result, LIDAR).out_arrival_ns + PERIOD + DEADLINE
    assert len(alone) >= (seconds - death) * 12 - 3
    stamps = {t.out_stamp_ns for name in CAMERAS for t in result.truth_of(name)}
    assert all(s.stamp_ns in stamps for _, s in alone), 'the stamp is that of a camera'
    assert all(len(s.used_sensors) == 6 for _, s in alone[1:])


def test_row_005_without_any_sensor_outputs_are_silent_and_the_status_goes_on():
    result = run(fault('off', 'all', 1.0), seconds=2.0)
    assert result.samples[-1].stamp_ns < T0 + 1000 * MS
    end = result.end
    for seconds in range(2, 62):
        now = T0 + seconds * 1000 * MS
        assert end.poll(now) == [] and end.modality(now) is Modality.NONE
        assert {r.state for r in end.reports(now)} == {SensorState.STALE}
    report = StatusReport(now, end.modality(now), end.reports(now), is_heartbeat=True)
    message = encode_diagnostics(report, MODEL, 'n')
    node = wire.deserialize(message.cdr, message.msgtype).status[0]
    assert node.level == ERROR


def test_row_006_everything_returns_together_and_no_old_frame_is_used():
    result = run(fault('off', 'all', 1.0, 11.0), seconds=13.0)
    after = result.between(10.9)
    assert after[0][0] <= T0 + 11_000 * MS + 2 * CAMERA + DEADLINE
    assert result.end.epoch == 0
    for name in SENSORS:
        truths = result.truth_of(name)
        back = max(t.number for t in truths if t.action == DROPPED) + 1
        assert truths[back].out_stamp_ns not in {r.stamp_ns for r in result.of(name) if r.used}
    full = next(s for _, s in after if len(s.used_sensors) == 7)
    assert full.stamp_ns <= T0 + 11_000 * MS + 2 * CAMERA + DEADLINE


@pytest.mark.parametrize(
    'absent',
    [(name,) for name in SENSORS] + [tuple(n for n in SENSORS if n != name) for name in SENSORS],
)
def test_row_007_a_sensor_that_never_spoke_is_not_waited_for(absent):
    result = run(fault('off', absent, -0.5), seconds=4.0)
    present = set(SENSORS) - set(absent)
    first = min(t.out_arrival_ns for n in present for t in result.truth_of(n))
    assert result.out[0][0] <= first + 2000 * MS + CAMERA + DEADLINE
    late = [s for time, s in result.out if time > first + 2200 * MS]
    assert len(late) >= 16
    assert all(set(s.used_sensors) == present for s in late)
    arrivals = {n: {t.out_stamp_ns: t.out_arrival_ns for t in result.truth_of(n)} for n in present}
    for time, sample in result.out[-10:]:
        assert time == max(arrivals[r.name][r.stamp_ns] for r in sample.sensors if r.used), (
            'nothing is waited for that never came'
        )
    last = {r.name: r.state for r in late[-1].sensors}
    assert all(last[name] is SensorState.NEVER for name in absent)
    assert all(sensor_level(last[name]) == ERROR for name in absent)


@pytest.mark.parametrize('name', SENSORS)
def test_row_008_a_sensor_that_returns_is_used_from_its_second_good_frame(name):
    result = run(fault('off', name, 1.0, 11.0), seconds=13.0)
    truths = result.truth_of(name)
    back = max(t.number for t in truths if t.action == DROPPED) + 1
    used = {r.stamp_ns for r in result.of(name) if r.used}
    returned = [t.out_stamp_ns for t in truths[back : back + 4]]
    assert returned[0] not in used and returned[3] in used
    if name != LIDAR:
        assert returned[1] in used
    assert result.samples[-1].used_sensors == SENSORS
    first = next(s for _, s in result.between(10.9) if name in s.used_sensors)
    assert first.stamp_ns <= returned[0] + 3 * VEHICLE.period(name) + DEADLINE


def test_row_009_a_flapping_camera_is_quarantined_and_every_label_is_true():
    result = run(fault('intermittent', 'cam1', 1.0, 21.0, period=1.0), seconds=35.0)
    assert len(result.out) == 700
    reports = result.of('cam1')
    kept_out = [r for r in reports if 'quarantine' in r.reason]
    assert kept_out and not any(r.used for r in kept_out)
    assert reports[-1].used, 'back when the flapping has ended'
    changes = sum(a.used != b.used for a, b in itertools.pairwise(reports))
    assert changes <= 16, 'far fewer than the 40 edges of the fault'


@pytest.mark.parametrize('name,rate', [('cam3', 3.0), (LIDAR, 5.0)])
def test_row_010_at_a_quarter_of_its_rate_a_sensor_is_used_when_it_sends(name, rate):
    result = run(fault('slow', name, 1.0, every=4), seconds=8.0)
    passed = [
        t.out_stamp_ns
        for t in result.truth_of(name)
        if t.action == PASSED and t.out_stamp_ns > T0 + 2300 * MS
    ]
    used = {r.stamp_ns for r in result.of(name) if r.used}
    assert len(result.out) >= 12 * 8 - 4
    assert sum(stamp in used for stamp in passed) >= len(passed) - 2
    last = result.of(name)[-3:]
    assert any(f'rate: {rate:.1f} Hz' in r.reason or r.state is SensorState.MISSING for r in last)


def test_row_010_a_picture_between_the_sweeps_of_a_slow_lidar_is_not_used_for_the_next_one():
    """A LiDAR of 5 Hz; the last picture of a camera that dies is 100 ms older than the sweep."""
    plain = TOGETHER.rig()
    slow = dataclasses.replace(plain, lidars=(dataclasses.replace(plain.lidars[0], rate_hz=5.0),))
    result = run(
        fault('slow', LIDAR, -0.5, every=2),
        fault('off', 'cam2', 1.15),
        seconds=2.5,
        rig_config=slow,
        pace=TOGETHER,
    )
    assert len(result.out) == 13 and modalities(result.out) == {Modality.FUSED}
    assert [r.used for r in result.of('cam2')] == [True] * 6 + [False] * 7


def test_row_011_half_the_field_of_the_lidar_is_used_and_said():
    result = run(fault('wrong', LIDAR, 1.5, what=What.HALF_FIELD), seconds=3.0)
    hit = [r for r in result.of(LIDAR) if r.stamp_ns >= T0 + 1490 * MS]
    assert all(r.used and r.state is SensorState.SUSPECT for r in hit[1:])
    assert all('blocked' in r.reason for r in hit[1:]) and len(hit) >= 30


@pytest.mark.parametrize('share,suspect', [(0.5, False), (0.3, None), (0.2, True), (0.1, True)])
def test_row_012_a_sweep_with_few_points_is_used_and_called_sparse(share, suspect):
    result = run(fault('wrong', LIDAR, 1.5, what=What.SPARSE, share=share), seconds=3.0)
    hit = [r for r in result.of(LIDAR) if r.stamp_ns >= T0 + 1490 * MS]
    assert len(hit) == 30 and all(r.used for r in hit)
    if suspect is not None:
        flagged = sum(r.state is SensorState.SUSPECT and 'sparse' in r.reason for r in hit)
        assert flagged == (len(hit) if suspect else 0)


_FIRST_SECOND = [
    (a, b)
    for a, b in itertools.permutations(['cam4', 'cameras', 'lidar'], 2)
    if {a, b} != {'cam4', 'cameras'}
]


@pytest.mark.parametrize('first,second', [*_FIRST_SECOND, ('cam4', 'others')])
def test_row_013_a_second_death_during_the_first_is_handled_like_a_first(first, second):
    names = {
        'cameras': CAMERAS,
        'lidar': (LIDAR,),
        'cam4': ('cam4',),
        'others': tuple(n for n in CAMERAS if n != 'cam4'),
    }
    result = run(fault('off', names[first], 1.0), fault('off', names[second], 2.0), seconds=4.0)
    left = set(SENSORS) - {*names[first], *names[second]}
    late = [s for _, s in result.between(2.4)]
    assert len(late) >= 18 or not left
    assert all(set(s.used_sensors) == left for s in late)
    if not left:
        assert not late and result.end.modality(T0 + 4000 * MS) is Modality.NONE


@pytest.mark.parametrize('share', [0.2, 0.4, 0.6])
def test_row_014_random_drops_on_all_sensors_never_make_a_wrong_label(share):
    result = run(fault('intermittent', 'all', 0.0, share=share), seconds=30.0, seed=5)
    lost = sum(t.action == DROPPED for t in result.truths)
    assert abs(lost / len(result.truths) - share) < 0.05
    sweeps = sum(t.action == PASSED for t in result.truth_of(LIDAR))
    assert len(result.out) >= 0.97 * sweeps


def test_row_015_the_mode_may_change_at_every_output_without_a_wrong_label():
    """A random walk over the modes by two faults that alternate by chance."""
    config = SensingConfig(readmit_frames=1, flap_limit=100)
    faults, mode = [], np.random.default_rng(7).integers(1, 4, 150)
    for k, value in enumerate(mode):
        begin = k * 0.1 - 0.06
        lost = [*(() if value & 1 else CAMERAS), *(() if value & 2 else (LIDAR,))]
        if lost and begin > 0:
            faults.append(fault('off', lost, begin, begin + 0.1, name=f'f{k}'))
    result = run(*faults, seconds=15.0, config=config)
    assert modalities(result.out) == {Modality.CAMERA, Modality.LIDAR, Modality.FUSED}
    changes = sum(a.modality != b.modality for a, b in itertools.pairwise(result.samples))
    assert changes >= 30


def test_labels_of_a_clean_drive_are_all_well():
    """No fault, no alarm: what the rows above see comes from their faults."""
    result = run(seconds=10.0)
    assert len(result.out) == 200
    assert {r.state for s in result.samples for r in s.sensors} == {SensorState.OK}


def test_the_check_against_the_truth_finds_a_false_label():
    """The oracle has teeth: an output with a frame that the truth says was dropped."""
    result = run(fault('off', 'cam1', 1.0), seconds=2.0)
    clean = run(seconds=2.0)
    result.out = clean.out
    with pytest.raises(AssertionError, match='nobody sent'):
        check_truth(result)


@pytest.mark.parametrize(
    'kind,parameters',
    [
        ('wrong', {'what': What.FRAME}),
        ('delayed', {'seconds': 0.2}),
        ('slow', {'every': 4}),
        ('off', {}),
    ],
)
@pytest.mark.parametrize('phase', [0.0, 0.02, 0.04, 0.06, 0.08])
@pytest.mark.parametrize(
    'pace,fewest', [(VEHICLE, 66), (TOGETHER, 36)], ids=['vehicle', 'together']
)
def test_row_005_008_the_trigger_changes_hands_without_an_output_that_lacks_sound_cameras(
    kind, parameters, phase, pace, fewest
):
    """A sweep whose pictures were used up by a camera sample would make one of the LiDAR alone."""
    result = run(fault(kind, LIDAR, 1.0 + phase, 2.5, **parameters), seconds=4.0, pace=pace)
    assert {r.state for s in result.samples for r in s.sensors if r.name != LIDAR} == {
        SensorState.OK
    }
    assert len(result.out) >= fewest
