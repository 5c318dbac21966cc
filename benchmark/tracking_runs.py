"""Drives with truth, their sensors failing, and what a tracker makes of what was found in them."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from metabev_ros.config import TrackingConfig
from metabev_ros.geometry import transform_points
from metabev_ros.lab.datasets.corruptions.lidar import limit_field
from metabev_ros.lab.datasets.samples import restrict_to, sample_from_frames, without_sensors
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.datasets.sweeps import frames_before
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.simulation.records import StreetDrives
from metabev_ros.lab.simulation.traffic_records import TrafficDrives
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Detections, Modality, Sample, SensorKind, Sweep
from metabev_ros.tracking import Tracker
from metabev_ros.tracks import TrackedObjects

FIRST_SEED = 985_000  # these worlds serve for nothing else
FAILS_AT, LIDAR_IS_DEAD, ALL_IS_DEAD = 3.0, 2.0, 1.0  # seconds
BLOCKED = 90.0  # degrees ahead that the LiDAR does not see
BOX_RATE = 20.0  # Hz, of the drives between boxes: earlier sweeps are that close
REST = 'truth'
EPOCH = 0


class World(enum.Enum):
    """Where the vehicle drives."""

    BOXES = 'boxes'  # the synthetic world of the first weights
    STREETS = 'streets'
    TRAFFIC = 'traffic'  # recorded, through streets


class Failure(enum.Enum):
    """What fails three seconds after the start."""

    CLEAN = 'clean'
    LIDAR_DEAD = 'lidar_dead_2s'
    CAMERA_DEAD = 'one_camera_dead'
    CAMERAS_DEAD = 'cameras_dead'
    SECTOR = 'lidar_sector_blocked'
    ALL_DEAD = 'all_dead_1s'

    def lasts(self, t: float) -> bool:
        """Tell whether it is there at a time, seconds."""
        end = {Failure.LIDAR_DEAD: LIDAR_IS_DEAD, Failure.ALL_DEAD: ALL_IS_DEAD}
        since = t - FAILS_AT
        return self is not Failure.CLEAN and 0 <= since < end.get(self, np.inf)


@dataclass(frozen=True)
class Frame:
    """One sample of a drive with its truth, in the ego frame.

    Attributes:
        boxes: (M, 9) float64.
        labels, ids, points: (M,) int64 class, identity, points of the LiDAR.
    """

    sample: Sample
    boxes: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    points: np.ndarray

    @property
    def world_from_ego(self) -> np.ndarray:
        """(4, 4) float64."""
        return self.sample.ego_poses[REST]


# -------------------------------------------------------------------------------------- drives
def drives_of(
    world: World,
    count: int,
    seconds: float,
    spacing: float,
    files: Sequence[Path],
    model: Pipeline,
) -> Iterator[tuple[str, list[Frame]]]:
    """Yield name and frames of drives.

    Args:
        files: recorded scenes, for TRAFFIC.
    """
    frames = round(seconds / spacing)
    if world is World.BOXES:
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            yield str(seed), list(_box_frames(seed, frames, spacing, model))
        return
    if world is World.STREETS:
        drives = StreetDrives(FIRST_SEED, count, frames, spacing)
    else:
        drives = TrafficDrives(tuple(files[:count]), FIRST_SEED, 1, spacing)
    maker = RecordMaker(model.config)
    for scene in drives.scenes():
        records = drives.records(scene, maker, frozenset())
        yield (
            scene,
            [
                _frame(record.sample, record.truth, record.world_from_ego)
                for record in islice(records, frames)
            ],
        )


def _box_frames(seed: int, frames: int, spacing: float, model: Pipeline) -> Iterator[Frame]:
    camera, sweeps = model.config.camera, model.config.lidar.sweeps
    stride = max(1, round(spacing * BOX_RATE))
    drive = SyntheticDrive(
        seed,
        DriveConfig(
            sweeps + frames * stride,
            BOX_RATE,
            image_width=2 * camera.width,
            image_height=2 * camera.height,
        ),
    )
    for index in range(sweeps - 1, sweeps - 1 + frames * stride, stride):
        before = frames_before(drive, index, sweeps)
        sample = sample_from_frames(before, model.prepare_image, rate_hz=BOX_RATE, sweeps=sweeps)
        yield _frame(sample, before[-1].ground_truth, before[-1].odom_from_ego)


def _frame(sample: Sample, truth, world_from_ego: np.ndarray) -> Frame:  # noqa: ANN001
    return Frame(
        dataclasses.replace(sample, ego_poses={REST: world_from_ego}),
        truth.boxes.astype(np.float64),
        truth.labels,
        truth.track_ids,
        truth.num_lidar_pts,
    )


# ------------------------------------------------------------------------------------ failures
def failing(sample: Sample, failure: Failure) -> Sample | None:
    """The sample while something fails; None while everything is dead."""
    cameras = [r.name for r in sample.sensors if r.kind is SensorKind.CAMERA]
    if failure is Failure.LIDAR_DEAD:
        return restrict_to(sample, Modality.CAMERA)
    if failure is Failure.CAMERAS_DEAD:
        return restrict_to(sample, Modality.LIDAR)
    if failure is Failure.CAMERA_DEAD:
        return without_sensors(sample, cameras[:1])
    if failure is Failure.SECTOR and sample.sweep is not None:
        return dataclasses.replace(sample, sweep=_blocked(sample.sweep))
    return None if failure is Failure.ALL_DEAD else sample


def _blocked(sweep: Sweep) -> Sweep:
    """A sweep without what lies ahead of the vehicle."""
    points = sweep.points.copy()
    points[:, :3] = transform_points(sweep.ego_from_lidar, points[:, :3].astype(np.float64))
    # Azimuths of the corruptions are those of a LiDAR whose y axis looks forward.
    turned = points.copy()
    turned[:, 0], turned[:, 1] = -points[:, 1], points[:, 0]
    kept = limit_field(
        np.column_stack([turned, np.arange(len(turned))]), 180 - BLOCKED / 2, centre_deg=180.0
    )
    return dataclasses.replace(sweep, points=sweep.points[kept[:, -1].astype(np.int64)])


@dataclass(frozen=True)
class Found:
    """What a model found in a sample."""

    detections: Detections
    modality: Modality


class Finder:
    """A model on the frames of one drive; what a failure does not change is computed once.

    Attributes:
        looks: every frame that was looked at with what was found, each once.
    """

    def __init__(self, model: Pipeline, frames: Sequence[Frame]) -> None:
        self._model, self._frames = model, frames
        self._found: dict[tuple[int, Failure], Found | None] = {}
        self.looks: list[tuple[Frame, Found]] = []

    def under(self, failure: Failure) -> list[Found | None]:
        """What is found in every frame; None where there is nothing to look at."""
        start_ns = self._frames[0].sample.stamp_ns
        found: list[Found | None] = []
        for index, frame in enumerate(self._frames):
            t = (frame.sample.stamp_ns - start_ns) * 1e-9
            key = index, failure if failure.lasts(t) else Failure.CLEAN
            if key not in self._found:
                self._found[key] = self._look(frame, key[1])
            found.append(self._found[key])
        return found

    def _look(self, frame: Frame, failure: Failure) -> Found | None:
        sample = failing(frame.sample, failure)
        if sample is None:
            return None
        found = Found(self._model(sample).detections, sample.modality)
        self.looks.append((frame, found))
        return found


# ------------------------------------------------------------------------------------- tracking
def follow(
    frames: Sequence[Frame],
    found: Sequence[Found | None],
    config: TrackingConfig,
    names: Sequence[str],
) -> list[TrackedObjects]:
    """Tracks at every frame; those of the heartbeat where nothing was looked at."""
    tracker, told = Tracker(config, names), []
    for frame, seen in zip(frames, found, strict=True):
        stamp_ns, poses = frame.sample.stamp_ns, frame.sample.ego_poses
        if seen is None:
            coasting = tracker.coast(stamp_ns, poses, EPOCH)
            told.append(coasting or TrackedObjects(stamp_ns, EPOCH, Modality.NONE))
        else:
            told.append(tracker.look(stamp_ns, seen.detections, seen.modality, poses, EPOCH))
    return told
