"""A plan on live publishers: the dead leave the graph and come back, the rest goes by the pipe."""

from __future__ import annotations

import pytest
from support.fake_drive import CAMERAS, LIDAR, MS, T0, rig
from support.injected_drive import LEAD, SIMULTANEOUS, TOPICS, TYPES, fault, stream

from metabev_ros.errors import ConfigError
from metabev_ros.faults.live import (
    ADVERTISE_LEAD,
    Action,
    LiveFaults,
    Step,
    decode_action,
    encode_action,
)
from metabev_ros.faults.pipe import FaultPipe
from metabev_ros.faults.plan import FaultPlan

TOPICS_OF_CAM2 = {'/cam2/image', '/cam2/camera_info'}


class Graph:
    """Publishers that only exist or not; every sent message must find one."""

    def __init__(self, *faults) -> None:
        self.publishers = {f'/{topic}': 1 for topic in TYPES}
        self.destroyed, self.notes, self.truths = [], [], []
        self.made = 0
        pipe = FaultPipe(FaultPlan('p', '', faults), rig(), TYPES, 0, self.truths.append)
        self.faults = LiveFaults(
            pipe,
            rig(),
            self.publishers,
            self._advertise,
            self.destroyed.append,
            lambda step, fault: self.notes.append((step, fault.name)),
        )
        pipe.start(T0 - round(LEAD * 1e9))

    def _advertise(self, topic):
        self.made += 1
        return 1 + self.made

    def missing_at(self, seconds):
        """Topics without a publisher at a time after sweep 0."""
        self.faults.advance(T0 + round(seconds * 1e9))
        return {f'/{topic}' for topic in TYPES} - set(self.publishers)


def test_a_dead_sensors_publishers_leave_the_graph_and_come_back_before_its_data():
    graph = Graph(fault('dead', 'cam2', 1.0, 2.0, name='x'))
    assert graph.missing_at(0.99) == set()
    assert graph.missing_at(1.01) == TOPICS_OF_CAM2
    assert graph.missing_at(1.99 - ADVERTISE_LEAD) == TOPICS_OF_CAM2
    assert graph.missing_at(2.01 - ADVERTISE_LEAD) == set()
    assert graph.notes == [(Step.BEGIN, 'x')]
    graph.missing_at(2.01)
    assert graph.notes == [(Step.BEGIN, 'x'), (Step.END, 'x')]
    assert graph.destroyed == [1, 1] and graph.publishers['/cam2/image'] > 1


def test_a_death_shorter_than_the_lead_is_a_death_all_the_same():
    graph = Graph(fault('dead', LIDAR, 1.0, 1.2))
    assert graph.missing_at(1.05) == set()
    assert graph.destroyed == [1] and graph.made == 1


@pytest.mark.parametrize('kind', ['off', 'stuck'])
def test_publishers_of_every_other_fault_stay(kind):
    graph = Graph(fault(kind, 'cameras', 1.0, 2.0))
    assert graph.missing_at(1.5) == set() and not graph.destroyed
    assert [step for step, _ in graph.notes] == [Step.BEGIN]


def test_no_message_is_sent_on_a_publisher_that_is_dead():
    graph = Graph(
        fault('dead', 'cameras', 1.0, 2.0),
        fault('delayed', LIDAR, 0.5, 1.0, seconds=0.2),
        fault('dead', LIDAR, 1.5, 2.2),
    )
    heard = []
    for message in stream(3.0, pace=SIMULTANEOUS):
        for sent in graph.faults.feed(message):
            assert f'/{sent.topic}' in graph.publishers, sent.topic
            heard.append(sent.topic)
    assert heard.count(TOPICS[LIDAR]) == 30 - 7
    assert all(heard.count(TOPICS[name]) == 20 for name in CAMERAS)
    assert sum(truth.out_crc is not None for truth in graph.truths) == len(heard)


def test_a_publisher_that_dies_while_it_owes_delayed_messages_is_refused():
    late = fault('delayed', 'cam1', 0.5, 1.0, seconds=0.3, name='late')
    with pytest.raises(ConfigError, match='late'):
        Graph(late, fault('dead', 'cam1', 1.2, 2.0))
    Graph(late, fault('dead', 'cam1', 1.3 + 1e-3, 2.0))


def test_delayed_messages_go_out_when_time_passes_without_a_message():
    graph = Graph(fault('delayed', 'cam1', -LEAD, 2.0, seconds=0.25))
    message = next(m for m in stream(3.0, pace=SIMULTANEOUS) if m.topic == TOPICS['cam1'])
    assert graph.faults.feed(message) == []
    assert graph.faults.advance(message.log_time_ns + 249 * MS) == []
    (sent,) = graph.faults.advance(message.log_time_ns + 250 * MS)
    assert sent.cdr == message.cdr


def test_an_action_is_read_as_it_was_noted():
    for action in (Action('start', '', 5, 7), Action('begin', 'x')):
        assert decode_action(encode_action(action)) == action
