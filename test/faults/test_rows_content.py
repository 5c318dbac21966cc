"""Fault matrix B, C and E with the injector: content, frames, sizes, calibration in mid-run.

Most rows count frames, and every frame shows in one output of the drive where all sensors send
together; the same faults on the vehicle-like drive follow at the end.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from support.fake_drive import CAMERAS, LIDAR, MS, SENSORS, T0, ring
from support.injected_drive import (
    TOGETHER,
    TOPICS,
    TYPES,
    VEHICLE,
    cloud_bytes,
    fault,
    image_bytes,
    info_bytes,
    message,
    stream,
    tf_bytes,
)
from support.injected_drive import run as run_at

from metabev_ros import wire
from metabev_ros.faults.pipe import PASSED
from metabev_ros.faults.plan import What
from metabev_ros.sensing.checks import MOST_POINTS
from metabev_ros.structures import Modality, SensorState

run = functools.partial(run_at, pace=TOGETHER)


def hit(result, name: str, begin: float = 1.0):
    """Reports of a sensor in the outputs from `begin` on."""
    return [r for _, s in result.between(begin - 0.06) for r in s.sensors if r.name == name]


def faulted(result, name: str):
    """Reports of a camera in the outputs of those sweeps whose image the pipe touched."""
    numbers = [t.number for t in result.truth_of(name) if t.action != PASSED]
    assert len(result.out) == len(result.truth_of(LIDAR)), 'one output a sweep'
    return result.of(name)[numbers[0] : numbers[-1] + 1]


def others_are_well(result, name: str) -> bool:
    """Only the sensor that was damaged is not OK (invariant "Contained faults")."""
    return {r.state for s in result.samples for r in s.sensors if r.name != name} == {
        SensorState.OK
    }


def replaced(name: str, make, begin: float = 1.0, seconds: float = 3.0):
    """The stream with make(number, stamp) in place of a sensor's messages from `begin` on."""
    first = round(begin * 10)
    numbers = dict.fromkeys(SENSORS, 0)
    found = []
    for item in stream(seconds, pace=TOGETHER):
        sensor = next((n for n, topic in TOPICS.items() if topic == item.topic), None)
        if sensor is None:
            found.append(item)
            continue
        k, numbers[sensor] = numbers[sensor], numbers[sensor] + 1
        at = item.log_time_ns - (10 if sensor == LIDAR else 5) * MS
        found.append(
            message(item.topic, item.log_time_ns, make(k, at))
            if sensor == name and k >= first
            else item
        )
    return tuple(found)


# ------------------------------------------------------------------------------------- images
@pytest.mark.parametrize('name', ['cam1', LIDAR])
def test_row_016_frozen_content_is_flagged_on_the_second_and_left_out_from_the_third(name):
    result = run(fault('stuck', name, 1.0), seconds=2.5)
    frozen = [r for r in result.of(name) if r.state is SensorState.FROZEN]
    repeats = [t for t in result.truth_of(name) if t.action == 'repeated']
    assert not any(r.used for r in frozen) and 'identical' in frozen[0].reason
    used = [r for r in result.of(name) if r.used and r.stamp_ns >= repeats[0].out_stamp_ns]
    assert [r.state for r in used] == [SensorState.SUSPECT], 'the 2nd of three equal frames'
    assert result.end.reports(T0 + 2500 * MS)[SENSORS.index(name)].rejected == len(repeats) - 1


def test_row_017_the_same_message_again_is_a_duplicate_and_its_sensor_is_missing():
    result = run(fault('stuck', 'cam1', 1.0, new_stamps=False), seconds=2.5)
    reports = faulted(result, 'cam1')
    assert not any(r.used for r in reports) and others_are_well(result, 'cam1')
    assert reports[0].state is SensorState.LATE and reports[1].state is SensorState.STALE
    assert any('duplicate' in r.reason for r in reports)


@pytest.mark.parametrize('what,word', [(What.BLACK, 'dark'), (What.WHITE, 'over-exposed')])
def test_row_018_019_a_black_or_white_picture_is_suspect_once_and_then_left_out(what, word):
    result = run(fault('wrong', 'cam3', 1.0, 2.0, what=what), seconds=3.0)
    reports = faulted(result, 'cam3')
    assert len(reports) == 10
    assert reports[0].used and reports[0].state is SensorState.SUSPECT
    assert reports[1].state is SensorState.INVALID and word in reports[1].reason
    assert {r.state for r in reports[2:]} == {SensorState.FROZEN}, 'flat is also unchanging'
    assert not any(r.used for r in reports[1:])
    assert result.of('cam3')[-1].used and others_are_well(result, 'cam3')


