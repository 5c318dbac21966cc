"""The clock, the readers or all sensors at once are silent, and come (back)."""

from __future__ import annotations

import time

import pytest
from support import rig_messages

from metabev_ros import wire

pytestmark = pytest.mark.ros

CLOCK_TYPE = 'rosgraph_msgs/msg/Clock'
NO_CLOCK = 'nothing comes on /clock'


def set_clock(graph, now_ns: int) -> None:
    graph.publisher('/clock', CLOCK_TYPE).publish(
        wire.serialize(
            wire.message_class(CLOCK_TYPE)(clock=wire.header(now_ns, '').stamp), CLOCK_TYPE
        )
    )


def test_row_056_without_a_clock_the_node_says_so_every_5_s_and_starts_when_one_comes(
    tmp_path, graph, model
):
    from support.live_graph import NodeProcess, RigPublisher

    node = NodeProcess(tmp_path, model=model, use_sim_time=True)
    try:
        node.wait_for_log(NO_CLOCK)
        since = time.monotonic()
        record = graph.wait_for(wire.STATUS, lambda status: NO_CLOCK in status.reason, 10, since)
        assert record.message.reason.startswith('STARTING')
        assert record.message.modality == record.message.MODALITY_NONE
        while time.monotonic() < since + 12:
            time.sleep(0.1)
        assert 2 <= node.log.count(NO_CLOCK) <= 3, 'at once and every 5 s'
        assert not graph.of(wire.DETECTIONS, since)

        now = 1_700_000_000_000_000_000
        graph.publisher('/clock', CLOCK_TYPE)
        rig = RigPublisher(graph)
        graph.wait_until_heard([*rig.topics, '/clock'])
        begun, end = time.monotonic(), time.monotonic() + 60
        for number in range(10_000):
            now += rig_messages.PERIOD_NS
            set_clock(graph, now)
            for camera in rig_messages.CAMERAS:
                graph.publisher(f'/{camera}/camera_info', rig_messages.INFO_TYPE).publish(
                    rig_messages.camera_info(camera, now)
                )
            for sensor in rig_messages.SENSORS:
                graph.publisher(
                    rig_messages.topic_of(sensor), rig_messages.type_of(sensor)
                ).publish(rig_messages.frame(sensor, number, now))
            time.sleep(0.2)
            outputs = graph.of(wire.DETECTIONS, begun)
            if outputs and set(outputs[-1].message.sensors) == set(rig_messages.SENSORS):
                break
            assert time.monotonic() < end, node.log
        time.sleep(0.5)
        assert NO_CLOCK not in graph.of(wire.STATUS)[-1].message.reason
    finally:
        assert node.stop() == 0


def test_row_076_when_all_peers_leave_the_network_and_others_come_it_goes_on(graph, live_node):
    """The sensors' participant is gone for 10 s; the one that comes then is a new one."""
    from support.live_graph import Graph, RigPublisher

    def publish_until_fused(peer: Graph) -> RigPublisher:
        rig = RigPublisher(peer)
        peer.wait_until_heard(rig.topics)
        rig.tick_until_fused(graph, timeout=60)
        return rig

    peer = Graph(outputs=())
    try:
        publish_until_fused(peer)
    finally:
        peer.close()
    time.sleep(2)
    quiet = time.monotonic()
    time.sleep(8)
    beats = [r.message for r in graph.of(wire.STATUS, quiet)]
    assert len(beats) >= 40 and all(b.modality == b.MODALITY_NONE for b in beats)
    assert not graph.of(wire.DETECTIONS, quiet), 'nothing is made of old frames'
    peer = Graph(outputs=())
    try:
        back = time.monotonic()
        rig = publish_until_fused(peer)
        stamps = [r.stamp_ns for r in graph.of(wire.DETECTIONS, back)]
        assert stamps and set(stamps) <= set(rig.sent)
    finally:
        peer.close()
    assert live_node.process.poll() is None
