"""Malformed messages of every kind over DDS: refused, counted, named; nothing dies of them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from support import rig_messages
from support.rig_messages import CAMERAS, LIDAR

from metabev_ros import wire
from metabev_ros.bags import BagReader

pytestmark = pytest.mark.ros

CAMERA = CAMERAS[0]


def edited(sensor: str, **fields) -> bytes:
    """A good frame of now with some fields replaced."""
    msgtype = rig_messages.type_of(sensor)
    message = wire.deserialize(rig_messages.frame(sensor, 3, time.time_ns()), msgtype)
    for name, value in fields.items():
        setattr(message, name, value)
    return wire.serialize(message, msgtype)


def header(stamp_ns: int, frame: str):
    return wire.header(stamp_ns, frame)


def nan_points() -> bytes:
    return edited(LIDAR, data=np.full(12_000, np.nan, np.float32).view(np.uint8))


BAD_IMAGES = {
    'no jpeg': lambda: edited(CAMERA, data=np.arange(10, dtype=np.uint8)),
    'empty': lambda: edited(CAMERA, data=np.zeros(0, np.uint8)),
    'truncated': lambda: edited(
        CAMERA,
        data=wire.deserialize(rig_messages.frame(CAMERA, 1, 1), rig_messages.IMAGE_TYPE).data[
            :400
        ],
    ),
    'zero stamp': lambda: edited(CAMERA, header=header(0, CAMERA)),
    'future stamp': lambda: edited(CAMERA, header=header(time.time_ns() + 10**13, CAMERA)),
    'other frame': lambda: edited(CAMERA, header=header(time.time_ns(), 'x\n\x1b[31m' * 9)),
}
BAD_CLOUDS = {
    'step zero': lambda: edited(LIDAR, point_step=0),
    'huge': lambda: edited(LIDAR, width=2**31, height=2**31),
    'truncated': lambda: edited(LIDAR, data=np.zeros(100, np.uint8)),
    'no fields': lambda: edited(LIDAR, fields=[]),
    'no points': lambda: edited(LIDAR, width=0, row_step=0, data=np.zeros(0, np.uint8)),
    'nothing finite': nan_points,
}


def rejected(graph, sensor: str, since: float) -> int:
    """The node's own count for a sensor, from its newest status."""
    record = graph.wait_for(wire.STATUS, lambda status: status.is_heartbeat, 10, since)
    return {s.name: s.rejected for s in record.message.sensors}[sensor]


@pytest.mark.parametrize(
    ('sensor', 'make'),
    [
        *(pytest.param(CAMERA, make, id=f'image {name}') for name, make in BAD_IMAGES.items()),
        *(pytest.param(LIDAR, make, id=f'cloud {name}') for name, make in BAD_CLOUDS.items()),
    ],
)
def test_a_malformed_message_is_counted_at_its_sensor(graph, rig, live_node, sensor, make):
    before = rejected(graph, sensor, time.monotonic())
    publisher = graph.publisher(rig_messages.topic_of(sensor), rig_messages.type_of(sensor))
    end = time.monotonic() + 20
    while rejected(graph, sensor, time.monotonic()) <= before:
        assert time.monotonic() < end, 'never counted'
        publisher.publish(make())
        time.sleep(0.2)
    assert live_node.process.poll() is None


def test_row_108_random_bytes_on_every_input_do_not_end_the_node(graph, rig, live_node):
    random = np.random.default_rng(4)
    before = graph.of(wire.STATUS)[-1].message.rejected_messages
    for _ in range(20):
        for topic in rig.topics:
            body = random.bytes(int(random.integers(0, 300)))
            graph.publisher(topic, '').publish(b'\0\1\0\0' + body)
        time.sleep(0.05)
    graph.wait_for(wire.STATUS, lambda s: s.rejected_messages >= before + 20, 20)
    assert live_node.process.poll() is None


def test_the_real_malformed_bag_is_survived(graph, rig, live_node, shared_data):
    from metabev_ros.node.player import BagPlayer, PlayerOptions

    path = shared_data / 'bags' / 'malformed'
    topics = {
        rig_messages.type_of(sensor): rig_messages.topic_of(sensor) for sensor in (CAMERA, LIDAR)
    }
    before = {sensor: rejected(graph, sensor, time.monotonic()) for sensor in (CAMERA, LIDAR)}
    sent = [
        graph.publisher(topics[m.msgtype], m.msgtype).publish(m.cdr)
        for m in BagReader(path)
        if m.msgtype in topics
    ]
    assert len(sent) == 4
    player = BagPlayer(graph.node, path, PlayerOptions(rate=20))
    player.play()
    player.close()
    assert player.published.total() > 100
    for sensor, count in before.items():
        graph.wait_for(
            wire.STATUS,
            lambda status, sensor=sensor, count=count: (
                {s.name: s.rejected for s in status.sensors}[sensor] > count
            ),
            20,
        )
    assert live_node.process.poll() is None


def test_good_data_is_used_again_after_all_that(graph, rig, live_node):
    rig.tick_until_fused(graph, timeout=60)
    record = graph.of(wire.DETECTIONS)[-1]
    assert set(record.message.sensors) == rig.sent[record.stamp_ns]


def test_row_114_the_log_says_why_on_single_clean_lines(live_node):
    lines = live_node.log.splitlines()
    assert any(CAMERA in line and 'refused' in line for line in lines)
    assert all(line.isprintable() for line in lines)
    assert 'Traceback' not in live_node.log
