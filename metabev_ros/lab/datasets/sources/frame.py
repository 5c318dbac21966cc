"""A labelled instant as a data set gives it, and its way into a sample record.

The functions that make samples on the vehicle make them here: decoding at a reduced size, fitting
to the network, the vehicle's motion taken out of points and cameras, sweeps merged.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Protocol, cast

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.geometry import inverse_rigid, transform_points
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.synthetic.world import count_points
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.sensing.decoding import read_compressed_image, reduction_for
from metabev_ros.sensing.messages import CompressedImage
from metabev_ros.sensing.sweeps import NO_POINT_TIME, Motion, SweepHistory, points_in_ego
from metabev_ros.structures import CameraCalibration


@dataclass(frozen=True, eq=False)
class SourceImage:
    """One picture of one camera.

    Attributes:
        data: content of a JPEG or PNG file.
        calibration: of the whole picture, its lens included; `ego_from_camera` to the ego frame
            at `stamp_ns`.
    """

    name: str
    stamp_ns: int
    data: bytes
    calibration: CameraCalibration


@dataclass(frozen=True, eq=False)
class SourceSweep:
    """One sweep of one LiDAR.

    Attributes:
        points: (P, 5) float32 `POINT_COLUMNS` in the LiDAR frame; intensity 0..255, time lag 0.
        seconds: (P,) float32 time of every point after `stamp_ns`, negative before; None where the
            data set does not say, or has taken the motion out already.
        ego_from_lidar: (4, 4) float64.
    """

    stamp_ns: int
    points: np.ndarray
    seconds: np.ndarray | None
    ego_from_lidar: np.ndarray


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """A labelled instant.

    Attributes:
        token: its name in the data set, unique there.
        scene: the drive.
        stamp_ns: reference stamp, that of the newest sweep where there is a LiDAR.
        sweeps: newest first; empty without a LiDAR.
        motion: the vehicle's; (target_ns, source_ns) -> ego(target)_from_ego(source).
        world_from_ego: (4, 4) float64 at `stamp_ns`; NaN where it is not known.
        truth: at `stamp_ns`; `num_lidar_pts` below 0 are counted.
        own_vehicle: as in `Sample`.
    """

    token: str
    scene: str
    stamp_ns: int
    images: tuple[SourceImage, ...]
    sweeps: tuple[SourceSweep, ...]
    motion: Motion
    world_from_ego: np.ndarray
    truth: GroundTruth
    own_vehicle: np.ndarray | None


@dataclass(frozen=True)
class SourceInfo:
    """Facts about a data set that go wherever its records go.

    Attributes:
        name: like 'nuScenes v1.0-mini'.
        licence: its name, or who holds the rights.
        is_commercial: whether what is made from it may be used commercially.
        attribution: whom to name.
        classes: the data set's name -> ours, IGNORE or BACKGROUND.
        notes: what a reader of the figures has to know, one sentence each.
    """

    name: str
    licence: str
    is_commercial: bool
    attribution: str
    classes: dict[str, str]
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """A data set; it can be pickled, and opens its files when it is asked for records."""

    @property
    def info(self) -> SourceInfo:
        """Name, licence, classes and notes."""
        ...

    def scenes(self) -> dict[str, int]:
        """Drive -> its number of labelled samples, in order; -1 where only reading tells.

        Raises:
            ConfigError: for missing tables and files, and foreign layouts.
        """
        ...

    def records(
        self, scene: str, maker: RecordMaker, done: frozenset[str]
    ) -> Iterator[SampleRecord]:
        """Records of a drive in the order of their stamps, but for the tokens that are done.

        Raises:
            ConfigError: for files that are missing, damaged or contradict each other.
        """
        ...


class RecordMaker:
    """Fits frames to a model.

    Args:
        model: gives size of the images, stride of the features and number of sweeps.

    Attributes:
        notes: what a source found while it made records, one sentence each: what was left out,
            and why. They go where those of `SourceInfo` go.
        shortfalls: what a frame lacked -> how often.
    """

    def __init__(self, model: ModelConfig) -> None:
        self.model = model
        self.notes: list[str] = []
        self.shortfalls: Counter[str] = Counter()
        self._preprocessor = Preprocessor(model)

    def make(self, frame: SourceFrame) -> SampleRecord:
        """The record of a frame.

        Raises:
            SensorDataError: for an image that cannot be decoded.
            ConfigError: for truth that contradicts itself.
        """
        points = self._points(frame)
        newest = points[points[:, 4] == 0][:, :3].astype(np.float64)
        views = [self._view(image, frame) for image in frame.images]
        camera = self.model.camera
        size, cells = (camera.height, camera.width), camera.feature_shape
        depths = [lidar_depth(newest, view[1], self.model) for view in views]
        truth = frame.truth
        counted = count_points(newest, truth.boxes)
        lidar_points = np.where(truth.num_lidar_pts < 0, counted, truth.num_lidar_pts)
        names = [f.name for f in dataclasses.fields(GroundTruth)]
        kept = {n: getattr(truth, n) for n in names if n not in ('depth', 'num_lidar_pts')}
        return SampleRecord(
            token=frame.token,
            scene=frame.scene,
            stamp_ns=frame.stamp_ns,
            cameras=tuple(image.name for image in frame.images),
            pixels=_stacked([view[0] for view in views], (*size, 3), np.uint8),
            intrinsics=_stacked([view[1].intrinsics for view in views], (3, 3), np.float64),
            ego_from_camera=_stacked(
                [view[1].ego_from_camera for view in views], (4, 4), np.float64
            ),
            camera_ages_ns=np.array([frame.stamp_ns - i.stamp_ns for i in frame.images], np.int64),
            depth=_stacked(depths, cells, np.float32),
            points=points,
            ego_from_lidar=np.eye(4),
            lidar_mount=frame.sweeps[0].ego_from_lidar if frame.sweeps else None,
            own_vehicle=frame.own_vehicle,
            world_from_ego=frame.world_from_ego,
            num_lidar_pts=lidar_points.astype(np.int64),
            **kept,
        )

    def _points(self, frame: SourceFrame) -> np.ndarray:
        """(P, 5) float32 points of as many sweeps as the model takes, in the ego frame."""
        history = SweepHistory(self.model.lidar.sweeps)
        if not frame.sweeps:
            return np.zeros((0, 5), np.float32)
        for sweep in reversed(frame.sweeps[: self.model.lidar.sweeps]):
            points, note = points_in_ego(
                sweep.points, sweep.seconds, sweep.stamp_ns, sweep.ego_from_lidar, frame.motion
            )
            if note and note != NO_POINT_TIME:
                self.shortfalls["the vehicle's motion is still in the points of a sweep"] += 1
            history.add(sweep.stamp_ns, points)
        points, note = history.merged(frame.stamp_ns, frame.motion)
        if note:
            self.shortfalls['not as many earlier sweeps as the model takes'] += 1
        return points

    def _view(
        self, image: SourceImage, frame: SourceFrame
    ) -> tuple[np.ndarray, CameraCalibration]:
        """The picture at the network's size; its pose leads to the ego frame of the frame."""
        camera = self.model.camera
        message = SimpleNamespace(data=np.frombuffer(image.data, np.uint8), format='')
        packed = read_compressed_image(cast(CompressedImage, message))
        reduce = reduction_for(packed.size, camera.height, camera.width)
        pixels, calibration = self._preprocessor.prepare_image(
            packed.decode(reduce)[0], image.calibration
        )
        motion = frame.motion(frame.stamp_ns, image.stamp_ns)
        if motion is None:
            if image.stamp_ns != frame.stamp_ns:
                self.shortfalls['no ego motion between an image and its sample'] += 1
            return pixels, calibration
        pose = motion @ calibration.ego_from_camera
        return pixels, dataclasses.replace(calibration, ego_from_camera=pose)


