"""Cached records -> augmented network inputs and targets."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from metabev_ros.config import ModelConfig
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.structures import CameraCalibration, CameraImage, Modality, Sweep
from metabev_ros.training.curriculum import (
    CurriculumConfig,
    FailureKind,
    fail_images,
    fail_points,
    jitter_pose,
    lost_views,
)
from metabev_ros.training.targets import depth_bins, detection_targets


@dataclass(frozen=True)
class AugmentationConfig:
    """Training-time variation.

    Attributes:
        turn: chance of turning the ego frame by half a turn; images stay as they are, their
            calibration turns with the frame. A mirror would put traffic on the other side of the
            road and so take away what tells a heading.
        brightness: largest relative change of gain, and of offset in units of 255 / 4.
        view_drop: chance that one to three views of a sample are missing.
    """

    turn: float = 0.5
    brightness: float = 0.2
    view_drop: float = 0.15


class SampleKey(NamedTuple):
    """What names one item; the whole item is a function of it.

    Attributes:
        record: index of the record.
        modality: value of `Modality`.
        seed: of the run.
        step: optimiser step, from 0.
        slot: place in the batch.
    """

    record: int
    modality: int
    seed: int
    step: int
    slot: int


class TrainingSamples(torch.utils.data.Dataset):
    """Item `SampleKey` -> (camera, lidar, targets), tensors: epochs and resumes repeat exactly."""

    def __init__(self, paths: list[Path], model: ModelConfig, augmentation: AugmentationConfig,
                 curriculum: CurriculumConfig) -> None:
        self._paths, self._model = paths, model
        self._augmentation, self._curriculum = augmentation, curriculum
        self._preprocessor = Preprocessor(model)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, key: SampleKey):
        modality = Modality(key.modality)
        with np.load(self._paths[key.record]) as file:
            record = {name: file[name] for name in file.files}
        rng = np.random.default_rng([key.seed, key.step, key.slot])
        failure_rng = np.random.default_rng([key.seed, key.step, key.slot, 1])
        failures = self._curriculum.draw(key.step, modality, failure_rng)
        signs = np.full(2, -1.0 if rng.random() < self._augmentation.turn else 1.0)
        camera = bins = lidar = None
        if modality.has_camera:
            camera, bins = self._cameras(record, modality, signs, rng, failures, failure_rng)
        if modality.has_lidar:
            lidar = self._lidar(record, signs, failures, failure_rng)
        targets = self._targets(record, signs)
        targets['depth_bins'] = bins
        return _tensors(camera), _tensors(lidar), _tensors(targets)

    def _cameras(self, record: dict, modality: Modality, signs: np.ndarray,
                 rng: np.random.Generator, failures: tuple[FailureKind, ...],
                 failure_rng: np.random.Generator):
        count = len(record['pixels'])
        views = np.arange(count)
        if rng.random() < self._augmentation.view_drop:
            views = np.sort(rng.permutation(count)[rng.integers(1, 4):])
        views = lost_views(failures, views, failure_rng)
        spread = self._augmentation.brightness
        gain, offset = 1 + rng.uniform(-spread, spread), rng.uniform(-spread, spread) * 64
        lookup = np.clip(np.arange(256) * gain + offset, 0, 255).astype(np.uint8)
        pixels, shows = fail_images([lookup[record['pixels'][i]] for i in views], failures,
                                    modality, failure_rng)
        height, width = record['pixels'].shape[1:3]
        poses = [jitter_pose(record['ego_from_camera'][i], failures, self._curriculum,
                             failure_rng) for i in views]
        images = [CameraImage(0, image, CameraCalibration(
            width, height, record['intrinsics'][i], _turned(pose, signs)))
            for i, image, pose in zip(views, pixels, poses, strict=True)]
        bins = depth_bins(record['depth'][views], self._model)
        bins[~shows] = -1  # nothing can be known there
        return self._preprocessor.camera_inputs(images), bins

    def _lidar(self, record: dict, signs: np.ndarray, failures: tuple[FailureKind, ...],
               rng: np.random.Generator) -> dict:
        points = fail_points(record, failures, self._curriculum, rng)
        pose = jitter_pose(record['ego_from_lidar'], failures, self._curriculum, rng)
        return self._preprocessor.lidar_inputs(Sweep(0, points, _turned(pose, signs)))

    def _targets(self, record: dict, signs: np.ndarray) -> dict:
        boxes = record['boxes'].astype(np.float64)
        boxes[:, :2] *= signs
        boxes[:, 7:9] *= signs
        heading = np.stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])], 1) * signs
        boxes[:, 6] = np.arctan2(heading[:, 1], heading[:, 0])
        seen = record['num_lidar_pts'] > 0
        layers = record['map_layers'][:, ::int(signs[1]), ::int(signs[0])]
        return {**detection_targets(boxes[seen], record['labels'][seen], self._model),
                'map': np.ascontiguousarray(layers, dtype=np.float32)}


def _turned(ego_from_sensor: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """The pose in the turned ego frame."""
    return np.diag([*signs, 1.0, 1.0]) @ ego_from_sensor


def _tensors(arrays: dict | None) -> dict | None:
    if arrays is None:
        return None
    return {name: None if array is None else torch.from_numpy(np.ascontiguousarray(array))
            for name, array in arrays.items()}