def test_row_019_a_picture_that_is_white_by_two_thirds_is_used_and_flagged():
    def glare(k, at):
        picture = wire.deserialize(image_bytes('cam3', k, at), TYPES['cam3/image'])
        picture.data = picture.data.copy()
        picture.data[: 22 * 96] = 255  # of 32 rows
        return wire.serialize(picture, TYPES['cam3/image'])

    result = run(messages=replaced('cam3', glare, seconds=2.0))
    reports = result.of('cam3')[10:]
    assert all(r.used and r.state is SensorState.SUSPECT for r in reports)
    assert 'over-exposed: 69%' in reports[-1].reason and others_are_well(result, 'cam3')


def test_row_020_random_pixels_are_flagged_and_change_only_their_camera():
    result = run(fault('garbage', 'cam1', 1.0, what=What.NOISE), seconds=3.0)
    reports = faulted(result, 'cam1')
    assert all(r.used and r.state is SensorState.SUSPECT and 'noise' in r.reason for r in reports)
    assert others_are_well(result, 'cam1') and len(result.out) == 30


def test_row_020_a_sweep_of_random_points_is_refused_and_the_cameras_go_on():
    result = run(fault('garbage', LIDAR, 1.0, 2.0, what=What.NOISE), seconds=3.0)
    reports = hit(result, LIDAR, 1.06)[:9]
    assert all(r.state is SensorState.INVALID and 'noise' in r.reason for r in reports)
    assert {s.modality for _, s in result.between(1.06, 1.9)} == {Modality.CAMERA}
    assert result.of(LIDAR)[-1].used and others_are_well(result, LIDAR)


def test_row_021_a_torn_picture_is_used_and_suspect():
    result = run(fault('wrong', 'cam1', 1.0, what=What.TORN), seconds=2.5)
    reports = faulted(result, 'cam1')
    assert all(r.used and r.state is SensorState.SUSPECT and 'torn' in r.reason for r in reports)


def test_row_024_truncated_pictures_are_refused_for_their_size():
    result = run(fault('garbage', 'cam1', 1.0, 2.0, what=What.TRUNCATED, share=0.999), seconds=3.0)
    reports = faulted(result, 'cam1')
    assert {r.state for r in reports} == {SensorState.INVALID}
    assert all(r.reason.startswith('size') and not r.used for r in reports)
    assert result.of('cam1')[-1].used and others_are_well(result, 'cam1')


def test_row_031_045_a_foreign_frame_id_is_invalid_for_a_camera_and_no_tf_for_the_lidar():
    result = run(fault('wrong', 'cam1', 1.0, what=What.FRAME), seconds=2.5)
    assert {r.state for r in faulted(result, 'cam1')} == {SensorState.INVALID}
    assert not any(r.used for r in faulted(result, 'cam1'))
    result = run(fault('wrong', LIDAR, 1.0, what=What.FRAME), seconds=2.5)
    late = [s for _, s in result.between(1.3)]
    assert late and {s.modality for s in late} == {Modality.CAMERA}
    assert hit(result, LIDAR, 1.3)[-1].state is SensorState.NO_TF


# -------------------------------------------------------------------------------------- clouds
@pytest.mark.parametrize(
    'what,extra,word',
    [
        (What.EMPTY, {}, 'empty'),
        (What.NOT_FINITE, {'share': 1.0}, 'empty'),
        (What.NOT_FINITE, {'share': 0.95}, 'non-finite'),
    ],
)
def test_row_032_033_a_sweep_without_usable_points_leaves_the_outputs_to_the_cameras(
    what, extra, word
):
    result = run(fault('wrong', LIDAR, 1.0, what=what, **extra), seconds=3.0)
    late = [s for _, s in result.between(1.3)]
    assert len(late) >= 16 and {s.modality for s in late} == {Modality.CAMERA}
    assert {r.state for r in hit(result, LIDAR, 1.3)} == {SensorState.INVALID}
    assert word in hit(result, LIDAR, 1.3)[0].reason


def test_row_033_half_of_the_points_not_finite_are_dropped_and_the_rest_is_used():
    result = run(fault('wrong', LIDAR, 1.0, what=What.NOT_FINITE, share=0.5), seconds=2.5)
    sweeps = [s.sweep for _, s in result.between(0.99)]
    assert len(sweeps) == 15 and all(np.isfinite(sweep.points).all() for sweep in sweeps)
    assert all(300 < len(sweep.points) < 420 for sweep in sweeps)


