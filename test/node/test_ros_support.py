"""What differs between ROS distributions, on the one that is here."""
from __future__ import annotations

import inspect
import time

import pytest

from metabev_ros import wire

pytestmark = pytest.mark.ros
TYPE = 'std_msgs/msg/String'


@pytest.mark.parametrize('gives_info', [False, True], ids=['as in Humble', 'since Iron'])
def test_messages_arrive_whether_rclpy_gives_an_info_or_not(graph, gives_info):
    from metabev_ros.node import ros_support
    taken = []
    callback = ros_support.raw_callback(lambda cdr, info: taken.append((bytes(cdr), info)),
                                        gives_info)
    assert len(inspect.signature(callback).parameters) == 1 + gives_info
    topic = f'ros_support_{gives_info}'
    subscription = graph.node.create_subscription(
        ros_support.message_type(TYPE), topic, callback, ros_support.reliable_qos(1), raw=True)
    publisher = graph.publisher(topic, TYPE)
    graph.wait_until_heard([topic])
    cdr = wire.serialize(wire.message_class(TYPE)(data='here'), TYPE)
    publisher.publish(cdr)
    end = time.monotonic() + 20
    while not taken and time.monotonic() < end:
        time.sleep(0.02)
    graph.node.destroy_subscription(subscription)
    assert wire.deserialize(taken[0][0], TYPE).data == 'here'
    assert taken[0][1].get('publication_sequence_number') == (1 if gives_info else None)
