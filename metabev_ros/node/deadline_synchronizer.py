"""The synchroniser as a filter of message_filters, beside its ApproximateTimeSynchronizer.

That one calls back with complete sets only, so that one dead topic ends them all. This one calls
back by the deadline with what has come, None for what has not, and the reason:

    subscribers = [Subscriber(node, PointCloud2, 'points'), Subscriber(node, Image, 'image')]
    synchronizer = DeadlineSynchronizer(subscribers, 10, 0.05, deadline=0.05)
    synchronizer.registerCallback(lambda points, image, label: ...)
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rclpy.node import Node

from metabev_ros.config import SensingConfig
from metabev_ros.errors import ConfigError, MissingDependencyError
from metabev_ros.node import ros_support
from metabev_ros.sensing.message_sets import MessageSet, MessageSets, SetLabel, SetReason

if TYPE_CHECKING:

    class SimpleFilter:
        """message_filters has no annotations: what is used of its class."""

        def registerCallback(self, cb: Callable[..., object], *args: object) -> int:  # noqa: D102
            ...

        def signalMessage(self, *msg: object) -> None: ...  # noqa: D102
else:
    try:
        from message_filters import SimpleFilter
    except ImportError as error:
        raise MissingDependencyError(
            'metabev_ros.node.deadline_synchronizer',
            'the Python package message_filters',
            str(error),
            ros_support.install_hint('message_filters'),
        ) from error

__all__ = ['DeadlineSynchronizer', 'SetLabel', 'SetReason']

_SHORTEST_NS = 100_000  # of the timer; zero would be none


class DeadlineSynchronizer(SimpleFilter):
    """Calls back with the messages of a moment, in the order of the filters, and a `SetLabel`.

    The first filter that lives leads: each of its messages makes one set. Where it dies the next
    one leads. A set goes out when nothing is worth waiting for, `deadline` after its first message
    at the latest. A topic that is silent is waited for no longer after two of its periods.

    Args:
        fs: filters that give messages, such as message_filters' Subscriber; the first one leads.
        queue_size: messages of one topic that may wait.
        slop: seconds; the messages of a set are this close to that of the one that leads.
        allow_headerless: take a message without a header as one of the moment it arrives; else
            it is dropped, and the label says so.
        deadline: seconds that a set waits for messages that are expected.
        rates_hz: of the topics. None: they are measured, for which the first five messages of
            each topic are used up.
        start_timeout: seconds after which a topic that never spoke is not waited for.
        node: whose clock and executor are used; None for that of the first Subscriber.

    Raises:
        ConfigError: for times, rates or a queue out of range, and where no node is known.
    """

    def __init__(
        self,
        fs: Sequence[Any],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
        *,
        deadline: float,
        rates_hz: Sequence[float] | None = None,
        start_timeout: float = 2.0,
        node: Node | None = None,
    ) -> None:
        super().__init__()
        node = node or _node_of(fs)
        config = SensingConfig(
            deadline=deadline, tolerance=slop, start_timeout=start_timeout, readmit_frames=1
        )
        topics = _names_of(fs)
        self._sets = MessageSets(topics, config, rates_hz, queue_size, allow_headerless)
        self._clock: Any = node.get_clock()
        self._lock = threading.RLock()  # a callback may give one of the filters a message
        self._armed_ns: int | None = None  # the deadline that the timer waits for
        self._timer: Any = node.create_timer(1.0, self._on_deadline)
        self._timer.cancel()
        self.input_connections = [
            one.registerCallback(self._take_from(topic))
            for one, topic in zip(fs, topics, strict=True)
        ]

    def _take_from(self, topic: str) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            with self._lock:
                now_ns = self._clock.now().nanoseconds
                self._give_out(self._sets.push(topic, message, now_ns), now_ns)

        return take

    def _on_deadline(self) -> None:
        with self._lock:
            now_ns, self._armed_ns = self._clock.now().nanoseconds, None
            self._give_out(self._sets.poll(now_ns), now_ns)

    def _give_out(self, sets: Sequence[MessageSet], now_ns: int) -> None:
        self._arm(now_ns)  # before the callbacks, which may raise
        for one in sets:
            self.signalMessage(*one.messages, one.label)

    def _arm(self, now_ns: int) -> None:
        """Let the timer wait for the next deadline, which most messages leave as it is."""
        due_ns = self._sets.next_deadline_ns()
        if due_ns is None:
            self._timer.cancel()
        elif due_ns != self._armed_ns:
            self._timer.timer_period_ns = max(_SHORTEST_NS, due_ns - now_ns)
            self._timer.reset()
        self._armed_ns = due_ns


def _node_of(fs: Sequence[Any]) -> Node:
    found = next((one.node for one in fs if hasattr(one, 'node')), None)
    if found is None:
        raise ConfigError(
            'DeadlineSynchronizer.node', 'a node, for its clock', 'none', 'give node=...'
        )
    return found


def _names_of(fs: Sequence[Any]) -> list[str]:
    """Topics of the filters, or their places; each name once."""
    names = [str(getattr(one, 'topic', '') or f'input {place}') for place, one in enumerate(fs)]
    counted = Counter(names)
    return [
        name if counted[name] == 1 else f'{name} ({place})' for place, name in enumerate(names)
    ]