def test_row_034_ten_times_the_points_are_capped_and_said():
    big = MOST_POINTS + 50_000

    def make(k, at):
        return cloud_bytes(ring(k, big), at)

    result = run(messages=replaced(LIDAR, make, seconds=1.4))
    reports = hit(result, LIDAR)
    assert len(reports) == 4 and all(r.used for r in reports)
    assert all(r.state is SensorState.SUSPECT and 'clipped' in r.reason for r in reports)
    assert {len(s.sweep.points) for _, s in result.between(0.99)} == {MOST_POINTS}
    azimuth = np.arctan2(*result.samples[-1].sweep.points[:, 1::-1].T)
    assert np.ptp(np.histogram(azimuth, 36)[0]) <= 2, 'evenly from all directions'


@pytest.mark.parametrize(
    'make',
    [
        lambda k: ring(k) * np.float32([1e-3, 1e-3, 1e-3, 1]),
        lambda k: ring(k) * np.float32([40, 40, 40, 1]),
    ],
    ids=['at the origin', 'beyond range'],
)
def test_row_044_points_at_the_origin_or_beyond_range_are_no_sweep(make):
    result = run(messages=replaced(LIDAR, lambda k, at: cloud_bytes(make(k), at)))
    reports = hit(result, LIDAR, 1.3)
    assert {r.state for r in reports} == {SensorState.INVALID}
    assert all('in range' in r.reason for r in reports)
    assert {s.modality for _, s in result.between(1.3)} == {Modality.CAMERA}


def test_row_039_a_truncated_cloud_is_refused_for_its_size():
    result = run(fault('garbage', LIDAR, 1.0, 2.0, what=What.TRUNCATED, share=0.999), seconds=3.0)
    hits = [r for r in hit(result, LIDAR, 1.2) if not r.used]
    assert hits and all(r.reason.startswith('size') for r in hits[:7])
    assert result.samples[-1].used_sensors == SENSORS


# --------------------------------------------------------------------------------- calibration
def test_row_059_moved_extrinsics_are_applied_at_once_never_half_and_said():
    moved = message('tf_static', T0 + 1520 * MS, tf_bytes(xyz=(0.05, 0.0, 1.5)))
    messages = sorted([*stream(3.0, pace=TOGETHER), moved], key=lambda m: m.log_time_ns)
    result = run(messages=tuple(messages))
    assert len(result.out) == 30
    seen = []
    for _, sample in result.out:
        places = {
            round(float(image.calibration.ego_from_camera[0, 3]), 6)
            for image in sample.cameras.values()
        }
        places.add(round(float(sample.sweep.ego_from_lidar[0, 3]), 6))
        seen.append(places)
    new = [k for k, places in enumerate(seen) if 0.05 in places]
    assert new == list(range(new[0], 30)) and new[0] in (15, 16)
    assert all(places == {0.05} for places in seen[new[0] + 1 :])
    said = [r for s in result.samples for r in s.sensors if 'extrinsics changed' in r.reason]
    assert {r.name for r in said} == set(SENSORS)
    assert all(r.used and r.state is SensorState.SUSPECT for r in said)


def test_row_066_a_new_camera_info_is_applied_to_the_next_picture_and_said():
    info = message('cam1/camera_info', T0 + 1520 * MS, info_bytes('cam1', T0, focal=33.0))
    messages = sorted([*stream(3.0, pace=TOGETHER), info], key=lambda m: m.log_time_ns)
    result = run(messages=tuple(messages))
    focal = [float(s.cameras['cam1'].calibration.intrinsics[0, 0]) for s in result.samples]
    assert set(focal[:15]) == {30.0} and set(focal[16:]) == {33.0}
    assert sum('intrinsics changed' in r.reason for r in result.of('cam1')) == 1
    assert others_are_well(result, 'cam1')


def test_row_062_110_without_any_camera_info_the_lidar_goes_on():
    left_out = tuple(f'{name}/camera_info' for name in CAMERAS)
    result = run(messages=stream(4.0, without=left_out, pace=TOGETHER))
    late = [s for _, s in result.between(2.5)]
    assert late and {s.modality for s in late} == {Modality.LIDAR}
    assert {r.state for s in late for r in s.sensors if r.name != LIDAR} == {
        SensorState.UNCALIBRATED
    }


# -------------------------------------------------------------------------------------- bytes
@pytest.mark.parametrize('name', ['cam1', LIDAR])
def test_row_108_random_bytes_under_the_right_type_are_counted_at_their_sensor(name):
    result = run(fault('garbage', name, 1.0, 2.0, what=What.BYTES), seconds=3.0)
    assert others_are_well(result, name) or name == LIDAR
    report = result.end.reports(T0 + 3000 * MS)[SENSORS.index(name)]
    assert report.rejected == 10 and result.samples[-1].used_sensors == SENSORS


