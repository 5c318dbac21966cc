"""A bag's messages given to a front end: what a replay hears, and the samples that come of it.

Recorded log times take the place of arrival times. Every call that moves the front end's time is
made here, so that all who read a bag get the same samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from metabev_ros import wire
from metabev_ros.bags import BagMessage, BagReader
from metabev_ros.config import SensingConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.replay.beats import Beats
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.sensing.topics import INJECTION_TOPIC
from metabev_ros.structures import Modality, Sample, SensorReport

FLUSH_MARGIN_NS = 2_000_000_000  # a period of the slowest sensor
SENSOR_TYPES = (
    'sensor_msgs/msg/Image',
    'sensor_msgs/msg/CompressedImage',
    'sensor_msgs/msg/PointCloud2',
)
OPTIONAL = ('tf', 'nav_msgs/msg/Odometry')  # topic and type; either gives the motion
TIME_END_NS = (2**31 - 3600) * 1_000_000_000  # an hour before the end of ROS's time


@dataclass(frozen=True)
class Moment:
    """One step of a bag.

    Attributes:
        now_ns: recorded time.
        samples: that closed, oldest first.
        message: that was taken; None for a heartbeat and for what closes behind the last one.
        is_possible: its log time is one that ROS can say.
        reports: the sensors' state; empty where nobody listens to the message.
        beat: the branch that the sensors allow, at a heartbeat; else None.
    """

    now_ns: int
    samples: tuple[Sample, ...] = ()
    message: BagMessage | None = None
    is_possible: bool = True
    reports: tuple[SensorReport, ...] = ()
    beat: Modality | None = None


class BagFeed:
    """The steps of a bag; iterated once.

    Args:
        reader: of the bag.
        front_end: fresh; nobody else moves its time.

    Attributes:
        not_heard: topics of the rig that the bag lacks, or has with another type, and why.
        unnamed: topics of the bag that the rig does not name -> type; pictures and points first.
        beats: the heartbeats so far.
        recorded_ns: time between the first and the last message so far.
    """

    def __init__(
        self, reader: BagReader, front_end: SensorFrontEnd, sensing: SensingConfig
    ) -> None:
        self._reader, self._front_end, self._sensing = reader, front_end, sensing
        self._inputs = {
            topic.lstrip('/'): msgtype for topic, msgtype in front_end.subscriptions().items()
        }
        self.not_heard = self._missing()
        self.unnamed = {
            topic: msgtype
            for topic, msgtype in sorted(
                reader.topics.items(), key=lambda pair: pair[1] not in SENSOR_TYPES
            )
            if topic.lstrip('/') not in self._inputs
        }
        self.beats = Beats()
        self._first_ns: int | None = None
        self._now_ns = 0

    @property
    def recorded_ns(self) -> int:
        """Time between the first and the last message so far."""
        return 0 if self._first_ns is None else self._now_ns - self._first_ns

    def _missing(self) -> dict[str, str]:
        recorded = {topic.lstrip('/'): kind for topic, kind in self._reader.topics.items()}

        def why(topic: str, msgtype: str) -> str:
            if topic in recorded:
                return f'recorded as {wire.clean_text(recorded[topic])}, expected {msgtype}'
            is_optional = topic in OPTIONAL or msgtype in OPTIONAL
            return 'not in the bag' + ('; optional' if is_optional else '')

        return {
            topic: why(topic, msgtype)
            for topic, msgtype in self._inputs.items()
            if recorded.get(topic) != msgtype and topic != INJECTION_TOPIC
        }

    def __iter__(self) -> Iterator[Moment]:
        """Yield heartbeats at the node's rate, the messages, and what closes after the last."""
        for message in self._reader:
            yield from self.step(message)
        yield from self.finish()

    def step(self, message: BagMessage) -> Iterator[Moment]:
        """Yield the heartbeats until a message, then the message.

        For those who read the bag once for several feeds: they give each message to each, in the
        order of the bag, and end with `finish`.
        """
        if message.log_time_ns >= TIME_END_NS:
            yield Moment(self._now_ns, message=message, is_possible=False)
            return
        self._now_ns = message.log_time_ns
        self._first_ns = self._now_ns if self._first_ns is None else self._first_ns
        for beat_ns in self.beats.until(self._now_ns):
            yield self._beat(beat_ns)
        yield self._take(message)

    def _beat(self, beat_ns: int) -> Moment:
        end = self._front_end
        samples = tuple(end.poll(beat_ns))
        return Moment(beat_ns, samples, reports=end.reports(beat_ns), beat=end.modality(beat_ns))

    def _take(self, message: BagMessage) -> Moment:
        """Give one message to the front end."""
        now_ns, end = message.log_time_ns, self._front_end
        if self._inputs.get(message.topic.lstrip('/')) != message.msgtype:
            return Moment(now_ns, message=message)
        try:
            content = wire.deserialize(message.cdr, message.msgtype)
        except SensorDataError as error:
            samples = end.reject(message.topic, error.reason, now_ns)
        else:
            samples = end.push(message.topic, content, now_ns)
        return Moment(now_ns, tuple(samples), message, reports=end.reports(now_ns))

    def finish(self) -> Iterator[Moment]:
        """Yield the samples whose deadlines lie behind the last message.

        No deadline lies further behind it than the timeouts of the sensing allow.
        """
        waits = self._sensing.start_timeout + 2 * self._sensing.deadline
        end_ns = self._now_ns + round(waits * 1e9) + FLUSH_MARGIN_NS
        deadline_ns = self._front_end.next_deadline_ns()
        while deadline_ns is not None and deadline_ns <= end_ns:
            for sample in self._front_end.poll(deadline_ns):
                yield Moment(deadline_ns, (sample,))
            later_ns = self._front_end.next_deadline_ns()
            if later_ns is None or later_ns <= deadline_ns:
                return
            deadline_ns = later_ns
