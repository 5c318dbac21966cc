"""A made-up run of a node that does everything right; tests plant their lies into it."""

from __future__ import annotations

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.faults.plan import FaultPlan, FaultType
from metabev_ros.lab.demo.evidence import Diagnostic, Evidence, Output, Status
from metabev_ros.lab.demo.targets import drive_seconds
from metabev_ros.structures import Modality, SensorReport, SensorState

START_NS, FIRST_NS = 1_800_000_000_000_000_000, 1_700_000_000_000_000_000
PERIOD_NS, LATENCY_NS, LAG_NS = 100_000_000, 60_000_000, 2_000_000
READMIT_NS, FROZEN_NS, DARK_NS = 100_000_000, 250_000_000, 300_000_000


def ideal_run(plan: FaultPlan, rig: RigConfig) -> Evidence:
    """Every sensor publishes on the beat unless the plan says no; labels follow at once."""
    evidence = Evidence(START_NS, FIRST_NS)
    for fault in plan.faults:
        evidence.actions[fault.name, 'begin'] = START_NS + round(fault.begin * 1e9)
        evidence.actions[fault.name, 'end'] = START_NS + round(fault.end * 1e9)
    stamps = np.arange(START_NS, START_NS + round(drive_seconds(plan) * 1e9), PERIOD_NS)
    for name in rig.sensor_names:
        sent = [stamp for stamp in stamps if not _is_dead(plan, rig, name, stamp)]
        evidence.published[name] = np.array([(s, s + LAG_NS) for s in sent], np.int64)
    for stamp in stamps.tolist():
        _look(evidence, plan, rig, stamp)
    evidence.finish()
    return evidence


def _is_dead(plan: FaultPlan, rig: RigConfig, name: str, stamp: int) -> bool:
    return any(
        fault.type is FaultType.DEAD and name in fault.sensor_names(rig)
        for fault in plan.lasting((stamp - START_NS) * 1e-9)
    )


def _state(plan: FaultPlan, rig: RigConfig, name: str, stamp: int) -> SensorState:
    seconds = (stamp - START_NS) * 1e-9
    for fault in plan.faults:
        if name not in fault.sensor_names(rig):
            continue
        if fault.type is FaultType.DEAD and fault.begin <= seconds < fault.end:
            return SensorState.STALE
        if fault.type is FaultType.STUCK and (
            fault.begin + FROZEN_NS * 1e-9 <= seconds < fault.end
        ):
            return SensorState.FROZEN
        if fault.end <= seconds < fault.end + READMIT_NS * 1e-9:
            return SensorState.RECOVERING
    return SensorState.OK


def _look(evidence: Evidence, plan: FaultPlan, rig: RigConfig, stamp: int) -> None:
    states = {name: _state(plan, rig, name, stamp) for name in rig.sensor_names}
    used = {name for name, state in states.items() if state is SensorState.OK}
    modality = rig.modality_of(used)
    reports = tuple(
        SensorReport(name, rig.kinds[name], state, name in used) for name, state in states.items()
    )
    wall = stamp + LATENCY_NS
    evidence.statuses.append(Status(wall, wall + 1, True, modality, reports, 0.0, {}, 'made up'))
    evidence.diagnostics.append(Diagnostic(wall, 2 if modality is Modality.NONE else 0))
    if modality is not Modality.NONE:
        evidence.statuses.append(
            Status(stamp, wall, False, modality, reports, LATENCY_NS * 1e-9, {}, 'made up')
        )
        for topic, found in (('detections', evidence.outputs), ('bev_map', evidence.maps)):
            found.append(Output(topic, stamp, wall, modality, dict.fromkeys(used, 0)))


def sensing() -> SensingConfig:
    return SensingConfig()
