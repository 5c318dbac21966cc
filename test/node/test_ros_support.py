"""What differs between ROS distributions, on the one that is here."""

from __future__ import annotations

import inspect
import sys
from types import SimpleNamespace

import pytest

from metabev_ros.node.queues import TopicQueue

pytestmark = pytest.mark.ros
# Humble's rclpy calls whatever callback it was given with the message alone.
AS_IN_HUMBLE = (
    sys.executable,
    '-c',
    """
from rclpy.subscription import Subscription
alone = Subscription.CallbackType.MessageOnly
Subscription._callback_type = property(lambda self: alone, lambda self, kind: None)
from metabev_ros.node import process, ros_support
ros_support.GIVES_MESSAGE_INFO = False
raise SystemExit(process.main())
""",
)


@pytest.mark.parametrize('gives_info', [False, True], ids=['as in Humble', 'since Iron'])
def test_a_callback_takes_what_rclpy_gives(monkeypatch, gives_info):
    from rclpy.clock import Clock

    from metabev_ros.node import ros_support
    from metabev_ros.node.inputs import TopicInput

    monkeypatch.setattr(ros_support, 'GIVES_MESSAGE_INFO', gives_info)
    queue, heard = TopicQueue({'image': 1}), []
    watch = SimpleNamespace(heard=lambda *message: heard.append(message) or True, conflicts={})
    callback = TopicInput('image', 'sensor_msgs/msg/Image', queue, watch, Clock()).callback
    assert len(inspect.signature(callback).parameters) == 1 + gives_info
    given = (b'here', {'publication_sequence_number': 1})[: 1 + gives_info]
    callback(*given)
    assert heard == [('image', 1 if gives_info else None, b'')]
    message = queue.get(0)
    assert (message.topic, message.cdr) == ('image', b'here') and message.arrival_ns > 0


def test_the_node_perceives_where_rclpy_gives_callbacks_the_message_alone(tmp_path, graph, model):
    from support.live_graph import NodeProcess, RigPublisher

    node = NodeProcess(tmp_path, AS_IN_HUMBLE, model=model)
    try:
        node.wait_for_log('active:')
        rig = RigPublisher(graph)
        graph.wait_until_heard(rig.topics)
        rig.tick_until_fused(graph)
    finally:
        node.stop()
    assert 'Traceback' not in node.log
