"""The first look at a bag: what the node said and when, without images, points and maps."""

from __future__ import annotations

import shlex
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagMessage, BagReader
from metabev_ros.errors import ConfigError, SensorDataError, clean_text
from metabev_ros.pages.messages import Output, Status, node_prefix, read_output, read_status

FILM_HZ = 10.0
MOST_PICTURES = 3000  # of a film; a longer run has fewer a second
HELD_NS = 200_000_000  # an output is shown for so long at least if no newer one comes
_TOPICS_TOLD = 12


@dataclass
class Recording:
    """The words of the node in a bag, by the times of the recording.

    Attributes:
        prefix: of the node's topics, '/perception/'.
        statuses: labels and heartbeats; outputs: labels of the detections. Both in order.
        numbers: for each output, how many DetectionArrays lie before it in the bag.
        refused: why -> messages of the node that could not be used.
        begin_ns, end_ns: the node's first and last word.
        zero_ns: where the seconds of the report begin; two runs of one bag share it.
    """

    path: Path
    prefix: str
    statuses: list[Status] = field(default_factory=list[Status])
    outputs: list[Output] = field(default_factory=list[Output])
    numbers: list[int] = field(default_factory=list[int])
    refused: Counter[str] = field(default_factory=Counter[str])
    integrity: str = ''
    begin_ns: int = 0
    end_ns: int = 0
    zero_ns: int = 0

    @property
    def name(self) -> str:
        """Name of the bag, for people."""
        return clean_text(self.path.resolve().name, 80)

    @property
    def duration(self) -> float:
        """Seconds from the zero to the node's last word."""
        return (self.end_ns - self.zero_ns) * 1e-9

    @property
    def sensor_names(self) -> list[str]:
        """Names of all sensors that the node spoke of."""
        return list(dict.fromkeys(s.name for status in self.statuses for s in status.sensors))

    @property
    def labels(self) -> list[Status]:
        """The statuses that belong to outputs."""
        return [status for status in self.statuses if not status.is_heartbeat]

    @property
    def beats(self) -> list[Status]:
        """The heartbeats."""
        return [status for status in self.statuses if status.is_heartbeat]

    def finish(self) -> None:
        """Prepare the look-ups; the times of the whole run are known then."""
        walls = [item.wall_ns for item in (*self.statuses, *self.outputs)]
        self.begin_ns, self.end_ns = min(walls), max(walls)
        self.zero_ns = self.begin_ns
        self._labels: dict[int, list[Status]] = {}
        for status in self.labels:
            self._labels.setdefault(status.stamp_ns, []).append(status)
        self._beats = self.beats
        self._walls = [output.wall_ns for output in self.outputs]
        gaps = np.diff(np.array(self._walls, np.int64))
        self.period_ns = int(np.median(gaps)) if len(gaps) else HELD_NS
        self._held_ns = max(HELD_NS, 2 * self.period_ns)

    def seconds(self, wall_ns: int) -> float:
        """Seconds since the zero."""
        return (wall_ns - self.zero_ns) * 1e-9

    def label(self, index: int) -> Status | None:
        """The status that belongs to an output."""
        output = self.outputs[index]
        same = self._labels.get(output.stamp_ns, [])
        return min(same, key=lambda s: abs(s.wall_ns - output.wall_ns), default=None)

    def last_beat(self, wall_ns: int) -> Status | None:
        """The newest heartbeat at a time."""
        index = bisect_right(self._beats, wall_ns, key=lambda status: status.wall_ns)
        return self._beats[index - 1] if index else None

    def output_at(self, wall_ns: int) -> int | None:
        """The newest output at a time; None where it has been silent for long."""
        index = bisect_right(self._walls, wall_ns) - 1
        if index < 0 or wall_ns - self._walls[index] > self._held_ns:
            return None
        return index


def share_zero(one: Recording, other: Recording) -> None:
    """Let two runs of one drive begin at the same instant; others keep their own beginnings."""
    if one.begin_ns <= other.end_ns and other.begin_ns <= one.end_ns:
        one.zero_ns = other.zero_ns = min(one.begin_ns, other.begin_ns)


def film_rate(seconds: float) -> float:
    """Pictures a second of a film that shows so many seconds in as many."""
    return min(FILM_HZ, MOST_PICTURES / max(seconds, 1.0))


def read_recording(path: Path, progress: Callable[[int, int], None] | None = None) -> Recording:
    """Read the words of the node.

    Args:
        progress: called with (messages read, all messages).

    Raises:
        SensorDataError: the bag is unreadable from its first byte.
        ConfigError: it has no outputs of the node.
    """
    reader = BagReader(path)
    prefix = node_prefix(reader.topics)
    if prefix is None:
        raise _no_outputs(reader)
    recording, total = Recording(path, prefix), reader.integrity.messages
    detections = 0
    for count, message in enumerate(reader):
        if progress is not None and count % 200 == 0:
            progress(count, total)
        try:
            if message.topic == prefix + wire.STATUS:
                recording.statuses.append(read_status(message))
            elif message.topic == prefix + wire.DETECTIONS:
                detections += 1
                recording.outputs.append(_output(message))
                recording.numbers.append(detections - 1)
        except SensorDataError as error:
            recording.refused[f'{clean_text(message.topic)}: {error.reason}'] += 1
    recording.integrity = reader.integrity.describe()
    if not recording.statuses:
        raise _no_outputs(reader)
    recording.finish()
    return recording


def _output(message: BagMessage) -> Output:
    if message.msgtype != wire.OUTPUT_TYPES[wire.DETECTIONS]:
        raise SensorDataError('type', message.topic, 'DetectionArray', message.msgtype)
    return read_output(message, wire.DETECTIONS)


def _no_outputs(reader: BagReader) -> ConfigError:
    """Say what the bag has instead, and what makes outputs of it."""
    topics = [clean_text(topic) for topic in sorted(reader.topics)]
    more = f' and {len(topics) - _TOPICS_TOLD} more' if len(topics) > _TOPICS_TOLD else ''
    out = f'{reader.path.resolve().stem}.metabev.mcap'
    command = shlex.join(['metabev', 'replay', str(reader.path), '-o', out])
    return ConfigError(
        clean_text(reader.path, 300),
        'a bag with the outputs of the node (status, detections, bev_map)',
        f'{", ".join(topics[:_TOPICS_TOLD])}{more}' if topics else 'no topics',
        f'make them: {command}; then: {shlex.join(["metabev", "report", out])}',
    )
