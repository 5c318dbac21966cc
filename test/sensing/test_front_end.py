"""Calibration and hostile messages through the whole front end, with a fake clock."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fake_drive import (
    CAMERAS,
    LIDAR,
    MS,
    NUSCENES_OFFSETS,
    SENSORS,
    T0,
    Drive,
    camera_info,
    cloud,
    front_end,
    header,
    image,
    numbered_image,
    numbered_pixels,
    odometry,
    play,
    report,
    rig,
    ring,
    run,
    set_up,
    tf_message,
    transform,
)

from metabev_ros.config import (
    CameraConfig,
    IntrinsicsConfig,
    LidarConfig,
    RigConfig,
    SensingConfig,
    Transport,
)
from metabev_ros.geometry import rigid_transform
from metabev_ros.preprocess.lift_splat import calibration_keys
from metabev_ros.sensing.decoding import PackedImage
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import Modality, SensorState


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


@pytest.mark.parametrize(
    'without,state', [('info', SensorState.UNCALIBRATED), ('tf', SensorState.NO_TF)]
)
def test_row_058_062_a_camera_without_calibration_is_named_and_the_others_run(without, state):
    end = front_end()
    end.push(
        '/tf_static',
        tf_message(
            *(transform('base_link', n) for n in SENSORS if without != 'tf' or n != 'cam4')
        ),
        T0 - MS,
    )
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
    cameras = tuple(
        CameraConfig(n, f'{n}/jpeg', n, Transport.COMPRESSED, False, f'{n}/camera_info')
        for n in CAMERAS
    )
    rig_config = RigConfig(cameras, (LidarConfig(LIDAR, 'lidar/points', LIDAR),))
    end = set_up(front_end(rig_config=rig_config))
    file = bytearray(cv2.imencode('.jpg', np.full((32, 32, 3), 90, np.uint8))[1].tobytes())
    at = file.index(b'\xff\xc0') + 5
    file[at : at + 4] = struct.pack('>HH', 4000, 8000)
    monkeypatch.setattr(PackedImage, 'decode', lambda *_: pytest.fail('decoded'))
    end.push(
        'cam1/jpeg',
        SimpleNamespace(header=header(T0, 'cam1'), format='jpeg', data=bytes(file)),
        T0,
    )
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
    camera = CameraConfig(
        'cam0',
        'cam0/image',
        'cam0',
        Transport.RAW,
        False,
        intrinsics=IntrinsicsConfig(32, 32, (20, 0, 16, 0, 20, 16, 0, 0, 1)),
        ego_from_camera=tuple(pose.ravel().tolist()),
    )
    level = tuple(np.eye(4).ravel().tolist())
    lidar = LidarConfig(LIDAR, 'lidar/points', LIDAR, ego_from_lidar=level)
    config = RigConfig((camera,), (lidar,))
    end = SensorFrontEnd(config, SensingConfig(), lambda p, c: (p, c))
    assert 'cam0/camera_info' not in end.subscriptions()
    end.push('/tf_static', tf_message(transform('base_link', 'cam0', (9, 9, 9))), T0)
    end.push('cam0/camera_info', camera_info('cam0'), T0)
    end.push('cam0/image', numbered_image(0, T0, 'cam0'), T0 + MS)
    (sample,) = end.push('lidar/points', cloud(ring(0), T0), T0 + 2 * MS)
    calibration = sample.cameras['cam0'].calibration
    assert calibration.intrinsics[0, 0] == 20
    assert np.array_equal(calibration.ego_from_camera, pose)


def test_images_are_moved_to_the_ego_frame_at_the_reference_stamp():
    speed = 15.0
    drive = Drive(2)
    moving = [
        (T0 + k * 20 * MS + MS, 'odom', odometry(T0 + k * 20 * MS, speed * k * 0.02))
        for k in range(-10, 110)
    ]
    still = [s for _, s in play(set_up(front_end()), drive.events)][-1]
    moved = [
        s
        for _, s in play(
            set_up(front_end()), sorted([*drive.events, *moving], key=lambda event: event[0])
        )
    ][-1]
    for name, offset in NUSCENES_OFFSETS.items():
        before = still.cameras[name].calibration.ego_from_camera
        after = moved.cameras[name].calibration.ego_from_camera
        expected = rigid_transform(np.eye(3), (speed * offset / 1000, 0, 0)) @ before
        assert np.allclose(after, expected, atol=1e-6)
        assert report(moved, name).reason == ''
        assert ('no odometry' in report(still, name).reason) == (abs(offset) > 1)


def test_a_vehicle_that_stands_has_the_same_calibration_in_every_sample():
    """The view tables of its cameras are then made once, whatever its odometry's noise."""
    drive, rng = Drive(3), np.random.default_rng(0)
    noisy = [
        (
            T0 + k * 20 * MS + MS,
            'odom',
            odometry(T0 + k * 20 * MS, rng.normal(0, 1e-4), rng.normal(0, 3e-5)),
        )
        for k in range(-10, 160)
    ]
    events = sorted([*drive.events, *noisy], key=lambda event: event[0])
    samples = [s for _, s in play(set_up(front_end()), events)]
    found = {tuple(calibration_keys([i.calibration for i in s.cameras.values()])) for s in samples}
    assert len(samples) == 30 and len(found) == 1


