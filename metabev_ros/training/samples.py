"""Cached records -> augmented network inputs and targets."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from metabev_ros.config import ModelConfig
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.structures import CameraCalibration, CameraImage, Modality, Sweep
from metabev_ros.training.targets import depth_bins, detection_targets


@dataclass(frozen=True)
class AugmentationConfig:
    """Training-time variation.

    Attributes:
        flip: chance of mirroring the ego frame, separately along x and along y; images stay as
            they are, their calibration mirrors with the frame.
        brightness: largest relative change of gain, and of offset in units of 255 / 4.
        view_drop: chance that one to three views of a sample are missing.
    """

    flip: float = 0.5
    brightness: float = 0.2
    view_drop: float = 0.15


class TrainingSamples(torch.utils.data.Dataset):
    """Item (record index, modality, seed) -> (camera, lidar, targets), tensors.

    The whole item is a function of its key: epochs and resumes repeat exactly.
    """

    def __init__(self, paths: list[Path], model: ModelConfig, augmentation: AugmentationConfig
                 ) -> None:
        self._paths, self._model, self._augmentation = paths, model, augmentation
        self._preprocessor = Preprocessor(model)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, key: tuple[int, int, int]):
        index, modality, seed = key
        modality = Modality(modality)
        with np.load(self._paths[index]) as file:
            record = {name: file[name] for name in file.files}
        rng = np.random.default_rng([seed, index])
        mirror = np.where(rng.random(2) < self._augmentation.flip, -1.0, 1.0)
        camera = bins = lidar = None
        if modality.has_camera:
            camera, bins = self._cameras(record, mirror, rng)
        if modality.has_lidar:
            lidar = self._preprocessor.lidar_inputs(Sweep(
                0, record['points'], _mirrored(record['ego_from_lidar'], mirror)))
        targets = self._targets(record, mirror)
        targets['depth_bins'] = bins
        return _tensors(camera), _tensors(lidar), _tensors(targets)

    def _cameras(self, record: dict, mirror: np.ndarray, rng: np.random.Generator):
        count = len(record['pixels'])
        views = np.arange(count)
        if rng.random() < self._augmentation.view_drop:
            views = np.sort(rng.permutation(count)[rng.integers(1, 4):])
        spread = self._augmentation.brightness
        gain, offset = 1 + rng.uniform(-spread, spread), rng.uniform(-spread, spread) * 64
        lookup = np.clip(np.arange(256) * gain + offset, 0, 255).astype(np.uint8)
        height, width = record['pixels'].shape[1:3]
        images = [CameraImage(0, lookup[record['pixels'][i]], CameraCalibration(
            width, height, record['intrinsics'][i],
            _mirrored(record['ego_from_camera'][i], mirror))) for i in views]
        bins = depth_bins(record['depth'][views], self._model)
        return self._preprocessor.camera_inputs(images), bins

    def _targets(self, record: dict, mirror: np.ndarray) -> dict:
        boxes = record['boxes'].astype(np.float64)
        boxes[:, :2] *= mirror
        boxes[:, 7:9] *= mirror
        heading = np.stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])], 1) * mirror
        boxes[:, 6] = np.arctan2(heading[:, 1], heading[:, 0])
        seen = record['num_lidar_pts'] > 0
        layers = record['map_layers'][:, ::int(mirror[1]), ::int(mirror[0])]
        return {**detection_targets(boxes[seen], record['labels'][seen], self._model),
                'map': np.ascontiguousarray(layers, dtype=np.float32)}


def _mirrored(ego_from_sensor: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The pose in the mirrored ego frame (improper when one axis flips: tables do not mind)."""
    return np.diag([*mirror, 1.0, 1.0]) @ ego_from_sensor


def _tensors(arrays: dict | None) -> dict | None:
    if arrays is None:
        return None
    return {name: None if array is None else torch.from_numpy(np.ascontiguousarray(array))
            for name, array in arrays.items()}
