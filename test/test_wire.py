"""CDR bytes against rosbags' parser, hand-made byte layouts and, where ROS is there, rclpy.

Invariant "Possible outputs".
"""

from __future__ import annotations

import dataclasses
import math
import struct

import numpy as np
import pytest
from support.made_model import MODEL

from metabev_ros import wire
from metabev_ros.errors import BackendError, SensorDataError
from metabev_ros.structures import (
    CLASS_COLOURS,
    DETECTION_CLASSES,
    OTHER_COLOUR,
    Detections,
    Modality,
    PerceptionResult,
    Sample,
    SensorKind,
    SensorReport,
    SensorState,
    Sweep,
)

STAMP = 1_532_402_927_647_951_123
REPORTS = (
    SensorReport(
        'CAM_FRONT',
        SensorKind.CAMERA,
        SensorState.STALE,
        False,
        STAMP - 10**9,
        10**9,
        9.9,
        'silent',
        12,
        3,
    ),
    SensorReport('CAM_BACK', SensorKind.CAMERA, SensorState.NEVER),
    SensorReport('LIDAR_TOP', SensorKind.LIDAR, SensorState.OK, True, STAMP, 25_000_000, 20.0),
)


def make_result(boxes=None, scores=None, labels=None, probabilities=None) -> PerceptionResult:
    sweep = Sweep(STAMP, np.ones((4, 5), np.float32), np.eye(4))
    sample = Sample(STAMP, {'CAM_FRONT': None, 'CAM_BACK': None}, sweep, Modality.LIDAR, REPORTS)
    if boxes is None:
        boxes = [[10, -3, 0.5, 4.6, 1.9, 1.7, 0.3, 5, -1], [-20, 8, 0.2, 0.7, 0.6, 1.8, -3, 0, 1]]
        scores, labels = [0.9, 0.25], [0, 8]
    found = Detections(
        np.array(boxes, np.float32).reshape(-1, 9),
        np.array(scores, np.float32),
        np.array(labels, np.int64),
    )
    if probabilities is None:
        probabilities = np.linspace(0, 1, 6 * 200 * 200, dtype=np.float32).reshape(6, 200, 200)
    return PerceptionResult(sample, found, probabilities, {'network': 0.04})


def decoded(messages):
    return {message.topic: wire.deserialize(message.cdr, message.msgtype) for message in messages}


def test_a_detection_array_carries_boxes_label_and_sensors_of_the_result():
    result = make_result()
    message = decoded(wire.encode_result(result, MODEL, 'base_link'))[wire.DETECTIONS]
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1532402927, 647951123)
    assert message.header.frame_id == 'base_link'
    assert message.modality == message.MODALITY_LIDAR
    assert message.sensors == ['LIDAR_TOP']
    assert message.sensor_ages == pytest.approx([0.025])
    car, person = message.detections
    assert (car.class_name, car.class_id, person.class_name, person.class_id) == (
        'car',
        0,
        'pedestrian',
        8,
    )
    assert (car.center.x, car.center.y) == pytest.approx((10, -3))
    assert (car.size.x, car.size.y) == pytest.approx((4.6, 1.9))
    assert (car.yaw, car.velocity.x, car.velocity.y, car.score) == pytest.approx((0.3, 5, -1, 0.9))
    assert not car.has_covariance


def test_a_map_is_row_major_from_the_grid_minimum_and_scaled_to_255():
    probabilities = np.zeros((6, 200, 200), np.float32)
    probabilities[2, 3, 7] = 0.5
    messages = decoded(wire.encode_result(make_result(probabilities=probabilities), MODEL, 'b'))
    message = messages[wire.BEV_MAP]
    assert (message.width, message.height, message.resolution) == (200, 200, 0.5)
    assert (message.origin.x, message.origin.y) == (-50, -50)
    assert np.flatnonzero(message.data).tolist() == [(2 * 200 + 3) * 200 + 7]
    assert message.data.max() == 128
    assert message.class_names[2] == 'walkway'


