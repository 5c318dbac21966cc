"""Annotations of a nuScenes key frame as truth in the ego frame at its sweep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import inverse_rigid, quaternion_to_rotation, transform_points
from metabev_ros.lab.datasets.ground_truth import ATTRIBUTES, NO_ATTRIBUTE, GroundTruth
from metabev_ros.lab.datasets.sources.classes import BACKGROUND, IGNORE, ClassMap
from metabev_ros.lab.datasets.sources.json_rows import AGAIN
from metabev_ros.lab.datasets.sources.nuscenes_rows import Annotation
from metabev_ros.lab.datasets.sources.nuscenes_tables import Tables
from metabev_ros.structures import DETECTION_CLASSES

MAX_GAP_S = 1.5  # `box_velocity` of the devkit; twice that between the one before and after
BIKE_RACK = 'static_object.bicycle_rack'
RACK_CLASSES = ('bicycle', 'motorcycle')  # not asked for inside of a rack
CLASSES = {
    'animal': BACKGROUND,
    'human.pedestrian.adult': 'pedestrian',
    'human.pedestrian.child': 'pedestrian',
    'human.pedestrian.construction_worker': 'pedestrian',
    'human.pedestrian.personal_mobility': BACKGROUND,
    'human.pedestrian.police_officer': 'pedestrian',
    'human.pedestrian.stroller': BACKGROUND,
    'human.pedestrian.wheelchair': BACKGROUND,
    'movable_object.barrier': 'barrier',
    'movable_object.debris': BACKGROUND,
    'movable_object.pushable_pullable': BACKGROUND,
    'movable_object.trafficcone': 'traffic_cone',
    BIKE_RACK: IGNORE,
    'vehicle.bicycle': 'bicycle',
    'vehicle.bus.bendy': 'bus',
    'vehicle.bus.rigid': 'bus',
    'vehicle.car': 'car',
    'vehicle.construction': 'construction_vehicle',
    'vehicle.emergency.ambulance': BACKGROUND,
    'vehicle.emergency.police': BACKGROUND,
    'vehicle.motorcycle': 'motorcycle',
    'vehicle.trailer': 'trailer',
    'vehicle.truck': 'truck',
}


@dataclass(frozen=True)
class TruthMaker:
    """Makes truth of annotations.

    Attributes:
        where: the folder of the tables, for errors.
        with_radar: whether the points of an object are those of LiDAR and radar together.
    """

    where: str
    tables: Tables
    classes: ClassMap
    with_radar: bool

    def make(
        self,
        sample: str,
        world_from_ego: np.ndarray,
        map_layers: np.ndarray,
        map_known: np.ndarray | None,
    ) -> GroundTruth:
        """The truth of a sample, without depth.

        Args:
            sample: its token.
            world_from_ego: (4, 4) float64 at the sweep of the LiDAR.

        Raises:
            ConfigError: for annotations that contradict each other, and for a class without a
                target.
        """
        rows, names = self._rows(sample)
        boxes = self._boxes(rows, world_from_ego)
        split = self.classes.split(boxes, names)
        kept = [rows[i] for i in split.kept]
        given_up = [name for name in names if self.classes.target(name) == IGNORE]
        ignored, ignored_labels = _with_racks(split.ignored, split.ignored_labels, given_up)
        return GroundTruth(
            boxes=boxes[split.kept].astype(np.float32),
            labels=split.labels,
            num_lidar_pts=np.array([self._points(row) for row in kept], np.int64),
            visibility=np.array([self._share(row) for row in kept], np.float32),
            track_ids=np.array([row.instance for row in kept], np.int64),
            map_layers=map_layers,
            attributes=np.array([self._attribute(row) for row in kept], np.int64),
            map_known=map_known,
            ignored=ignored,
            ignored_labels=ignored_labels,
        )

    def lidar_points(self, sample: str) -> np.ndarray:
        """(K,) int64 points of the LiDAR alone, by the table, in each box of `make`."""
        rows, names = self._rows(sample)
        kept = [self.classes.target(name) in DETECTION_CLASSES for name in names]
        return np.array([r.lidar_points for r, k in zip(rows, kept, strict=True) if k], np.int64)

    def _rows(self, sample: str) -> tuple[list[Annotation], list[str]]:
        """Annotations of a sample and their categories."""
        rows = self.tables.of_sample.get(sample, [])
        return rows, [self.tables.instances[row.instance] for row in rows]

    def _boxes(self, rows: list[Annotation], world_from_ego: np.ndarray) -> np.ndarray:
        """(M, 9) float64 in the ego frame."""
        boxes = np.zeros((len(rows), 9))
        ego_from_world = inverse_rigid(world_from_ego)
        for i, row in enumerate(rows):
            w, x, y, z = row.box[6:]
            # As `quaternion_yaw` of the official evaluation: where the x axis points to.
            forward = ego_from_world[:3, :3] @ quaternion_to_rotation(x, y, z, w)[:, 0]
            width, length, height = row.box[3:6]
            boxes[i, :3] = transform_points(ego_from_world, np.array(row.box[:3]))
            boxes[i, 3:7] = length, width, height, np.arctan2(forward[1], forward[0])
            boxes[i, 7:] = (ego_from_world[:3, :3] @ self.velocity(row))[:2]
        return boxes

    def velocity(self, row: Annotation) -> np.ndarray:
        """(3,) float64 m/s in the map's frame, NaN where it is not known; as the devkit has it.

        Between the annotation before and the one after, or one of them and this one.

        Raises:
            ConfigError: for annotations whose samples are not in the order of their stamps.
        """
        first = self.tables.annotations.find(row.previous) if row.previous else row
        last = self.tables.annotations.find(row.following) if row.following else row
        if first is last:
            return np.full(3, np.nan)
        # The devkit's arithmetic, for its last bits.
        seconds = 1e-6 * self._stamp_us(last) - 1e-6 * self._stamp_us(first)
        if seconds <= 0:
            raise ConfigError(
                f'{self.where}: annotation {row.token}',
                'neighbours in the order of their stamps',
                f'{seconds:.3f} s between them',
                AGAIN,
            )
        if seconds > MAX_GAP_S * (2 if row.previous and row.following else 1):
            return np.full(3, np.nan)
        return (np.array(last.box[:3]) - np.array(first.box[:3])) / seconds

    def _stamp_us(self, row: Annotation) -> int:
        return self.tables.samples.find(row.sample).stamp_us

    def _points(self, row: Annotation) -> int:
        return row.lidar_points + (row.radar_points if self.with_radar else 0)

    def _share(self, row: Annotation) -> float:
        return self.tables.shares.find(row.visibility) if row.visibility else float('nan')

    def _attribute(self, row: Annotation) -> int:
        if not row.attributes:
            return NO_ATTRIBUTE
        names = [self.tables.attributes.find(token) for token in row.attributes]
        if len(names) > 1 or names[0] not in ATTRIBUTES:
            raise ConfigError(
                f'{self.where}: annotation {row.token}',
                f'one attribute of {list(ATTRIBUTES)}, or none',
                str(names),
            )
        return ATTRIBUTES.index(names[0])


def _with_racks(
    ignored: np.ndarray, labels: np.ndarray, names: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """A bicycle rack is ignored for what stands in it alone, as in the devkit's filter."""
    racks = np.array([name == BIKE_RACK for name in names], bool)
    inside = [DETECTION_CLASSES.index(name) for name in RACK_CLASSES]
    boxes = np.concatenate([ignored[~racks], np.repeat(ignored[racks], len(inside), axis=0)])
    return boxes, np.concatenate([labels[~racks], np.tile(inside, int(racks.sum()))]).astype(
        np.int64
    )
