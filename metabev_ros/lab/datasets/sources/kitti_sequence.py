"""One drive of KITTI's tracking benchmark: frames, poses and velocities of its labels."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.sources.classes import ClassMap
from metabev_ros.lab.datasets.sources.frame import SourceFrame, SourceImage, SourceSweep
from metabev_ros.lab.datasets.sources.kitti_calibration import (
    EGO_FROM_LIDAR,
    OWN_VEHICLE,
    KittiCalibration,
    read_calibration,
    read_poses,
)
from metabev_ros.lab.datasets.sources.kitti_files import (
    KittiLabels,
    no_labels,
    read_image,
    read_points,
    read_tracked_labels,
)
from metabev_ros.lab.datasets.sources.kitti_truth import (
    CAMERA,
    KittiView,
    motion_between,
    stamp_of,
    truth_of,
)
from metabev_ros.lab.datasets.sources.tracks import track_velocities

# Sweeps that the tracking benchmark itself lacks.
ABSENT_SWEEPS = {'0001': range(177, 181)}


class KittiSequence:
    """One drive of the tracking benchmark; its files are read when they are asked for."""

    def __init__(self, root: Path, name: str, classes: ClassMap) -> None:
        self._root, self._name, self._classes = root, name, classes
        pictures = root / 'image_02' / name
        absent = ABSENT_SWEEPS.get(name, range(0))
        names = sorted(path.stem for path in pictures.glob('*.png'))
        self.frames = [int(n) for n in names if n.isdecimal() and int(n) not in absent]
        if not self.frames:
            raise ConfigError(
                str(pictures), 'pictures 000000.png ...', 'none', 'load image_02 of the benchmark'
            )

    def token(self, frame: int) -> str:
        """Name of a frame, unique among the sequences."""
        return f'{self._name}_{frame:06d}'

    @cached_property
    def calibration(self) -> KittiCalibration:
        """Calibration of all frames."""
        return read_calibration(self._root / 'calib' / f'{self._name}.txt')

    @cached_property
    def _labels(self) -> dict[int, KittiLabels]:
        return read_tracked_labels(self._root / 'label_02' / f'{self._name}.txt')

    @cached_property
    def _poses(self) -> dict[int, np.ndarray]:
        """Stamp -> world_from_ego; empty where `oxts` was not loaded."""
        path = self._root / 'oxts' / f'{self._name}.txt'
        if not path.is_file():
            return {}
        poses = read_poses(path, self.calibration)
        if self.frames[-1] >= len(poses):
            raise ConfigError(
                str(path), f'a line for frame {self.frames[-1]}', f'{len(poses)} lines'
            )
        return {stamp_of(frame): pose for frame, pose in enumerate(poses)}

    @cached_property
    def _velocities(self) -> dict[int, np.ndarray]:
        """Frame -> (M, 2) of its labels in ego axes; empty without poses."""
        if not self._poses:
            return {}
        frames = [frame for frame in self._labels if stamp_of(frame) in self._poses]
        worlds = [self._poses[stamp_of(frame)] for frame in frames]
        counts = [len(self._labels[frame].kinds) for frame in frames]
        boxes = [self.calibration.boxes_in_ego(self._labels[frame]) for frame in frames]
        centres = [b[:, :3] @ w[:3, :3].T + w[:3, 3] for b, w in zip(boxes, worlds, strict=True)]
        tracks = [self._labels[frame].tracks for frame in frames]
        stamps = np.repeat([stamp_of(frame) for frame in frames], counts)
        moved = track_velocities(
            stamps.astype(np.int64),
            np.concatenate([np.zeros(0, np.int64), *tracks]),
            np.concatenate([np.zeros((0, 3)), *centres]),
        )
        parts = np.split(moved, np.cumsum(counts)[:-1]) if counts else []
        return {
            frame: (part @ world[:3, :3])[:, :2]
            for frame, part, world in zip(frames, parts, worlds, strict=True)
        }

    def view(self, frame: int) -> tuple[KittiView, bytes]:
        """Facts that the metric needs, and the picture."""
        path = self._root / 'image_02' / self._name / f'{frame:06d}.png'
        image, size = read_image(path)
        labels = self._labels.get(frame, no_labels())
        return KittiView(labels, self.calibration, size), image

    def frame(self, frame: int, sweeps: int) -> SourceFrame:
        """One frame with at most so many sweeps."""
        view, image = self.view(frame)
        at = self.frames.index(frame)
        # Without poses older sweeps cannot be brought here.
        used = self.frames[max(at - sweeps + 1, 0) : at + 1][::-1] if self._poses else [frame]
        clouds = {f: self._points(f) for f in used}
        where = f'{self._root / "label_02" / self._name}.txt, frame {frame}'
        unknown = np.full(len(view.labels.kinds), 0.0)  # levels 0..2 are no share
        truth = truth_of(
            where, view, clouds[frame], self._classes, unknown, self._velocities.get(frame)
        )
        return SourceFrame(
            self.token(frame),
            self._name,
            stamp_of(frame),
            (SourceImage(CAMERA, stamp_of(frame), image, self.calibration.camera(view.size)),),
            tuple(SourceSweep(stamp_of(f), clouds[f], None, EGO_FROM_LIDAR) for f in used),
            motion_between(self._poses),
            self._poses.get(stamp_of(frame), np.full((4, 4), np.nan)),
            truth,
            OWN_VEHICLE,
        )

    def _points(self, frame: int) -> np.ndarray:
        return read_points(self._root / 'velodyne' / self._name / f'{frame:06d}.bin')
