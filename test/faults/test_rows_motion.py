"""Fault matrix: the vehicle's own motion, its own returns, transports and fields of clouds."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.any_rig import drive, marks, play, ready, rig_of, said
from support.fake_drive import (
    MS,
    T0,
    camera_info,
    cloud,
    field,
    front_end,
    header,
    numbered_image,
    odometry,
    ring,
    tf_message,
    transform,
)

from metabev_ros.config import EgoBox, PointTime, RigConfig, Transport
from metabev_ros.structures import Modality, SensorState

SECOND = 1_000 * MS
SPEED = 15.0  # m/s along x


def with_odometry(events, seconds: float, metres=lambda at: SPEED * at, until: float = 99.0):
    """The events, and odometry at 100 Hz of a vehicle that drives straight on."""
    poses = [
        (ns + 2 * MS, 'odom', odometry(ns, metres((ns - T0) / 1e9)))
        for ns in range(T0 - SECOND, T0 + round(min(seconds, until) * SECOND), 10 * MS)
    ]
    return sorted([*events, *poses], key=lambda event: event[0])


def timed(name: str, k: int, stamp: int):
    """A sweep that was measured during the 40 ms before its stamp, with the time of each point.

    The vehicle drove towards a wall 20 m ahead of where it is at the stamp.
    """
    times = np.linspace(-0.04, 0, 400)
    points = np.zeros((400, 4))
    points[:, 0] = 20 - SPEED * times
    points[:, 1] = np.linspace(-8, 8, 400) + 0.001 * k
    points[0, 3] = k
    message = cloud(np.column_stack([points, times]), stamp, name)
    message.fields.append(field('t', 16))
    message.point_step, message.row_step = 20, 20 * 400
    return message


# ---------------------------------------------------------------------------------- deskew
def sweeps_of(timed_rig: RigConfig, events):
    out = [s for _, s in play(ready(timed_rig), events) if s.stamp_ns > T0 + SECOND]
    assert len(out) >= 15
    return out


def test_row_127_a_sweep_is_deskewed_where_times_and_motion_are_known():
    rig = rig_of(0, 1)
    rig = replace(rig, lidars=(replace(rig.lidars[0], point_time=PointTime('t')),))
    for sample in sweeps_of(rig, with_odometry(drive(rig, 2, make=timed), 2)):
        assert np.ptp(sample.sweep.points[:, 0]) < 0.01, 'the wall is flat'
        assert said(sample, 'lidar0').reason == ''


def test_row_127_without_odometry_the_motion_stays_in_the_sweep_and_that_is_said():
    rig = rig_of(0, 1)
    rig = replace(rig, lidars=(replace(rig.lidars[0], point_time=PointTime('t')),))
    for sample in sweeps_of(rig, drive(rig, 2, make=timed)):
        assert np.ptp(sample.sweep.points[:, 0]) == pytest.approx(0.04 * SPEED, abs=1e-3)
        report = said(sample, 'lidar0')
        assert report.used and 'no ego motion' in report.reason


@pytest.mark.parametrize('name', ['absent', 'x'])
def test_row_127_without_the_time_of_its_points_a_sweep_is_used_and_that_is_said(name):
    rig = rig_of(0, 1)
    rig = replace(rig, lidars=(replace(rig.lidars[0], point_time=PointTime(name)),))
    for sample in sweeps_of(rig, with_odometry(drive(rig, 2, make=timed), 2)):
        report = said(sample, 'lidar0')
        assert report.used and 'no per-point time' in report.reason


# ---------------------------------------------------------------------------------- odometry
def places(out):
    """Metres by which each picture's pose was moved, and the metres that its age makes."""
    for sample in out:
        for name, picture in sample.cameras.items():
            if picture is not None:
                moved = picture.calibration.ego_from_camera[0, 3]
                age = said(sample, name).age_ns / 1e9
                yield sample, name, moved, -SPEED * age


def test_row_128_pictures_of_a_driving_vehicle_are_moved_by_its_motion():
    rig = rig_of(6, 1)
    out = [s for _, s in play(ready(rig), with_odometry(drive(rig, 4), 4))]
    found = list(places([s for s in out if s.stamp_ns > T0 + SECOND]))
    assert len(found) >= 350 and max(abs(wanted) for *_, wanted in found) > 0.5
    assert all(abs(moved - wanted) < 0.02 for _, _, moved, wanted in found)


