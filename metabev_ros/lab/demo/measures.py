"""Measures of what the node did in a run, and of its words meanwhile.

The oracle is the plan and the log of publications, never the node's own word. Two clocks are
told apart: stamp time (which sample was the first to be right: what the node decided) and wall
time (when its output was received: that plus waiting, inference and transport).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.faults.plan import FaultPlan, PlannedFault
from metabev_ros.lab.demo.correctness import (
    LabelMeasure,
    check_labels,
    healthy_outputs,
)
from metabev_ros.lab.demo.events import NEVER_MS, EventMeasure, measure_event, scheduled, span
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.lab.demo.sensors import SensorMeasure, measure_sensors
from metabev_ros.structures import Modality, SensorState

EVERYTHING, FROZEN = 'everything', 'frozen'  # faults that are measured in a way of their own
ERROR_LEVEL = 2
LONGEST_GAP_S = 1.0  # between two outputs of one healthy stretch


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
        sensors: rates and ages, in the rig's order.
        latency: modality name -> (N,) seconds from stamp to publication, as the node says.
        inference: milliseconds that this machine computes for a FUSED output, 95th percentile.
        duration: seconds from the first message to the last reception.
        heartbeat_rate: over the whole run.
        lateness: 95th percentile of how much later than planned the sensors' messages were
            sent, ms; tens of milliseconds mean that the machine was too busy for its figures to
            say much.
        output_hz: outputs a second while nothing failed.
        samples, dropped: samples that the node made, and those of them that newer ones replaced
            before inference.
    """

    events: tuple[EventMeasure, ...]
    dark: DarkMeasure
    frozen: FrozenMeasure
    labels: LabelMeasure
    sensors: tuple[SensorMeasure, ...]
    latency: dict[str, np.ndarray]
    inference: float
    duration: float
    heartbeat_rate: float
    lateness: float
    output_hz: float
    samples: int
    dropped: int

    def event(self, name: str) -> EventMeasure:
        """The measure of a fault, by its name."""
        return next(event for event in self.events if event.fault.name == name)


def measure(
    evidence: Evidence,
    plan: FaultPlan,
    rig: RigConfig,
    sensing: SensingConfig,
    arrivals: Mapping[str, Mapping[int, int]],
) -> Measures:
    """Judge a run.

    Args:
        plan: one that `targets.require_judgeable` accepts.
        sensing: what the node ran with (it bounds what a label may claim).
        arrivals: sensor name -> stamp -> when its message was to be sent, in the bag that was
            played.
    """
    events = tuple(measure_event(evidence, plan, fault, rig) for fault in plan.faults)
    beats = [s for s in evidence.statuses if s.is_heartbeat and s.wall_ns >= evidence.start_ns]
    latency: dict[str, list[float]] = {}
    for status in evidence.statuses:
        if not status.is_heartbeat:
            latency.setdefault(status.modality.name, []).append(status.latency_s)
    last = max(item.wall_ns for item in [*evidence.outputs, *beats])
    final = evidence.statuses[-1]
    return Measures(
        events,
        _dark(evidence, plan.named(EVERYTHING)),
        _frozen(evidence, plan.named(FROZEN), rig),
        check_labels(evidence, plan, rig, sensing),
        measure_sensors(evidence, plan, rig, sensing),
        {name: np.array(values) for name, values in sorted(latency.items())},
        _inference(evidence),
        evidence.seconds(last),
        _rate([s.wall_ns for s in beats]),
        _lateness(evidence, arrivals),
        _output_rate(evidence, plan),
        final.outputs + final.dropped,
        final.dropped,
    )


def _rate(walls: list[int]) -> float:
    return (len(walls) - 1) * 1e9 / (walls[-1] - walls[0]) if len(walls) > 1 else 0.0


def _output_rate(evidence: Evidence, plan: FaultPlan) -> float:
    """Outputs a second over the stretches in which nothing fails."""
    stamps = np.array([o.stamp_ns for o in healthy_outputs(evidence, plan)], np.int64)
    gaps = np.diff(stamps) * 1e-9
    gaps = gaps[gaps < LONGEST_GAP_S]
    return float(len(gaps) / gaps.sum()) if len(gaps) else 0.0


def _lateness(evidence: Evidence, arrivals: Mapping[str, Mapping[int, int]]) -> float:
    shift = evidence.start_ns - evidence.first_ns
    late = [
        wall - (arrivals[name][stamp - shift] + shift)
        for name, pairs in evidence.published.items()
        for stamp, wall in pairs.tolist()
        if stamp - shift in arrivals[name]
    ]
    return float(np.percentile(late, 95)) / 1e6


def _dark(evidence: Evidence, fault: PlannedFault) -> DarkMeasure:
    begin, end = span(evidence, fault)
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
    begin, end = span(evidence, fault)
    begin_stamp, end_stamp = scheduled(evidence, fault.begin), scheduled(evidence, fault.end)
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


def _inference(evidence: Evidence) -> float:
    """95th percentile of preprocessing, network and postprocessing of FUSED, milliseconds."""
    spent = [
        1e3 * sum(status.stages.values())
        for status in evidence.statuses
        if not status.is_heartbeat and status.modality is Modality.FUSED
    ]
    return float(np.percentile(spent, 95)) if spent else 0.0
