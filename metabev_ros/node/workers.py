"""The sensing thread, its mailbox and the log behind the executor. No rclpy in this module.

The executor thread only puts raw bytes into a `TopicQueue` (queues.py). The sensing thread decodes
and synchronises; the inference thread (inference.py) takes the newest complete sample.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from metabev_ros import wire
from metabev_ros.errors import SensorDataError
from metabev_ros.node.queues import RawMessage, TopicQueue
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import Modality, Sample, SensorReport, SensorState

LOG_PERIOD = 5.0  # seconds between two lines of one source and reason (invariant "Quiet log")
# A source that flaps has a new reason each time: so many lines at once, then as many a second.
LOG_BURST, LOG_RATE = 8, 0.4
# A sensor's first frames come before its CameraInfo or TF even where all is well.
STARTING, START_PATIENCE = (SensorState.UNCALIBRATED, SensorState.NO_TF), 2.0  # seconds
LONGEST_WAIT = 0.05  # the snapshot for the heartbeat is never older than this and one message
PLACE_PERIOD_NS = 50_000_000  # the vehicle's place is asked no more often than this
DEADLINE_CHECK = 0.01  # under simulated time a deadline cannot be slept for exactly


class Mailbox:
    """One slot: the newest sample wins, replaced ones are counted."""

    def __init__(self) -> None:
        self._sample: Sample | None = None
        self._changed = threading.Condition()
        self.dropped = 0

    def put(self, sample: Sample) -> None:
        """Hand over a sample; one that nobody took is dropped and counted."""
        with self._changed:
            self.dropped += self._sample is not None
            self._sample = sample
            self._changed.notify()

    def get(self, timeout: float) -> Sample | None:
        """Take the waiting sample, None after `timeout` seconds without one."""
        with self._changed:
            if self._sample is None:
                self._changed.wait(timeout)
            sample, self._sample = self._sample, None
            return sample


class ThrottledLog:
    """One line per source and reason at once, then at most one every `LOG_PERIOD` seconds.

    A source as a whole has `LOG_BURST` lines, and `LOG_RATE` more every second.
    """

    def __init__(self, warn: Callable[[str], None], info: Callable[[str], None]) -> None:
        self._warn, self._info = warn, info
        self._last: dict[tuple[str, str], float] = {}
        self._suppressed: Counter[tuple[str, str]] = Counter()
        self._left: dict[str, tuple[float, float]] = {}  # source -> lines it had left, and when
        self._lock = threading.Lock()

    def line(self, source: str, reason: str, text: str, is_good: bool = False) -> None:
        """Write `text` unless this source and reason was written lately."""
        key, now = (source, reason), time.monotonic()
        with self._lock:
            if now - self._last.get(key, -LOG_PERIOD) < LOG_PERIOD or not self._has_line_left(
                source, now
            ):
                self._suppressed[key] += 1
                return
            self._last[key] = now
            more = self._suppressed.pop(key, 0)
        write = self._info if is_good else self._warn
        write(text + (f' ({more} more like this)' if more else ''))

    def _has_line_left(self, source: str, now: float) -> bool:
        """Take one line from what the source has left; False if it has none."""
        left, since = self._left.get(source, (float(LOG_BURST), now))
        left = min(LOG_BURST, left + (now - since) * LOG_RATE)
        self._left[source] = (left - (left >= 1), now)
        return left >= 1


@dataclass(frozen=True)
class Snapshot:
    """Latest knowledge of the sensing thread; read by the heartbeat without a lock.

    `ego_poses` are those at `now_ns`, at most `PLACE_PERIOD_NS` before the rest was taken.
    """

    sensors: tuple[SensorReport, ...]
    modality: Modality
    epoch: int
    rejected: int  # unusable messages of all topics since the start
    taken: float  # monotonic seconds
    injection: str = ''  # what injects faults into the inputs
    now_ns: int = 0
    ego_poses: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])


class SensingWorker(threading.Thread):
    """Raw messages in, complete samples out.

    Args:
        msgtypes: topic -> message type of everything that may be in the queue.
        now_ns: the node's clock.
    """

    def __init__(
        self,
        front_end: SensorFrontEnd,
        queue: TopicQueue,
        mailbox: Mailbox,
        msgtypes: Mapping[str, str],
        now_ns: Callable[[], int],
        log: ThrottledLog,
    ) -> None:
        super().__init__(name='sensing')
        self._front_end, self._queue, self._mailbox = front_end, queue, mailbox
        self._msgtypes, self._now_ns, self._log = msgtypes, now_ns, log
        self._stop_event = threading.Event()
        self._states: dict[str, SensorState] = {}
        self._heard: dict[str, float] = {}  # sensor -> when it began to speak
        self._rejected: dict[str, int] = {}
        self.conflicts: Mapping[str, str] = {}  # topics that are not believed, and why
        self._escaped = 0  # exceptions that only the last line of defence caught
        self._place: tuple[int, int, Mapping[str, np.ndarray]] | None = None
        self.snapshot = self._look(now_ns())

    def stop(self) -> None:
        """End the thread after the message that it works on."""
        self._stop_event.set()

    def run(self) -> None:
        """Take messages until stopped; poll when a deadline comes first."""
        while not self._stop_event.is_set():
            message = self._queue.get(self._patience())
            # What waits in the queue came before now: deadlines must not overtake it.
            now_ns = self._now_ns() if message is None else message.arrival_ns
            samples: list[Sample] = []
            with self._contain('sensing'):
                samples += self._front_end.poll(now_ns)
            if message is not None:
                with self._contain(message.topic):
                    samples += self._take(message)
            for sample in samples:
                self._mailbox.put(sample)
            with self._contain('sensing'):
                self.snapshot = self._look(now_ns)
                self._tell(self.snapshot.sensors)

    def _patience(self) -> float:
        with self._contain('sensing'):
            if self._front_end.next_deadline_ns() is None:
                return LONGEST_WAIT
        return DEADLINE_CHECK

    def _take(self, message: RawMessage) -> list[Sample]:
        """Deserialise a message and give it to the front end; the samples that closed."""
        topic, arrival_ns = message.topic, message.arrival_ns
        conflict = self.conflicts.get(topic)
        if conflict is not None:
            self._log.line(topic, 'publishers', f'{topic}: dropped, {conflict}')
            return self._front_end.reject(topic, conflict, arrival_ns)
        if message.refused:
            self._log.line(topic, 'refused', f'{topic}: dropped, {message.refused}')
            return self._front_end.reject(topic, message.refused, arrival_ns)
        try:
            content = wire.deserialize(message.cdr, self._msgtypes[topic])
        except SensorDataError as error:
            self._log.line(topic, error.reason, f'{topic}: dropped, {error}')
            return self._front_end.reject(topic, error.reason, arrival_ns)
        return self._front_end.push(topic, content, arrival_ns)

    @contextmanager
    def _contain(self, source: str) -> Generator[None]:
        """Count and tell what escapes; the thread goes on (invariant "Nothing escapes")."""
        try:
            yield
        except Exception as error:  # the last line of defence
            self._escaped += 1
            self._log.line(
                source,
                type(error).__name__,
                f'{source}: dropped, {type(error).__name__}: {wire.clean_text(str(error), 200)}',
            )
            logging.getLogger(__name__).debug('escaped from %s', source, exc_info=True)

    def _look(self, now_ns: int) -> Snapshot:
        reports = self._front_end.reports(now_ns)
        rejected = sum(report.rejected for report in reports)
        place = self._place
        epoch = self._front_end.epoch
        if place is None or place[0] != epoch or not 0 <= now_ns - place[1] < PLACE_PERIOD_NS:
            place = self._place = (epoch, now_ns, self._front_end.ego_poses(now_ns))
        return Snapshot(
            reports,
            self._front_end.modality(now_ns),
            epoch,
            rejected + self._front_end.rejected_other + self._escaped,
            time.monotonic(),
            self._front_end.injection,
            *place[1:],
        )

    def _is_starting(self, report: SensorReport) -> bool:
        """Tell whether a sensor that has just begun may wait for its calibration or TF."""
        if report.state not in STARTING:
            return False
        now = time.monotonic()
        return now - self._heard.setdefault(report.name, now) < START_PATIENCE

    def _tell(self, reports: tuple[SensorReport, ...]) -> None:
        """A line when a sensor's state changes and when its messages are refused."""
        for report in reports:
            before = self._states.get(report.name)
            if report.state is not before and not self._is_starting(report):
                self._states[report.name] = report.state
                if before is not None or report.state is not SensorState.NEVER:
                    self._log.line(
                        report.name,
                        report.state.name,
                        f'{report.name}: {report.state.name} {report.reason}'.rstrip(),
                        report.state is SensorState.OK,
                    )
            if report.rejected > self._rejected.get(report.name, 0):
                reason = report.reason or 'and the next ones are good again'
                self._log.line(
                    report.name, 'rejected', f'{report.name}: message refused, {reason}'
                )
            self._rejected[report.name] = report.rejected
