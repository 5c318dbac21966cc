"""A made-up run of a node that does everything right; tests plant their lies into it."""

from __future__ import annotations

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.faults.plan import FaultPlan, FaultType
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.lab.demo.measures import Measures, measure
from metabev_ros.lab.demo.targets import drive_seconds
from metabev_ros.pages.messages import Diagnostic, Output, Status
from metabev_ros.structures import Modality, SensorKind, SensorReport, SensorState

START_NS, FIRST_NS = 1_800_000_000_000_000_000, 1_700_000_000_000_000_000
PERIOD_NS = 50_000_000  # of the sweeps; the node answers each of them
LATENCY_NS, LAG_NS = 60_000_000, 2_000_000  # of the node, of the player
STAGES = {'network': LATENCY_NS * 1e-9}  # seconds
IMAGE_WAY_NS, SWEEP_WAY_NS = 20_000_000, 5_000_000  # from a stamp to the planned arrival
WAIT_NS = 45_000_000  # from the stamp of a sweep until its sample closes
READMIT_NS, FROZEN_NS, WARM_NS = 200_000_000, 250_000_000, 200_000_000


def ideal_run(plan: FaultPlan, rig: RigConfig) -> Evidence:
    """Every sensor publishes at its rate unless the plan says no; labels follow at once."""
    evidence = Evidence(START_NS, FIRST_NS)
    for fault in plan.faults:
        evidence.actions[fault.name, 'begin'] = START_NS + round(fault.begin * 1e9)
        evidence.actions[fault.name, 'end'] = START_NS + round(fault.end * 1e9)
    for name, stamps in _stamps(plan, rig).items():
        way = _way(rig, name)
        sent = [stamp for stamp in stamps if not _is_dead(plan, rig, name, stamp + way)]
        pairs = [(stamp, stamp + way + LAG_NS) for stamp in sent]
        evidence.published[name] = np.array(pairs, np.int64)
    for stamp in _stamps(plan, rig)[rig.lidars[0].name]:
        if stamp >= START_NS + WARM_NS:
            _look(evidence, plan, rig, stamp)
    evidence.finish()
    return evidence


def measured(run: Evidence, plan: FaultPlan, rig: RigConfig) -> Measures:
    """The run as the judge sees it."""
    shift = START_NS - FIRST_NS
    arrivals = {
        name: {stamp - shift: stamp - shift + _way(rig, name) for stamp in stamps}
        for name, stamps in _stamps(plan, rig).items()
    }
    return measure(run, plan, rig, sensing(), arrivals)


def _way(rig: RigConfig, name: str) -> int:
    return IMAGE_WAY_NS if rig.kinds[name] is SensorKind.CAMERA else SWEEP_WAY_NS


def _stamps(plan: FaultPlan, rig: RigConfig) -> dict[str, list[int]]:
    """Sensor name -> its stamps: each camera at a phase of its own, sweeps from the start on."""
    end = START_NS + round(drive_seconds(plan) * 1e9)
    found: dict[str, list[int]] = {}
    for index, sensor in enumerate(rig.sensors):
        is_camera = rig.kinds[sensor.name] is SensorKind.CAMERA
        first = START_NS + (7_300_000 * index if is_camera else 0)
        found[sensor.name] = np.arange(first, end, round(1e9 / sensor.rate_hz)).tolist()
    return found


def _is_dead(plan: FaultPlan, rig: RigConfig, name: str, arrival: int) -> bool:
    return any(
        fault.type is FaultType.DEAD and name in fault.sensor_names(rig)
        for fault in plan.lasting((arrival - START_NS) * 1e-9)
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
        SensorReport(
            sensor.name,
            rig.kinds[sensor.name],
            states[sensor.name],
            sensor.name in used,
            rate_hz=sensor.rate_hz,
        )
        for sensor in rig.sensors
    )
    wall = stamp + LATENCY_NS
    evidence.statuses.append(Status(wall, wall + 1, True, modality, reports, 0.0, {}, 'made up'))
    evidence.diagnostics.append(Diagnostic(wall, 2 if modality is Modality.NONE else 0))
    if modality is not Modality.NONE:
        evidence.statuses.append(
            Status(stamp, wall, False, modality, reports, LATENCY_NS * 1e-9, STAGES, 'made up')
        )
        ages = {name: _age(evidence, name, stamp) for name in rig.sensor_names if name in used}
        for topic, found in (('detections', evidence.outputs), ('bev_map', evidence.maps)):
            found.append(Output(topic, stamp, wall, modality, dict(ages)))


def _age(evidence: Evidence, name: str, stamp: int) -> int:
    """Age of the nearest of what had come when the sample closed."""
    stamps, walls = evidence.published[name].T
    there = stamps[walls <= stamp + WAIT_NS]
    return stamp - int(there[np.abs(there - stamp).argmin()])


def sensing() -> SensingConfig:
    """The node's settings."""
    return SensingConfig()
