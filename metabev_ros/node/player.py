"""Plays a bag through rclpy at its recorded pace: for machines without `ros2 bag play`.

Serialized bytes are published as they are. What changes messages while they are played, a plan of
faults for one, is called with each of them and says what goes out instead.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import rclpy
import rclpy.utilities
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher

from metabev_ros import wire
from metabev_ros.bags import BagMessage, BagReader
from metabev_ros.errors import ConfigError
from metabev_ros.node import ros_support

CLOCK_TOPIC, CLOCK_TYPE = '/clock', 'rosgraph_msgs/msg/Clock'
TF_TYPE = 'tf2_msgs/msg/TFMessage'
SLICE = 0.01  # seconds between two looks at the stop event, and between two /clock messages
STATIC_DEPTH, DEPTH = 100, 10

# A message that is due -> the messages to publish now; `log_time_ns` is the time of the bag.
Change = Callable[[BagMessage], Sequence[BagMessage]]


@dataclass(frozen=True)
class PlayerOptions:
    """Options of a player.

    Attributes:
        rate: 2.0 plays twice as fast.
        loop: start again at the end; with `clock` time then jumps back, as `ros2 bag play` does.
        clock: publish the recorded time on /clock (for nodes with use_sim_time).
        restamp: move header stamps to now, for nodes on the system clock.
        topics: play only these; None plays everything of a known type.
    """

    rate: float = 1.0
    loop: bool = False
    clock: bool = False
    restamp: bool = False
    topics: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0.01 <= self.rate <= 100:
            raise ConfigError('player rate', '0.01..100', str(self.rate))
        if self.clock and self.restamp:
            raise ConfigError(
                'player',
                'either clock or restamp',
                'both',
                'stamps of now do not fit a recorded clock',
            )


class BagPlayer:
    """Publishes a bag's messages.

    Args:
        node: publishes them; it need not be spun.
        change: see `Change`; called with the bytes that would be published.

    Attributes:
        topics: what is played.
        skipped: topic -> why it is not played.
        published: topic -> messages sent.
    """

    def __init__(
        self, node: Node, path: Path | str, options: PlayerOptions, change: Change | None = None
    ) -> None:
        self._node, self._options, self._change = node, options, change
        self._reader = BagReader(path)
        self.skipped = dict(self._reader.integrity.skipped_topics)
        self.published: Counter[str] = Counter()
        self._publishers = {
            topic: self._advertise(topic, msgtype)
            for topic, msgtype in self._reader.topics.items()
            if self._is_wanted(topic, msgtype)
        }
        self.topics = tuple(self._publishers)
        self._clock = self._advertise(CLOCK_TOPIC, CLOCK_TYPE) if options.clock else None
        self._first_ns = self._start_ns = 0
        self._started = 0.0

    def _is_wanted(self, topic: str, msgtype: str) -> bool:
        if topic in self.skipped or topic == CLOCK_TOPIC:
            return False
        if self._options.topics is not None and topic not in self._options.topics:
            return False
        if not ros_support.has_message_type(msgtype):
            self.skipped[topic] = f'{wire.clean_text(msgtype)} is not installed'
            return False
        return True

    def _advertise(self, topic: str, msgtype: str) -> Publisher:
        static = wire.is_latched(topic)
        qos = ros_support.latched_qos(STATIC_DEPTH) if static else ros_support.reliable_qos(DEPTH)
        return self._node.create_publisher(ros_support.message_type(msgtype), topic, qos)

    def wait_for_subscribers(self, topics: Iterable[str], timeout: float) -> bool:
        """Wait until each of `topics` (and /clock) has one; False after `timeout` seconds."""
        waiting = [self._publishers[topic] for topic in topics]
        waiting += [self._clock] if self._clock is not None else []
        end = time.monotonic() + timeout
        while not all(publisher.get_subscription_count() for publisher in waiting):
            if time.monotonic() > end:
                return False
            time.sleep(SLICE)
        return True

    def play(self, stop: threading.Event | None = None) -> None:
        """Play to the end (for ever with `loop`), or until `stop` is set or ROS shuts down."""
        stop = stop or threading.Event()
        while self._play_once(stop) and self._options.loop:
            pass

    def close(self) -> None:
        """Take the publishers off the graph, latched messages included."""
        for publisher in (*self._publishers.values(), self._clock):
            if publisher is not None:
                self._node.destroy_publisher(publisher)
        self._publishers, self._clock = {}, None

    def _play_once(self, stop: threading.Event) -> bool:
        self._started = time.monotonic()
        self._start_ns = time.time_ns()
        first = True
        for message in self._reader:
            if first:
                self._first_ns, first = message.log_time_ns, False
            if message.topic not in self.topics:
                continue
            if not self._wait_until(message.log_time_ns, stop):
                return False
            self._send(message)
        return not first

    def _wait_until(self, log_time_ns: int, stop: threading.Event) -> bool:
        """Sleep until the message is due; /clock goes on meanwhile. False: stop playing."""
        due = self._started + (log_time_ns - self._first_ns) * 1e-9 / self._options.rate
        while not stop.is_set() and self._node.context.ok():
            left = due - time.monotonic()
            passed = max(left, 0.0) * self._options.rate
            self._tick(log_time_ns - int(passed * 1e9))
            if left <= 0:
                return True
            time.sleep(min(left, SLICE))
        return False

    def _tick(self, now_ns: int) -> None:
        """Do what is due at a time of the bag; called at least every `SLICE` while playing."""
        if self._clock is not None:
            seconds, nanoseconds = divmod(now_ns, 1_000_000_000)
            self._clock.publish(
                wire.serialize(
                    wire.message_class(CLOCK_TYPE)(
                        clock=wire.message_class('builtin_interfaces/msg/Time')(
                            sec=seconds, nanosec=nanoseconds
                        )
                    ),
                    CLOCK_TYPE,
                )
            )

    def _send(self, message: BagMessage) -> None:
        if self._options.restamp:
            message = replace(message, cdr=self._restamp(message))
        for sent in (message,) if self._change is None else self._change(message):
            self._publish(sent)

    def _publish(self, message: BagMessage) -> None:
        self._publishers[message.topic].publish(message.cdr)
        self.published[message.topic] += 1

    def _restamp(self, message: BagMessage) -> bytes:
        if len(message.cdr) < 12:
            return message.cdr
        if wire.has_header_first(message.msgtype):
            return wire.with_stamp(message.cdr, self._to_now(wire.read_stamp(message.cdr)))
        if message.msgtype == TF_TYPE and not message.topic.endswith('tf_static'):
            transforms = wire.deserialize(message.cdr, TF_TYPE)
            for transform in transforms.transforms:
                head = transform.header
                head.stamp = wire.header(self._to_now(wire.stamp_to_ns(head.stamp)), '').stamp
            return wire.serialize(transforms, TF_TYPE)
        return message.cdr

    def _to_now(self, stamp_ns: int) -> int:
        return self._start_ns + int((stamp_ns - self._first_ns) / self._options.rate)


def play_bag(
    path: Path | str, options: PlayerOptions, tell: Callable[[str], None]
) -> dict[str, int]:
    """Play a bag from a process of its own, until its end or a signal.

    Args:
        tell: called with a line when it begins.

    Returns:
        Topic -> messages that were published.
    """
    rclpy.init()
    node = Node('bag_player', start_parameter_services=False, enable_rosout=False)
    player = BagPlayer(node, path, options)
    for topic, reason in player.skipped.items():
        node.get_logger().warning(f'{wire.clean_text(topic)}: not played, {reason}')
    tell(f'playing {len(player.topics)} topics: {", ".join(map(wire.clean_text, player.topics))}')
    try:
        player.play()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.utilities.try_shutdown()
    return dict(player.published)
