"""Content, time and hostile messages through the whole front end, with a fake clock."""
from __future__ import annotations

import itertools
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fake_drive import (
    CAMERAS,
    LIDAR,
    MS,
    NUSCENES_OFFSETS,
    SENSORS,
    T0,
    Drive,
    camera_info,
    check_truth,
    cloud,
    front_end,
    header,
    image,
    numbered_image,
    odometry,
    play,
    rig,
    ring,
    set_up,
    stamp,
    tf_message,
    transform,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metabev_ros.config import CameraConfig, LidarConfig, RigConfig, SensingConfig
from metabev_ros.geometry import rigid_transform
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import Modality, SensorState

PERIOD, DEADLINE = 100 * MS, 50 * MS


def run(drive: Drive, config: SensingConfig | None = None):
    end = set_up(front_end(config))
    out = play(end, drive.events)
    check_truth(out, drive)
    return end, [sample for _, sample in out]


def report(sample, name):
    return next(r for r in sample.sensors if r.name == name)


def faulty(name: str, begin: int, end: int, make):
    """A `make` for Drive: messages begin..end of one sensor are `make(number, stamp)`."""
    return lambda sensor, k, at: make(k, at) if sensor == name and begin <= k < end else None


# ------------------------------------------------------------------------------------ content
def test_a_frozen_camera_is_named_at_the_third_identical_frame_and_left_out():
    drive = Drive(4, make=faulty('cam1', 10, 25, lambda k, at: image(
        numbered_pixels(10), at, 'cam1')))
    end = set_up(front_end())
    samples = [sample for _, sample in play(end, drive.events)]
    states = [report(s, 'cam1').state for s in samples]
    used = [report(s, 'cam1').used for s in samples]
    assert states[10:13] == [SensorState.OK, SensorState.SUSPECT, SensorState.FROZEN]
    assert set(states[12:25]) == {SensorState.FROZEN} and not any(used[12:25])
    assert states[25] is SensorState.RECOVERING and not used[25]
    assert all(used[26:]) and states[26] is SensorState.OK
    assert 'identical' in report(samples[14], 'cam1').reason
    assert all(len(s.used_sensors) == 6 for s in samples[12:25])
    assert report(samples[-1], 'cam1').rejected == 13


def numbered_pixels(number: int) -> np.ndarray:
    return np.frombuffer(numbered_image(number, T0, 'cam1').data, np.uint8).reshape(32, 32, 3)


def test_row_016_noise_of_one_grey_level_in_one_pixel_is_not_frozen():
    def twin(k, at):
        pixels = numbered_pixels(10).copy()
        pixels[0, 0] = 0, 0, k
        pixels[17, 13, 1] ^= k & 1
        return image(pixels, at, 'cam1')
    _, samples = run(Drive(3, make=faulty('cam1', 5, 30, twin)))
    assert {report(s, 'cam1').state for s in samples} == {SensorState.OK}


def test_a_frozen_lidar_hands_the_trigger_to_the_cameras():
    drive = Drive(3, make=faulty(LIDAR, 10, 30, lambda k, at: cloud(ring(10), at)))
    end = set_up(front_end())
    samples = [sample for _, sample in play(end, drive.events)]
    late = [s for s in samples if s.stamp_ns > T0 + 1400 * MS]
    assert len(late) >= 14 and all(s.modality is Modality.CAMERA for s in late)
    assert {report(s, LIDAR).state for s in late} == {SensorState.FROZEN}


@pytest.mark.parametrize('value,word', [(0, 'dark'), (255, 'over-exposed')])
def test_black_and_white_pictures_are_suspect_once_then_invalid(value, word):
    def flat(k, at):
        pixels = np.full((32, 32, 3), value, np.uint8)
        pixels[0, 0] = 0, 0, k
        return image(pixels, at, 'cam3')
    _, samples = run(Drive(3, make=faulty('cam3', 10, 20, flat)))
    reports = [report(s, 'cam3') for s in samples]
    assert reports[10].state is SensorState.SUSPECT and reports[10].used
    assert {r.state for r in reports[11:20]} == {SensorState.INVALID}
    assert not any(r.used for r in reports[11:21]) and word in reports[12].reason
    assert all(r.used for r in reports[21:])


def test_row_018_a_night_picture_with_a_few_lights_is_used_without_a_flag():
    def night(k, at):
        pixels = np.random.default_rng(k).integers(0, 9, (32, 32, 3), dtype=np.uint8)
        pixels[4:6, 4:9] = 230
        pixels[0, 0] = 0, 0, k
        return image(pixels, at, 'cam3')
    _, samples = run(Drive(3, make=faulty('cam3', 5, 30, night)))
    assert {report(s, 'cam3').state for s in samples} == {SensorState.OK}


def test_a_torn_picture_is_used_but_suspect():
    def torn(k, at):
        message = numbered_image(k, at, 'cam3')
        pixels = np.frombuffer(message.data, np.uint8).reshape(32, 32, 3).copy()
        pixels[16:] = 0
        return image(pixels, at, 'cam3')
    _, samples = run(Drive(2, make=faulty('cam3', 10, 20, torn)))
    flagged = [report(s, 'cam3') for s in samples[10:]]
    assert all(r.used and r.state is SensorState.SUSPECT and 'torn' in r.reason for r in flagged)


@pytest.mark.parametrize('make,state,word', [
    (lambda k, at: cloud(ring(k)[:0], at), SensorState.INVALID, 'empty'),
    (lambda k, at: cloud(ring(k) * np.nan, at), SensorState.INVALID, 'empty'),
    (lambda k, at: cloud(np.where(np.arange(720)[:, None] < 40, ring(k), np.nan), at),
     SensorState.INVALID, 'non-finite'),
    (lambda k, at: cloud(ring(k) * (1e-3, 1e-3, 1e-3, 1), at), SensorState.INVALID, 'in range'),
    (lambda k, at: cloud(ring(k)[::5], at), SensorState.SUSPECT, 'sparse'),
    (lambda k, at: cloud(ring(k)[:360], at), SensorState.SUSPECT, 'blocked')])
def test_a_damaged_sweep_is_named_and_only_suspect_ones_are_used(make, state, word):
    drive = Drive(3, make=faulty(LIDAR, 12, 30, make))
    end = set_up(front_end())
    samples = [sample for _, sample in play(end, drive.events)]
    hit = [report(s, LIDAR) for s in samples if s.stamp_ns > T0 + 1450 * MS]
    assert {r.state for r in hit} == {state} and all(word in r.reason for r in hit)
    assert all(r.used == (state is SensorState.SUSPECT) for r in hit)
    assert len(samples) >= 28


def test_one_truncated_image_is_left_out_and_the_next_good_one_is_used():
    drive = Drive(2, make=faulty('cam2', 10, 11, lambda k, at: image(
        numbered_pixels(k), at, 'cam2', data=b'short')))
    end = set_up(front_end())
    samples = [sample for _, sample in play(end, drive.events)]
    assert report(samples[10], 'cam2').state is SensorState.INVALID
    assert report(samples[10], 'cam2').reason.startswith('size')
    assert not report(samples[10], 'cam2').used and report(samples[11], 'cam2').used


def test_two_bad_images_in_a_row_need_recovery():
    drive = Drive(2, make=faulty('cam2', 8, 12, lambda k, at: image(
        numbered_pixels(k), at, 'cam2', encoding='bgr9')))
    samples = [sample for _, sample in play(set_up(front_end()), drive.events)]
    states = [report(s, 'cam2').state for s in samples]
    assert set(states[8:12]) == {SensorState.INVALID}
    assert states[12] is SensorState.RECOVERING and states[13] is SensorState.OK


# --------------------------------------------------------------------------------------- time
def one_bad_stamp(name, k_bad, change):
    def make(sensor, k, at):
        if sensor != name or k != k_bad:
            return None
        message = Drive._message(name, k, at)
        message.header.stamp = change(at)
        return message
    return make


@pytest.mark.parametrize('name', ['cam2', LIDAR])
@pytest.mark.parametrize('change,word', [
    (lambda at: stamp(0), 'stamp'), (lambda at: stamp(at + 10**10), 'future'),
    (lambda at: stamp(at + 365 * 86400 * 10**9), 'future'),
    (lambda at: SimpleNamespace(sec=-5, nanosec=0), 'stamp'),
    (lambda at: SimpleNamespace(sec=5, nanosec=10**9), 'stamp')])
def test_row_046_047_057_one_impossible_stamp_is_invalid_and_normal_frames_go_on(name, change,
                                                                            word):
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
    events = [(T0 + k * 10 * MS + 500 * MS, 'lidar/points', cloud(ring(i), T0 + i * PERIOD))
              for k, i in enumerate(order)]
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
    events = sorted(((go if stop <= a < go else a), i, t, m)
                    for i, (a, t, m) in enumerate(drive.events))
    out = play(set_up(front_end()), [(a, t, m) for a, _, t, m in events])
    assert all(time - s.stamp_ns < 1200 * MS for time, s in out)
    assert out[-1][1].modality is Modality.FUSED


# -------------------------------------------------------------------------------- calibration
def test_an_image_that_comes_before_its_camera_info_waits_for_it():
    end = front_end()
    for name in CAMERAS:
        assert end.push(f'{name}/image', numbered_image(1, T0, name), T0 + MS) == []
    end.push('/tf_static', tf_message(*(transform('base_link', n) for n in SENSORS)), T0 + 2 * MS)
    assert {r.state for r in end.reports(T0 + 2 * MS)[:6]} == {SensorState.UNCALIBRATED}
    for name in CAMERAS:
        end.push(f'{name}/camera_info', camera_info(name), T0 + 3 * MS)
    samples = end.push('lidar/points', cloud(ring(0), T0 + 10 * MS), T0 + 20 * MS)
    assert len(samples) == 1 and len(samples[0].used_sensors) == 7


@pytest.mark.parametrize('without,state', [('info', SensorState.UNCALIBRATED),
                                           ('tf', SensorState.NO_TF)])
def test_row_058_062_a_camera_without_calibration_is_named_and_the_others_run(without, state):
    end = front_end()
    end.push('/tf_static', tf_message(*(transform('base_link', n) for n in SENSORS
                                        if without != 'tf' or n != 'cam4')), T0 - MS)
    for name in CAMERAS:
        if without != 'info' or name != 'cam4':
            end.push(f'{name}/camera_info', camera_info(name), T0 - MS)
    out = play(end, Drive(4).events)
    for _, sample in out:
        assert report(sample, 'cam4').state is state and not report(sample, 'cam4').used
        assert len(sample.used_sensors) == 6
    assert 'CameraInfo' in report(sample, 'cam4').reason or '/tf' in report(sample, 'cam4').reason
    time, sample = out[-1]
    assert time == sample.stamp_ns + 10 * MS, 'no longer waited for'


def test_a_lidar_without_a_transform_hands_the_trigger_to_the_cameras():
    end = front_end()
    end.push('/tf_static', tf_message(*(transform('base_link', n) for n in CAMERAS)), T0 - MS)
    for name in CAMERAS:
        end.push(f'{name}/camera_info', camera_info(name), T0 - MS)
    samples = [s for _, s in play(end, Drive(4).events)]
    assert samples and samples[0].stamp_ns < T0 + 2200 * MS
    assert all(s.modality is Modality.CAMERA for s in samples)
    assert report(samples[-1], LIDAR).state is SensorState.NO_TF


def test_row_029_064_a_resolution_change_is_uncalibrated_until_camera_info_matches():
    def bigger(sensor, k, at):
        if sensor != 'cam1' or k < 10:
            return None
        ramp = np.add.outer(np.arange(40), np.arange(32)).astype(np.uint8)
        pixels = ramp[..., None].repeat(3, 2)
        pixels[0, 0] = 0, 0, k
        return image(pixels, at, 'cam1')
    drive = Drive(3, make=bigger)
    drive.events.append((T0 + 2000 * MS, 'cam1/camera_info', camera_info('cam1', 32, 40)))
    drive.events.sort(key=lambda event: event[0])
    _, samples = run(drive)
    states = [report(s, 'cam1').state for s in samples]
    assert set(states[10:20]) == {SensorState.UNCALIBRATED}
    assert states[-1] is SensorState.OK and samples[-1].cameras['cam1'].pixels.shape[0] == 40


def test_a_small_file_that_holds_a_huge_picture_is_refused_before_it_is_decoded(monkeypatch):
    """A JPEG of some hundred bytes may say that it has 32 million pixels."""
    import metabev_ros.sensing.inputs as inputs
    cameras = tuple(CameraConfig(n, f'{n}/image_compressed', f'{n}/camera_info', n)
                    for n in CAMERAS)
    rig_config = RigConfig(cameras, LidarConfig(LIDAR, 'lidar/points', LIDAR))
    end = set_up(front_end(rig_config=rig_config))
    file = bytearray(cv2.imencode('.jpg', np.full((32, 32, 3), 90, np.uint8))[1].tobytes())
    at = file.index(b'\xff\xc0') + 5
    file[at:at + 4] = struct.pack('>HH', 4000, 8000)
    monkeypatch.setattr(inputs, 'decode_compressed_image', lambda *_: pytest.fail('decoded'))
    end.push('cam1/image_compressed', SimpleNamespace(
        header=header(T0, 'cam1'), format='jpeg', data=bytes(file)), T0)
    found = end.reports(T0)[1]
    assert found.state is SensorState.UNCALIBRATED and '8000 x 4000' in found.reason


def test_row_031_045_a_frame_id_of_another_camera_is_refused():
    end = set_up(front_end())
    end.push('cam1/image', numbered_image(1, T0, 'cam2'), T0)
    end.push('cam2/image', numbered_image(1, T0, ''), T0)
    states = {r.name: (r.state, r.reason) for r in end.reports(T0)}
    assert states['cam1'] == (SensorState.INVALID, 'frame: cam2')
    assert states['cam2'][0] is SensorState.INVALID
    end.push('lidar/points', cloud(ring(1), T0, frame='somewhere'), T0)
    assert end.reports(T0)[-1].state is SensorState.NO_TF


def test_a_fixed_calibration_in_the_rig_wins_over_messages():
    pose = rigid_transform(np.eye(3), (1, 2, 3))
    fixed = {'width': 32, 'height': 32, 'intrinsics': [20, 0, 16, 0, 20, 16, 0, 0, 1],
             'ego_from_camera': pose.ravel().tolist()}
    config = RigConfig((CameraConfig('cam0', 'cam0/image', 'cam0/camera_info', 'cam0',
                                     calibration=fixed),),
                       LidarConfig(LIDAR, 'lidar/points', LIDAR,
                                   ego_from_lidar=np.eye(4).ravel().tolist()))
    end = SensorFrontEnd(config, SensingConfig(), lambda p, c: (p, c))
    assert 'cam0/camera_info' not in end.subscriptions()
    end.push('/tf_static', tf_message(transform('base_link', 'cam0', (9, 9, 9))), T0)
    end.push('cam0/camera_info', camera_info('cam0'), T0)
    end.push('cam0/image', numbered_image(0, T0, 'cam0'), T0 + MS)
    sample, = end.push('lidar/points', cloud(ring(0), T0), T0 + 2 * MS)
    calibration = sample.cameras['cam0'].calibration
    assert calibration.intrinsics[0, 0] == 20
    assert np.array_equal(calibration.ego_from_camera, pose)


def test_images_are_moved_to_the_ego_frame_at_the_reference_stamp():
    speed = 15.0
    drive = Drive(2)
    moving = [(T0 + k * 20 * MS + MS, 'odom', odometry(T0 + k * 20 * MS, speed * k * 0.02))
              for k in range(-10, 110)]
    still = [s for _, s in play(set_up(front_end()), drive.events)][-1]
    moved = [s for _, s in play(set_up(front_end()), sorted(
        [*drive.events, *moving], key=lambda event: event[0]))][-1]
    for name, offset in NUSCENES_OFFSETS.items():
        before = still.cameras[name].calibration.ego_from_camera
        after = moved.cameras[name].calibration.ego_from_camera
        expected = rigid_transform(np.eye(3), (speed * offset / 1000, 0, 0)) @ before
        assert np.allclose(after, expected if abs(offset) > 1 else before, atol=1e-6)
        assert report(moved, name).reason == ''
        assert ('no odometry' in report(still, name).reason) == (abs(offset) > 1)


# ----------------------------------------------------------------------------------- hostility
class Explosive:
    """A message whose every field raises."""

    def __getattr__(self, name):
        raise RuntimeError('boom')


@pytest.mark.parametrize('message', [None, 7, Explosive(), SimpleNamespace()],
                         ids=['none', 'number', 'explosive', 'empty'])
def test_row_100_a_message_of_nonsense_is_counted_as_internal_and_nothing_is_raised(message):
    end = set_up(front_end())
    for topic in end.subscriptions():
        assert end.push(topic, message, T0) == []
    for r in end.reports(T0):
        assert r.received == 1 and r.rejected == 1 and r.reason.startswith('internal')
    assert end.rejected_other >= 3


def test_a_message_that_could_not_be_deserialised_is_counted_at_its_sensor():
    end = set_up(front_end())
    end.reject('/cam0/image', 'cdr', T0)
    end.reject('/tf', 'cdr', T0)
    end.reject('/unknown', 'cdr', T0)
    first = end.reports(T0)[0]
    assert (first.received, first.rejected, first.reason) == (1, 1, 'cdr')
    assert end.rejected_other == 2


def test_a_failing_prepare_image_changes_only_its_camera():
    def prepare(pixels, calibration):
        if calibration.ego_from_camera[0, 3] == 5:
            raise ValueError('no')
        return pixels, calibration
    end = SensorFrontEnd(rig(), SensingConfig(), prepare)
    set_up(end)
    end.push('/tf_static', tf_message(transform('base_link', 'cam3', (5, 0, 0))), T0 - 400 * MS)
    samples = [s for _, s in play(end, Drive(2).events)]
    assert all(set(s.used_sensors) == set(SENSORS) - {'cam3'} for s in samples)
    assert report(samples[-1], 'cam3').reason == 'internal: ValueError: no'


def test_row_114_control_characters_and_floods_of_text_never_reach_a_reason():
    end = set_up(front_end())
    nasty = '\x1b[31mred\n%s{0}\u202e' + 'x' * 1_000_000
    end.push('cam0/image', image(numbered_pixels(1), T0, nasty), T0)
    end.push('cam1/image', image(numbered_pixels(1), T0, 'cam1', encoding=nasty), T0)
    end.push('lidar/points', cloud(ring(1), T0, frame=nasty), T0)
    end.push('/tf', tf_message(transform(nasty, 'cam2', (np.nan, 0, 0))), T0)
    for r in end.reports(T0):
        assert r.reason.isprintable() and len(r.reason) <= 100


JUNK = st.none() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9)


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(SENSORS), st.integers(-300, 300), st.sampled_from(
    ['ok', 'step', 'data', 'width', 'header', 'fields', 'encoding']), JUNK), max_size=60))
