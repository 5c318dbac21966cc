"""A bond with a lifecycle manager, which so learns within seconds that this node is gone.

The protocol is that of bond_core: both sides publish `bond/msg/Status` on one topic, tell each
other's messages by `instance_id`, and say `active: false` once when they let go. nav2's manager
gives up a node with which it has no bond after the activation. As nav2's own nodes, this side
goes on while the manager is silent: bondpy ends there, and cannot be told not to.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from rclpy.lifecycle import LifecycleNode

from metabev_ros.node import ros_support
from metabev_ros.node.heartbeat import Heartbeat
from metabev_ros.node.workers import ThrottledLog

TOPIC, STATUS_TYPE = 'bond', 'bond/msg/Status'
PERIOD, TIMEOUT = 0.1, 4.0  # seconds; those of nav2's own nodes


def can_bond() -> bool:
    """Tell whether the message type is installed; without it there is no bond."""
    return ros_support.has_message_type(STATUS_TYPE)


class Bond:
    """This node's side of a bond whose id is the node's name.

    Raises:
        MissingDependencyError: if `bond` is not installed.
    """

    def __init__(self, node: LifecycleNode, log: ThrottledLog) -> None:
        self._node, self._id, self._instance = node, node.get_name(), str(uuid.uuid4())
        self._kind: Any = ros_support.message_type(STATUS_TYPE)
        self._is_broken = False
        self._publisher = node.create_publisher(self._kind, TOPIC, ros_support.reliable_qos(5))
        self._subscription = node.create_subscription(
            self._kind, TOPIC, self._hear, ros_support.reliable_qos(100)
        )
        self._heartbeat = Heartbeat(self._beat, 1 / PERIOD, log)
        self._heartbeat.start()

    def _beat(self) -> None:
        # This node's own subscription counts: the other one is the manager's.
        if not self._is_broken and self._publisher.get_subscription_count() > 1:
            self._say(is_active=True)

    def _hear(self, message: Any) -> None:
        """Answer a manager that lets go; that it is alive changes nothing here."""
        is_ours = message.id == self._id and message.instance_id != self._instance
        if is_ours and not message.active and not self._is_broken:
            self._break()

    def _break(self) -> None:
        self._is_broken = True
        self._say(is_active=False)

    def _say(self, is_active: bool) -> None:
        if not self._node.context.ok():
            return
        now_ns = time.monotonic_ns()  # steady, as bondcpp's
        message = self._kind(id=self._id, instance_id=self._instance, active=is_active)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 10**9)
        message.heartbeat_timeout, message.heartbeat_period = TIMEOUT, PERIOD
        self._publisher.publish(message)

    def close(self) -> None:
        """Let go and say so."""
        self._heartbeat.stop()
        self._heartbeat.join(PERIOD)
        if not self._is_broken:
            self._break()
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._publisher)
