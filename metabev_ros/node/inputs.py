"""The node's inputs: raw subscriptions that only note the time and queue what arrives."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.subscription import Subscription

from metabev_ros import wire
from metabev_ros.config import RigConfig
from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.node import ros_support
from metabev_ros.node.graph_watch import GraphWatch, Input
from metabev_ros.node.publishers import private_name
from metabev_ros.node.queues import RawMessage, TopicQueue
from metabev_ros.node.raw_take import MessageInfo
from metabev_ros.node.workers import ThrottledLog
from metabev_ros.sensing.topics import TF_TYPE

TRANSFORM_DEPTH = 100
# Frames that the middleware keeps until they are taken, which is at once. It is the one bound of
# the memory that it takes for them: a message of 300 MB is put together before anybody can refuse
# it, and Fast DDS has no limit of its own for that. Keep strangers out with SROS2.
FRAME_DEPTH = 2
REMEDY = 'correct the rig file or the remapping'


def waiting_depth(msgtype: str, queue_depth: int) -> int:
    """Number of messages of a topic that may wait: few of a sensor's, many transforms."""
    return queue_depth if msgtype.startswith('sensor_msgs/') else TRANSFORM_DEPTH


class TopicInput:
    """The callback of one subscription; runs on the executor's thread.

    Attributes:
        byte_limit: a larger message is not read.
    """

    def __init__(
        self, topic: str, msgtype: str, queue: TopicQueue, watch: GraphWatch, clock: Clock
    ) -> None:
        self._topic, self._msgtype, self._clock = topic, msgtype, clock
        self._queue, self._watch = queue, watch
        self.byte_limit = wire.MAX_BYTES[msgtype]

    def take(self, cdr: bytes | memoryview, info: MessageInfo) -> None:
        """Queue a message.

        One that is not to be read, too large or of a topic that is not believed, is let go here:
        only its reason waits.
        """
        if not self._watch.heard(self._topic, info.number, info.publisher):
            return
        conflict = self._watch.conflicts.get(self._topic, '')
        refused = wire.refusal_by_size(info.size, self._msgtype) or conflict
        arrival_ns = self._clock.now().nanoseconds
        self._queue.put(RawMessage(self._topic, b'' if refused else cdr, arrival_ns, refused))

    def take_from_rclpy(self, cdr: bytes, info: Mapping[str, int | None]) -> None:
        """As `take`, with what rclpy tells of a message."""
        self.take(cdr, MessageInfo(info.get('publication_sequence_number'), size=len(cdr)))

    def take_alone(self, cdr: bytes) -> None:
        """As `take`, where rclpy gives nothing but the message."""
        self.take(cdr, MessageInfo(size=len(cdr)))

    @property
    def callback(self) -> Callable[..., None]:
        """The method that this rclpy can call."""
        return self.take_from_rclpy if ros_support.GIVES_MESSAGE_INFO else self.take_alone


class InputSubscriptions:
    """One subscription for every topic of the rig.

    Args:
        msgtypes: topic, as the rig writes it, -> message type.
        queue: takes what arrives.

    Attributes:
        watch: looks at who publishes these topics.
    """

    def __init__(
        self,
        node: Node,
        rig: RigConfig,
        queue_depth: int,
        msgtypes: Mapping[str, str],
        queue: TopicQueue,
        log: ThrottledLog,
    ) -> None:
        self._node, self._queue = node, queue
        inputs: list[Input] = []
        for topic, msgtype in msgtypes.items():
            if msgtype == TF_TYPE and not ros_support.has_message_type(msgtype):
                log.line(
                    topic,
                    'not installed',
                    f'{topic}: not subscribed, tf2_msgs is not installed; the rig file '
                    'must then hold every calibration',
                )
                continue
            depth = waiting_depth(msgtype, queue_depth)
            if msgtype.startswith('sensor_msgs/'):
                depth = min(depth, FRAME_DEPTH)
            latched = wire.is_latched(topic)
            qos = ros_support.latched_qos(depth) if latched else ros_support.sensor_qos(depth)
            inputs.append(Input(topic, msgtype, qos))
        self._inputs = tuple(inputs)
        self.watch = GraphWatch(node, rig, self._inputs)
        self._subscriptions: list[Subscription] = []

    def subscribe(self) -> int:
        """Hear from now on; how many topics there are.

        Raises:
            ConfigError: for a topic that cannot be.
            MissingDependencyError: for a message type that is not installed.
        """
        _check_names(self._node, self._inputs)
        for item in self._inputs:
            receiver = TopicInput(
                item.topic, item.msgtype, self._queue, self.watch, self._node.get_clock()
            )
            kind = ros_support.message_type(item.msgtype)
            try:
                subscription = self._node.create_subscription(
                    kind,
                    item.topic,
                    receiver.callback,
                    item.qos,
                    qos_overriding_options=ros_support.overridable(),
                    raw=True,
                )
            except Exception as error:  # the middleware has classes of its own for each reason
                raise _bad_topic(
                    item.topic, 'a topic and QoS that can be subscribed', error
                ) from error
            self._subscriptions.append(subscription)
        return len(self._subscriptions)

    def destroy(self) -> None:
        """Hear nothing more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []


def _check_names(node: Node, inputs: tuple[Input, ...]) -> None:
    """Every input has a topic of its own, also after remapping, and none is an output.

    Raises:
        ConfigError: naming the topics.
    """
    outputs = (*wire.OUTPUT_TYPES, *wire.standard_outputs())
    taken = {resolved(node, private_name(topic)): f'output {topic}' for topic in outputs}
    del taken[resolved(node, wire.DIAGNOSTICS)]  # of everybody
    for item in inputs:
        name = resolved(node, item.topic)
        if name in taken:
            raise ConfigError(
                f'rig topic {clean_text(item.topic)}',
                'a topic of its own',
                f'{clean_text(name)}, as {taken[name]}',
                REMEDY,
            )
        taken[name] = f'input {clean_text(item.topic)}'


def resolved(node: Node, topic: str) -> str:
    """The absolute name of a topic, after remapping.

    Raises:
        ConfigError: for a name that ROS does not allow.
    """
    try:
        return node.resolve_topic_name(topic)
    except Exception as error:  # the middleware has classes of its own for each reason
        raise _bad_topic(topic, 'a name that ROS allows', error) from error


def _bad_topic(topic: str, expected: str, error: Exception) -> ConfigError:
    text = clean_text(str(error).splitlines()[0] if str(error) else type(error).__name__, 200)
    return ConfigError(f'rig topic {clean_text(topic)!r}', expected, text, REMEDY)