def test_any_sequence_of_messages_obeys_the_rules(steps):
    end = set_up(front_end())
    now, previous, sent = T0, {}, {name: 0 for name in SENSORS}
    for k, (name, shift, what, junk) in enumerate(steps):
        now += max(0, shift) * MS
        at = now + shift // 4 * MS
        message = Drive._message(name, k, at)
        if what != 'ok':
            setattr(message, what, junk)
        sent[name] += 1
        samples = end.push('lidar/points' if name == LIDAR else f'{name}/image', message, now)
        for sample in samples:
            assert sample.stamp_ns > previous.get(sample.epoch, 0)
            previous[sample.epoch] = sample.stamp_ns
            there = {n for n, i in sample.cameras.items() if i is not None}
            there |= {LIDAR} if sample.sweep is not None else set()
            assert set(sample.used_sensors) == there and there
    assert {r.name: r.received for r in end.reports(now)} == sent


def test_topics_are_compared_without_their_leading_slash_and_strangers_are_passed_over():
    end = set_up(front_end())
    assert end.subscriptions()['cam0/image'] == 'sensor_msgs/msg/Image'
    assert end.subscriptions()['/tf'] == 'tf2_msgs/msg/TFMessage'
    end.push('/cam0/image', numbered_image(0, T0, 'cam0'), T0)
    end.push('/somebody/else', Explosive(), T0)
    assert end.reports(T0)[0].received == 1 and end.rejected_other == 0


def test_before_the_first_message_every_sensor_is_never_and_nothing_is_due():
    end = front_end()
    assert end.next_deadline_ns() is None and end.poll(T0) == []
    assert {r.state for r in end.reports(T0)} == {SensorState.NEVER}
    assert end.modality(T0) is Modality.NONE