def test_row_128_a_jump_of_the_odometry_places_no_picture_wrong_and_is_said():
    rig = rig_of(6, 1)
    events = with_odometry(drive(rig, 5), 5, lambda at: SPEED * at + 100 * (at >= 2.5))
    out = [s for _, s in play(ready(rig), events)]
    for sample, name, moved, wanted in places([s for s in out if s.stamp_ns > T0 + SECOND]):
        is_known = abs(moved - wanted) < 0.02
        reason = said(sample, name).reason
        assert is_known or (moved == 0 and 'odometry' in reason), (moved, wanted, reason)
    during = [s for s in out if T0 + 2.5 * SECOND <= s.stamp_ns <= T0 + 2.7 * SECOND]
    assert any('implausible' in r.reason for s in during for r in s.sensors)
    late = [s for s in out if s.stamp_ns > T0 + 3.2 * SECOND]
    assert all(abs(moved - wanted) < 0.02 for _, _, moved, wanted in places(late))


def test_row_128_odometry_that_ends_is_said_at_every_picture_it_leaves_unmoved():
    rig = rig_of(3, 1)
    out = [s for _, s in play(ready(rig), with_odometry(drive(rig, 4), 4, until=2.0))]
    late = [s for s in out if s.stamp_ns > T0 + 2.4 * SECOND]
    found = [(m, said(s, n)) for s, n, m, _ in places(late) if abs(said(s, n).age_ns) > MS]
    assert len(found) >= 60
    assert all(moved == 0 and 'no odometry' in report.reason for moved, report in found)


# ---------------------------------------------------------------------------------- TF
@pytest.mark.parametrize('static', [True, False])
def test_row_129_a_thousand_unknown_frames_before_those_of_the_sensors_cost_them_nothing(static):
    rig = rig_of(2, 1)
    topic = '/tf_static' if static else '/tf'
    end = front_end(None, rig)
    for first in range(0, 1500, 500):
        links = [transform('base_link', f'wheel{k}') for k in range(first, first + 500)]
        end.push(topic, tf_message(*links), T0 - 800 * MS)
    links = [transform('base_link', sensor.frame) for sensor in rig.sensors]
    end.push('/tf_static', tf_message(*links), T0 - 500 * MS)
    for item in rig.cameras:
        end.push(item.info_topic, camera_info(item.frame), T0 - 500 * MS)
    out = play(end, drive(rig, 2))
    assert all(len(s.used_sensors) == 3 for _, s in out[4:])


# ---------------------------------------------------------------------------- the own vehicle
def test_row_130_returns_of_the_own_vehicle_are_left_out_and_no_others():
    box = EgoBox(-1.0, 4.0, -1.0, 1.0, -0.5, 2.0)
    rig = rig_of(0, 2, ego_box=box)

    def make(name, k, stamp):
        points = ring(k)
        points[:40, :3] = [3.0, 0.5, 0.0]  # 1.5 m up in the vehicle's frame: its own bonnet
        points[40:50, :3] = [4.5, 0.5, 0.0]  # in front of it
        return cloud(points, stamp, name)

    out = [s for _, s in play(ready(rig), drive(rig, 2, make=make))]
    for sample in out[2:]:
        ego = sample.sweep.points[:, :3] + sample.sweep.ego_from_lidar[:3, 3]
        inside = (ego > [box.x_min, box.y_min, box.z_min]).all(axis=1)
        inside &= (ego < [box.x_max, box.y_max, box.z_max]).all(axis=1)
        assert not inside.any()
        assert len(ego) == 2 * (720 - 40)


# ---------------------------------------------------------------------------- transports
def jpeg(name: str, k: int, stamp: int):
    """sensor_msgs/CompressedImage of a numbered picture; the number itself is lost in it."""
    plain = numbered_image(k, stamp, name)
    pixels = np.frombuffer(plain.data, np.uint8).reshape(32, 32, 3)
    noisy = pixels.copy()
    noisy[8:16, 8:16, 1] += np.uint8(k)
    data = cv2.imencode('.jpg', noisy)[1].tobytes()
    return type(plain)(header=header(stamp, name), format='jpeg', data=data)


