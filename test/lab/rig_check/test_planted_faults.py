"""Every fault that is planted in a good recording is found, at its sensor, and nothing else."""

from __future__ import annotations

import copy
import dataclasses

import cv2
import numpy as np
import pytest
from support.rig_check_bags import BENT, BEST_EFFORT, Message, opened, small_rig, write

from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.geometry import quaternion_to_rotation, rotation_to_quaternion, rotation_z
from metabev_ros.lab.rig_check.check import check_rig
from metabev_ros.lab.rig_check.findings import BAG, Kind, Severity
from metabev_ros.lab.rig_check.proposing import propose_rig
from metabev_ros.lab.rig_check.reading import read_bag

FRONT, REAR, LEFT, LIDAR = 'cam_front', 'cam_rear', 'cam_left', 'lidar_top'
FLOAT_MM = 1000.0


def made_report(path):
    look = read_bag(path)
    made = propose_rig(look)
    return check_rig(look, made.rig, made.findings, made.choices)


def found(report) -> set[tuple[str, Kind]]:
    return {(finding.sensor, finding.kind) for finding in report.findings}


# ----------------------------------------------------------------------------------- planting
def of(name: str, part: str = ''):
    """Choose the messages of a sensor's topics that hold a word."""
    return lambda message: message.topic.startswith(f'/{name}/') and part in message.topic


IMAGES, INFO = '/image', '/camera_info'


def each(chosen, alter):
    """Alter the chosen messages, by content and number."""

    def change(messages):
        numbers = iter(range(len(messages)))
        for message in messages:
            if chosen(message):
                alter(message.content, next(numbers))
        return messages

    return change


def without(chosen):
    return lambda messages: [message for message in messages if not chosen(message)]


def both(*changes):
    def change(messages):
        for one in changes:
            messages = list(one(messages))
        return messages

    return change


def set_field(**values):
    def alter(content, number):
        for name, value in values.items():
            setattr(content, name, value)

    return alter


def set_frame(frame):
    def alter(content, number):
        content.header.frame_id = frame

    return alter


def move_stamp(nanoseconds):
    """Add what a function of the number says to a stamp."""

    def alter(content, number):
        stamp = content.header.stamp
        total = stamp.sec * 10**9 + stamp.nanosec + nanoseconds(number)
        stamp.sec, stamp.nanosec = divmod(total, 10**9)

    return alter


def zero_stamp(content, number):
    content.header.stamp.sec = content.header.stamp.nanosec = 0


def turn(frame, rotation, lift=0.0):
    """Turn a frame in its parent, and lift it."""

    def change(messages):
        for message in messages:
            if message.topic == '/tf_static':
                for link in message.content.transforms:
                    if link.child_frame_id == frame:
                        q, t = link.transform.rotation, link.transform.translation
                        turned = rotation @ quaternion_to_rotation(q.x, q.y, q.z, q.w)
                        q.x, q.y, q.z, q.w = map(float, rotation_to_quaternion(turned))
                        t.z += lift
        return messages

    return change


def forget(frame):
    def change(messages):
        for message in messages:
            if message.topic == '/tf_static':
                kept = [x for x in message.content.transforms if x.child_frame_id != frame]
                message.content.transforms = kept
        return messages

    return change


def scale_points(factor, columns):
    """Multiply the first floats of each point."""

    def alter(content, number):
        rows = content.data.reshape(-1, content.point_step).copy()
        values = rows[:, :16].copy().view('<f4')
        values[:, columns] *= factor
        rows[:, :16] = values.view(np.uint8)
        content.data = rows.reshape(-1)

    return alter


def rename_time(content, number):
    for field in content.fields:
        field.name = 'unknown' if field.name == 'time' else field.name


def empty_cloud(content, number):
    content.width, content.row_step, content.data = 0, 0, np.zeros(0, np.uint8)


def black(content, number):
    content.data = np.zeros_like(content.data)


def frozen(messages):
    first = next(m for m in messages if of(FRONT, IMAGES)(m)).content.data
    return each(of(FRONT, IMAGES), set_field(data=first))(messages)


def twice(chosen):
    def change(messages):
        again = [
            Message(m.topic, m.msgtype, m.log_ns + 3_000_000, copy.deepcopy(m.content))
            for m in messages
            if chosen(m)
        ]
        return [*messages, *again]

    return change


