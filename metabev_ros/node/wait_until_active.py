"""Waits until a lifecycle node is active: what launch files and scripts do before they send data.

    ros2 run metabev_ros wait_until_active perception --timeout 60

Exit codes: 0 it is active; 1 it was not within the time, or the wait was ended by a signal.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any, cast

import rclpy
import rclpy.utilities
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

ASK_AGAIN = 0.5  # seconds; an answer of a node that was just killed never comes
ACTIVE, NOT_ACTIVE = 0, 1  # exit codes


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='wait_until_active', description=__doc__)
    parser.add_argument('node', help='name of the lifecycle node, in the namespace of this one')
    parser.add_argument('--timeout', type=float, default=math.inf, help='seconds; default: none')
    return parser.parse_args(arguments)


def wait(node: Node, name: str, timeout: float) -> bool:
    """Ask a lifecycle node for its state until it is active.

    Args:
        node: that asks; it must not be in an executor.
        name: of the lifecycle node.
        timeout: seconds.

    Raises:
        ExternalShutdownException: ROS was shut down meanwhile.
    """
    client = node.create_client(GetState, f'{name}/get_state')
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    end, asked, future = time.monotonic() + timeout, -math.inf, None
    try:
        while time.monotonic() < end:
            if time.monotonic() - asked > ASK_AGAIN and client.service_is_ready():
                asked, future = time.monotonic(), client.call_async(GetState.Request())
            executor.spin_once(timeout_sec=0.1)
            if future is not None and future.done():
                answer = cast(Any, future.result())
                if answer.current_state.id == State.PRIMARY_STATE_ACTIVE:
                    return True
                future = None
        return False
    finally:
        executor.shutdown()


def main(arguments: list[str] | None = None) -> int:
    """Wait; returns the exit code."""
    try:
        rclpy.init(args=arguments)
        words = rclpy.utilities.remove_ros_args(arguments)
        options = _parse(words[1:] if arguments is None else words)
        node = Node('wait_until_active')
        if wait(node, options.node, options.timeout):
            return ACTIVE
        node.get_logger().error(f'{options.node} was not active within {options.timeout:g} s')
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.utilities.try_shutdown()
    return NOT_ACTIVE


if __name__ == '__main__':
    raise SystemExit(main())