def test_the_occupancy_grid_is_free_where_the_drivable_area_is_certain():
    probabilities = np.zeros((6, 200, 200), np.float32)
    probabilities[0, 100, 100] = 1.0  # the only return lies at 1, 1: two cells were looked at
    grid = decoded(wire.encode_result(make_result(probabilities=probabilities), MODEL, 'b'))[
        wire.DRIVABLE_AREA
    ]
    looked = {index: grid.data[index] for index in np.flatnonzero(grid.data != -1).tolist()}
    assert looked == {100 * 200 + 100: 0, 101 * 200 + 101: 100}
    assert (grid.info.origin.position.x, grid.info.origin.position.y) == (-50, -50)


def test_markers_draw_every_edge_of_every_box_and_delete_classes_that_left():
    markers = decoded(wire.encode_result(make_result(), MODEL, 'b'))[wire.MARKERS].markers
    by_class = {marker.ns: marker for marker in markers}
    assert len(by_class) == len(MODEL.detection_classes)
    car = by_class['car']
    assert (car.action, len(car.points)) == (car.ADD, 28)
    xyz = np.array([[p.x, p.y, p.z] for p in car.points])
    assert xyz.mean(0) == pytest.approx([10, -3, 0.5], abs=0.6)  # the cross weighs the front
    edges = np.linalg.norm(xyz[::2] - xyz[1::2], axis=1)[:12]
    assert sorted(edges.tolist()) == pytest.approx([1.7] * 4 + [1.9] * 4 + [4.6] * 4, abs=1e-5)
    assert by_class['bus'].action == car.DELETE


def test_every_class_has_a_colour_of_its_own_the_same_in_rviz_as_in_pictures():
    assert set(CLASS_COLOURS) == set(DETECTION_CLASSES)
    assert len(set(CLASS_COLOURS.values()) - {OTHER_COLOUR}) == len(DETECTION_CLASSES)
    markers = decoded(wire.encode_result(make_result(), MODEL, 'b'))[wire.MARKERS].markers
    shown = {m.ns: (m.color.r, m.color.g, m.color.b) for m in markers}
    for name, colour in CLASS_COLOURS.items():
        assert tuple(round(255 * part) for part in shown[name]) == colour


def test_an_empty_result_is_an_empty_array_not_a_missing_one():
    message = decoded(wire.encode_result(make_result([], [], []), MODEL, 'b'))[wire.DETECTIONS]
    assert message.detections == [] and message.modality == 2


@pytest.mark.parametrize(
    ('where', 'value'), [((0, 0), math.nan), ((0, 8), math.inf), ((1, 4), 0.0), ((1, 5), -1.0)]
)
def test_row_079_impossible_boxes_never_leave_the_process(where, value):
    result = make_result()
    result.detections.boxes[where] = value
    with pytest.raises(BackendError):
        wire.encode_result(result, MODEL, 'b')


def test_row_079_080_impossible_scores_and_maps_never_leave_the_process():
    result = make_result()
    result.detections.scores[0] = 7
    with pytest.raises(BackendError):
        wire.encode_result(result, MODEL, 'b')
    result = make_result()
    result.map_probabilities[5, 199, 199] = math.nan
    with pytest.raises(BackendError):
        wire.encode_result(result, MODEL, 'b')


def test_the_same_result_gives_the_same_bytes():
    first = wire.encode_result(make_result(), MODEL, 'b')
    assert [m.cdr for m in first] == [m.cdr for m in wire.encode_result(make_result(), MODEL, 'b')]


