"""Records and detections whose score the nuScenes devkit has said, to be compared with ours.

Run with the Python of an environment that has nuscenes-devkit to renew the stored answers:

    METABEV_DEVKIT_PYTHON=... python test/support/submission_cases.py
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.datasets.ground_truth import ATTRIBUTES
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.evaluation.submission import SubmissionFile
from metabev_ros.structures import DETECTION_CLASSES, Detections, Modality
from support.made_records import made_record
from support.nuscenes_truth import devkit_answer, write_tables

GOLDEN = Path(__file__).with_name('submission_golden.json')
SAMPLES, OBJECTS = 6, 60
BICYCLES = tuple(DETECTION_CLASSES.index(name) for name in ('bicycle', 'motorcycle'))
Case = list[tuple[SampleRecord, Detections]]


def make_case() -> Case:
    """Samples with annotated attributes, NaN velocities and bicycle racks."""
    rng = np.random.RandomState(5)  # its stream never changes
    return [_sample(rng, number) for number in range(SAMPLES)]


def _sample(rng: np.random.RandomState, number: int) -> tuple[SampleRecord, Detections]:
    boxes = _boxes(rng, OBJECTS)
    labels = rng.randint(0, len(DETECTION_CLASSES), OBJECTS)
    boxes[rng.random_sample(OBJECTS) < 0.3, 7:9] = np.nan
    attributes = rng.randint(-1, len(ATTRIBUTES), OBJECTS)
    attributes[np.isin(labels, [5, 9])] = -1
    ignored = _boxes(rng, 4)[:, :7]
    ignored[:, :2] /= 2  # near, where there are bicycles
    ignored[:, 3:6] = [16.0, 12.0, 6.0]
    record = made_record(
        boxes,
        token=f'sample{number}',
        labels=labels,
        attributes=attributes,
        num_lidar_pts=rng.randint(0, 6, OBJECTS),
        ignored=np.repeat(ignored, 2, axis=0),
        ignored_labels=np.tile(BICYCLES, 4),
        world_from_ego=rigid_transform(
            rotation_z(rng.uniform(-3, 3)), [rng.uniform(300, 900), rng.uniform(600, 1600), 0.0]
        ),
    )
    found = boxes + rng.normal(0, [0.8, 0.8, 0.2, *[0.05] * 3, 0.3, 0.4, 0.4], (OBJECTS, 9))
    found[:, 3:6] = np.maximum(found[:, 3:6], 0.2)
    found[np.isnan(found[:, 7]), 7:9] = 0.0
    found = np.concatenate([found, _boxes(rng, 30)]).astype(np.float32)
    kinds = np.concatenate([labels, rng.randint(0, len(DETECTION_CLASSES), 30)])
    scores = rng.uniform(0.05, 1, len(found)).round(2).astype(np.float32)
    return record, Detections(found, scores, kinds)


def _boxes(rng: np.random.RandomState, count: int) -> np.ndarray:
    parts = [
        rng.uniform(-38, 38, (count, 2)),
        rng.uniform(0.3, 1.5, (count, 1)),
        rng.uniform(0.5, 5, (count, 3)),
        rng.uniform(-3.1, 3.1, (count, 1)),
        rng.normal(0, 1.0, (count, 2)) * (rng.random_sample((count, 1)) < 0.6),
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def digest(case: Case) -> str:
    """SHA-256 of the inputs: stored answers belong to these only."""
    total = hashlib.sha256()
    for record, found in case:
        for array in (record.boxes, record.labels, record.attributes, record.num_lidar_pts):
            total.update(np.asarray(array).tobytes())
        for array in (record.ignored, record.world_from_ego.round(6), found.boxes, found.scores):
            total.update(np.ascontiguousarray(array).tobytes())
        total.update(found.labels.astype(np.int64).tobytes())
    return total.hexdigest()


def submit(case: Case, path: Path) -> None:
    """Write the detections as a result file."""
    with SubmissionFile(path, Modality.FUSED, is_external=False) as submission:
        for record, found in case:
            submission.add(record.token, record.world_from_ego, found)


def answer(python: str, case: Case, folder: Path) -> dict:
    """What the devkit says of it."""
    write_tables(folder, [record for record, _ in case])
    submit(case, folder / 'result.json')
    return devkit_answer(python, folder, folder / 'result.json')


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        made = make_case()
        said = answer(os.environ['METABEV_DEVKIT_PYTHON'], made, Path(folder))
        plain = json.dumps({'inputs': digest(made), **said}).replace('NaN', 'null')
        GOLDEN.write_text(plain + '\n', encoding='utf-8')
