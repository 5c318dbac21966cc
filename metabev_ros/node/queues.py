"""Queues between the executor and the sensing thread, in bytes. No rclpy in this module."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from metabev_ros.wire import MAX_BYTES

TOTAL_BYTES = 96 * 2**20  # of all that waits
# Of one topic, where a single message may be smaller: many transforms, few megabytes of them.
SMALL_TOPIC_BYTES = 2**19
REFUSED_DEPTH = 16  # refused messages of one topic that wait to be counted
OVERFLOW_MEMORY = 10.0  # seconds for which an overflow is said


@dataclass(frozen=True)
class RawMessage:
    """A received message, still serialized, with the node clock's time of arrival.

    Attributes:
        refused: why it is not read; '' where it is. Its bytes are not kept then.
    """

    topic: str
    cdr: bytes | memoryview
    arrival_ns: int
    refused: str = ''


def topic_bytes(msgtype: str) -> int:
    """Bytes that may wait of a topic of this type: at least one message of any allowed size."""
    return max(SMALL_TOPIC_BYTES, MAX_BYTES.get(msgtype, TOTAL_BYTES))


class _Lane:
    """The waiting messages of one topic, each with its number of arrival."""

    def __init__(self, depth: int, budget: int) -> None:
        self._depth, self._budget = depth, budget
        self._waiting: deque[tuple[int, RawMessage]] = deque()
        self.size = 0  # bytes

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def head(self) -> int:
        """Number of arrival of the oldest message."""
        return self._waiting[0][0]

    @property
    def is_over(self) -> bool:
        """True while there are too many messages, or too many bytes in more than one."""
        count = len(self._waiting)
        return count > self._depth or (count > 1 and self.size > self._budget)

    def push(self, number: int, message: RawMessage) -> None:
        self._waiting.append((number, message))
        self.size += len(message.cdr)

    def pop(self) -> RawMessage:
        _, message = self._waiting.popleft()
        self.size -= len(message.cdr)
        return message


class TopicQueue:
    """First in, first out, within a depth and a number of bytes a topic, and of bytes in all.

    The oldest message gives way: of its own topic, so that a flood of images never pushes a
    transform out; where all topics together are too large, of the one with most bytes.

    Args:
        depth: topic -> number of messages that may wait.
        budgets: topic -> bytes that may wait; `total` where it is not named.
        total: bytes that may wait in all.

    Attributes:
        overflows: topic -> messages that gave way since the start.
    """

    def __init__(
        self,
        depth: Mapping[str, int],
        budgets: Mapping[str, int] | None = None,
        total: int = TOTAL_BYTES,
    ) -> None:
        budgets = {} if budgets is None else budgets
        self._lanes = {
            (topic, False): _Lane(count, budgets.get(topic, total))
            for topic, count in depth.items()
        }
        # Refused messages hold no bytes and must not push sound ones out.
        self._lanes |= {(topic, True): _Lane(REFUSED_DEPTH, total) for topic in depth}
        self._total, self._arrived = total, 0
        self._changed = threading.Condition()
        self._overflowed: dict[str, float] = {}  # topic -> monotonic seconds
        self.overflows: Counter[str] = Counter()

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return sum(lane.size for lane in self._lanes.values())

    def put(self, message: RawMessage) -> None:
        """Add a message; older ones go where there is too much."""
        with self._changed:
            self._arrived += 1
            lane = self._lanes[message.topic, bool(message.refused)]
            lane.push(self._arrived, message)
            while lane.is_over:
                self._overflow(lane)
            while self.size > self._total:
                self._overflow(max(self._lanes.values(), key=lambda lane: lane.size))
            self._changed.notify()

    def _overflow(self, lane: _Lane) -> None:
        dropped = lane.pop()
        self.overflows[dropped.topic] += 1
        self._overflowed[dropped.topic] = time.monotonic()

    def get(self, timeout: float) -> RawMessage | None:
        """The oldest message, or None after `timeout` seconds without one."""
        with self._changed:
            lanes = [lane for lane in self._lanes.values() if lane]
            if not lanes:
                self._changed.wait(timeout)
                lanes = [lane for lane in self._lanes.values() if lane]
            if not lanes:
                return None
            return min(lanes, key=lambda lane: lane.head).pop()

    def recent_overflows(self) -> dict[str, int]:
        """Topic -> messages that gave way since the start, where one did lately."""
        since = time.monotonic() - OVERFLOW_MEMORY
        with self._changed:
            return {
                topic: self.overflows[topic]
                for topic, when in self._overflowed.items()
                if when > since
            }
