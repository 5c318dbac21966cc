"""Delays of the node per fault, and its words meanwhile.

The oracle is the plan and the log of publications, never the node's own word. Two clocks are
told apart: stamp time (which sample was the first to be right: what the node decided) and wall
time (when its output was received: that plus waiting, inference and transport).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.faults.plan import FaultPlan, PlannedFault
from metabev_ros.lab.demo.correctness import LabelMeasure, check_labels, modality_of
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.structures import Modality, SensorState

NEVER_MS = 999_999.0  # instead of a delay: it did not happen before the next fault
NO_END = 2**63 - 1
EVERYTHING, FROZEN = 'everything', 'frozen'  # faults that are measured in a way of their own
ERROR_LEVEL = 2
MARGIN_NS = 300_000_000


@dataclass(frozen=True)
class EventMeasure:
    """One fault and what the node made of it. Times in milliseconds, NEVER_MS if not at all.

    Attributes:
        begin_s, end_s: when it was done, seconds since the start by the wall clock.
        expected: what outputs must be labelled with while it lasts; NONE means no outputs.
        label_stamp: from the fault to the stamp of the first output with the right label.
        label_wall: from the fault to the reception of that output (or of the first NONE status).
        silence: longest time without an output, from shortly before the fault to the recovery.
        recovery: from the first message of every revived sensor to the first output made from
            all sensors.
        outputs: received while the fault lasted.
    """

    fault: PlannedFault
    begin_s: float
    end_s: float
    expected: Modality
    label_stamp: float
    label_wall: float
    silence: float
    recovery: float
    outputs: int


@dataclass(frozen=True)
class DarkMeasure:
    """Words of the node while every sensor was dead.

    Attributes:
        status_rate: heartbeats a second from the fault to its end.
        longest_gap: between two of them, ms.
        none_share, error_share: of the statuses after the first NONE, and of the diagnostics
            after the first ERROR, that still said so.
        error_delay: from the fault to the first ERROR, ms.
    """

    status_rate: float
    longest_gap: float
    none_share: float
    error_share: float
    error_delay: float
    statuses: int


@dataclass(frozen=True)
class FrozenMeasure:
    """Words of the node about a frozen camera.

    Attributes:
        named: from the fault to the first status that calls it FROZEN, ms.
        masked: from the fault to the first output made without it, ms.
        used_after: outputs made with it although it had been named before they were begun.
    """

    named: float
    masked: float
    used_after: int


@dataclass(frozen=True)
class Measures:
    """Everything measured in one run.

    Attributes:
        latency: modality name -> (N,) seconds from stamp to publication, as the node says.
        duration: seconds from the first message to the last reception.
        heartbeat_rate: over the whole run.
        lateness: 95th percentile of how late the sensors' messages were sent, ms; tens of
            milliseconds mean that the machine was too busy for its figures to say much.
    """

    events: tuple[EventMeasure, ...]
    dark: DarkMeasure
    frozen: FrozenMeasure
    labels: LabelMeasure
    latency: dict[str, np.ndarray]
    duration: float
    heartbeat_rate: float
    lateness: float

    def event(self, name: str) -> EventMeasure:
        """The measure of a fault, by its name."""
        return next(event for event in self.events if event.fault.name == name)


def measure(
    evidence: Evidence, plan: FaultPlan, rig: RigConfig, sensing: SensingConfig
) -> Measures:
    """Judge a run.

    Args:
        plan: one that `targets.require_judgeable` accepts.
        sensing: what the node ran with (its tolerance bounds what a label may claim).
    """
    events = tuple(_event(evidence, plan, fault, rig) for fault in plan.faults)
    beats = [s for s in evidence.statuses if s.is_heartbeat and s.wall_ns >= evidence.start_ns]
    latency: dict[str, list[float]] = {}
    for status in evidence.statuses:
        if not status.is_heartbeat:
            latency.setdefault(status.modality.name, []).append(status.latency_s)
    last = max(item.wall_ns for item in [*evidence.outputs, *beats])
    return Measures(
        events,
        _dark(evidence, plan.named(EVERYTHING)),
        _frozen(evidence, plan.named(FROZEN), rig),
        check_labels(evidence, plan, rig, sensing),
        {name: np.array(values) for name, values in sorted(latency.items())},
        evidence.seconds(last),
        _rate([s.wall_ns for s in beats]),
        _lateness(evidence),
    )


# ------------------------------------------------------------------------------------- events
def _event(
    evidence: Evidence, plan: FaultPlan, fault: PlannedFault, rig: RigConfig
) -> EventMeasure:
    begin, end = _span(evidence, fault)
    begin_stamp = _scheduled(evidence, fault.begin)
    alive = frozenset(rig.sensor_names) - frozenset(fault.sensor_names(rig))
    expected = modality_of(alive, rig)
    until, revived = _next_begin(evidence, plan, fault), _revival(evidence, fault, rig)
    if expected is Modality.NONE:
        stamp_delay = wall_delay = _first_none(evidence, begin, end)
        silence = NEVER_MS
    else:
        right = next(
            (
                o
                for o in evidence.outputs
                if o.stamp_ns > begin_stamp and o.wall_ns < end and o.sensors == alive
            ),
            None,
        )
        stamp_delay = NEVER_MS if right is None else (right.stamp_ns - begin_stamp) / 1e6
        wall_delay = NEVER_MS if right is None else (right.wall_ns - begin) / 1e6
        silence = _silence(evidence, begin, min(until, revived + MARGIN_NS))
    return EventMeasure(
        fault,
        evidence.seconds(begin),
        evidence.seconds(end),
        expected,
        stamp_delay,
        wall_delay,
        silence,
        _recovery(evidence, fault, rig, revived, until),
        sum(begin <= o.wall_ns < end for o in evidence.outputs),
    )


def _span(evidence: Evidence, fault: PlannedFault) -> tuple[int, int]:
    """Wall clock when the fault was begun and ended."""
    return evidence.actions[fault.name, 'begin'], evidence.actions[fault.name, 'end']


def _scheduled(evidence: Evidence, seconds: float) -> int:
    """The stamp of an instant of the plan."""
    return evidence.start_ns + round(seconds * 1e9)


def _next_begin(evidence: Evidence, plan: FaultPlan, fault: PlannedFault) -> int:
    later = [f for f in plan.faults if f.begin > fault.begin]
    return evidence.actions[later[0].name, 'begin'] if later else NO_END


def _revival(evidence: Evidence, fault: PlannedFault, rig: RigConfig) -> int:
    """Wall clock when every failed sensor had published something new again."""
    end_stamp = _scheduled(evidence, fault.end)
    first = []
    for sensor in fault.sensor_names(rig):
        later = evidence.published[sensor]
        later = later[later[:, 0] >= end_stamp]
        first.append(int(later[0, 1]) if len(later) else evidence.actions[fault.name, 'end'])
    return max(first)


def _recovery(
    evidence: Evidence, fault: PlannedFault, rig: RigConfig, revived: int, until: int
) -> float:
    """From the revival to the first output made from all sensors, ms."""
    everything, end_stamp = frozenset(rig.sensor_names), _scheduled(evidence, fault.end)
    walls = (
        o.wall_ns
        for o in evidence.outputs
        if revived <= o.wall_ns < until and o.sensors == everything and o.stamp_ns >= end_stamp
    )
    back = next(walls, None)
    return NEVER_MS if back is None else (back - revived) / 1e6


def _first_none(evidence: Evidence, begin: int, end: int) -> float:
    none = next((s for s in evidence.heartbeats(begin, end) if s.modality is Modality.NONE), None)
    return NEVER_MS if none is None else (none.wall_ns - begin) / 1e6


def _silence(evidence: Evidence, begin: int, end: int) -> float:
    """Longest gap between two outputs that overlaps [begin, end], ms."""
    walls = [o.wall_ns for o in evidence.outputs]
    gaps = [
        later - earlier
        for earlier, later in zip(walls, walls[1:], strict=False)
        if later > begin and earlier < end
    ]
    return max(gaps) / 1e6 if gaps else NEVER_MS


def _rate(walls: list[int]) -> float:
    return (len(walls) - 1) * 1e9 / (walls[-1] - walls[0]) if len(walls) > 1 else 0.0


def _lateness(evidence: Evidence) -> float:
    late = [pairs[:, 1] - pairs[:, 0] for pairs in evidence.published.values()]
    return float(np.percentile(np.concatenate(late), 95)) / 1e6


def _dark(evidence: Evidence, fault: PlannedFault) -> DarkMeasure:
    begin, end = _span(evidence, fault)
    beats = evidence.heartbeats(begin, end)
    walls = [begin, *(s.wall_ns for s in beats), end]
    levels = [d for d in evidence.diagnostics if begin <= d.wall_ns < end]
    error = next((d.wall_ns for d in levels if d.level == ERROR_LEVEL), None)
    return DarkMeasure(
        len(beats) * 1e9 / (end - begin),
        max(np.diff(walls)) / 1e6,
        _share([s.modality is Modality.NONE for s in beats]),
        _share([d.level == ERROR_LEVEL for d in levels]),
        NEVER_MS if error is None else (error - begin) / 1e6,
        len(beats),
    )


def _share(flags: list[bool]) -> float:
    """Of the flags from the first true one on; 0 if none is."""
    if True not in flags:
        return 0.0
    rest = flags[flags.index(True) :]
    return sum(rest) / len(rest)


def _frozen(evidence: Evidence, fault: PlannedFault, rig: RigConfig) -> FrozenMeasure:
    begin, end = _span(evidence, fault)
    begin_stamp, end_stamp = _scheduled(evidence, fault.begin), _scheduled(evidence, fault.end)
    (camera,) = fault.sensor_names(rig)
    named = next(
        (
            s
            for s in evidence.statuses
            if begin <= s.wall_ns < end and s.state(camera) is SensorState.FROZEN
        ),
        None,
    )
    during = [o for o in evidence.outputs if begin_stamp < o.stamp_ns < end_stamp]
    masked = next((o for o in during if camera not in o.sensors), None)
    named_ns = end if named is None else named.wall_ns
    used = [o for o in during if camera in o.sensors and o.stamp_ns > named_ns]
    return FrozenMeasure(
        NEVER_MS if named is None else (named.wall_ns - begin) / 1e6,
        NEVER_MS if masked is None else (masked.wall_ns - begin) / 1e6,
        len(used),
    )
