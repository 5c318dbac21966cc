"""One bag given to several front ends at once, each behind a fault plan of its own.

The bag is read once. Each watch hears what is left of its messages, as a replay of the injected
bag would, and hands on each sample that closes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from metabev_ros.bags import BagMessage, BagReader
from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.faults.pipe import FaultPipe
from metabev_ros.faults.plan import FaultPlan
from metabev_ros.pipeline import Pipeline
from metabev_ros.replay.feed import BagFeed, Moment
from metabev_ros.structures import Sample, SensorReport

SEED = 0  # nothing that is planned here draws


@dataclass(frozen=True)
class Seen:
    """A sample that closed.

    Attributes:
        now_ns: recorded time of that.
        used: sensors whose data it holds.
    """

    now_ns: int
    stamp_ns: int
    used: frozenset[str]


# A sample, the recorded time at which it closed, and what is added to the stamps of each sensor.
Take = Callable[[Sample, int, Mapping[str, int]], None]


@dataclass
class Watch:
    """A front end and what it hears.

    Args:
        plan: of the faults; None: hears the bag as it is.
        take: is given every sample.

    Attributes:
        seen: all samples so far, in their order.
        reports: the newest state of every sensor.
    """

    reader: BagReader
    plan: FaultPlan | None
    pipeline: Pipeline
    rig: RigConfig
    sensing: SensingConfig
    take: Take
    seen: list[Seen] = field(default_factory=list[Seen])
    reports: tuple[SensorReport, ...] = ()

    def __post_init__(self) -> None:
        self.front_end = self.pipeline.front_end(self.rig, self.sensing)
        self.feed = BagFeed(self.reader, self.front_end, self.sensing)
        skipped = self.reader.integrity.skipped_topics
        topics = {t: kind for t, kind in self.reader.topics.items() if t not in skipped}
        self._pipe = (
            None
            if self.plan is None
            else FaultPipe(self.plan, self.rig, topics, SEED, lambda truth: None)
        )

    @property
    def untouched(self) -> tuple[str, ...]:
        """Faults of the plan that dropped or changed nothing."""
        touched = {} if self._pipe is None else self._pipe.touched
        return tuple(name for name, count in touched.items() if not count)

    def hear(self, message: BagMessage) -> None:
        """Take the next message of the bag."""
        for left in [message] if self._pipe is None else self._pipe.feed(message):
            self._note(self.feed.step(left))

    def finish(self) -> None:
        """Take the end of what is read; messages that a fault still holds back never come."""
        self._note(self.feed.finish())

    def _note(self, moments: Iterable[Moment]) -> None:
        for moment in moments:
            self.reports = moment.reports or self.reports
            for sample in moment.samples:
                used = frozenset(sample.used_sensors)
                self.seen.append(Seen(moment.now_ns, sample.stamp_ns, used))
                self.take(sample, moment.now_ns, self.front_end.time_offsets)


def read_once(
    reader: BagReader,
    watches: Sequence[Watch],
    end_ns: int,
    progress: Callable[[int], None] = lambda log_time_ns: None,
) -> None:
    """Give all messages until `end_ns` (recorded time) to all watches."""
    for message in reader:
        if message.log_time_ns > end_ns:
            break
        for watch in watches:
            watch.hear(message)
        progress(message.log_time_ns)
    for watch in watches:
        watch.finish()


def seconds_to_label(seen: Sequence[Seen], lost: Iterable[str], begin_ns: int) -> float | None:
    """Recorded seconds from a fault to the first sample of those that hold none of its sensors.

    From that one on to the end of what was looked at no sample may hold one; None where the last
    one still does, or where no sample came.

    Args:
        seen: all samples of a watch.
        begin_ns: recorded time of the fault.
    """
    lost, first = frozenset(lost), None
    for sample in seen:
        if sample.now_ns < begin_ns:
            continue
        if sample.used & lost:
            first = None
        elif first is None:
            first = sample.now_ns
    return None if first is None else (first - begin_ns) / 1e9