def half(chosen):
    """Leave out the second half."""

    def change(messages):
        times = [m.log_ns for m in messages]
        middle = (min(times) + max(times)) // 2
        return [m for m in messages if not (chosen(m) and m.log_ns > middle)]

    return change


def every_second(chosen, first=0, last=1000):
    """Leave out every second message from one number to another."""

    def change(messages):
        kept, number = [], 0
        for message in messages:
            if chosen(message):
                number += 1
                if number % 2 and first < number < last:
                    continue
            kept.append(message)
        return kept

    return change


def broken_jpeg(content, number):
    content.data = content.data[: len(content.data) // 2].copy()


def other_size(content, number):
    pixels = cv2.imdecode(content.data, cv2.IMREAD_COLOR)
    content.data = cv2.imencode('.jpg', cv2.resize(pixels, (200, 112)))[1].reshape(-1)


def pitched(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def swap_frames(part):
    return both(
        each(of(FRONT, part), set_frame('cam_rear_optical')),
        each(of(REAR, part), set_frame('cam_front_optical')),
    )


def is_motion(message):
    return message.topic in ('/odom', '/tf')


YAW = rotation_z(np.deg2rad(5.0))
CAMERAS = (FRONT, REAR, LEFT)

# Fault -> (change, what is found with the rig file that is made, with the one that is given).
# None: it is not asked.
FAULTS = {
    'a wrong encoding': (
        each(of(LEFT, IMAGES), set_field(encoding='32FC1')),
        {(LEFT, Kind.ENCODING)},
        None,
    ),
    'a wrong frame id': (
        each(of(LIDAR), set_frame('velodyne')),
        {(LIDAR, Kind.NO_TF)},
        {(LIDAR, Kind.FRAME)},
    ),
    'frames swapped in images alone': (
        swap_frames(IMAGES),
        {(name, kind) for name in (FRONT, REAR) for kind in (Kind.FRAMES_SWAPPED, Kind.DIRECTION)},
        {(FRONT, Kind.FRAMES_SWAPPED), (REAR, Kind.FRAMES_SWAPPED)},
    ),
    'frames swapped': (
        swap_frames('/'),
        {(FRONT, Kind.DIRECTION), (REAR, Kind.DIRECTION)},
        {(FRONT, Kind.FRAME), (REAR, Kind.FRAME)},
    ),
    'images of another size': (
        each(of(FRONT, IMAGES), other_size),
        {(FRONT, Kind.IMAGE_SIZE)},
        None,
    ),
    'a clock that is behind': (
        each(of(REAR, '/'), move_stamp(lambda number: -300_000_000)),
        {(REAR, Kind.CLOCK_OFFSET)},
        None,
    ),
    'a wrong rate': (every_second(of(REAR, IMAGES)), set(), {(REAR, Kind.RATE)}),
    'a missing transform': (forget('cam_left_optical'), {(LEFT, Kind.NO_TF)}, None),
    'distortion of rectified images': (
        each(of(FRONT, INFO), set_field(d=np.array(BENT))),
        {(FRONT, Kind.RECTIFICATION)},
        None,
    ),
    'intensities of 0..1': (
        each(of(LIDAR), scale_points(1 / 255, [3])),
        set(),
        {(LIDAR, Kind.INTENSITY)},
    ),
    'a LiDAR upside down': (
        turn('lidar_top', np.diag([1.0, -1.0, -1.0])),
        {(LIDAR, Kind.UPSIDE_DOWN)},
        None,
    ),
    'a LiDAR pitched by 5 degrees': (
        turn('lidar_top', pitched(5.0)),
        {(LIDAR, Kind.TILTED)},
        None,
    ),
    'a LiDAR turned by 5 degrees': (turn('lidar_top', YAW), {(LIDAR, Kind.LIDAR_TURNED)}, None),
    'a camera turned by 5 degrees': (
        turn('cam_front_optical', YAW),
        {(FRONT, Kind.CAMERA_TURNED)},
        None,
    ),
    'a LiDAR too high by a metre': (
        turn('lidar_top', np.eye(3), 1.0),
        {(LIDAR, Kind.HEIGHT)},
        None,
    ),
    'no CameraInfo': (without(of(FRONT, INFO)), {(FRONT, Kind.NO_CAMERA_INFO)}, None),
    'an uncalibrated camera': (
        each(of(FRONT, INFO), set_field(k=np.zeros(9))),
        {(FRONT, Kind.CALIBRATION)},
        None,
    ),
    'no time of the points': (each(of(LIDAR), rename_time), {(LIDAR, Kind.NO_POINT_TIME)}, None),
    'points in millimetres': (
        each(of(LIDAR), scale_points(FLOAT_MM, [0, 1, 2])),
        {(LIDAR, Kind.POINT_UNIT)},
        None,
    ),
    'clouds without points': (each(of(LIDAR), empty_cloud), {(LIDAR, Kind.POINTS)}, None),
    'frozen images': (frozen, {(FRONT, Kind.FROZEN)}, None),
    'black images': (
        each(of(LEFT, IMAGES), black),
        {(LEFT, Kind.PICTURE), (LEFT, Kind.FROZEN)},
        None,
    ),
    'half of each file': (each(of(FRONT, IMAGES), broken_jpeg), {(FRONT, Kind.UNREADABLE)}, None),
    'frames twice': (twice(of(REAR, IMAGES)), {(REAR, Kind.DUPLICATES)}, None),
    'stamps of zero': (each(of(LIDAR), zero_stamp), {(LIDAR, Kind.STAMP_ZERO)}, None),
    'a sensor that stops half way': (half(of(LEFT)), {(LEFT, Kind.STOPS)}, None),
    'stamps that go back': (
        each(of(FRONT, IMAGES), move_stamp(lambda number: -150_000_000 * (number % 5 == 4))),
        {(FRONT, Kind.STAMP_ORDER)},
        None,
    ),
    'stamps that jump': (
        each(of(LIDAR), move_stamp(lambda number: 2_000_000_000 * (number >= 15))),
        {(LIDAR, Kind.STAMP_JUMP)},
        None,
    ),
    'missing frames': (every_second(of(REAR, IMAGES), 4, 12), {(REAR, Kind.GAPS)}, None),
    'no odometry': (without(is_motion), {(BAG, Kind.NO_ODOMETRY)}, None),
    'odometry of another frame': (
        each(lambda m: m.topic == '/odom', set_field(child_frame_id='imu')),
        {(BAG, Kind.ODOMETRY_FRAME)},
        None,
    ),
}


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    return write(tmp_path_factory.mktemp('rig') / 'good.mcap')


def test_a_good_rig_is_good_with_the_file_that_is_made_and_with_its_own(good):
    for report in (made_report(good), check_rig(read_bag(good), small_rig())):
        assert report.is_good and not report.findings
        assert {sensor.name for sensor in report.sensors} == {FRONT, REAR, LEFT, LIDAR}
        assert all(sensor.is_usable and sensor.messages == 20 for sensor in report.sensors)


def test_the_file_that_is_made_says_what_the_rig_is(good):
    made = propose_rig(read_bag(good)).rig
    by_name = {sensor.name: sensor for sensor in small_rig().sensors}
    for sensor in made.sensors:
        own = by_name[sensor.name]
        assert dataclasses.replace(sensor, rate_hz=own.rate_hz) == own
        assert sensor.rate_hz == pytest.approx(own.rate_hz, abs=0.2)
    assert (made.ego_frame, made.odometry_topic, made.motion_frame) == (
        'base_link',
        '/odom',
        'odom',
    )


@pytest.mark.parametrize('name', FAULTS)
def test_a_planted_fault_is_found_at_its_sensor_and_nothing_else(name, tmp_path):
    change, expected_made, expected_given = FAULTS[name]
    path = write(tmp_path / 'bad.mcap', change)
    report = made_report(path)
    assert found(report) == expected_made
    if expected_given is not None:
        report = check_rig(read_bag(path), small_rig())
        assert found(report) == expected_given
    assert report.is_good == all(one.severity is Severity.NOTE for one in report.findings)
    assert all(one.remedy and one.text().startswith(one.where) for one in report.findings)


def test_a_tf_static_that_a_late_node_misses_is_found(tmp_path):
    path = write(tmp_path / 'bad.mcap', qos={'/tf_static': BEST_EFFORT})
    report = made_report(path)
    assert found(report) == {(BAG, Kind.QOS)} and not report.is_good
    assert 'best effort and volatile' in report.findings[0].got


def test_what_the_rig_file_says_wrong_is_found(good):
    rig = small_rig()
    cameras = (
        dataclasses.replace(rig.cameras[0], topic='/cam_front/image'),
        dataclasses.replace(rig.cameras[1], transport=rig.cameras[2].transport),
        dataclasses.replace(rig.cameras[2], rectified=True),
    )
    report = check_rig(read_bag(good), dataclasses.replace(rig, cameras=cameras))
    assert found(report) >= {
        (FRONT, Kind.NOT_IN_BAG),
        (REAR, Kind.WRONG_TYPE),
        (LEFT, Kind.RECTIFICATION),
    }


def test_a_clock_offset_that_the_rig_file_takes_out_is_none(tmp_path):
    """Also that of a LiDAR, whose sweeps are laid over the pictures at the right time."""

    def change(messages):
        for name, offset in ((REAR, -300_000_000), (LIDAR, -37_000_000_000)):
            each(of(name), move_stamp(lambda number, offset=offset: offset))(messages)
        return messages

    look, rig = read_bag(write(tmp_path / 'bad.mcap', change)), small_rig()
    assert {(REAR, Kind.CLOCK_OFFSET), (LIDAR, Kind.CLOCK_OFFSET)} <= found(check_rig(look, rig))
    offsets = {REAR: 0.3, LIDAR: 37.0}

    def with_offset(sensor):
        return dataclasses.replace(sensor, time_offset=offsets.get(sensor.name, 0.0))

    rig = dataclasses.replace(
        rig,
        cameras=tuple(map(with_offset, rig.cameras)),
        lidars=tuple(map(with_offset, rig.lidars)),
    )
    report = check_rig(look, rig)
    assert not report.findings and report.is_good


def test_a_cut_bag_is_called_damaged(good, tmp_path):
    path = tmp_path / 'cut.mcap'
    path.write_bytes(good.read_bytes()[:-400_000])
    assert (BAG, Kind.LOSSY) in found(made_report(path))


def test_a_second_picture_of_a_camera_is_left_out_and_named(tmp_path):
    def change(messages):
        more = [m._replace(topic='/cam_left/image_mono') for m in messages if of(LEFT, IMAGES)(m)]
        return [*messages, *more]

    report = made_report(write(tmp_path / 'two.mcap', change))
    assert found(report) == {(BAG, Kind.LEFT_OUT)} and report.is_good
    assert [camera.name for camera in report.rig.cameras] == [FRONT, LEFT, REAR]


def test_messages_that_are_none_are_told_and_stop_nothing(good, tmp_path):
    """Bytes of no message, a log time that ROS cannot say, and a cloud without rows."""

    def flat(content, number):
        empty_cloud(content, number)
        content.height = 0

    hostile = write(tmp_path / 'flat.mcap', each(of(LIDAR), flat))
    assert found(made_report(hostile)) == {(LIDAR, Kind.POINTS)}
    path, late = tmp_path / 'bytes.mcap', 2**63 + 5
    with BagWriter(path) as writer:
        for message in BagReader(good):
            is_front = of(FRONT, IMAGES)(message)
            cdr = b'\0\1\0\0 no message' if is_front else message.cdr
            writer.write(message.topic, message.msgtype, message.log_time_ns, cdr)
        writer.write('/odom', 'nav_msgs/msg/Odometry', late, b'')
    report = check_rig(read_bag(path), small_rig())
    assert found(report) == {(FRONT, Kind.UNREADABLE)}
    assert '20 of 20' in report.findings[0].got


def test_a_bag_without_sensors_is_not_good(tmp_path):
    report = made_report(
        write(tmp_path / 'none.mcap', lambda all: [m for m in all if is_motion(m)])
    )
    assert report.rig is None and not report.sensors and not report.is_good


def test_the_calibration_of_the_test_is_opened_anew():
    first, second = opened(), opened()
    assert first[0].content is not second[0].content


def test_every_kind_is_found_by_a_test_here():
    """A kind that no planted fault shows would be one that nobody knows to work."""
    planted = {kind for _, made, given in FAULTS.values() for _, kind in (*made, *(given or ()))}
    elsewhere = {Kind.QOS, Kind.NOT_IN_BAG, Kind.WRONG_TYPE, Kind.LOSSY, Kind.LEFT_OUT}
    assert planted | elsewhere == set(Kind)
