"""The threads behind the executor, without ROS.

Invariants "Nothing escapes" and "Quiet log".
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from support import rig_messages
from support.made_samples import sample, wait_for

from metabev_ros.config import SensingConfig
from metabev_ros.node.queues import RawMessage, TopicQueue
from metabev_ros.node.workers import Mailbox, SensingWorker, ThrottledLog
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import Modality, SensorKind, SensorReport, SensorState


class Lines:
    """Collects what would be logged."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.infos: list[str] = []
        self.log = ThrottledLog(self.warnings.append, self.infos.append)


def test_row_070_a_flood_on_one_topic_costs_only_its_own_oldest_messages():
    queue = TopicQueue({'image': 3, 'tf': 3})
    queue.put(RawMessage('tf', b'tf', 0))
    for number in range(200):
        queue.put(RawMessage('image', bytes([number]), number))
    assert queue.overflows == {'image': 197}
    left = [queue.get(0) for _ in range(5)]
    assert [m and m.cdr for m in left] == [b'tf', bytes([197]), bytes([198]), bytes([199]), None]


def test_the_mailbox_keeps_the_newest_sample_and_counts_the_others():
    mailbox = Mailbox()
    for stamp in range(1, 6):
        mailbox.put(sample(stamp))
    assert mailbox.get(0).stamp_ns == 5 and mailbox.get(0) is None
    assert mailbox.dropped == 4


def test_a_repeated_reason_is_logged_once_and_its_repeats_counted(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    lines = Lines()
    for _ in range(1000):
        lines.log.line('CAM', 'size', 'CAM: truncated')
        now[0] += 0.01
    lines.log.line('CAM', 'decode', 'CAM: other')
    assert len(lines.warnings) <= 4
    assert lines.warnings[0] == 'CAM: truncated' and lines.warnings[-1] == 'CAM: other'
    assert any('more like this' in line for line in lines.warnings)


def test_a_source_that_flaps_for_ten_minutes_is_logged_at_most_every_other_second(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    lines = Lines()
    for number in range(6000):
        state = ('OK', 'LATE', 'STALE', 'MISSING', 'RECOVERING', 'INVALID')[number % 6]
        lines.log.line('CAM', state, f'CAM: {state}')
        if number == 3000:
            lines.log.line('LIDAR', 'LATE', 'LIDAR: LATE')
        now[0] += 0.1
    assert [line[5:] for line in lines.warnings[:3]] == ['OK', 'LATE', 'STALE']
    of_camera = [line for line in lines.warnings if line.startswith('CAM')]
    assert 200 < len(of_camera) <= 300 and 'LIDAR: LATE' in lines.warnings


@pytest.fixture
def sensing():
    """A running sensing thread on the test rig, and its parts."""
    config = rig_messages.rig()
    front_end = SensorFrontEnd(
        config, SensingConfig(), lambda pixels, calibration: (pixels, calibration)
    )
    types = front_end.subscriptions()
    parts = SimpleNamespace(
        queue=TopicQueue(dict.fromkeys(types, 50)),
        mailbox=Mailbox(),
        lines=Lines(),
        now=[rig_messages.PERIOD_NS * 10],
    )
    parts.worker = SensingWorker(
        front_end, parts.queue, parts.mailbox, types, lambda: parts.now[0], parts.lines.log
    )
    parts.worker.start()
    yield parts
    parts.worker.stop()
    parts.worker.join()


def put(parts, topic: str, cdr: bytes) -> None:
    parts.queue.put(RawMessage(topic, cdr, parts.now[0]))


@pytest.mark.parametrize('state', [SensorState.UNCALIBRATED, SensorState.NO_TF])
def test_what_a_sensor_waits_for_is_said_only_where_it_does_not_come(monkeypatch, sensing, state):
    sensing.worker.stop()
    sensing.worker.join()
    now = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])

    def tell(state):
        report = SensorReport('CAM', SensorKind.CAMERA, state, reason='none yet')
        sensing.worker._tell((report,))

    tell(SensorState.NEVER)
    for _ in range(19):
        tell(state)
        now[0] += 0.1
    assert not sensing.lines.warnings
    tell(SensorState.OK)
    assert sensing.lines.infos[-1].startswith('CAM: OK')
    now[0] += 60
    tell(state)  # what is lost later is said at once
    assert sensing.lines.warnings == [f'CAM: {state.name} none yet']


def test_a_calibration_that_does_not_come_is_said_after_two_seconds(monkeypatch, sensing):
    sensing.worker.stop()
    sensing.worker.join()
    now = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    for _ in range(25):
        report = SensorReport('CAM', SensorKind.CAMERA, SensorState.UNCALIBRATED)
        sensing.worker._tell((report,))
        now[0] += 0.1
    assert sensing.lines.warnings == ['CAM: UNCALIBRATED']


def test_raw_messages_become_a_labelled_sample(sensing):
    stamp = sensing.now[0]
    put(sensing, '/tf_static', rig_messages.static_transforms(1))
    for camera in rig_messages.CAMERAS:
        put(sensing, f'{camera}/camera_info', rig_messages.camera_info(camera, stamp))
    for sensor in rig_messages.SENSORS:
        put(
            sensing,
            rig_messages.topic_of(sensor).lstrip('/'),
            rig_messages.frame(sensor, 0, stamp),
        )
    found = []
    wait_for(lambda: found.append(sensing.mailbox.get(0.01)) or found[-1] is not None)
    assert found[-1].modality is Modality.FUSED
    assert found[-1].used_sensors == rig_messages.SENSORS


def test_bytes_that_are_no_message_are_counted_at_their_sensor_and_logged(sensing):
    topic = rig_messages.topic_of(rig_messages.LIDAR).lstrip('/')
    put(sensing, topic, b'\0\1\0\0rubbish')
    wait_for(lambda: sensing.worker.snapshot.rejected == 1)
    report = sensing.worker.snapshot.sensors[-1]
    assert (report.name, report.rejected, report.received) == (rig_messages.LIDAR, 1, 1)
    assert any(topic in line and 'serialized' in line for line in sensing.lines.warnings)


def test_row_100_an_exception_inside_the_front_end_does_not_end_the_thread(sensing, monkeypatch):
    monkeypatch.setattr(SensorFrontEnd, 'push', lambda *a: 1 / 0)
    put(sensing, '/tf', rig_messages.static_transforms(1))
    wait_for(lambda: sensing.worker.snapshot.rejected == 1)
    assert sensing.worker.is_alive()
    assert any('ZeroDivisionError' in line for line in sensing.lines.warnings)


def test_the_snapshot_is_renewed_without_any_message(sensing):
    first = sensing.worker.snapshot
    wait_for(lambda: sensing.worker.snapshot.taken > first.taken)
    assert {r.state for r in sensing.worker.snapshot.sensors} == {SensorState.NEVER}