class Explosive:
    """A message whose every field raises."""

    def __getattr__(self, name):
        raise RuntimeError('boom')


@pytest.mark.parametrize(
    'message',
    [None, 7, Explosive(), SimpleNamespace()],
    ids=['none', 'number', 'explosive', 'empty'],
)
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


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(SENSORS),
            st.integers(-300, 300),
            st.sampled_from(['ok', 'step', 'data', 'width', 'header', 'fields', 'encoding']),
            JUNK,
        ),
        max_size=60,
    )
)
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


def test_a_sample_that_nobody_wants_costs_no_decoding_and_changes_no_later_one(monkeypatch):
    """Inference that takes longer than a period takes the newest: those between are replaced."""
    decoded, decode = [], PackedImage.decode
    monkeypatch.setattr(PackedImage, 'decode', lambda s, r: (decoded.append(s), decode(s, r))[1])
    drive = Drive(4)
    all_of = [s for _, s in play(set_up(front_end()), drive.events)]
    every, end = len(decoded), set_up(front_end())
    count = iter(range(1000))
    end.is_wanted = lambda: next(count) % 4 == 3
    some = [s for _, s in play(end, drive.events)]
    assert len(some) == len(all_of) // 4 and end.passed_over == len(all_of) - len(some)
    assert len(decoded) - every < 0.4 * every
    by_stamp = {s.stamp_ns: s for s in all_of}
    for sample in some:
        other = by_stamp[sample.stamp_ns]
        assert sample.sensors == other.sensors and sample.modality is other.modality
        for name, picture in sample.cameras.items():
            assert np.array_equal(picture.pixels, other.cameras[name].pixels)


def test_the_sweeps_of_samples_that_nobody_wants_are_in_later_ones():
    drive = Drive(2)
    moving = [
        (T0 + k * 20 * MS + MS, 'odom', odometry(T0 + k * 20 * MS, 0.3 * k))
        for k in range(-9, 110)
    ]
    events = sorted([*drive.events, *moving], key=lambda event: event[0])
    all_of = [s for _, s in play(set_up(front_end(sweeps=3)), events)]
    end = set_up(front_end(sweeps=3))
    count = iter(range(1000))
    end.is_wanted = lambda: next(count) % 5 == 4
    some = [s for _, s in play(end, events)]
    by_stamp = {s.stamp_ns: s for s in all_of}
    assert len(some) == 4
    for sample in some:
        assert sample.sweep.points.tobytes() == by_stamp[sample.stamp_ns].sweep.points.tobytes()
