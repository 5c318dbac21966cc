"""The evidence of one live run, read back from its bag: nothing else is asked."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagMessage, BagReader
from metabev_ros.config import RigConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.faults.live import ACTIONS_TOPIC, decode_action
from metabev_ros.lab.demo.live import NODE_NAME, sensor_topics
from metabev_ros.pages.messages import (
    Diagnostic,
    Frame,
    Output,
    Status,
    read_frame,
    read_output,
    read_status,
)

STAMP_SLACK_NS = 1_000  # ages travel as float32 seconds


@dataclass
class Evidence:
    """The run in order of time.

    Attributes:
        start_ns: wall clock and stamp of the bag's first message.
        first_ns: its log time in the bag that was played; truth is stamped by that clock.
        actions: (fault name, 'begin' or 'end') -> wall clock when it was done.
        published: sensor name -> (N, 2) int64 stamp and wall clock of every publication, in
            order of the stamps.
        payloads: sensor name -> stamp -> serialized bytes as published.
        results: topic -> serialized bytes per output, as `outputs` and `maps`.
    """

    start_ns: int = 0
    first_ns: int = 0
    actions: dict[tuple[str, str], int] = field(default_factory=dict)
    published: dict[str, np.ndarray] = field(default_factory=dict)
    payloads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    maps: list[Output] = field(default_factory=list)
    results: dict[str, dict[int, bytes]] = field(default_factory=dict)
    statuses: list[Status] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def seconds(self, wall_ns: int) -> float:
        """Seconds since the start of the drive."""
        return (wall_ns - self.start_ns) * 1e-9

    def truth_stamp(self, stamp_ns: int) -> int:
        """The stamp of the same instant in the bag that was played."""
        return stamp_ns - self.start_ns + self.first_ns

    def heartbeats(self, begin_ns: int, end_ns: int) -> list[Status]:
        """Timer statuses received in [begin, end)."""
        return [s for s in self.statuses if s.is_heartbeat and begin_ns <= s.wall_ns < end_ns]

    def label_status(self, stamp_ns: int) -> Status | None:
        """The status that belongs to the output of a stamp."""
        index = bisect_left(self._labels, stamp_ns, key=lambda status: status.stamp_ns)
        found = self._labels[index : index + 1]
        return found[0] if found and found[0].stamp_ns == stamp_ns else None

    def last_heartbeat(self, wall_ns: int) -> Status | None:
        """The newest timer status at a time."""
        index = bisect_right(self._beats, wall_ns, key=lambda status: status.wall_ns)
        return self._beats[index - 1] if index else None

    def sent(self, sensor: str, stamp_ns: int) -> int | None:
        """The stamp of what a sensor published at a stamp (as labels say it); None for nothing."""
        stamps = self.published[sensor][:, 0]
        near = stamps[np.abs(stamps - stamp_ns) <= STAMP_SLACK_NS]
        return int(near[0]) if len(near) else None

    def newest_sent(self, sensor: str, stamp_ns: int, within_ns: int) -> int | None:
        """The newest stamp of a sensor up to a stamp, if it is not older than `within_ns`."""
        stamps = self.published[sensor][:, 0]
        index = int(np.searchsorted(stamps, stamp_ns, 'right')) - 1
        if index < 0 or stamp_ns - stamps[index] > within_ns:
            return None
        return int(stamps[index])

    def held(self, stamp_ns: int) -> dict[str, int]:
        """Sensor name -> stamp of its data in the output of a stamp; empty without one."""
        for output in self.outputs:
            if output.stamp_ns == stamp_ns:
                return {name: stamp_ns - age for name, age in output.ages_ns.items()}
        return {}

    def output_before(self, stamp_ns: int, within_ns: int) -> int | None:
        """The stamp of the newest output up to a stamp, if it is not older than `within_ns`."""
        index = bisect_right(self._stamps, stamp_ns) - 1
        if index < 0 or stamp_ns - self._stamps[index] > within_ns:
            return None
        return self._stamps[index]

    def finish(self) -> None:
        """Sort what comes from several threads; prepare the look-ups."""
        for items in (self.outputs, self.maps, self.statuses, self.diagnostics):
            items.sort(key=lambda item: item.wall_ns)
        self._labels = sorted(
            (s for s in self.statuses if not s.is_heartbeat), key=lambda status: status.stamp_ns
        )
        self._beats = [s for s in self.statuses if s.is_heartbeat]
        self._stamps = sorted(output.stamp_ns for output in self.outputs)
        self.published = {
            name: pairs[np.argsort(pairs[:, 0], kind='stable')]
            for name, pairs in self.published.items()
        }

    def frame(self, stamp_ns: int) -> Frame | None:
        """Boxes and map of one output, decoded now; None if there was none."""
        boxes = self.results[wire.DETECTIONS].get(stamp_ns)
        if boxes is None:
            return None
        return read_frame(boxes, self.results[wire.BEV_MAP].get(stamp_ns))


def read_evidence(bag: Path, rig: RigConfig) -> Evidence:
    """Read the bag that a rehearsal wrote.

    Raises:
        SensorDataError: reason 'bag' if it is damaged or no rehearsal.
    """
    reader, evidence = BagReader(bag), Evidence()
    sensors = {topic: name for name, topic in sensor_topics(rig).items()}
    instants: dict[str, list[tuple[int, int]]] = {name: [] for name in sensors.values()}
    evidence.payloads = {name: {} for name in instants}
    evidence.results = {wire.DETECTIONS: {}, wire.BEV_MAP: {}}
    for message in reader:
        name = sensors.get(message.topic)
        if name is not None:
            stamp = wire.read_stamp(message.cdr)
            instants[name].append((stamp, message.log_time_ns))
            evidence.payloads[name][stamp] = message.cdr
        else:
            _take(evidence, message)
    if reader.integrity.is_lossy or not evidence.start_ns:
        raise SensorDataError(
            'bag', str(bag), 'the whole bag of a rehearsal', reader.integrity.describe()
        )
    evidence.published = {
        name: np.array(pairs, np.int64).reshape(-1, 2) for name, pairs in instants.items()
    }
    evidence.finish()
    return evidence


def _take(evidence: Evidence, message: BagMessage) -> None:
    topic, prefix = message.topic, f'/{NODE_NAME}/'
    if topic == ACTIONS_TOPIC:
        _take_action(evidence, message)
    elif topic == prefix + wire.STATUS:
        evidence.statuses.append(read_status(message))
    elif topic == wire.DIAGNOSTICS:
        content = wire.deserialize(message.cdr, message.msgtype)
        level = next((s.level for s in content.status if s.name == NODE_NAME), None)
        if level is not None:
            number = level[0] if isinstance(level, (bytes, bytearray)) else int(level)
            evidence.diagnostics.append(Diagnostic(message.log_time_ns, number))
    elif topic in (prefix + wire.DETECTIONS, prefix + wire.BEV_MAP):
        output = read_output(message, topic[len(prefix) :])
        (evidence.outputs if output.topic == wire.DETECTIONS else evidence.maps).append(output)
        evidence.results[output.topic][output.stamp_ns] = message.cdr


def _take_action(evidence: Evidence, message: BagMessage) -> None:
    done = decode_action(message.cdr)
    if done.action == 'start':
        evidence.start_ns, evidence.first_ns = done.start_ns, done.first_ns
    else:
        evidence.actions[done.fault, done.action] = message.log_time_ns