def test_a_status_names_every_sensor_and_why():
    report = wire.StatusReport(
        STAMP,
        Modality.LIDAR,
        REPORTS,
        wire.Counters(5, 4, 3, 2),
        epoch=1,
        latency_s={'network': 0.04},
        latency=0.2,
    )
    message = decoded([wire.encode_status(report, MODEL, 'base_link')])[wire.STATUS]
    assert message.reason == 'CAM_FRONT STALE, CAM_BACK NEVER'
    assert [(s.name, s.state, s.kind, s.used) for s in message.sensors] == [
        ('CAM_FRONT', 3, 1, False),
        ('CAM_BACK', 10, 1, False),
        ('LIDAR_TOP', 0, 2, True),
    ]
    assert math.isnan(message.sensors[1].age)
    assert (
        message.outputs,
        message.dropped_samples,
        message.rejected_messages,
        message.failed_samples,
        message.epoch,
    ) == (5, 4, 3, 2, 1)
    assert (message.stages, message.model_hash) == (['network'], '0123456789abcdef')


def test_a_heartbeat_never_claims_that_a_sensor_made_it():
    report = wire.StatusReport(STAMP, Modality.LIDAR, REPORTS, is_heartbeat=True)
    message = decoded([wire.encode_status(report, MODEL, 'base_link')])[wire.STATUS]
    assert message.is_heartbeat and not any(sensor.used for sensor in message.sensors)


def levels(modality, reports):
    report = wire.StatusReport(STAMP, modality, reports)
    array = decoded([wire.encode_diagnostics(report, MODEL, 'perception')])[wire.DIAGNOSTICS]
    return {status.name: status.level for status in array.status}


def test_diagnostics_are_an_error_with_none_and_a_warning_when_degraded():
    well = REPORTS[2:]
    assert levels(Modality.LIDAR, well)['perception'] == 0
    assert levels(Modality.LIDAR, REPORTS) == {
        'perception': 1,
        'perception: CAM_FRONT': 2,
        'perception: CAM_BACK': 2,
        'perception: LIDAR_TOP': 0,
    }
    assert levels(Modality.NONE, REPORTS)['perception'] == 2


@pytest.mark.parametrize(
    'cdr',
    [
        b'',
        b'\0',
        b'\0\1\0\0',
        b'\0\1\0\0\3\0\0\0',
        b'\7\7\7\7' + bytes(60),
        b'\0\1\0\0' + b'\xff' * 60,
        bytes(range(256)),
    ],
)
def test_bytes_that_are_no_message_are_refused_with_reason_cdr(cdr):
    for msgtype in (
        'sensor_msgs/msg/PointCloud2',
        'sensor_msgs/msg/CompressedImage',
        'sensor_msgs/msg/CameraInfo',
        'tf2_msgs/msg/TFMessage',
    ):
        with pytest.raises(SensorDataError) as caught:
            wire.deserialize(cdr, msgtype)
        assert caught.value.reason == 'cdr'


def test_no_cut_or_flipped_message_raises_anything_but_sensor_data_error():
    cdr = wire.encode_status(wire.StatusReport(STAMP, Modality.LIDAR, REPORTS), MODEL, 'b').cdr
    random = np.random.default_rng(0)
    refused = 0
    for trial in range(3000):
        bad = bytearray(cdr[: random.integers(len(cdr))] if trial % 3 == 0 else cdr)
        for position in random.integers(0, max(len(bad), 1), 4):
            if bad:
                bad[position] = random.integers(256)
        try:
            wire.deserialize(bytes(bad), wire.OUTPUT_TYPES[wire.STATUS])
        except SensorDataError:
            refused += 1
    assert refused > 1000


def test_an_unknown_type_is_refused():
    with pytest.raises(SensorDataError) as caught:
        wire.deserialize(b'\0\1\0\0', 'nobody_msgs/msg/\x1b[31mNothing')
    assert caught.value.reason == 'type' and '\x1b' not in str(caught.value)


@pytest.mark.parametrize('order', ['<', '>'])
def test_a_stamp_is_patched_in_place_in_both_byte_orders(order):
    body = struct.pack(f'{order}iI', 7, 9) + b'rest'
    cdr = bytes((0, order == '<', 0, 0)) + body
    assert wire.read_stamp(cdr) == 7_000_000_009
    patched = wire.with_stamp(cdr, 8_000_000_001)
    assert wire.read_stamp(patched) == 8_000_000_001
    assert patched[:4] == cdr[:4] and patched[12:] == b'rest'