def test_row_131_raw_and_compressed_cameras_are_used_in_one_rig():
    rig = rig_of(2, 1)
    packed = replace(rig.cameras[1], transport=Transport.COMPRESSED)
    rig = replace(rig, cameras=(rig.cameras[0], packed))
    events = drive(rig, 3, make=lambda n, k, ns: jpeg(n, k, ns) if n == 'cam1' else None)
    out = [s for _, s in play(ready(rig), events)]
    assert len(out) >= 58 and all(len(s.used_sensors) == 3 for s in out[4:])
    assert all(s.cameras['cam1'].pixels.shape == (32, 32, 3) for s in out[4:])


@pytest.mark.parametrize('transport', list(Transport))
def test_row_131_a_transport_that_is_not_that_of_the_rig_file_leaves_out_its_camera_alone(
    transport,
):
    rig = rig_of(2, 1)
    other = replace(rig.cameras[1], transport=transport)
    rig = replace(rig, cameras=(rig.cameras[0], other))

    def make(name, k, stamp):
        return jpeg(name, k, stamp) if name == 'cam1' and transport is Transport.RAW else None

    late = [s for _, s in play(ready(rig), drive(rig, 4, make=make))][10:]
    assert {s.modality for s in late} == {Modality.FUSED}
    assert all(set(s.used_sensors) == {'cam0', 'lidar0'} for s in late)
    assert all(said(s, 'cam1').state is not SensorState.OK for s in late)
    assert said(late[-1], 'cam1').reason and said(late[-1], 'cam1').rejected >= 30


# ---------------------------------------------------------------------------- cyclic repeats
@pytest.mark.parametrize('name', ['cam1', 'lidar0'])
@pytest.mark.parametrize('length', [2, 3, 7])
def test_row_132_old_frames_that_come_in_turn_under_new_stamps_are_frozen(name, length):
    rig = rig_of(2, 1)

    def make(sensor, k, stamp):
        if sensor != name or k < 30:
            return None
        old = 20 + k % length
        if name == 'lidar0':
            return cloud(ring(old), stamp, sensor)
        return numbered_image(old, stamp, sensor)

    out = [s for _, s in play(ready(rig), drive(rig, 5, make=make))]
    late = [s for s in out if s.stamp_ns > T0 + 3.2 * SECOND]
    assert late and not any(name in s.used_sensors for s in late)
    assert {said(s, name).state for s in late} == {SensorState.FROZEN}
    assert all('repeats the frame' in said(s, name).reason for s in late)


# ---------------------------------------------------------------------------- fields of clouds
def test_row_133_padding_fields_of_one_name_cost_nothing():
    rig = rig_of(1, 1)

    def make(name, k, stamp):
        if name != 'lidar0':
            return None
        message = cloud(ring(k), stamp, name)
        pad = [field('_', 0, datatype=2, count=0), field('_', 4, datatype=2, count=0)]
        message.fields = [*message.fields[:3], *pad, message.fields[3]]
        return message

    out = [s for _, s in play(ready(rig), drive(rig, 2, make=make))]
    assert len(out) >= 38 and all(marks(s.sweep.points) for s in out[1:])
    assert all(said(s, 'lidar0').state is SensorState.OK for s in out[6:])


@pytest.mark.parametrize(
    'scale,word', [(257.0, 'intensity: up to'), (1 / 255, 'intensity: up to')]
)
def test_row_134_intensities_of_another_range_are_said_and_their_scale_puts_them_right(
    scale, word
):
    def make(name, k, stamp):
        points = ring(k)
        points[:, 3] = 40 + 100 * np.abs(np.sin(np.arange(720) + k))
        return cloud(points * np.float32([1, 1, 1, scale]), stamp, name)

    rig = rig_of(0, 1)
    events = drive(rig, 2, make=make)
    for sample in [s for _, s in play(ready(rig), events)][6:]:
        report = said(sample, 'lidar0')
        assert report.used and report.state is SensorState.SUSPECT and word in report.reason
    right = replace(rig, lidars=(replace(rig.lidars[0], intensity_scale=1 / scale),))
    for sample in [s for _, s in play(ready(right), events)][6:]:
        assert said(sample, 'lidar0').state is SensorState.OK
        assert 39 < sample.sweep.points[:, 3].min() and sample.sweep.points[:, 3].max() < 141
