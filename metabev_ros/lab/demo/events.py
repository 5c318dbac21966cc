"""Delays of the node around one fault."""

from __future__ import annotations

from dataclasses import dataclass

from metabev_ros.config import RigConfig
from metabev_ros.faults.plan import FaultPlan, PlannedFault
from metabev_ros.lab.demo.correctness import modality_of
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.structures import Modality

NEVER_MS = 999_999.0  # instead of a delay: it did not happen before the next fault
NO_END = 2**63 - 1
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
        still_named: from the fault to the stamp of the last output that holds a failed sensor;
            0 if there is none.
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
    still_named: float


def measure_event(
    evidence: Evidence, plan: FaultPlan, fault: PlannedFault, rig: RigConfig
) -> EventMeasure:
    """Measure what one fault of a plan led to."""
    begin, end = span(evidence, fault)
    begin_stamp = scheduled(evidence, fault.begin)
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
        _still_named(evidence, fault, rig),
    )


def _still_named(evidence: Evidence, fault: PlannedFault, rig: RigConfig) -> float:
    """From the fault to the stamp of the last output that holds a failed sensor, ms."""
    begin, end = scheduled(evidence, fault.begin), scheduled(evidence, fault.end)
    failed = frozenset(fault.sensor_names(rig))
    stamps = [
        o.stamp_ns for o in evidence.outputs if begin < o.stamp_ns < end and failed & o.sensors
    ]
    return (max(stamps) - begin) / 1e6 if stamps else 0.0


def span(evidence: Evidence, fault: PlannedFault) -> tuple[int, int]:
    """Wall clock when the fault was begun and ended."""
    return evidence.actions[fault.name, 'begin'], evidence.actions[fault.name, 'end']


def scheduled(evidence: Evidence, seconds: float) -> int:
    """The stamp of an instant of the plan."""
    return evidence.start_ns + round(seconds * 1e9)


def _next_begin(evidence: Evidence, plan: FaultPlan, fault: PlannedFault) -> int:
    later = [f for f in plan.faults if f.begin > fault.begin]
    return evidence.actions[later[0].name, 'begin'] if later else NO_END


def _revival(evidence: Evidence, fault: PlannedFault, rig: RigConfig) -> int:
    """Wall clock when every failed sensor had published something new again."""
    _, end = span(evidence, fault)
    first: list[int] = []
    for sensor in fault.sensor_names(rig):
        walls = evidence.published[sensor][:, 1]
        later = walls[walls >= end]
        first.append(int(later.min()) if len(later) else end)
    return max(first)


def _recovery(
    evidence: Evidence, fault: PlannedFault, rig: RigConfig, revived: int, until: int
) -> float:
    """From the revival to the first output made from all sensors, ms."""
    everything, end_stamp = frozenset(rig.sensor_names), scheduled(evidence, fault.end)
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
