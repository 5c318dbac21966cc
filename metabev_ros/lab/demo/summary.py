"""What a run was and what came of it, as JSON and in words."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.lab.datasets.synthetic import DriveConfig
from metabev_ros.lab.demo.checks import Check
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.lab.demo.measures import Measures
from metabev_ros.lab.demo.plan import FailurePlan
from metabev_ros.lab.demo.quality import Quality
from metabev_ros.lab.demo.scene import Mounting
from metabev_ros.lab.evaluation.records import current_commit, machine_name
from metabev_ros.lab.evaluation.run import HELD_OUT_FIRST_SEED
from metabev_ros.structures import GroundTruth


@dataclass(frozen=True)
class Setting:
    """What the judge knows beside the evidence."""

    rig: RigConfig
    sensing: SensingConfig
    plan: FailurePlan
    drive: DriveConfig
    truths: dict[int, GroundTruth]
    mounting: Mounting


@dataclass(frozen=True)
class Findings:
    """What a run left behind, and what it is worth."""

    evidence: Evidence
    measures: Measures
    checks: list[Check]
    qualities: list[Quality]


def write_summary(path: Path, seed: int, setting: Setting, findings: Findings) -> None:
    """Write summary.json; it appears under its name when complete."""
    evidence, measures = findings.evidence, findings.measures
    labels: dict[str, int] = {}
    for output in evidence.outputs:
        labels[output.modality.name] = labels.get(output.modality.name, 0) + 1
    plain = {
        'seed': seed,
        'machine': machine_name(),
        'commit': current_commit(),
        'model': model_text(evidence),
        'duration_s': round(measures.duration, 3),
        'plan': [
            {
                'name': f.name,
                'kind': f.kind.value,
                'sensors': list(f.sensors),
                'begin_s': f.begin,
                'end_s': f.end,
            }
            for f in setting.plan.faults
        ],
        'events': [
            {
                'name': e.fault.name,
                'begin_s': round(e.begin_s, 3),
                'end_s': round(e.end_s, 3),
                'expected': e.expected.name,
                'label_delay_stamp_ms': round(e.label_stamp, 1),
                'label_delay_received_ms': round(e.label_wall, 1),
                'longest_silence_ms': round(e.silence, 1),
                'recovery_ms': round(e.recovery, 1),
                'outputs': e.outputs,
            }
            for e in measures.events
        ],
        'labels': {
            'outputs': labels,
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


def model_text(evidence: Evidence) -> str:
    """The model as the node named it."""
    return evidence.statuses[-1].model if evidence.statuses else 'unknown'


def headline(setting: Setting) -> str:
    """What was done, for the top of the report."""
    cameras = len(setting.rig.cameras)
    return (
        f'A street of {setting.plan.duration:.0f} seconds that no training saw was played to the '
        f'running ROS 2 node: {cameras} cameras and a LiDAR at {setting.rig.lidar.rate_hz:g} Hz. '
        'A script destroyed publishers and made them anew, and let one camera repeat a single '
        'picture. What the node published is held against the script and the log of what was '
        'really sent, never against its own word.'
    )


def facts(
    out: Path, seed: int, setting: Setting, evidence: Evidence, seconds: float
) -> list[tuple[str, str]]:
    """How it was made, for the end of the report."""
    return [
        (
            'drive',
            f'synthetic, seed {seed} (held out: {HELD_OUT_FIRST_SEED} and above), '
            f'{setting.drive.frames} frames, images {setting.drive.image_width} x '
            f'{setting.drive.image_height}',
        ),
        ('model', model_text(evidence)),
        (
            'script',
            '; '.join(f'{f.title}: {f.begin:g} to {f.end:g} s' for f in setting.plan.faults),
        ),
        (
            'killed',
            'publishers are destroyed; they are advertised again half a second before '
            'their sensor delivers again',
        ),
        (
            'graph',
            'three processes over Fast DDS on a private domain of this machine: the node, '
            'the player with the recorder, this report',
        ),
        (
            'sensing',
            f'deadline {1e3 * setting.sensing.deadline:g} ms, tolerance '
            f'{1e3 * setting.sensing.tolerance:g} ms, '
            f'frozen after {setting.sensing.frozen_frames} '
            f'equal frames, back after {setting.sensing.readmit_frames} good ones',
        ),
        ('machine', machine_name()),
        ('commit', current_commit()),
        ('made in', f'{seconds:.0f} s'),
        (
            'files',
            f'{out}/output.mcap (inputs as played and all outputs; opens in Foxglove), '
            f'{out}/summary.json, {out}/run.mp4, {out}/pictures/, {out}/logs/',
        ),
    ]
