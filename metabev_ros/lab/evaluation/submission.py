"""Detections as a nuScenes result file, which the devkit and the leaderboard read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import rotation_to_quaternion, rotation_z, transform_points
from metabev_ros.lab.datasets.ground_truth import ATTRIBUTES, NO_ATTRIBUTE
from metabev_ros.lab.datasets.record_folder import RecordFolder
from metabev_ros.lab.datasets.sample_record import read_arrays
from metabev_ros.lab.evaluation.attributes import attributes_by_speed
from metabev_ros.lab.evaluation.detection import MAX_BOXES
from metabev_ros.structures import DETECTION_CLASSES, Detections, Modality


class SubmissionFile:
    """Writes samples as they come; the file appears when all of them are in it.

    Args:
        path: of the JSON file.
        modality: sensors that the detections are made from.
        is_external: whether the model learnt from other data than nuScenes.
    """

    def __init__(self, path: Path, modality: Modality, is_external: bool) -> None:
        self._path, self._part = path, path.with_name(f'.{path.name}.{os.getpid()}.part')
        self._meta = {
            'use_camera': modality.has_camera,
            'use_lidar': modality.has_lidar,
            'use_radar': False,
            'use_map': False,
            'use_external': is_external,
        }
        self._file: TextIO | None = None
        self._tokens: set[str] = set()

    def __enter__(self) -> SubmissionFile:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._part, 'w', encoding='utf-8')
        self._file.write(f'{{"meta": {json.dumps(self._meta)}, "results": {{')
        return self

    def add(self, token: str, world_from_ego: np.ndarray, detections: Detections) -> None:
        """Add a sample, once.

        Args:
            token: of the sample in nuScenes.
            world_from_ego: (4, 4) at the reference stamp.

        Raises:
            ConfigError: for a pose that is not known, or a sample given twice.
        """
        if not np.isfinite(world_from_ego).all():
            raise ConfigError(
                f'submission: sample {token}', 'the pose of the vehicle', 'none', 'see the records'
            )
        if self._file is None or token in self._tokens:
            raise ConfigError('submission', 'an open file, each sample once', f'sample {token}')
        boxes = submitted_boxes(token, world_from_ego, detections)
        comma = ',' if self._tokens else ''
        self._file.write(f'{comma}\n{json.dumps(token)}: {json.dumps(boxes, allow_nan=False)}')
        self._tokens.add(token)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        try:
            if kind is None:
                self._file.write('\n}}\n')
                self._file.close()
                os.replace(self._part, self._path)
        finally:
            self._file.close()
            self._part.unlink(missing_ok=True)
            self._file = None


def submitted_boxes(
    token: str, world_from_ego: np.ndarray, detections: Detections
) -> list[dict[str, Any]]:
    """The boxes of one sample as the devkit reads them; the best 500 of them.

    Args:
        world_from_ego: (4, 4).

    Returns:
        centres and velocities in the world frame, sizes as width, length, height, rotations as
        quaternions w x y z.
    """
    best = np.argsort(-np.asarray(detections.scores, np.float64), kind='stable')[:MAX_BOXES]
    boxes = np.asarray(detections.boxes, np.float64).reshape(-1, 9)[best]
    labels = np.asarray(detections.labels, np.int64)[best]
    scores = np.asarray(detections.scores, np.float64)[best]
    turn = world_from_ego[:3, :3]
    centres = transform_points(world_from_ego, boxes[:, :3])
    flat = np.concatenate([boxes[:, 7:9], np.zeros((len(boxes), 1))], axis=1)
    velocities = (flat @ turn.T)[:, :2]
    attributes = attributes_by_speed(boxes, labels)
    return [
        {
            'sample_token': token,
            'translation': centres[i].tolist(),
            'size': box[[4, 3, 5]].tolist(),
            'rotation': _w_first(rotation_to_quaternion(turn @ rotation_z(box[6]))),
            'velocity': velocities[i].tolist(),
            'detection_name': DETECTION_CLASSES[labels[i]],
            'detection_score': float(scores[i]),
            'attribute_name': attribute_name(int(attributes[i])),
        }
        for i, box in enumerate(boxes)
    ]


def attribute_name(attribute: int) -> str:
    """The name of an index into ATTRIBUTES; '' for none."""
    return '' if attribute == NO_ATTRIBUTE else ATTRIBUTES[attribute]


def _w_first(quaternion: np.ndarray) -> list[float]:
    x, y, z, w = quaternion.tolist()
    return [w, x, y, z]


def require_submittable(folders: Sequence[RecordFolder], modality: Modality) -> None:
    """Refuse records that give no submission, before anything is computed.

    Raises:
        ConfigError: where a record has no pose in the world or not these sensors.
    """
    records = [
        (entry, path)
        for folder in folders
        for entry, path in zip(folder.manifest.records, folder.paths, strict=True)
    ]
    for entry, path in records:
        if modality & Modality[entry.modality] != modality:
            raise ConfigError(
                f'--submission: {path}',
                f'the sensors of {modality.name}',
                entry.modality,
                'choose another one with --modality',
            )
    for _, path in records:
        if not np.isfinite(read_arrays(path, ['world_from_ego'])['world_from_ego']).all():
            raise ConfigError(
                f'--submission: {path}',
                'the pose of the vehicle in the world',
                'none',
                'leave --submission away: a result file is in the frame of the world',
            )
