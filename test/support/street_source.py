"""A small labelled data set that is made up: cars on a flat street, cameras and a LiDAR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import NUSCENES_MAP_GRID
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.frame import (
    RecordMaker,
    SourceFrame,
    SourceImage,
    SourceInfo,
    SourceSweep,
)
from metabev_ros.structures import MAP_CLASSES, CameraCalibration

FORWARD = np.array([[0.0, 0, 1, 1.5], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
LIDAR = np.array([[1.0, 0, 0, 0.9], [0, 1, 0, 0], [0, 0, 1, 1.8], [0, 0, 0, 1]])
CARS = np.array(
    [[x, y, 0.8, 4.5, 1.9, 1.6, 0.0, 2.0, 0.0] for x in (8, 14, 20, 26) for y in (-3, 3.5)]
)


@dataclass(frozen=True)
class StreetSource:
    """Drives `a`, `b` of some samples half a second apart; the vehicle goes 5 m/s.

    Attributes:
        drives: number of drives.
        samples: of each.
        shift: metres that the boxes lie beside the points.
        intensity: of all points of cars; the ground has half of it.
        fails_at: number of the sample of drive 'a' whose file is missing; -1: none.
        same_stamps: all samples of a drive have one stamp.
        counts: the source says how many points are in a box.
        has_motion: somebody knows how the vehicle moved.
        name: of the source.
    """

    drives: int = 2
    samples: int = 3
    shift: float = 0.0
    intensity: float = 40.0
    fails_at: int = -1
    same_stamps: bool = False
    counts: bool = True
    has_motion: bool = True
    name: str = 'street'

    @property
    def info(self) -> SourceInfo:
        return SourceInfo(self.name, 'CC0', True, 'nobody', {'car': 'car'}, ('A street.',))

    def scenes(self) -> dict[str, int]:
        return {chr(ord('a') + i): self.samples for i in range(self.drives)}

    def records(
        self, scene: str, maker: RecordMaker, done: frozenset[str]
    ) -> Iterator[SampleRecord]:
        for index in range(self.samples):
            token = f'{scene}{index}'
            if scene == 'a' and index == self.fails_at:
                raise ConfigError(f'{self.name}: {token}', 'a sweep', 'no such file')
            if token not in done:
                yield maker.make(self.frame(scene, index))

    def frame(self, scene: str, index: int) -> SourceFrame:
        """One labelled instant."""
        stamp = 1_000_000_000 * (ord(scene) + 1) + (0 if self.same_stamps else index * 500_000_000)
        rng = np.random.default_rng([ord(scene), index])
        boxes = CARS.astype(np.float32)
        boxes[:, 1] += self.shift
        pixels = rng.integers(0, 255, (64, 192, 3), np.uint8)
        jpeg = cv2.imencode('.jpg', pixels)[1].tobytes()
        calibration = CameraCalibration(
            192, 64, np.array([[100.0, 0, 95.5], [0, 100, 31.5], [0, 0, 1]]), FORWARD
        )
        empty = np.zeros((len(MAP_CLASSES), *NUSCENES_MAP_GRID.shape), bool)
        known = empty.copy()
        known[0] = True
        count = len(boxes)
        truth = GroundTruth(
            boxes,
            np.zeros(count, np.int64),
            np.full(count, 30 if self.counts else -1),
            np.ones(count, np.float32),
            np.arange(count),
            empty,
            map_known=known,
        )
        return SourceFrame(
            f'{scene}{index}',
            scene,
            stamp,
            (SourceImage('front', stamp - 20_000_000, jpeg, calibration),),
            (SourceSweep(stamp, self._points(rng), None, LIDAR),),
            _motion if self.has_motion else _no_motion,
            np.eye(4),
            truth,
            None,
        )

    def _points(self, rng: np.random.Generator) -> np.ndarray:
        """(P, 5) points of cars and ground in the LiDAR frame."""
        ground = np.column_stack([rng.uniform(-40, 40, (3000, 2)), np.full(3000, -0.05)])
        cars = np.concatenate(
            [box[:3] + rng.uniform(-0.5, 0.5, (30, 3)) * box[3:6] for box in CARS]
        )
        points = np.zeros((len(ground) + len(cars), 5), np.float32)
        points[:, :3] = np.concatenate([ground, cars]) - LIDAR[:3, 3]
        points[:, 3] = self.intensity / 2
        points[len(ground) :, 3] = self.intensity
        return points


def _motion(target_ns: int, source_ns: int) -> np.ndarray:
    """Five metres a second, straight on."""
    moved = np.eye(4)
    moved[0, 3] = 5.0 * (source_ns - target_ns) / 1e9
    return moved


def _no_motion(target_ns: int, source_ns: int) -> None:
    """Nobody knows."""
