"""Synthetic drives as a source of records: every drive is rendered from its seed.

Pixels go through JPEG, as in a bag. The depth of the pictures is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ConfigError, MetaBevError
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.frame import RecordMaker, SourceInfo
from metabev_ros.lab.datasets.sweeps import frames_before, merged_sweep
from metabev_ros.lab.datasets.synthetic import DriveConfig, DriveFrame, SyntheticDrive
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.structures import DETECTION_CLASSES, CameraCalibration

JPEG_QUALITY = 90


@dataclass(frozen=True)
class SyntheticDrives:
    """Drives to render; a `Source`.

    Attributes:
        first_seed: of the first world; the others follow.
        worlds: number of seeds, one drive each.
        frames_per_world: frames of each drive, `1 / rate_hz` seconds apart.
    """

    first_seed: int = 100_000
    worlds: int = 1500
    frames_per_world: int = 3
    rate_hz: float = 0.5

    def __post_init__(self) -> None:
        for name, least in (('first_seed', 0), ('worlds', 1)):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f'synthetic.{name}', f'at least {least}', str(value))
        self._drive_config()

    def __len__(self) -> int:
        return self.worlds * self.frames_per_world

    @property
    def name(self) -> str:
        """Name of a folder of these."""
        return (
            f'synthetic_{self.first_seed}_{self.worlds}x{self.frames_per_world}_{self.rate_hz:g}hz'
        )

    @property
    def info(self) -> SourceInfo:
        """Name, licence and classes: ours, and free."""
        return SourceInfo(
            f'synthetic drives {self.first_seed}..{self.first_seed + self.worlds - 1}, '
            f'{self.frames_per_world} frames at {self.rate_hz:g} Hz',
            'Apache-2.0',
            True,
            'the authors of metabev_ros',
            {name: name for name in DETECTION_CLASSES},
        )

    def scenes(self) -> dict[str, int]:
        """Seed -> number of frames."""
        seeds = range(self.first_seed, self.first_seed + self.worlds)
        return {f'{seed:07d}': self.frames_per_world for seed in seeds}

    def records(
        self, scene: str, maker: RecordMaker, done: frozenset[str]
    ) -> Iterator[SampleRecord]:
        """Records of one world, but for the tokens that are done."""
        seed, model = int(scene), maker.model
        missing = [i for i in range(self.frames_per_world) if token_of(seed, i) not in done]
        if not missing:
            return
        drive = SyntheticDrive(seed, self._drive_config())
        preprocessor = Preprocessor(model)
        for index in missing:
            frames = frames_before(drive, index, model.lidar.sweeps)
            yield make_record(seed, index, frames, preprocessor, model)

    def _drive_config(self) -> DriveConfig:
        return DriveConfig(frames=self.frames_per_world, rate_hz=self.rate_hz)


def token_of(seed: int, index: int) -> str:
    """Name of a frame of a drive."""
    return f'{seed:07d}_{index:03d}'


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
            raise MetaBevError('synthetic drive', f'a JPEG of {name}', 'an encoder error')
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
        token=token_of(seed, index),
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
        attributes=truth.attributes,
        map_known=truth.map_known,
        objects_known=truth.objects_known,
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
