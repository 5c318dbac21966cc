"""Tracks of a model beside the truth, while its sensors are well and in five failures.

    .venv/bin/metabev-env python benchmark/tracking.py --world boxes --drives 2 --seconds 8
    ... --world traffic --files FOLDER [--cases clean lidar_dead_2s] [--record RESULTS.json]

AMOTA, identity switches and recall are the nuScenes devkit's, whose Python METABEV_DEVKIT_PYTHON
or --devkit names (`make test-devkit` makes it); without one they are left out. The baseline is the
same tracker that ends a track with its first miss. Also measured: the identities that live through
a LiDAR's death of two seconds, what boxes err by (`metabev_ros/tracking/noise.py`), and how large
the error of tracks is beside their covariance.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tracking_errors import box_errors, consistency, deviation, identities
from tracking_runs import Failure, Finder, Frame, World, drives_of, follow

from metabev_ros.config import TrackingConfig
from metabev_ros.geometry import transform_points
from metabev_ros.lab.evaluation.records import ResultRecord, make_record, merge_records
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import DEFAULT_MODEL, resource_path
from metabev_ros.tracks import TrackedObjects, TrackState

ORACLE = Path(__file__).with_name('tracking_oracle.py')
SHORT = 0.001  # seconds: a track ends with its first miss
TRACKERS = {
    'coasting': TrackingConfig(),
    'no_coasting': TrackingConfig(coast_lidar=SHORT, coast_camera=SHORT, coast_blind=SHORT),
}
RECORDED = {'amota': 'AMOTA', 'ids': 'switches', 'recall': 'share', 'frag': 'fragments'}
KEPT_TARGET = '>= 0.8'
Scenes = dict[str, list[dict[str, Any]]]


def main() -> None:
    """Measure and print; record where it was asked for."""
    options = parse()
    command = shlex.join(['python', 'benchmark/tracking.py', *sys.argv[1:]])
    model = Pipeline.load(options.model, 'onnxruntime', options.threads)
    world, cases = World(options.world), [Failure(case) for case in options.cases]
    files = sorted(options.files.glob('*.npz')) if options.files else []
    every: dict[tuple[Failure, str], Scenes] = {(c, t): {} for c in cases for t in TRACKERS}
    kept: dict[str, list[bool]] = {name: [] for name in TRACKERS}
    errors, ratios, count = [], [], 0
    for drive, frames in drives_of(
        world, options.drives, options.seconds, options.spacing, files, model
    ):
        finder, count = Finder(model, frames), count + len(frames)
        for case in cases:
            found = finder.under(case)
            for name, config in TRACKERS.items():
                told = follow(frames, found, config, model.model.detection_classes)
                every[case, name][drive] = scene_of(frames, told, model.model.detection_classes)
                if case is Failure.LIDAR_DEAD:
                    kept[name] += identities(frames, told)
                if name == 'coasting':
                    ratios += consistency(frames, told)
        errors += box_errors(finder.looks)
    records = _identity_records(world, kept, command)
    for (case, name), scenes in every.items():
        said = devkit_answer(options.devkit, scenes) if options.devkit else {}
        records += [
            make_record(
                f'tracking.{world.value}.{case.value}.{name}.{metric}',
                said[metric],
                unit,
                command,
                count,
            )
            for metric, unit in RECORDED.items()
            if metric in said and np.isfinite(said[metric])
        ]
    records += _error_records(world, errors, ratios, command)
    for record in records:
        sys.stdout.write(f'{record.id:64} {record.value:9.4f} {record.unit} (n {record.n})\n')
    if options.record is not None:
        merge_records(options.record, records)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition('\n')[0])
    parser.add_argument('--world', choices=[w.value for w in World], default='boxes')
    parser.add_argument('--files', type=Path, help='folder of recorded scenes, for traffic')
    parser.add_argument('--drives', type=int, default=1)
    parser.add_argument('--seconds', type=float, default=8.0)
    parser.add_argument('--spacing', type=float, default=0.25, help='seconds between samples')
    parser.add_argument('--cases', nargs='+', default=[f.value for f in Failure])
    parser.add_argument('--model', type=Path, default=resource_path(DEFAULT_MODEL))
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--devkit', default=os.environ.get('METABEV_DEVKIT_PYTHON', ''))
    parser.add_argument('--record', type=Path)
    return parser.parse_args()


# ------------------------------------------------------------------------------------ the devkit
def devkit_answer(python: str, scenes: Scenes) -> dict[str, float]:
    """What the devkit's evaluation says of the tracks of some drives."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'tracks.json'
        path.write_text(json.dumps({'scenes': scenes}), encoding='utf-8')
        done = subprocess.run(
            [python, '-W', 'ignore', str(ORACLE), str(path)],
            capture_output=True,
            text=True,
            env={'PATH': '/usr/bin:/bin', 'MPLBACKEND': 'agg', 'HOME': folder},
            check=False,
        )
    if done.returncode:
        raise SystemExit(f'the devkit failed: {done.stderr[-2000:]}')
    return json.loads(done.stdout.partition('ANSWER')[2])


