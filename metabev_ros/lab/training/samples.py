"""Records -> augmented network inputs and targets."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from metabev_ros.config import ModelConfig
from metabev_ros.config.sparse import SparseExecution
from metabev_ros.lab.datasets.sample_record import SampleRecord, read_record
from metabev_ros.lab.training.augmentation import (
    AugmentationConfig,
    move_boxes,
    move_camera,
    move_depth,
    move_image,
    move_map,
)
from metabev_ros.lab.training.curriculum import (
    CurriculumConfig,
    FailureKind,
    fail_images,
    fail_points,
    jitter_pose,
    lost_views,
)
from metabev_ros.lab.training.pasting import Pasting
from metabev_ros.lab.training.picture_variation import draw_mood, vary_picture
from metabev_ros.lab.training.point_variation import vary_points
from metabev_ros.lab.training.targets import asked_cells, depth_bins, detection_targets
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.structures import (
    CameraCalibration,
    CameraImage,
    Modality,
    Sweep,
)


class SampleKey(NamedTuple):
    """Key of one item; the whole item is a function of it.

    Attributes:
        record: index of the record.
        modality: value of `Modality`.
        seed: of the run.
        step: optimiser step, from 0.
        slot: place in the batch of all processes.
    """

    record: int
    modality: int
    seed: int
    step: int
    slot: int


class TrainingSamples(torch.utils.data.Dataset):
    """Item `SampleKey` -> (camera, lidar, targets), tensors: epochs and resumes repeat exactly.

    Objects are pasted first: they are part of the scene. What failures and augmentation draw does
    not depend on them.
    Failures of the LiDAR and of calibrations happen to the sensor, before the scene moves; those
    of images after brightness and before the image moves. Points vary after their failures.
    """

    def __init__(
        self,
        paths: list[Path],
        model: ModelConfig,
        augmentation: AugmentationConfig,
        curriculum: CurriculumConfig,
        pasting: Pasting | None = None,
        execution: SparseExecution = SparseExecution.TABLES,
    ) -> None:
        self._paths, self._model, self._pasting = paths, model, pasting
        self._augmentation, self._curriculum = augmentation, curriculum
        self._preprocessor = Preprocessor(model, execution)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, key: SampleKey) -> tuple[dict | None, dict | None, dict | None]:
        modality = Modality(key.modality)
        record = read_record(self._paths[key.record])
        if self._pasting is not None:
            paste_rng = np.random.default_rng([key.seed, key.step, key.slot, 2])
            record = self._pasting(record, key.record, modality, key.step, paste_rng)
        rng = np.random.default_rng([key.seed, key.step, key.slot])
        failure_rng = np.random.default_rng([key.seed, key.step, key.slot, 1])
        failures = self._curriculum.draw(key.step, modality, failure_rng)
        scene = self._augmentation.draw_scene(rng)
        camera = bins = lidar = None
        if modality.has_camera:
            camera, bins = self._cameras(record, modality, scene, rng, failures, failure_rng)
        if modality.has_lidar:
            lidar = self._lidar(record, scene, failures, failure_rng, rng)
        targets = self._targets(record, scene)
        targets['depth_bins'] = bins
        named = {'record': f'{record.scene}/{record.token}'}
        return _tensors(camera), _tensors(lidar), {**(_tensors(targets) or {}), **named}

    def _cameras(
        self,
        record: SampleRecord,
        modality: Modality,
        scene: np.ndarray,
        rng: np.random.Generator,
        failures: tuple[FailureKind, ...],
        failure_rng: np.random.Generator,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        count = len(record.pixels)
        views = np.arange(count)
        if rng.random() < self._augmentation.view_drop:
            order, lost = rng.permutation(count), rng.integers(1, 4)
            views = np.sort(order[min(lost, count - 1) :])  # one stays
        views = lost_views(failures, views, failure_rng)
        mood = draw_mood(self._augmentation, rng)
        varied = [vary_picture(record.pixels[i], mood, self._augmentation, rng) for i in views]
        pixels, shows = fail_images(varied, failures, modality, failure_rng)
        poses = [
            jitter_pose(record.ego_from_camera[i], failures, self._curriculum, failure_rng)
            for i in views
        ]
        moved = [
            self._view(pixel, record.intrinsics[i], scene @ pose, record.depth[i], rng)
            for i, pixel, pose in zip(views, pixels, poses, strict=True)
        ]
        bins = depth_bins(np.stack([depth for _, depth in moved]), self._model)
        bins[~shows] = -1  # nothing can be known there
        return self._preprocessor.camera_inputs([image for image, _ in moved]), bins

    def _view(
        self,
        pixels: np.ndarray,
        intrinsics: np.ndarray,
        pose: np.ndarray,
        depth: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[CameraImage, np.ndarray]:
        """One image and the depth at its feature pixels, after image augmentation."""
        height, width = pixels.shape[:2]
        if self._augmentation.moves_images:
            affine, mirrored = self._augmentation.draw_image(width, height, rng)
            pixels = move_image(pixels, affine)
            intrinsics, pose = move_camera(intrinsics, pose, affine, mirrored)
            depth = move_depth(depth, affine, self._model.camera.stride)
        return CameraImage(0, pixels, CameraCalibration(width, height, intrinsics, pose)), depth

    def _lidar(
        self,
        record: SampleRecord,
        scene: np.ndarray,
        failures: tuple[FailureKind, ...],
        failure_rng: np.random.Generator,
        rng: np.random.Generator,
    ) -> dict:
        points = fail_points(record, failures, self._curriculum, failure_rng)
        points = vary_points(record, points, self._augmentation, rng)
        pose = jitter_pose(record.ego_from_lidar, failures, self._curriculum, failure_rng)
        return self._preprocessor.lidar_inputs(Sweep(0, points, scene @ pose))

    def _targets(self, record: SampleRecord, scene: np.ndarray) -> dict:
        model = self._model
        truth = record.truth
        seen = truth.is_asked(truth.boxes[:, :3], truth.labels)
        if record.modality.has_lidar:  # without one nothing says what can be seen
            seen &= truth.num_lidar_pts > 0
        found = detection_targets(move_boxes(truth.boxes[seen], scene), truth.labels[seen], model)
        layers, known = move_map(truth.map_layers, model.map_grid, scene, truth.map_known)
        return {
            **found,
            'asked': asked_cells(truth, found, model, scene),
            'map': layers.astype(np.float32),
            'map_known': known,
        }


def _tensors(arrays: dict | None) -> dict | None:
    if arrays is None:
        return None
    return {
        name: None if array is None else torch.from_numpy(np.ascontiguousarray(array))
        for name, array in arrays.items()
    }