# ------------------------------------------------------------------- on the vehicle-like drive
_NEVER_USED = [
    ('garbage', 'cam1', {'what': What.TRUNCATED, 'share': 0.999}, SensorState.INVALID),
    ('garbage', 'cam1', {'what': What.BYTES}, SensorState.INVALID),
    ('wrong', 'cam1', {'what': What.FRAME}, SensorState.INVALID),
    ('wrong', LIDAR, {'what': What.FRAME}, SensorState.NO_TF),
    ('wrong', LIDAR, {'what': What.EMPTY}, SensorState.INVALID),
    ('wrong', LIDAR, {'what': What.NOT_FINITE, 'share': 0.95}, SensorState.INVALID),
    ('garbage', LIDAR, {'what': What.TRUNCATED, 'share': 0.999}, SensorState.INVALID),
    ('garbage', LIDAR, {'what': What.NOISE}, SensorState.INVALID),
]


@pytest.mark.parametrize('kind,name,extra,state', _NEVER_USED)
def test_row_020_024_031_032_033_039_045_108_what_cannot_be_used_never_is_at_any_pace(
    kind, name, extra, state
):
    result = run_at(fault(kind, name, 1.0, 2.5, **extra), seconds=4.0, pace=VEHICLE)
    touched = {t.out_stamp_ns for t in result.truth_of(name) if t.action != PASSED}
    assert len(touched) >= 15
    assert not touched & {r.stamp_ns for r in result.of(name) if r.used}
    during = [r for _, s in result.between(1.3, 2.4) for r in s.sensors if r.name == name]
    assert len(during) >= 12 and not any(r.used for r in during)
    assert state in {r.state for r in during}
    assert {r.state for r in during} <= {state, SensorState.RECOVERING, SensorState.STALE}
    assert result.samples[-1].used_sensors == SENSORS
    assert others_are_well(result, name)


_FLAGGED = [
    ('garbage', {'what': What.NOISE}, 'noise'),
    ('wrong', {'what': What.TORN}, 'torn'),
]


@pytest.mark.parametrize('kind,extra,word', _FLAGGED)
def test_row_020_021_a_flawed_picture_is_suspect_each_time_it_serves(kind, extra, word):
    result = run_at(fault(kind, 'cam1', 1.0, 2.5, **extra), seconds=4.0, pace=VEHICLE)
    touched = {t.out_stamp_ns for t in result.truth_of('cam1') if t.action != PASSED}
    hits = [r for r in result.of('cam1') if r.used and r.stamp_ns in touched]
    assert len(hits) >= 20 and others_are_well(result, 'cam1')
    assert all(r.state is SensorState.SUSPECT and word in r.reason for r in hits)
    sound = [r for r in result.of('cam1') if r.used and r.stamp_ns not in touched]
    assert {r.state for r in sound} == {SensorState.OK}, 'the flaw is that of the picture'


@pytest.mark.parametrize('what,word', [(What.BLACK, 'dark'), (What.WHITE, 'over-exposed')])
def test_row_018_019_a_flat_picture_serves_once_at_most_and_is_left_out_after_that(what, word):
    result = run_at(fault('wrong', 'cam3', 1.0, 2.5, what=what), seconds=4.0, pace=VEHICLE)
    touched = {t.out_stamp_ns for t in result.truth_of('cam3') if t.action != PASSED}
    hits = [r for r in result.of('cam3') if r.used and r.stamp_ns in touched]
    assert {r.state for r in hits} == {SensorState.SUSPECT}
    assert all(word in r.reason for r in hits) and len({r.stamp_ns for r in hits}) == 1
    assert result.samples[-1].used_sensors == SENSORS and others_are_well(result, 'cam3')


@pytest.mark.parametrize('name', ['cam1', LIDAR])
def test_row_016_017_frozen_content_is_left_out_from_the_third_frame_at_any_pace(name):
    result = run_at(fault('stuck', name, 1.0, 2.5), seconds=4.0, pace=VEHICLE)
    repeats = sorted(t.out_stamp_ns for t in result.truth_of(name) if t.action == 'repeated')
    hits = [r for r in result.of(name) if r.used and r.stamp_ns in repeats]
    assert {r.stamp_ns for r in hits} <= {repeats[0]}, 'the second of three equal frames'
    assert {r.state for r in hits} <= {SensorState.SUSPECT}
    frozen = [r for r in result.of(name) if r.state is SensorState.FROZEN]
    assert len(frozen) >= 12 and result.samples[-1].used_sensors == SENSORS
    again = run_at(fault('stuck', 'cam1', 1.0, new_stamps=False), seconds=2.5, pace=VEHICLE)
    assert again.of('cam1')[-1].state is SensorState.STALE