def test_header_first_types_are_known_from_their_definition():
    assert wire.has_header_first('sensor_msgs/msg/PointCloud2')
    assert not wire.has_header_first('tf2_msgs/msg/TFMessage')
    assert not wire.has_header_first('std_msgs/msg/Header')
    assert not wire.has_header_first('nobody_msgs/msg/Nothing')


def test_foreign_text_is_one_printable_bounded_line():
    text = wire.clean_text('a\n\x1b[31mb' + 'c' * 1000)
    assert len(text) <= wire.TEXT_LIMIT and text.isprintable()
    assert text.startswith(r'a\n\x1b[31mbc') and text.endswith('c...')


@pytest.mark.ros
def test_rclpy_reads_the_same_values_from_the_bytes():
    from rclpy.serialization import deserialize_message

    from metabev_ros.node.ros_support import message_type

    report = wire.StatusReport(STAMP, Modality.LIDAR, REPORTS, wire.Counters(5, 4, 3, 2))
    messages = {
        m.topic: deserialize_message(m.cdr, message_type(m.msgtype))
        for m in (
            *wire.encode_result(make_result(), MODEL, 'base_link'),
            wire.encode_status(report, MODEL, 'base_link'),
            wire.encode_diagnostics(report, MODEL, 'perception'),
        )
    }
    assert set(messages) == set(wire.OUTPUT_TYPES) - {wire.TRACKS}  # made of several results
    assert messages[wire.DETECTIONS].detections[1].class_name == 'pedestrian'
    assert messages[wire.DETECTIONS].detections[0].size.x == pytest.approx(4.6)
    assert messages[wire.BEV_MAP].data[-1] == 255
    assert messages[wire.STATUS].sensors[0].reason == 'silent'
    assert messages[wire.STATUS].failed_samples == 2
    assert len(messages[wire.MARKERS].markers[0].points) == 28
    assert messages[wire.DRIVABLE_AREA].info.height == 200
    assert messages[wire.DIAGNOSTICS].status[1].level == b'\x02'


@pytest.mark.parametrize('labels', [[0, 99], [-1, 0], [0, 10]])
def test_row_080_a_class_that_the_model_does_not_have_never_leaves_the_process(labels):
    result = make_result()
    result.detections.labels[:] = labels
    with pytest.raises(BackendError, match='classes 0..9'):
        wire.encode_result(result, MODEL, 'b')


def test_row_080_outputs_of_the_wrong_shape_or_without_end_never_leave_the_process():
    short = make_result()
    short = dataclasses.replace(
        short, detections=dataclasses.replace(short.detections, scores=short.detections.scores[:1])
    )
    box = [1, 1, 1, 1, 1, 1, 0, 0, 0]
    crowd = make_result([box] * 100_000, [0.5] * 100_000, [0] * 100_000)
    for result, word in ((short, 'shapes'), (crowd, 'number')):
        with pytest.raises(BackendError, match=word):
            wire.encode_result(result, MODEL, 'b')


def test_an_injected_stream_is_said_first_in_the_status_and_warned_of_in_diagnostics():
    well = (dataclasses.replace(REPORTS[2]),)
    report = wire.StatusReport(STAMP, Modality.LIDAR, well, injection='plan\n1')
    assert report.reason == r'INJECTION ACTIVE (plan\n1): all sensors are well'
    status = decoded([wire.encode_status(report, MODEL, 'b')])[wire.STATUS]
    assert status.reason.startswith(wire.INJECTION_ACTIVE)
    levels = [
        s.level
        for s in decoded([wire.encode_diagnostics(report, MODEL, 'n')])[wire.DIAGNOSTICS].status
    ]
    assert levels == [1, 0]
