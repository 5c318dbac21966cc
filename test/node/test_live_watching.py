"""The live page's ears over Fast DDS: bytes unchanged, and nothing said."""

from __future__ import annotations

import time

import pytest
from support.made_model import MODEL
from support.made_samples import wait_for
from test_wire import make_result

from metabev_ros import wire
from metabev_ros.errors import ConfigError
from metabev_ros.pages.live import WATCHED, LiveState

pytestmark = pytest.mark.ros
NODE = '/car/perception'


@pytest.fixture
def listener(graph):
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

    node = Node('listener', context=graph.context, start_parameter_services=False)
    executor = SingleThreadedExecutor(context=graph.context)
    executor.add_node(node)
    yield node, executor
    executor.shutdown()
    node.destroy_node()


def test_what_the_node_publishes_comes_to_the_page_and_nothing_goes_back(graph, listener):
    from metabev_ros.node import ros_support
    from metabev_ros.node.watching import subscribe

    node, executor = listener
    state, heard = LiveState(NODE), []

    def take(topic, cdr):
        heard.append((topic, cdr))
        state.take(topic, cdr)

    before = sorted(node.get_publisher_names_and_types_by_node('listener', '/'))
    subscribe(node, NODE, WATCHED, take)
    outputs = {m.topic: m.cdr for m in wire.encode_result(make_result(), MODEL, 'base_link')}
    sent = {topic: outputs[topic] for topic in (wire.DETECTIONS, wire.BEV_MAP)}
    publishers = {
        topic: graph.node.create_publisher(
            ros_support.message_type(WATCHED[topic]), f'{NODE}/{topic}', ros_support.sensor_qos(5)
        )
        for topic in sent
    }
    wait_for(lambda: all(p.get_subscription_count() for p in publishers.values()))
    end = time.monotonic() + 30
    while {topic for topic, _ in heard} != set(sent):  # best effort: send until it has come
        assert time.monotonic() < end
        for topic, cdr in sent.items():
            publishers[topic].publish(cdr)
        executor.spin_once(timeout_sec=0.2)
    assert all(cdr == sent[topic] for topic, cdr in heard)
    assert state.ground()[:2] == b'\xff\xd8'
    assert sorted(node.get_publisher_names_and_types_by_node('listener', '/')) == before
    for publisher in publishers.values():
        graph.node.destroy_publisher(publisher)


def test_a_name_that_no_node_can_have_is_refused(listener):
    from metabev_ros.node.watching import subscribe

    with pytest.raises(ConfigError, match='--node'):
        subscribe(listener[0], '/not a name', WATCHED, lambda topic, cdr: None)
