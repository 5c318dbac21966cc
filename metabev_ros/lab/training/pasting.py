"""GT-paste: objects of other records put into a sample (SECOND; counts of CBGS and BEVFusion).

A class is filled up to its count. Existing boxes come first: an object is left out if its
footprint meets that of any box, of the sample or pasted before it, or if it would stand where
nobody looked. It stays where it stood in its own record's ego frame, its height included. Points
of the sample inside of a pasted box go. Towards the end of a training it is off (fade-out,
PointAugmenting).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.geometry import inverse_rigid, points_in_box, transform_points
from metabev_ros.lab.datasets.box_overlap import corners, overlap_area
from metabev_ros.lab.datasets.ground_truth import NO_ATTRIBUTE
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.training.object_database import ObjectDatabase, StoredObject
from metabev_ros.lab.training.pasted_pictures import can_be_shown, paste_pictures
from metabev_ros.structures import DETECTION_CLASSES, Modality

TOUCHING = 1e-6  # square metres of two footprints in common that are still none


@dataclass(frozen=True)
class PasteCounts:
    """Most objects of a class that a sample has afterwards (BEVFusion on nuScenes)."""

    car: int = 2
    truck: int = 3
    construction_vehicle: int = 7
    bus: int = 4
    trailer: int = 6
    barrier: int = 2
    motorcycle: int = 6
    bicycle: int = 6
    pedestrian: int = 2
    traffic_cone: int = 2

    def __post_init__(self) -> None:
        for name in DETECTION_CLASSES:
            count = getattr(self, name)
            require(0 <= count <= 100, f'training.paste.counts.{name}', '0..100', count)


@dataclass(frozen=True)
class PasteConfig:
    """GT-paste of a run.

    Attributes:
        min_points: fewest points of an object, over all sweeps.
        fade_out: share of the steps after which nothing is pasted any more.
        cameras: paste pictures too, so that cameras and LiDAR agree (MoCa, PointAugmenting);
            without it samples with a camera branch are left as they are.
    """

    counts: PasteCounts = field(default_factory=PasteCounts)
    min_points: int = 5
    fade_out: float = 0.8
    cameras: bool = False

    def __post_init__(self) -> None:
        require(self.min_points >= 1, 'training.paste.min_points', 'at least 1', self.min_points)
        require(0 <= self.fade_out <= 1, 'training.paste.fade_out', '0..1', self.fade_out)


@dataclass(frozen=True, eq=False)
class Pasting:
    """GT-paste with the objects of the sources of a run.

    Attributes:
        databases: of every source; a record gets objects of its own.
        first: index of each source's first record.
        steps: of the run.
    """

    config: PasteConfig
    databases: tuple[ObjectDatabase, ...]
    first: tuple[int, ...]
    steps: int

    def __call__(
        self,
        record: SampleRecord,
        index: int,
        modality: Modality,
        step: int,
        rng: np.random.Generator,
    ) -> SampleRecord:
        """The record with what is pasted into it.

        Args:
            index: of the record among those of all sources.
            modality: that it is trained with.
        """
        if step >= self.config.fade_out * self.steps or not record.modality.has_lidar:
            return record
        if modality.has_camera and not self.config.cameras:
            return record
        source = int(np.searchsorted(self.first, index, 'right')) - 1
        return paste_objects(record, self.databases[source], self.config, rng, modality.has_camera)


def paste_objects(
    record: SampleRecord,
    database: ObjectDatabase,
    config: PasteConfig,
    rng: np.random.Generator,
    with_cameras: bool = False,
) -> SampleRecord:
    """A record with objects of others in it.

    Args:
        with_cameras: also put their pictures in; what the cameras would see of an object and
            have no picture of is then left out.
    """
    taken = np.concatenate([record.boxes[:, :7], record.ignored]).astype(np.float64)
    found: list[StoredObject] = []
    for row in candidate_rows(record, database, config, rng):
        box = database.box(row).astype(np.float64)
        label = np.array([database.labels[row]])
        if meets_any(box, taken) or not record.truth.is_asked(box[None, :3], label)[0]:
            continue
        item = database[row]
        if with_cameras and not can_be_shown(item, record):
            continue
        found.append(item)
        taken = np.concatenate([taken, box[None, :7]])
    if not found:
        return record
    pasted = _with_objects(record, found)
    return paste_pictures(pasted, record, found) if with_cameras else pasted


def candidate_rows(
    record: SampleRecord,
    database: ObjectDatabase,
    config: PasteConfig,
    rng: np.random.Generator,
) -> list[int]:
    """Rows of the objects to try, class after class: what each class lacks of its count."""
    rows: list[int] = []
    usable = database.usable & (database.point_counts >= config.min_points)
    for label, name in enumerate(DETECTION_CLASSES):
        there = int((record.labels == label).sum())
        choice = np.flatnonzero(usable & (database.labels == label))
        lacking = min(max(getattr(config.counts, name) - there, 0), len(choice))
        if lacking:
            rows += rng.choice(choice, lacking, replace=False).tolist()
    return rows


def meets_any(box: np.ndarray, others: np.ndarray) -> bool:
    """Tell whether the footprint of a box (>= 7,) meets one of others (M, >= 7)."""
    reach = (np.hypot(*box[3:5]) + np.hypot(*others[:, 3:5].T)) / 2
    near = others[np.hypot(*(others[:, :2] - box[:2]).T) < reach]
    if not len(near):
        return False
    mine = np.repeat(corners(box[None, :7]), len(near), 0)
    return bool((overlap_area(mine, corners(near[:, :7])) > TOUCHING).any())


def _with_objects(record: SampleRecord, found: Sequence[StoredObject]) -> SampleRecord:
    """Points and truth of the record and of what is pasted; points of the latter come first."""
    lidar_from_ego = inverse_rigid(record.ego_from_lidar)
    places = transform_points(record.ego_from_lidar, record.points[:, :3].astype(np.float64))
    kept = np.ones(len(places), bool)
    clouds = []
    for item in found:
        kept &= ~points_in_box(places, item.box.astype(np.float64))
        cloud = item.points.copy()
        cloud[:, :3] = transform_points(lidar_from_ego, cloud[:, :3].astype(np.float64))
        clouds.append(cloud)
    attributes = [item.attribute for item in found]
    before = record.attributes
    if before is None and any(attribute != NO_ATTRIBUTE for attribute in attributes):
        before = np.full(len(record.boxes), NO_ATTRIBUTE, np.int64)
    return dataclasses.replace(
        record,
        points=np.concatenate([*clouds, record.points[kept]]),
        boxes=np.concatenate([record.boxes, np.stack([item.box for item in found])]),
        labels=np.append(record.labels, [item.label for item in found]),
        num_lidar_pts=np.append(record.num_lidar_pts, [item.seen for item in found]),
        visibility=np.append(record.visibility, np.full(len(found), np.nan)).astype(np.float32),
        track_ids=np.append(record.track_ids, np.full(len(found), -1)),
        attributes=None if before is None else np.append(before, attributes),
    )
