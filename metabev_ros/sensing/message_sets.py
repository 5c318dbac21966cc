"""Sets of stamped messages of any types: the synchroniser, without a rig around it.

As `SensorFrontEnd` it is deterministic: the same `push` and `poll` calls give the same sets, and
nothing that a message contains is raised. It looks at nothing but the stamps.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Any

from metabev_ros.config import SensingConfig
from metabev_ros.errors import ConfigError, SensorDataError, assert_never, clean_text
from metabev_ros.sensing.checks import GOOD
from metabev_ros.sensing.frames import Collected
from metabev_ros.sensing.health import SensorMonitor
from metabev_ros.sensing.synchroniser import Synchroniser
from metabev_ros.sensing.timeline import Timeline
from metabev_ros.sensing.untrusted import header_stamp_ns
from metabev_ros.structures import SensorKind, SensorState

_FIRST_HZ = 10.0  # of a topic whose rate is not known yet
_ENOUGH, _KEPT = 5, 20  # stamps that a rate is first measured from, and later
_ANOTHER = 0.1  # a measured rate that differs by this share is another one


class SetReason(enum.Enum):
    """Reason for what a set has and has not: the first one that is true of any topic."""

    LATE = 'late'  # the deadline came before a message that was expected
    LOST = 'lost'  # silent, never heard or unusable: nobody waits for it for long
    NOT_DUE = 'not due'  # a slower topic has nothing within the tolerance of this set
    COMPLETE = 'complete'


@dataclass(frozen=True)
class SetLabel:
    """Reason for a set to be as it is.

    Attributes:
        stamp_ns: reference stamp: that of the message that leads.
        reason: COMPLETE, or why it is not.
        missing: topic -> state and reason, of those that have no message in it.
    """

    stamp_ns: int
    reason: SetReason
    missing: Mapping[str, str]

    def __str__(self) -> str:
        named = ', '.join(f'{topic} ({words})' for topic, words in self.missing.items())
        return f'{self.reason.value}: {named}' if named else self.reason.value


@dataclass(frozen=True)
class MessageSet:
    """Messages that belong together.

    Attributes:
        messages: one a topic, in the order of the topics; None where there is none.
        label: which are missing, and why.
    """

    messages: tuple[Any, ...]
    label: SetLabel


@dataclass(frozen=True)
class StampedMessage:
    """A message on its way into a set; both times in nanoseconds."""

    stamp_ns: int
    arrival_ns: int
    message: Any


class MeasuredRate:
    """Rate of a topic by the median step between its newest stamps.

    Repeated and swapped messages change nothing, lost ones do only where they are the most.
    """

    def __init__(self) -> None:
        self._stamps: deque[int] = deque(maxlen=_KEPT)

    def add(self, stamp_ns: int) -> float | None:
        """Take a stamp; the rate in Hz, None until enough of them are there."""
        self._stamps.append(stamp_ns)
        stamps = sorted(set(self._stamps))
        if len(stamps) < _ENOUGH:
            return None
        return 1e9 / median_low(later - earlier for earlier, later in pairwise(stamps))

    @property
    def count(self) -> int:
        """Number of stamps that it has."""
        return len(self._stamps)


class MessageSets:
    """Collects messages of several topics into sets that a dead topic does not stop.

    The first topic that lives leads: each of its messages is the reference of a set, with the
    nearest message of every other topic, within the tolerance. One message may be in several sets
    where its topic is slower than the one that leads. Not thread-safe.

    Args:
        topics: their names, all different.
        config: deadline, tolerance, start timeout and so on.
        rates_hz: of the topics. None: they are measured, which takes the first five messages of
            each topic.
        queue_size: messages of one topic that may wait.
        allow_headerless: take a message without a header as one of the moment it arrives.

    Raises:
        ConfigError: for topics of one name, and rates or a queue that are none.
    """

    def __init__(
        self,
        topics: Sequence[str],
        config: SensingConfig,
        rates_hz: Sequence[float] | None = None,
        queue_size: int = 100,
        allow_headerless: bool = False,
    ) -> None:
        rates = [_FIRST_HZ] * len(topics) if rates_hz is None else list(rates_hz)
        _check(topics, rates, queue_size)
        self._allow_headerless = allow_headerless
        # As LiDARs they lead in their order; cameras would by their rates.
        self._monitors = {
            topic: SensorMonitor(topic, SensorKind.LIDAR, rate, config)
            for topic, rate in zip(topics, rates, strict=True)
        }
        is_told = rates_hz is not None
        self._unmeasured = {} if is_told else {topic: MeasuredRate() for topic in topics}
        self._synchroniser: Synchroniser[StampedMessage, MessageSet] = Synchroniser(
            self._monitors,
            config,
            lambda frames: (),
            self._label,
            most=queue_size,
            holds_old=False,
        )
        self._timeline = Timeline(self._monitors, self._synchroniser, config)

    def push(self, topic: str, message: Any, arrival_ns: int) -> list[MessageSet]:
        """Take a message of a topic; the sets that close with it, oldest first.

        Args:
            topic: one of the names that were given.
            message: with a header, or any where headers may be missing.
            arrival_ns: when it arrived.
        """
        sets, monitor = self.poll(arrival_ns), self._monitors[topic]
        monitor.received += 1
        try:
            return sets + self._take(monitor, message)
        except SensorDataError as error:
            return sets + self._timeline.refuse(monitor, error)

    def poll(self, now_ns: int) -> list[MessageSet]:
        """Close what is due until now."""
        return self._timeline.poll(now_ns)

    def next_deadline_ns(self) -> int | None:
        """Time at which `poll` has something to do even if nothing arrives; None for none."""
        return self._synchroniser.next_deadline_ns()

    def _take(self, monitor: SensorMonitor, message: Any) -> list[MessageSet]:
        now_ns = self._timeline.clock.now_ns
        stamp_ns = self._stamp(message, now_ns)
        self._synchroniser.leadership.heard(now_ns)
        self._measure(monitor, stamp_ns)
        self._timeline.check(monitor, stamp_ns)
        # Needed always: no topic is kept out for having been lost too often.
        if not monitor.good(stamp_ns, now_ns, GOOD, needed=True):
            return self._timeline.give_up(monitor)
        return self._synchroniser.add(
            monitor.name, StampedMessage(stamp_ns, now_ns, message), now_ns
        )

    def _stamp(self, message: Any, now_ns: int) -> int:
        header: Any = getattr(message, 'header', None)
        if header is not None and hasattr(header, 'stamp'):
            return header_stamp_ns(header)
        if self._allow_headerless:
            return now_ns
        kind = clean_text(type(message).__name__)
        raise SensorDataError('header', kind, 'a header with a stamp', f'a {kind} without one')

    def _measure(self, monitor: SensorMonitor, stamp_ns: int) -> None:
        """Measure the rate of a topic where nobody has said it.

        Raises:
            SensorDataError: 'measuring' until it is known.
        """
        measured = self._unmeasured.get(monitor.name)
        if measured is None:
            return
        rate = measured.add(stamp_ns)
        if rate is None:
            got = f'its rate, message {measured.count} of {_ENOUGH}'
            raise SensorDataError('measuring', monitor.name, 'a known rate', got)
        if abs(rate * monitor.nominal_ns / 1e9 - 1) > _ANOTHER or not monitor.ever:
            monitor.set_rate(rate)

    def _label(self, collected: Collected[StampedMessage]) -> MessageSet | None:
        """The set of what was collected, labelled at the moment of closing; None for nothing."""
        frames, reference = collected.frames, collected.reference_ns
        if not frames:
            return None
        messages = tuple(
            frames[topic].message if topic in frames else None for topic in self._monitors
        )
        missing: dict[str, str] = {}
        reasons = {SetReason.COMPLETE}
        for topic, monitor in self._monitors.items():
            if topic not in frames:
                report = monitor.sample_report(reference, None, '')
                missing[topic] = f'{report.state.name}: {report.reason}'
                reasons.add(_reason_of(report.state))
        reason = next(reason for reason in SetReason if reason in reasons)
        return MessageSet(messages, SetLabel(reference, reason, missing))


def _reason_of(state: SensorState) -> SetReason:
    """Reason why a topic in this state has no message in a set."""
    match state:
        case SensorState.LATE:
            return SetReason.LATE
        case SensorState.MISSING | SensorState.OK | SensorState.SUSPECT:
            return SetReason.NOT_DUE
        case SensorState.STALE | SensorState.NEVER | SensorState.RECOVERING:
            return SetReason.LOST
        case SensorState.INVALID | SensorState.FROZEN:
            return SetReason.LOST
        case SensorState.UNCALIBRATED | SensorState.NO_TF:
            return SetReason.LOST
        case _:
            assert_never(state)


def _check(topics: Sequence[str], rates: Sequence[float], queue_size: int) -> None:
    if not topics or len(set(topics)) < len(topics):
        raise ConfigError('MessageSets.topics', 'topics of different names', str(list(topics)))
    if len(rates) != len(topics) or not all(0.01 <= rate <= 1000 for rate in rates):
        expected = f'{len(topics)} rates of 0.01 to 1000 Hz, one a topic'
        raise ConfigError('MessageSets.rates_hz', expected, str(list(rates)))
    if queue_size < 1:
        raise ConfigError('MessageSets.queue_size', 'at least 1', str(queue_size))