def scene_of(
    frames: Sequence[Frame], told: Sequence[TrackedObjects], names: Sequence[str]
) -> list[dict[str, Any]]:
    """The samples of a drive as the oracle takes them: what has points, and believed tracks."""
    start_ns = frames[0].sample.stamp_ns
    scene: list[dict[str, Any]] = []
    for frame, objects in zip(frames, told, strict=True):
        believed = [t for t in objects.tracks if t.state is not TrackState.TENTATIVE]
        seen = np.flatnonzero(frame.points > 0)
        scene.append(
            {
                'us': (frame.sample.stamp_ns - start_ns) // 1000,
                'truth': [
                    _box(frame, frame.boxes[k], int(frame.ids[k]), names[frame.labels[k]], -1.0)
                    for k in seen
                ],
                'tracks': [_box(frame, t.box, t.id, names[t.label], t.score) for t in believed],
            }
        )
    return scene


def _box(frame: Frame, box: np.ndarray, number: int, name: str, score: float) -> dict[str, Any]:
    turn = frame.world_from_ego[:3, :3]
    velocity = np.nan_to_num(turn[:2, :2] @ box[7:9])
    return {
        'centre': transform_points(frame.world_from_ego, box[:3]).tolist(),
        'size': box[3:6].tolist(),
        'yaw': float(box[6] + np.arctan2(turn[1, 0], turn[0, 0])),
        'velocity': velocity.tolist(),
        'reach': float(np.hypot(box[0], box[1])),
        'id': number,
        'name': name,
        'score': score,
    }


# --------------------------------------------------------------------------------------- records
def _identity_records(
    world: World, kept: dict[str, list[bool]], command: str
) -> list[ResultRecord]:
    return [
        make_record(
            f'tracking.{world.value}.identities_kept.{name}',
            float(np.mean(values)),
            'share',
            command,
            len(values),
            KEPT_TARGET if name == 'coasting' else None,
        )
        for name, values in kept.items()
        if values
    ]


def _error_records(
    world: World, errors: Sequence[tuple[str, float]], ratios: Sequence[float], command: str
) -> list[ResultRecord]:
    """Deviations of what boxes err by, and the median NEES of two degrees of freedom."""
    records: list[ResultRecord] = []
    for what in sorted({name for name, _ in errors}):
        values = np.array([value for name, value in errors if name == what])
        unit = what.rpartition('.')[2]
        records.append(
            make_record(
                f'tracking.{world.value}.box_error.{what.rpartition(".")[0]}',
                deviation(values),
                unit,
                command,
                len(values),
            )
        )
    if ratios:
        record_id = f'tracking.{world.value}.nees_median'
        records.append(
            make_record(record_id, float(np.median(ratios)), 'NEES', command, len(ratios))
        )
    return records


if __name__ == '__main__':
    main()
