"""Floods, huge messages and intruders: said at their topic; memory and heartbeat hold."""

from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.node import Node
from support import rig_messages
from support.rig_messages import CAMERAS, LIDAR

from metabev_ros import wire
from metabev_ros.node import ros_support

pytestmark = pytest.mark.ros
MEMORY_MB = 256


def resident_mb(node) -> float:
    text = Path(f'/proc/{node.process.pid}/status').read_text()
    return int(text.split('VmRSS:')[1].split()[0]) / 1024


def sensor(record, name: str):
    return next(s for s in record.message.sensors if s.name == name)


def transforms(count: int) -> bytes:
    message = wire.deserialize(rig_messages.static_transforms(1), rig_messages.TF_TYPE)
    message.transforms = [message.transforms[0]] * count
    return wire.serialize(message, rig_messages.TF_TYPE)


def camera_info_of(size: int) -> bytes:
    camera = CAMERAS[0]
    info = wire.deserialize(rig_messages.camera_info(camera, 1), rig_messages.INFO_TYPE)
    info.d = np.zeros(size // 8)
    return wire.serialize(info, rig_messages.INFO_TYPE)


def test_huge_transforms_and_calibrations_cost_neither_memory_nor_outputs(graph, rig, live_node):
    """10 MB each, as often as the graph takes them."""
    rig.tick_until_fused(graph, timeout=60)
    idle = resident_mb(live_node)
    before = graph.wait_for(wire.STATUS, lambda status: status.is_heartbeat, 10).message
    floods = {
        '/tf': (rig_messages.TF_TYPE, transforms(100_000)),
        f'/{CAMERAS[0]}/camera_info': (rig_messages.INFO_TYPE, camera_info_of(10_000_000)),
    }
    since, most = time.monotonic(), 0.0
    for number in range(30):
        for topic, (msgtype, cdr) in floods.items():
            if number % 3 == 0:
                graph.publisher(topic, msgtype).publish(cdr)
        rig.tick()
        most = max(most, resident_mb(live_node))
    assert most - idle < MEMORY_MB
    for topic in floods:
        assert any(
            topic.lstrip('/') in line and 'size:' in line and 'at most' in line
            for line in live_node.log.splitlines()
        ), f'{topic}: nothing was said'
    rig.tick_until_fused(graph, timeout=60)
    beats = [r for r in graph.of(wire.STATUS, since) if r.message.is_heartbeat]
    assert beats[-1].message.rejected_messages > before.rejected_messages
    assert max(np.diff([beat.sent_ns for beat in beats])) < 1e9  # its figure is a benchmark's


def test_a_rare_second_publisher_is_named_and_nothing_is_made_of_its_sweeps(graph, rig, live_node):
    context = rclpy.Context()
    rclpy.init(context=context)
    intruder = Node('intruder', context=context)
    publisher = intruder.create_publisher(
        ros_support.message_type(rig_messages.CLOUD_TYPE),
        rig_messages.topic_of(LIDAR),
        ros_support.reliable_qos(5),
    )
    try:
        end = time.monotonic() + 30
        while not publisher.get_subscription_count():
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(1.0)
        rig.tick_until_fused(graph, timeout=60)
        since, theirs = time.monotonic(), set()
        for number in range(60):
            rig.tick()
            if number % 12 == 6:  # every 2.4 s, half a period after the sensor's own
                time.sleep(0.1)
                stamp = time.time_ns()
                theirs.add(stamp)
                publisher.publish(rig_messages.frame(LIDAR, number, stamp))
        outputs = graph.of(wire.DETECTIONS, since)
        assert outputs and not theirs & {record.stamp_ns for record in outputs}
        assert any(set(r.message.sensors) == set(rig_messages.SENSORS) for r in outputs[-10:])
        told = [
            sensor(record, LIDAR)
            for record in graph.of(wire.STATUS, since)
            if record.message.is_heartbeat and 'publisher' in sensor(record, LIDAR).reason
        ]
        assert told and '/intruder' in told[-1].reason, live_node.log
        assert told[-1].state == told[-1].STATE_OK, 'the sensor itself is well'
    finally:
        intruder.destroy_node()
        context.try_shutdown()


SLOW_SENSING = textwrap.dedent("""
    import time
    from metabev_ros.node.process import main
    from metabev_ros.node.workers import SensingWorker
    take = SensingWorker._take
    def slowly(self, message):
        time.sleep(0.3 if message.topic.endswith('compressed') else 0)
        return take(self, message)
    SensingWorker._take = slowly
    raise SystemExit(main())
""")


def test_a_sensor_whose_frames_overflow_says_so_in_its_reason(tmp_path, graph, model):
    from support.live_graph import NodeProcess, RigPublisher

    script = tmp_path / 'slow.py'
    script.write_text(SLOW_SENSING)
    node = NodeProcess(tmp_path, program=(sys.executable, str(script)), model=model, queue_depth=1)
    try:
        node.wait_for_log('active:')
        rig = RigPublisher(graph)
        graph.wait_until_heard(rig.topics)
        end, told = time.monotonic() + 60, None
        while told is None:
            assert time.monotonic() < end, node.log
            rig.tick()
            for record in graph.of(wire.STATUS, end - 60):
                if record.message.is_heartbeat and any(
                    'overflow: ' in s.reason and 'messages dropped' in s.reason
                    for s in record.message.sensors
                    if s.name in CAMERAS
                ):
                    told = record
        node.wait_for_log('overflow', timeout=10)
    finally:
        assert node.stop() == 0
