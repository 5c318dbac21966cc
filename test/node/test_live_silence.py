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


@pytest.fixture(scope='module')
def simulated(tmp_path_factory, graph, model):
    """A node that takes its time from /clock, on which nothing has come yet."""
    from support.live_graph import NodeProcess

    node = NodeProcess(tmp_path_factory.mktemp('simulated'), model=model, use_sim_time=True)
    yield node
    assert node.stop() == 0


class Simulation:
    """Time and the sensors' messages, one tick at a time."""

    def __init__(self, graph) -> None:
        from support.live_graph import RigPublisher

        self._graph, self._number = graph, 0
        self.now = 1_700_000_000_000_000_000
        graph.publisher('/clock', CLOCK_TYPE)
        graph.wait_until_heard([*RigPublisher(graph).topics, '/clock'])

    def tick(self) -> None:
        self.now += rig_messages.PERIOD_NS
        self._number += 1
        set_clock(self._graph, self.now)
        for camera in rig_messages.CAMERAS:
            self._graph.publisher(f'/{camera}/camera_info', rig_messages.INFO_TYPE).publish(
                rig_messages.camera_info(camera, self.now)
            )
        for sensor in rig_messages.SENSORS:
            self._graph.publisher(
                rig_messages.topic_of(sensor), rig_messages.type_of(sensor)
            ).publish(rig_messages.frame(sensor, self._number, self.now))
        time.sleep(0.2)

    def tick_until_fused(self, timeout: float = 60.0) -> None:
        begun = time.monotonic()
        while True:
            self.tick()
            outputs = self._graph.of(wire.DETECTIONS, begun)
            if outputs and set(outputs[-1].message.sensors) == set(rig_messages.SENSORS):
                return
            assert time.monotonic() < begun + timeout, 'no output of all sensors'


@pytest.fixture(scope='module')
def simulation(graph, simulated):
    return Simulation(graph)


def test_row_056_without_a_clock_the_node_says_so_every_5_s(graph, simulated):
    simulated.wait_for_log(NO_CLOCK)
    since = time.monotonic()
    record = graph.wait_for(wire.STATUS, lambda status: NO_CLOCK in status.reason, 10, since)
    assert record.message.reason.startswith('STARTING')
    assert record.message.modality == record.message.MODALITY_NONE
    while time.monotonic() < since + 12:
        time.sleep(0.1)
    # The line of every ten seconds, which says what comes out, says why nothing does.
    lines = [line for line in simulated.log.splitlines() if 'published nothing' not in line]
    assert 2 <= sum(NO_CLOCK in line for line in lines) <= 3, 'at once and every 5 s'
    assert not graph.of(wire.DETECTIONS, since)


def test_row_056_the_node_starts_when_a_clock_comes(graph, simulation):
    simulation.tick_until_fused()
    assert NO_CLOCK not in graph.of(wire.STATUS)[-1].message.reason


def test_a_clock_that_stops_or_a_bag_that_is_paused_is_said_and_outputs_return_with_it(
    graph, simulated, simulation
):
    simulation.tick_until_fused()
    stopped = time.monotonic()
    told = graph.wait_for(wire.STATUS, lambda s: 'the clock stands still' in s.reason, 5, stopped)
    assert told.received - stopped < 3.0  # a second, on a machine that has time
    assert told.message.modality == told.message.MODALITY_NONE
    time.sleep(1.0)
    assert 'the clock stands still' in graph.of(wire.STATUS)[-1].message.reason
    assert 'the clock stands still' in simulated.log
    simulation.tick_until_fused()
    since = time.monotonic()
    simulation.tick()
    beat = graph.wait_for(wire.STATUS, lambda status: status.is_heartbeat, 5, since)
    assert 'stands still' not in beat.message.reason


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
