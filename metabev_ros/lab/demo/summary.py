"""A run and what came of it, as JSON and in words."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.faults.plan import FaultPlan, PlannedFault
from metabev_ros.files import write_text
from metabev_ros.lab.datasets.synthetic.sensor_drive import SensorDrive
from metabev_ros.lab.demo.events import EventMeasure
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.lab.demo.load import Load
from metabev_ros.lab.demo.measures import Measures
from metabev_ros.lab.demo.scene import Mounting
from metabev_ros.lab.demo.sensors import SensorMeasure
from metabev_ros.lab.demo.targets import Check, drive_seconds
from metabev_ros.lab.demo.world import Truths
from metabev_ros.lab.evaluation.held_out import CHOICE_FIRST_SEED
from metabev_ros.lab.evaluation.records import current_commit, machine_name
from metabev_ros.lab.report.quality import Quality


@dataclass(frozen=True)
class Setting:
    """The conditions of a run, which the judge knows beside the evidence."""

    rig: RigConfig
    sensing: SensingConfig
    plan: FaultPlan
    drive: SensorDrive
    truths: Truths
    mounting: Mounting


SUMMARY = 'summary.json'


@dataclass(frozen=True)
class Findings:
    """The evidence of a run, and what it is worth."""

    evidence: Evidence
    measures: Measures
    checks: list[Check]
    qualities: list[Quality]
    load: Load


def write_summary(path: Path, seed: int, setting: Setting, findings: Findings) -> None:
    """Write summary.json; it appears under its name when complete."""
    evidence, measures = findings.evidence, findings.measures
    plain = {
        'seed': seed,
        'machine': machine_name(),
        'commit': current_commit(),
        'load': dataclasses.asdict(findings.load) | {'is_busy': findings.load.is_busy},
        'model': model_text(evidence),
        'duration_s': round(measures.duration, 3),
        'plan': [_plain_fault(fault, setting.rig) for fault in setting.plan.faults],
        'events': [_plain_event(event) for event in measures.events],
        'labels': {
            'outputs': Counter(output.modality.name for output in evidence.outputs),
            'checked': measures.labels.checked,
            'wrong': list(measures.labels.wrong),
            'passed_over': list(measures.labels.passed_over),
        },
        'samples': {
            'made': measures.samples,
            'replaced_by_newer': measures.dropped,
            'outputs_hz_healthy': round(measures.output_hz, 2),
        },
        'sensors': [_plain_sensor(sensor) for sensor in measures.sensors],
        'latency_ms': {
            name: {
                'median': round(1e3 * float(np.median(v)), 2),
                'p95': round(1e3 * float(np.percentile(v, 95)), 2),
                'n': len(v),
            }
            for name, v in measures.latency.items()
        },
        'metrics': [quality.to_plain() for quality in findings.qualities],
        'checks': [
            dataclasses.asdict(check.record) | {'not_judged': check.not_judged}
            for check in findings.checks
        ],
    }
    write_text(path, json.dumps(plain, indent=1) + '\n')


def _plain_fault(fault: PlannedFault, rig: RigConfig) -> dict[str, object]:
    return {
        'name': fault.name,
        'type': fault.type.value,
        'sensors': list(fault.sensor_names(rig)),
        'begin_s': fault.begin,
        'end_s': fault.end,
    }


def _plain_event(event: EventMeasure) -> dict[str, object]:
    return {
        'name': event.fault.name,
        'begin_s': round(event.begin_s, 3),
        'end_s': round(event.end_s, 3),
        'expected': event.expected.name,
        'label_delay_stamp_ms': round(event.label_stamp, 1),
        'label_delay_received_ms': round(event.label_wall, 1),
        'longest_silence_ms': round(event.silence, 1),
        'recovery_ms': round(event.recovery, 1),
        'outputs': event.outputs,
    }


def _plain_sensor(sensor: SensorMeasure) -> dict[str, object]:
    ages = sensor.healthy_ages
    return {
        'name': sensor.name,
        'nominal_hz': sensor.nominal_hz,
        'published_hz': round(sensor.published_hz, 3),
        'reported_hz': round(sensor.reported_hz, 3),
        'stamp_to_publication_ms': round(sensor.way, 2),
        'age_ms': {
            'median': round(float(np.median(ages)), 1) if len(ages) else None,
            'largest': round(float(ages.max()), 1) if len(ages) else None,
            'least': round(float(ages.min()), 1) if len(ages) else None,
            'largest_of_all_outputs': round(float(sensor.ages.max()), 1)
            if len(sensor.ages)
            else None,
            'n': len(ages),
        },
        'served_again': round(sensor.again, 3),
    }


def model_text(evidence: Evidence) -> str:
    """The model as the node named it."""
    return evidence.statuses[-1].model if evidence.statuses else 'unknown'


def headline(setting: Setting) -> str:
    """The run in four sentences, for the top of the report."""
    rig, speeds = setting.rig, _speeds(setting.drive)
    return (
        f'A drive of {drive_seconds(setting.plan):.0f} seconds through a city that no training '
        f'saw was played to the running ROS 2 node: {len(rig.cameras)} cameras at '
        f'{rig.cameras[0].rate_hz:g} Hz, each at its own moment, and a spinning LiDAR at '
        f'{rig.lidars[0].rate_hz:g} Hz, on a vehicle that drives at up to {speeds.max():.0f} m/s '
        'and turns. Its messages came late and with jitter, its odometry was noisy. '
        'A plan of faults destroyed publishers and made them anew, and let one camera repeat a '
        'single picture. What the node published is held against the plan and the log of what '
        'was really sent, never against its own word.'
    )


def _speeds(drive: SensorDrive) -> np.ndarray:
    """m/s at every tenth of a second."""
    times = np.arange(0.0, drive.seconds, 0.1)
    return np.array([np.hypot(*drive.ego.velocity(float(t))[:2]) for t in times])


def _turned(drive: SensorDrive) -> float:
    """Degrees that the vehicle turned through in all."""
    headings = drive.ego.planar(np.arange(0.0, drive.seconds, 0.1))[:, 2]
    return float(np.degrees(np.abs(np.diff(headings)).sum()))


def facts(
    out: Path, seed: int, setting: Setting, findings: Findings, seconds: float
) -> list[tuple[str, str]]:
    """(name, text) of the conditions of the run, for the end of the report."""
    drive, sensing, measures = setting.drive, setting.sensing, findings.measures
    timing, speeds = drive.timing, _speeds(drive)
    spans = (f'{f.title}: {f.begin:g} to {f.end:g} s' for f in setting.plan.faults)
    texts = {
        'drive': f'synthetic, seed {seed} (held out: {CHOICE_FIRST_SEED} and above), '
        f'{len(drive.events)} messages; {speeds.min():.0f} to {speeds.max():.0f} m/s, '
        f'{_turned(drive):.0f} degrees of turns',
        'timing': f'timing preset {drive.config.timing}: messages '
        f'leave {1e3 * timing.cameras.latency:g} ms (cameras) and '
        f'{1e3 * timing.lidars.latency:g} ms (LiDAR) after their stamp, with '
        f'{1e3 * timing.cameras.jitter:g} and {1e3 * timing.lidars.jitter:g} ms of jitter; '
        f'odometry at {timing.odometry.rate_hz:g} Hz, TF at {timing.tf.rate_hz:g} Hz, both with '
        'noise and drift',
        'model': model_text(findings.evidence),
        'samples': f'{measures.samples} made, {measures.dropped} of them replaced by newer ones '
        'before inference: the newest sample wins',
        'plan': '; '.join(spans),
        'dead': 'publishers are destroyed; they are advertised again half a second before their '
        'sensor delivers again',
        'graph': 'three processes over Fast DDS on a private domain of this machine: the node, '
        'the player with the recorder, this report',
        'sensing': f'deadline {1e3 * sensing.deadline:g} ms, tolerance '
        f'{1e3 * sensing.tolerance:g} ms, an image serves for {sensing.max_age_periods:g} periods '
        f'at most, frozen after {sensing.frozen_frames} equal frames, '
        f'back after {sensing.readmit_frames} good ones',
        'machine': f'{machine_name()}; while the node lived: {findings.load.text}',
        'commit': current_commit(),
        'made in': f'{seconds:.0f} s',
        'files': f'{out}/output.mcap (inputs as played and all outputs; opens in Foxglove), '
        f'{out}/summary.json, {out}/run.mp4, {out}/pictures/, {out}/logs/',
    }
    return list(texts.items())
