"""Training samples on disk: rendered once, read many times.

Pixels went through JPEG, as in a bag.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.errors import MetaBevError
from metabev_ros.lab.datasets.sample_record import SampleRecord, write_record
from metabev_ros.lab.datasets.sweeps import frames_before, merged_sweep
from metabev_ros.lab.datasets.synthetic import DriveConfig, DriveFrame, SyntheticDrive
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.structures import CameraCalibration

JPEG_QUALITY = 90


@dataclass(frozen=True)
class CacheConfig:
    """The drives to render.

    Attributes:
        worlds: number of seeds, counted from `first_seed`.
        frames_per_world: frames of each drive, `1 / rate_hz` seconds apart.
    """

    first_seed: int = 100_000
    worlds: int = 1500
    frames_per_world: int = 3
    rate_hz: float = 0.5


def record_path(folder: Path, seed: int, frame: int) -> Path:
    """Path of one record."""
    return Path(folder) / f'{seed:07d}_{frame:03d}.npz'


def build_cache(
    folder: Path,
    model: ModelConfig,
    config: CacheConfig,
    workers: int = 2,
    progress: Callable[[int], object] | None = None,
) -> list[Path]:
    """Render what is missing; interrupted runs go on where they stopped.

    Args:
        progress: called with the number of finished worlds.

    Returns:
        all record paths in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(config.first_seed, config.first_seed + config.worlds)
    # Not forked: a child of a process whose OpenCV or torch threads run can wait for ever.
    spawn = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, spawn, cv2.setNumThreads, (1,)) as pool:
        jobs = pool.map(
            _render_world,
            seeds,
            [folder] * len(seeds),
            [model] * len(seeds),
            [config] * len(seeds),
        )
        for done, _ in enumerate(jobs, 1):
            if progress is not None:
                progress(done)
    return record_paths(folder, config)


def record_paths(folder: Path, config: CacheConfig) -> list[Path]:
    """Paths of all records of a configuration, in order."""
    return [
        record_path(folder, seed, frame)
        for seed in range(config.first_seed, config.first_seed + config.worlds)
        for frame in range(config.frames_per_world)
    ]


def _render_world(seed: int, folder: Path, model: ModelConfig, config: CacheConfig) -> None:
    missing = [
        frame
        for frame in range(config.frames_per_world)
        if not record_path(folder, seed, frame).exists()
    ]
    if not missing:
        return
    drive = SyntheticDrive(
        seed, DriveConfig(frames=config.frames_per_world, rate_hz=config.rate_hz)
    )
    preprocessor = Preprocessor(model)
    for frame in missing:
        frames = frames_before(drive, frame, model.lidar.sweeps)
        record = make_record(seed, frame, frames, preprocessor, model)
        write_record(record_path(folder, seed, frame), record)


def make_record(
    seed: int,
    index: int,
    frames: Sequence[DriveFrame],
    preprocessor: Preprocessor,
    model: ModelConfig,
) -> SampleRecord:
    """The last of some frames as a record, with the points of all.

    Args:
        seed, index: of the drive and of the last frame, which name it.
    """
    frame, sweep = frames[-1], merged_sweep(frames, model.lidar.sweeps)
    pixels, intrinsics, poses, depths = [], [], [], []
    for name, image in frame.images.items():
        ok, jpeg = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not ok:
            raise MetaBevError('training cache', f'a JPEG of {name}', 'an encoder error')
        decoded = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        assert decoded is not None  # encoded a line above
        whole = frame.calibrations[name]
        fitted, calibration = preprocessor.prepare_image(decoded[..., ::-1], whole)
        pixels.append(fitted)
        intrinsics.append(calibration.intrinsics)
        poses.append(calibration.ego_from_camera)
        truth_depth = frame.ground_truth.depth[name]
        depths.append(feature_depth(truth_depth, whole, calibration.intrinsics, model))
    truth = frame.ground_truth
    return SampleRecord(
        token=f'{seed:07d}_{index:03d}',
        scene=f'{seed:07d}',
        stamp_ns=frame.stamp_ns,
        cameras=tuple(frame.images),
        pixels=np.stack(pixels),
        intrinsics=np.stack(intrinsics),
        ego_from_camera=np.stack(poses),
        camera_ages_ns=np.zeros(len(pixels), np.int64),
        depth=np.stack(depths),
        points=sweep.points,
        ego_from_lidar=sweep.ego_from_lidar,
        world_from_ego=frame.odom_from_ego,
        boxes=truth.boxes,
        labels=truth.labels,
        num_lidar_pts=truth.num_lidar_pts,
        visibility=truth.visibility,
        track_ids=truth.track_ids,
        map_layers=truth.map_layers,
        ignored=truth.ignored,
        ignored_labels=truth.ignored_labels,
    )


def feature_depth(
    depth: np.ndarray, calibration: CameraCalibration, intrinsics: np.ndarray, model: ModelConfig
) -> np.ndarray:
    """(h, w) float32 metres at the centres of the feature pixels; inf where there is none.

    Args:
        depth: (H, W) metres at the rendered size.
        calibration: of the rendered image.
        intrinsics: of the network input.
    """
    h, w = model.camera.feature_shape
    stride = model.camera.stride
    u = (np.arange(w) + 0.5) * stride - 0.5
    v = (np.arange(h) + 0.5) * stride - 0.5
    x = (u - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (v - intrinsics[1, 2]) / intrinsics[1, 1]
    column = np.rint(x * calibration.intrinsics[0, 0] + calibration.intrinsics[0, 2])
    row = np.rint(y * calibration.intrinsics[1, 1] + calibration.intrinsics[1, 2])
    column = np.clip(column, 0, depth.shape[1] - 1).astype(int)
    row = np.clip(row, 0, depth.shape[0] - 1).astype(int)
    return depth[row[:, None], column[None]].astype(np.float32)
