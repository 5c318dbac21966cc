"""Overview of a bag: what each topic holds, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metabev_ros.bags.reader import BagReader


@dataclass(frozen=True)
class TopicOverview:
    """One topic of a bag.

    Attributes:
        count: messages that were read.
        payload: bytes of them, serialized.
        first_ns, last_ns: log times; 0 without a message.
        rate_hz: one over the median time between messages; NaN under two messages.
        longest_gap_s: between two messages; NaN under two messages.
    """

    topic: str
    msgtype: str
    count: int
    payload: int
    first_ns: int
    last_ns: int
    rate_hz: float
    longest_gap_s: float


@dataclass(frozen=True)
class BagOverview:
    """All topics of a bag, by name.

    Attributes:
        integrity: what of the bag could not be read, in words.
        is_lossy: something could not be read.
    """

    topics: tuple[TopicOverview, ...]
    integrity: str
    is_lossy: bool

    @property
    def seconds(self) -> float:
        """From the first message to the last, in log time."""
        heard = [topic for topic in self.topics if topic.count]
        if not heard:
            return 0.0
        return (max(t.last_ns for t in heard) - min(t.first_ns for t in heard)) * 1e-9


def look_through(reader: BagReader, progress: Callable[[int, int], object]) -> BagOverview:
    """Read a bag to its end.

    Args:
        progress: takes the numbers of messages read and announced.
    """
    times: dict[str, list[int]] = {topic: [] for topic in reader.topics}
    payload = dict.fromkeys(reader.topics, 0)
    announced = reader.integrity.messages
    for done, message in enumerate(reader, 1):
        times[message.topic].append(message.log_time_ns)
        payload[message.topic] += len(message.cdr)
        if done % 100 == 0:
            progress(done, announced)
    topics = tuple(
        _overview(topic, reader.topics[topic], times[topic], payload[topic])
        for topic in sorted(reader.topics)
    )
    return BagOverview(topics, reader.integrity.describe(), reader.integrity.is_lossy)


def _overview(topic: str, msgtype: str, times: list[int], payload: int) -> TopicOverview:
    gaps = np.diff(np.array(times, np.int64)) * 1e-9
    middle, longest = (np.median(gaps), gaps.max()) if len(gaps) else (np.nan, np.nan)
    rate = 1 / middle if middle > 0 else np.nan
    first, last = (times[0], times[-1]) if times else (0, 0)
    return TopicOverview(
        topic, msgtype, len(times), payload, first, last, float(rate), float(longest)
    )