def _stacked(
    arrays: Sequence[np.ndarray], shape: tuple[int, ...], dtype: type[np.generic]
) -> np.ndarray:
    """The arrays as one; an empty one of that shape where there are none."""
    return np.stack(arrays).astype(dtype) if arrays else np.zeros((0, *shape), dtype)


def lidar_depth(
    points: np.ndarray, calibration: CameraCalibration, model: ModelConfig
) -> np.ndarray:
    """Depth of the nearest point that each feature pixel sees.

    Args:
        points: (P, 3) float64 in the ego frame.
        calibration: of the fitted image, to the same frame.

    Returns:
        (h, w) float32 metres along the optical axis; inf where no point falls.
    """
    h, w = model.camera.feature_shape
    depth = np.full(h * w, np.inf, np.float32)
    seen = transform_points(inverse_rigid(calibration.ego_from_camera), points)
    seen = seen[seen[:, 2] > model.camera.depth_min]
    pixels = seen @ calibration.intrinsics.T
    cell = np.floor((pixels[:, :2] / pixels[:, 2:3] + 0.5) / model.camera.stride)
    inside = (cell >= 0).all(1) & (cell[:, 0] < w) & (cell[:, 1] < h)
    cell = cell[inside].astype(np.int64)
    np.minimum.at(depth, cell[:, 1] * w + cell[:, 0], seen[inside, 2].astype(np.float32))
    return depth.reshape(h, w)
