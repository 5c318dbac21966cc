"""A run and what came of it, as JSON and in words."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.faults.plan import FaultPlan, PlannedFault
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic import DriveConfig
from metabev_ros.lab.demo.correctness import Quality
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.lab.demo.measures import EventMeasure, Measures
from metabev_ros.lab.demo.scene import Mounting
from metabev_ros.lab.demo.targets import Check, drive_seconds
from metabev_ros.lab.evaluation.records import current_commit, machine_name
from metabev_ros.lab.evaluation.run import HELD_OUT_FIRST_SEED


@dataclass(frozen=True)
class Setting:
    """The conditions of a run, which the judge knows beside the evidence."""

    rig: RigConfig
    sensing: SensingConfig
    plan: FaultPlan
    drive: DriveConfig
    truths: dict[int, GroundTruth]
    mounting: Mounting


@dataclass(frozen=True)
class Findings:
    """The evidence of a run, and what it is worth."""

    evidence: Evidence
    measures: Measures
    checks: list[Check]
    qualities: list[Quality]


def write_summary(path: Path, seed: int, setting: Setting, findings: Findings) -> None:
    """Write summary.json; it appears under its name when complete."""
    evidence, measures = findings.evidence, findings.measures
    plain = {
        'seed': seed,
        'machine': machine_name(),
        'commit': current_commit(),
        'model': model_text(evidence),
        'duration_s': round(measures.duration, 3),
        'plan': [_plain_fault(fault, setting.rig) for fault in setting.plan.faults],
        'events': [_plain_event(event) for event in measures.events],
        'labels': {
            'outputs': Counter(output.modality.name for output in evidence.outputs),
            'checked': measures.labels.checked,
            'wrong': list(measures.labels.wrong),
        },
        'latency_ms': {
            name: {
                'median': round(1e3 * float(np.median(v)), 2),
                'p95': round(1e3 * float(np.percentile(v, 95)), 2),
                'n': len(v),
            }
            for name, v in measures.latency.items()
        },
        'metrics': [quality.to_plain() for quality in findings.qualities],
        'checks': [dataclasses.asdict(check.record) for check in findings.checks],
    }
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    part.write_text(json.dumps(plain, indent=1) + '\n', encoding='utf-8')
    os.replace(part, path)


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


def model_text(evidence: Evidence) -> str:
    """The model as the node named it."""
    return evidence.statuses[-1].model if evidence.statuses else 'unknown'


def headline(setting: Setting) -> str:
    """The run in three sentences, for the top of the report."""
    cameras, rate = len(setting.rig.cameras), setting.rig.sample_rate_hz
    return (
        f'A street of {drive_seconds(setting.plan):.0f} seconds that no training saw was played '
        f'to the running ROS 2 node: {cameras} cameras and a LiDAR at {rate:g} Hz. '
        'A plan of faults destroyed publishers and made them anew, and let one camera repeat a '
        'single picture. What the node published is held against the plan and the log of what '
        'was really sent, never against its own word.'
    )


def facts(
    out: Path, seed: int, setting: Setting, evidence: Evidence, seconds: float
) -> list[tuple[str, str]]:
    """(name, text) of the conditions of the run, for the end of the report."""
    drive, sensing = setting.drive, setting.sensing
    spans = (f'{f.title}: {f.begin:g} to {f.end:g} s' for f in setting.plan.faults)
    texts = {
        'drive': f'synthetic, seed {seed} (held out: {HELD_OUT_FIRST_SEED} and above), '
        f'{drive.frames} frames, images {drive.image_width} x {drive.image_height}',
        'model': model_text(evidence),
        'plan': '; '.join(spans),
        'dead': 'publishers are destroyed; they are advertised again half a second before their '
        'sensor delivers again',
        'graph': 'three processes over Fast DDS on a private domain of this machine: the node, '
        'the player with the recorder, this report',
        'sensing': f'deadline {1e3 * sensing.deadline:g} ms, tolerance '
        f'{1e3 * sensing.tolerance:g} ms, frozen after {sensing.frozen_frames} equal frames, '
        f'back after {sensing.readmit_frames} good ones',
        'machine': machine_name(),
        'commit': current_commit(),
        'made in': f'{seconds:.0f} s',
        'files': f'{out}/output.mcap (inputs as played and all outputs; opens in Foxglove), '
        f'{out}/summary.json, {out}/run.mp4, {out}/pictures/, {out}/logs/',
    }
    return list(texts.items())
