"""A bag as a rehearsal writes it, made by hand, is read back as what it says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.made_model import MODEL as MADE_MODEL

from metabev_ros import wire
from metabev_ros.bags import BagWriter
from metabev_ros.errors import SensorDataError
from metabev_ros.faults.live import ACTIONS_TOPIC, ACTIONS_TYPE, Action, encode_action
from metabev_ros.lab.demo.correctness import truth_of
from metabev_ros.lab.demo.evidence import read_evidence
from metabev_ros.structures import (
    Detections,
    Modality,
    PerceptionResult,
    Sample,
    SensorKind,
    SensorReport,
    SensorState,
    Sweep,
)

START, FIRST = 1_800_000_000_000_000_000, 1_700_000_000_000_000_000
STAMP = START + 300_000_000
MODEL = dataclasses.replace(
    MADE_MODEL, name='made_up', hash='ab' * 32, backend='none', precision='fp32', provider='none'
)


def result():
    boxes = np.array([[10, 2, 1, 4, 2, 1.5, 0.1, 3, 0]], np.float32)
    layers = np.zeros((6, 200, 200), np.float32)
    layers[0, 100] = 1.0
    reports = (
        SensorReport('CAM_FRONT', SensorKind.CAMERA, SensorState.STALE),
        SensorReport('LIDAR_TOP', SensorKind.LIDAR, SensorState.OK, True, STAMP, 0, 10.0),
    )
    sweep = Sweep(STAMP, np.zeros((1, 5), np.float32), np.eye(4))
    sample = Sample(STAMP, {'CAM_FRONT': None}, sweep, Modality.LIDAR, reports)
    found = Detections(boxes, np.array([0.9], np.float32), np.array([3]))
    return PerceptionResult(sample, found, layers, {'network': 0.05})


def write_run(path, with_start=True):
    sample = result().sample
    status = wire.StatusReport(STAMP, Modality.LIDAR, sample.sensors, latency=0.06)
    beat = wire.StatusReport(STAMP + 1, Modality.LIDAR, sample.sensors, is_heartbeat=True)
    with BagWriter(path) as writer:
        for offset, action in (
            (0, Action('start', '', START, FIRST)),
            (200_000_000, Action('begin', 'cameras')),
        ):
            if with_start or action.action != 'start':
                writer.write(ACTIONS_TOPIC, ACTIONS_TYPE, START + offset, encode_action(action))
        image = wire.message_class('sensor_msgs/msg/CompressedImage')(
            header=wire.header(START, 'CAM_FRONT'), format='', data=np.zeros(4, np.uint8)
        )
        writer.write(
            '/CAM_FRONT/image_rect/compressed',
            'sensor_msgs/msg/CompressedImage',
            START + 1000,
            wire.serialize(image, 'sensor_msgs/msg/CompressedImage'),
        )
        messages = [
            wire.encode_status(status, MODEL, 'base_link'),
            *wire.encode_result(result(), MODEL, 'base_link'),
            wire.encode_status(beat, MODEL, 'base_link'),
            wire.encode_diagnostics(beat, MODEL, 'perception'),
        ]
        for message in messages:
            topic = (
                message.topic
                if message.topic.startswith('/')
                else (f'/perception/{message.topic}')
            )
            writer.write(topic, message.msgtype, STAMP + 60_000_000, message.cdr)


def test_everything_that_is_judged_is_read_back(tmp_path, rig):
    write_run(tmp_path / 'run.mcap')
    evidence = read_evidence(tmp_path / 'run.mcap', rig)
    assert (evidence.start_ns, evidence.first_ns) == (START, FIRST)
    assert evidence.actions == {('cameras', 'begin'): START + 200_000_000}
    assert evidence.published['CAM_FRONT'].tolist() == [[START, START + 1000]]
    assert len(evidence.published['LIDAR_TOP']) == 0
    for output in (*evidence.outputs, *evidence.maps):
        assert output.stamp_ns == STAMP and output.modality is Modality.LIDAR
        assert output.ages_ns == {'LIDAR_TOP': 0}
        assert output.wall_ns == STAMP + 60_000_000
    assert len(evidence.outputs) == len(evidence.maps) == 1
    assert evidence.label_status(STAMP).state('CAM_FRONT') is SensorState.STALE
    assert evidence.label_status(STAMP + 1) is None
    assert [d.level for d in evidence.diagnostics] == [1]  # degraded: a camera is missing


def test_boxes_and_map_are_decoded_as_they_were_encoded(tmp_path, rig):
    write_run(tmp_path / 'run.mcap')
    frame = read_evidence(tmp_path / 'run.mcap', rig).frame(STAMP)
    np.testing.assert_allclose(frame.detections.boxes, result().detections.boxes, rtol=1e-6)
    np.testing.assert_array_equal(frame.map_probabilities, result().map_probabilities)
    assert frame.sensors == ('LIDAR_TOP',)


def test_truth_is_asked_for_by_the_stamp_in_the_played_bag(tmp_path, rig):
    write_run(tmp_path / 'run.mcap')
    evidence = read_evidence(tmp_path / 'run.mcap', rig)

    class Truths:
        def at(self, stamp_ns):
            return stamp_ns

    assert truth_of(evidence, Truths(), STAMP) == FIRST + 300_000_000


def test_what_an_output_holds_and_what_was_sent_before_are_found_by_stamps(tmp_path, rig):
    write_run(tmp_path / 'run.mcap')
    evidence = read_evidence(tmp_path / 'run.mcap', rig)
    assert evidence.held(STAMP) == {'LIDAR_TOP': STAMP} and evidence.held(STAMP + 1) == {}
    assert evidence.sent('CAM_FRONT', START + 400) == START
    assert evidence.sent('CAM_FRONT', START + 4000) is None
    assert evidence.newest_sent('CAM_FRONT', START + 50_000_000, 60_000_000) == START
    assert evidence.newest_sent('CAM_FRONT', START + 70_000_000, 60_000_000) is None
    assert evidence.newest_sent('CAM_FRONT', START - 1, 60_000_000) is None
    assert evidence.output_before(STAMP + 10, 10) == STAMP
    assert evidence.output_before(STAMP + 11, 10) is None
    assert evidence.output_before(STAMP - 1, 10) is None


def test_a_bag_that_is_no_rehearsal_is_refused(tmp_path, rig):
    write_run(tmp_path / 'run.mcap', with_start=False)
    with pytest.raises(SensorDataError, match='rehearsal'):
        read_evidence(tmp_path / 'run.mcap', rig)
