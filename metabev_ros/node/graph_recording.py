"""Records the sensors of the running graph into a bag, heard as the perception node hears them.

That is best effort and volatile, but for /tf_static. The bag holds the QoS that the publishers
offer, and the names of all other topics: what judges a bag judges the running graph with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import rclpy
import rclpy.utilities
import yaml
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.topic_endpoint_info import TopicEndpointInfo

from metabev_ros import wire
from metabev_ros.bags import BagWriter
from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.node import ros_support
from metabev_ros.node.raw_take import MessageInfo, input_executor
from metabev_ros.sensing.topics import TF_TYPE

FRAMES = (
    'sensor_msgs/msg/Image',
    'sensor_msgs/msg/CompressedImage',
    'sensor_msgs/msg/PointCloud2',
)
HEARD = (*FRAMES, 'sensor_msgs/msg/CameraInfo', 'nav_msgs/msg/Odometry', TF_TYPE)
# Heard before the recording begins too: they may come once only.
KEPT = ('sensor_msgs/msg/CameraInfo', TF_TYPE)
SETTLE = 2.0  # seconds without a new topic, after which all are known
DISCOVERY = 6.0  # seconds at least, that a busy machine gets to find the first sensor
LOOK_PERIOD = 0.25  # seconds between two looks at the graph
SLICE = 0.1  # seconds that the executor waits for a message
FRAME_DEPTH, DEPTH = 10, 100  # messages that may wait
BYTE_LIMIT = 2 * 2**30
REMEDY = 'start the drivers; ROS_DOMAIN_ID and RMW_IMPLEMENTATION must be theirs'

Tell = Callable[[float, float], None]  # seconds recorded, seconds in all


@dataclass(frozen=True)
class RecordingOptions:
    """Choice of what is recorded, and for how long.

    Attributes:
        seconds: from the first picture or cloud on, which is waited for as long.
        topics: of sensors and odometry, with or without the first slash; empty for all. Where
            some are named it is no error that none of them says anything.
        byte_limit: of all messages; a recording that reaches it ends.
    """

    seconds: float = 10.0
    topics: tuple[str, ...] = ()
    byte_limit: int = BYTE_LIMIT

    def __post_init__(self) -> None:
        if not 0.1 <= self.seconds <= 600:
            raise ConfigError('seconds to listen', '0.1..600', str(self.seconds))
        if self.byte_limit <= 0:
            raise ConfigError('bytes to record', 'more than 0', str(self.byte_limit))


class _Ear:
    """The callback of one subscription.

    Attributes:
        byte_limit: a larger message is recorded as an empty one, which nobody can read either.
    """

    def __init__(self, topic: str, msgtype: str, take: Callable[[str, str, bytes], None]) -> None:
        self._topic, self._msgtype, self._take = topic, msgtype, take
        self.byte_limit = wire.MAX_BYTES[msgtype]

    def take(self, cdr: bytes | memoryview, info: MessageInfo) -> None:
        """Hand a message on; called by `InputExecutor`."""
        self._take(self._topic, self._msgtype, bytes(cdr))

    def take_from_rclpy(self, cdr: bytes) -> None:
        """As `take`, where rclpy itself takes the messages."""
        self._take(self._topic, self._msgtype, bytes(cdr) if len(cdr) <= self.byte_limit else b'')


class GraphRecorder:
    """Subscribes to what is on the graph, and writes what comes.

    Args:
        node: that hears; somebody spins it.
        writer: of the bag; it stays open.

    Attributes:
        frames: pictures and clouds that were recorded.
        is_full: the limit of bytes is reached.
    """

    def __init__(self, node: Node, writer: BagWriter, options: RecordingOptions) -> None:
        self._node, self._writer = node, writer
        self._wanted = {topic.lstrip('/') for topic in options.topics}
        self._bytes_left = options.byte_limit
        self._topics: dict[str, tuple[str, str]] = {}  # topic -> its type, profiles
        self._heard: set[tuple[str, bool]] = set()  # topic, whether as a latched one
        self._held: list[tuple[str, str, int, bytes]] | None = []  # None once it has begun
        self.frames = 0

    @property
    def is_full(self) -> bool:
        """Tell whether the limit of bytes is reached."""
        return self._bytes_left <= 0

    @property
    def sensors(self) -> list[str]:
        """Topics of pictures and points on the graph, also those that are not wanted."""
        return sorted(topic for topic, (kind, _) in self._topics.items() if kind in FRAMES)

    def look(self) -> bool:
        """Look at the graph, hear what is new; tell whether there was anything to be heard."""
        before = len(self._heard)
        for topic, types in self._node.get_topic_names_and_types():
            publishers = self._node.get_publishers_info_by_topic(topic)
            if not publishers:
                continue
            msgtype = next((one for one in HEARD if one in types), sorted(types)[0])
            if topic not in self._topics:
                self._note(topic, msgtype, publishers)
            is_wanted = msgtype == TF_TYPE or not self._wanted or topic.lstrip('/') in self._wanted
            if msgtype in HEARD and is_wanted:
                self._hear(topic, msgtype, publishers)
        return len(self._heard) > before

    def begin(self) -> None:
        """Write from now on; what came once before comes along."""
        held, self._held = self._held or [], None
        for topic, (msgtype, profiles) in self._topics.items():
            self._writer.declare(topic, msgtype, profiles)
        for message in held:
            self._writer.write(*message)

    def _note(self, topic: str, msgtype: str, publishers: Sequence[TopicEndpointInfo]) -> None:
        self._topics[topic] = msgtype, offered_profiles(publishers)
        if self._held is None:
            self._writer.declare(topic, *self._topics[topic])

    def _hear(self, topic: str, msgtype: str, publishers: Iterable[TopicEndpointInfo]) -> None:
        """Subscribe, to a latched topic in each way that a publisher of it matches."""
        is_latched = wire.is_latched(topic)
        for way in {is_latched and _is_latched(publisher) for publisher in publishers}:
            if (topic, way) in self._heard:
                continue
            ear = _Ear(topic, msgtype, self._take)
            depth = FRAME_DEPTH if msgtype in FRAMES else DEPTH
            qos = ros_support.latched_qos(depth) if way else ros_support.sensor_qos(depth)
            callback = ear.take_from_rclpy
            kind = ros_support.message_type(msgtype)
            self._node.create_subscription(kind, topic, callback, qos, raw=True)
            self._heard.add((topic, way))

    def _take(self, topic: str, msgtype: str, cdr: bytes) -> None:
        message = topic, msgtype, time.time_ns(), cdr
        if self.is_full or (self._held is not None and msgtype not in KEPT):
            return
        self._bytes_left -= len(cdr)
        self.frames += msgtype in FRAMES
        if self._held is None:
            self._writer.write(*message)
        else:
            self._held.append(message)


def offered_profiles(publishers: Iterable[TopicEndpointInfo]) -> str:
    """Profiles of publishers as rosbag2 writes them (YAML): the policies that matter here."""
    profiles = [
        {
            policy: getattr(publisher.qos_profile, policy).name.lower()
            for policy in ('reliability', 'durability')
        }
        for publisher in publishers
    ]
    return yaml.safe_dump(profiles)


def _is_latched(publisher: TopicEndpointInfo) -> bool:
    """Tell whether it keeps its messages for those who come later, and sends them for sure."""
    qos = publisher.qos_profile
    is_kept = qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    return is_kept and qos.reliability == ReliabilityPolicy.RELIABLE


def record_graph(path: Path, options: RecordingOptions, tell: Tell) -> None:
    """Record in this process, which has no other ROS context.

    Args:
        path: the bag to make.
        options: what, and for how long.
        tell: called many times a second.

    Raises:
        ConfigError: there is no sensor on the graph, or none says anything.
        MissingDependencyError: for a message type that is not installed.
        OutputError: the bag cannot be written.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node('metabev_check_rig', start_parameter_services=False, enable_rosout=False)
    executor = input_executor()
    executor.add_node(node)
    try:
        with BagWriter(path, compressed=False) as writer:
            recorder = GraphRecorder(node, writer, options)
            _record(recorder, executor, options.seconds, tell)
            if not recorder.frames and not options.topics:
                topics = ', '.join(clean_text(topic) for topic in recorder.sensors[:4])
                got = f'none in {options.seconds:g} s on {topics}'
                raise _nothing('a picture or a cloud', got)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.utilities.try_shutdown()


