"""A ROS graph for live tests: the node as a process, publishers and recorders in this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from metabev_ros import wire
from metabev_ros.config import save_config
from metabev_ros.node import ros_support
from support import rig_messages

START_TIMEOUT = 90.0  # a loaded machine imports and loads slowly
NAMESPACE = '/perception'


@dataclass(frozen=True)
class Received:
    """One output as it came: bytes, when, and when the node sent it."""

    topic: str
    cdr: bytes
    received: float  # monotonic seconds
    sent_ns: int

    @property
    def message(self):
        return wire.deserialize(self.cdr, wire.OUTPUT_TYPES[self.topic])

    @property
    def stamp_ns(self) -> int:
        return wire.read_stamp(self.cdr)


class Graph:
    """A node of this process; records outputs of the perception node, all unless told which."""

    def __init__(self, outputs: Iterable[str] = tuple(wire.OUTPUT_TYPES)) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = Node('live_test', context=self.context)
        self.records: list[Received] = []
        self._publishers = {}
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        for topic in outputs:
            self.record(topic, wire.OUTPUT_TYPES[topic])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def record(self, topic: str, msgtype: str) -> None:
        """Record this output of the perception node too."""

        def receive(cdr, info) -> None:
            self.records.append(
                Received(topic, bytes(cdr), time.monotonic(), info['source_timestamp'])
            )

        name = topic if topic.startswith('/') else f'{NAMESPACE}/{topic}'
        self.node.create_subscription(
            ros_support.message_type(msgtype),
            name,
            receive,
            ros_support.reliable_qos(100),
            raw=True,
        )

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def publisher(self, topic: str, msgtype: str, latched: bool = False):
        """The one publisher of this topic."""
        if topic not in self._publishers:
            qos = ros_support.latched_qos(10) if latched else ros_support.reliable_qos(10)
            self._publishers[topic] = self.node.create_publisher(
                ros_support.message_type(msgtype), topic, qos
            )
        return self._publishers[topic]

    def wait_until_heard(self, topics: Iterable[str], timeout: float = START_TIMEOUT) -> None:
        """Wait until each of these topics has a subscriber."""
        end = time.monotonic() + timeout
        for topic in topics:
            while not self._publishers[topic].get_subscription_count():
                assert time.monotonic() < end, f'nobody subscribes to {topic}'
                time.sleep(0.02)

    def of(self, topic: str, since: float = 0.0, until: float = float('inf')) -> list[Received]:
        """Records of one topic, received in a span of monotonic time."""
        return [r for r in list(self.records) if r.topic == topic and since <= r.received < until]

    def wait_for(self, topic: str, wanted, timeout: float, since: float = 0.0):
        """The first record of `topic` whose message fulfils `wanted`."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for record in self.of(topic, since):
                if wanted(record.message):
                    return record
            time.sleep(0.05)
        raise AssertionError(f'nothing wanted on {topic} within {timeout} s')

    def rest(self) -> None:
        """Spin no more; what others made on the node can then be destroyed."""
        self._stop.set()
        self._thread.join()

    def close(self) -> None:
        self.rest()
        self._executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


class RigPublisher:
    """Publishes the test rig's messages tick by tick and remembers what was sent: the oracle."""

    def __init__(self, graph: Graph) -> None:
        self._graph, self._tick = graph, 0
        self.sent: dict[int, frozenset[str]] = {}  # stamp -> sensors that sent a frame
        self.sent_until: dict[int, int] = {}  # stamp -> when its last message was out
        graph.publisher('/tf_static', rig_messages.TF_TYPE, latched=True).publish(
            rig_messages.static_transforms(1)
        )
        for sensor in rig_messages.SENSORS:
            graph.publisher(rig_messages.topic_of(sensor), rig_messages.type_of(sensor))
        for camera in rig_messages.CAMERAS:
            graph.publisher(f'/{camera}/camera_info', rig_messages.INFO_TYPE)
        self._last: dict[str, bytes] = {}
        self.due = 0.0  # when the newest tick was due, monotonic seconds

    @property
    def topics(self) -> list[str]:
        return [
            '/tf_static',
            *(f'/{name}/camera_info' for name in rig_messages.CAMERAS),
            *(rig_messages.topic_of(sensor) for sensor in rig_messages.SENSORS),
        ]

    def tick(self, off: frozenset[str] = frozenset(), frozen: frozenset[str] = frozenset()) -> int:
        """Wait for the next tick, publish, and return its stamp."""
        now = time.monotonic()
        self.due = max(self.due + rig_messages.PERIOD_NS * 1e-9, now)
        time.sleep(self.due - now)
        stamp = time.time_ns()
        self._tick += 1
        for sensor in rig_messages.SENSORS:
            if sensor in off:
                continue
            if sensor in frozen:
                cdr = wire.with_stamp(self._last[sensor], stamp)
            else:
                cdr = rig_messages.frame(sensor, self._tick, stamp)
            self._last[sensor] = cdr
            if sensor != rig_messages.LIDAR:
                self._graph.publisher(f'/{sensor}/camera_info', rig_messages.INFO_TYPE).publish(
                    rig_messages.camera_info(sensor, stamp)
                )
            self._graph.publisher(
                rig_messages.topic_of(sensor), rig_messages.type_of(sensor)
            ).publish(cdr)
        self.sent[stamp] = frozenset(rig_messages.SENSORS) - off
        self.sent_until[stamp] = time.time_ns()
        return stamp

    def tick_until_fused(self, graph: Graph, timeout: float = 30.0) -> None:
        """Publish everything until an output was made from everything."""
        since = time.monotonic()
        while time.monotonic() < since + timeout:
            self.tick()
            for record in graph.of(wire.DETECTIONS, since):
                if set(record.message.sensors) == set(rig_messages.SENSORS):
                    return
        raise AssertionError(f'no FUSED output of all sensors within {timeout} s')


class NodeProcess:
    """The perception node as its users start it.

    Args:
        program: command that runs the node; the parameters are added.
    """

    def __init__(
        self,
        folder: Path,
        program: tuple[str, ...] = (sys.executable, '-m', 'metabev_ros.node.process'),
        **parameters,
    ) -> None:
        save_config(rig_messages.rig(), folder / 'rig.yaml')
        values = {
            'rig': folder / 'rig.yaml',
            'sensing.deadline': 0.1,
            'inference.time_limit': 5.0,
            **parameters,
        }  # a loaded machine is slow
        if os.environ.get('METABEV_TEST_MODEL'):
            values.setdefault('model', os.environ['METABEV_TEST_MODEL'])
        command = [*program, '--ros-args']
        for name, value in values.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ['-p', f'{name}:={text}']
        self._log = folder / 'node.log'
        with self._log.open('wb') as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    @property
    def log(self) -> str:
        return self._log.read_text(errors='replace')

    def wait_for_log(self, text: str, timeout: float = START_TIMEOUT) -> None:
        end = time.monotonic() + timeout
        while text not in self.log:
            assert self.process.poll() is None, f'the node ended:\n{self.log}'
            assert time.monotonic() < end, f'no {text!r} in:\n{self.log}'
            time.sleep(0.05)

    def wait(self, timeout: float = START_TIMEOUT) -> int:
        return self.process.wait(timeout)

    def stop(self, number: int = signal.SIGINT, timeout: float = 20.0) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f'signal {number} did not end the node:\n{self.log}') from None
