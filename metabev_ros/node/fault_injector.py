"""Republishes the sensors of a rig with the faults of a plan; refused unless enabled.

    python -m metabev_ros.node.fault_injector --ros-args -p enable_fault_injection:=true \
        -p plan:=bad_day -p truth:=truth.jsonl

It hears the topics of the rig and publishes them again below `prefix` (`injected/CAM_FRONT/...`):
the perception under test runs in that namespace, and its outputs are below it too, where no
planner listens. The mark `<prefix>/fault_injection` is latched. Nothing is published before
somebody has heard the mark for `MARK_LEAD` seconds: whoever gets injected data knows it.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any, cast

import rclpy
import rclpy.utilities
from rclpy.executors import ExternalShutdownException
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.publisher import Publisher

from metabev_ros.bags import BagMessage
from metabev_ros.errors import MetaBevError
from metabev_ros.faults.inject import mark, require_enabled
from metabev_ros.faults.live import LiveFaults
from metabev_ros.faults.pipe import FaultPipe, TruthFile
from metabev_ros.faults.plan import find_plan
from metabev_ros.node import ros_support
from metabev_ros.node.parameters import load_rig
from metabev_ros.sensing.topics import INJECTION_TOPIC, INJECTION_TYPE, rig_topics

MARK_LEAD = 1.0
RELEASE_PERIOD = 0.005  # seconds between two looks for delayed messages that are due
DEPTH = 10
DEFAULTS = {
    'enable_fault_injection': False,
    'plan': 'sensor_loss',
    'rig': '',
    'seed': 0,
    'prefix': 'injected',
    'truth': 'fault_truth.jsonl',
}


class FaultInjector(Node):
    """See the module text; times of the plan count from the first message that is passed on.

    Raises:
        ConfigError: from the constructor, if it is not enabled, or the plan does not fit.
    """

    def __init__(self) -> None:
        super().__init__('fault_injector')
        values: dict[str, Any] = {}
        for name, default in DEFAULTS.items():
            values[name] = cast(Any, self.declare_parameter(name, default).value)
        require_enabled(values['enable_fault_injection'] is True)
        plan, rig = find_plan(values['plan']), load_rig(values['rig'])
        self._types = {
            name: topic.msgtype
            for name, topic in rig_topics(rig).items()
            if not name.startswith('/tf') and name != INJECTION_TOPIC
        }
        self._truth = TruthFile(Path(values['truth']), plan, values['seed'])
        pipe = FaultPipe(plan, rig, self._types, values['seed'], self._truth)
        self._heard_since: float | None = None
        self._now_ns = 0
        self.touched = pipe.touched
        advertise = functools.partial(self._advertise, values['prefix'])
        self._mark = self._mark_below(values['prefix'])
        self._outputs = {topic: advertise(topic) for topic in self._types}
        self._faults = LiveFaults(pipe, rig, self._outputs, advertise, self.destroy_publisher)
        self._mark.publish(mark(plan, values['seed']))
        for topic, msgtype in self._types.items():
            self.create_subscription(
                ros_support.message_type(msgtype),
                topic,
                functools.partial(self._receive, topic),
                ros_support.sensor_qos(DEPTH),
                raw=True,
            )
        self.create_timer(RELEASE_PERIOD, self._release)
        self.get_logger().warning(
            f'FAULT INJECTION of {plan.name} below {values["prefix"]}/, waiting for a perception '
            f'that hears {self._mark.topic_name}'
        )

    def _mark_below(self, prefix: str) -> Publisher:
        return self.create_publisher(
            ros_support.message_type(INJECTION_TYPE),
            f'{prefix}/{INJECTION_TOPIC}',
            ros_support.latched_qos(1),
        )

    def _advertise(self, prefix: str, topic: str) -> Publisher:
        return self.create_publisher(
            ros_support.message_type(self._types[topic]),
            f'{prefix}/{topic}',
            ros_support.reliable_qos(DEPTH),
        )

    def _is_mark_heard(self) -> bool:
        if not self._mark.get_subscription_count():
            self._heard_since = None
            return False
        if self._heard_since is None:
            self._heard_since = time.monotonic()
        return time.monotonic() - self._heard_since >= MARK_LEAD

    def _time(self) -> int:
        """The node's clock, never back: the pipe wants arrivals in order."""
        self._now_ns = max(self._now_ns, self.get_clock().now().nanoseconds)
        return self._now_ns

    def _receive(self, topic: str, cdr: bytes) -> None:
        if self._is_mark_heard():
            message = BagMessage(topic, self._types[topic], self._time(), bytes(cdr))
            self._send(self._faults.feed(message))

    def _release(self) -> None:
        if self._is_mark_heard():
            self._send(self._faults.advance(self._time()))

    def _send(self, messages: list[BagMessage]) -> None:
        for message in messages:
            self._outputs[message.topic].publish(message.cdr)

    def close(self) -> None:
        """Finish the truth file and leave the graph."""
        self._truth.close()
        self.destroy_node()


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal; 2 if it was refused or a message could not be damaged as planned."""
    rclpy.init(args=arguments)
    injector = None
    try:
        injector = FaultInjector()
        rclpy.spin(injector)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except MetaBevError as error:
        get_logger('fault_injector').fatal(f'{type(error).__name__}: {error}')
        return 2
    finally:
        if injector is not None:
            injector.get_logger().info(f'messages dropped or changed: {dict(injector.touched)}')
            injector.close()
        rclpy.utilities.try_shutdown()
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