def _record(
    recorder: GraphRecorder, executor: SingleThreadedExecutor, seconds: float, tell: Tell
) -> None:
    _settle(recorder, executor, seconds)
    recorder.begin()
    began, first, now = time.monotonic(), 0.0, 0.0
    next_look = 0.0
    while not recorder.is_full:
        executor.spin_once(timeout_sec=SLICE)
        now = time.monotonic()
        if now >= next_look:
            recorder.look()
            next_look = now + LOOK_PERIOD
        if not first and recorder.frames:
            first = now
        tell(now - first if first else 0.0, seconds)
        if now - (first or began) >= seconds:
            break


def _settle(recorder: GraphRecorder, executor: SingleThreadedExecutor, seconds: float) -> None:
    """Look until no topic is new any more: all sensors are then recorded from one moment on."""
    began = newest = time.monotonic()
    while True:
        if recorder.look():
            newest = time.monotonic()
        end = time.monotonic() + LOOK_PERIOD
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=SLICE)
        if recorder.sensors and end - newest >= SETTLE:
            return
        if not recorder.sensors and end - began >= max(seconds, DISCOVERY):
            expected = 'a topic of a camera or a LiDAR on the graph'
            raise _nothing(expected, f'none in {end - began:.0f} s')


def _nothing(expected: str, got: str) -> ConfigError:
    return ConfigError('the running graph', expected, got, REMEDY)
