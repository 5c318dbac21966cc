"""Common ground of KITTI's records: classes, stamps, truth, and what its metric needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import ConfigError, SensorDataError
from metabev_ros.geometry import NUSCENES_MAP_GRID, inverse_rigid
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.classes import IGNORE, ClassMap
from metabev_ros.lab.datasets.sources.frame import RecordMaker, SourceFrame, SourceInfo
from metabev_ros.lab.datasets.sources.kitti_calibration import EGO_FROM_LIDAR, KittiCalibration
from metabev_ros.lab.datasets.sources.kitti_files import KittiLabels
from metabev_ros.lab.datasets.sources.plausibility import require_points_in_boxes
from metabev_ros.sensing.sweeps import Motion
from metabev_ros.structures import MAP_CLASSES

CAMERA = 'image_2'
# A van is no car and a sitting person no pedestrian in KITTI's own evaluation, which ignores both
# beside their neighbours; a cyclist is a bicycle with its rider, as nuScenes draws the box. Trams
# and the rest have no counterpart in nuScenes. The tracking benchmark writes Person.
KITTI_CLASSES: Mapping[str, str] = {
    'Car': 'car',
    'Van': IGNORE,
    'Truck': 'truck',
    'Pedestrian': 'pedestrian',
    'Person_sitting': IGNORE,
    'Person': IGNORE,
    'Cyclist': 'bicycle',
    'Tram': IGNORE,
    'Misc': IGNORE,
}
FRAME_NS = 100_000_000  # 10 Hz
FIRST_NS = 1_000_000_000
# Share of an object that is in sight, by KITTI's levels of occlusion: 0 fully visible, 1 partly,
# 2 largely occluded. KITTI gives words, the shares are ours. 3 is unknown.
SHARE_IN_SIGHT = (1.0, 0.6, 0.2)


@dataclass(frozen=True, eq=False)
class KittiView:
    """Facts of a frame that KITTI's own evaluation needs and no record holds.

    Attributes:
        labels: as they stand in the file.
        calibration: of the frame.
        size: (width, height) of the picture.
    """

    labels: KittiLabels
    calibration: KittiCalibration
    size: tuple[int, int]


def kitti_info(name: str, classes: ClassMap, notes: tuple[str, ...]) -> SourceInfo:
    """Name, licence, classes and notes of either benchmark."""
    return SourceInfo(
        name,
        'CC BY-NC-SA 3.0',
        False,
        'Geiger, Lenz, Urtasun: Are we ready for Autonomous Driving? The KITTI Vision Benchmark '
        'Suite, CVPR 2012',
        dict(classes.names),
        (
            'Objects are labelled inside the picture of the front camera only.',
            'There is no map: no layer is known.',
            'Visibility is made of three levels of occlusion.',
            *notes,
        ),
    )


def stamp_of(frame: int) -> int:
    """Stamp of a frame by its number."""
    return FIRST_NS + frame * FRAME_NS


def motion_between(poses: Mapping[int, np.ndarray]) -> Motion:
    """Motion between stamps of poses; between others only where they are the same."""

    def motion(target_ns: int, source_ns: int) -> np.ndarray | None:
        if target_ns == source_ns:
            return np.eye(4)
        if target_ns not in poses or source_ns not in poses:
            return None
        return inverse_rigid(poses[target_ns]) @ poses[source_ns]

    return motion


def made_record(maker: RecordMaker, frame: SourceFrame) -> SampleRecord:
    """The record of a frame.

    Raises:
        ConfigError: for a picture that cannot be decoded.
    """
    try:
        return maker.make(frame)
    except SensorDataError as error:
        raise ConfigError(
            f'{frame.scene} {frame.token}', error.expected, error.got, 'load the picture anew'
        ) from error


def truth_of(
    where: str,
    view: KittiView,
    points: np.ndarray,
    classes: ClassMap,
    truncation: np.ndarray,
    velocities: np.ndarray | None = None,
) -> GroundTruth:
    """Truth of a frame.

    Args:
        where: the label file, for errors.
        points: (P, 5) of the sweep in the LiDAR frame.
        truncation: (M,) share of each label that is outside the picture.
        velocities: (M, 2) of each label in ego axes; None: not known.

    Raises:
        ConfigError: for boxes without size, unknown classes, or boxes that lie on no points.
    """
    real = ~view.labels.is_dont_care
    labels = view.labels.rows(real)
    if (labels.sizes <= 0).any():
        raise ConfigError(where, 'boxes of positive size', str(labels.sizes.tolist()))
    boxes = view.calibration.boxes_in_ego(labels)
    if velocities is not None:
        boxes[:, 7:9] = velocities[real]
    in_sight = labels.occlusion == 0
    cloud = points[:, :3].astype(np.float64) + EGO_FROM_LIDAR[:3, 3]
    require_points_in_boxes(where, cloud, boxes[in_sight])
    split = classes.split(boxes, list(labels.kinds))
    shares = np.array([*SHARE_IN_SIGHT, np.nan])[np.clip(labels.occlusion, 0, 3)]
    shares = shares * (1 - np.clip(truncation[real], 0, 1))
    layers = (len(MAP_CLASSES), *NUSCENES_MAP_GRID.shape)
    return GroundTruth(
        boxes=boxes[split.kept].astype(np.float32),
        labels=split.labels,
        num_lidar_pts=np.full(len(split.kept), -1, np.int64),
        visibility=shares[split.kept].astype(np.float32),
        track_ids=labels.tracks[split.kept],
        map_layers=np.zeros(layers, bool),
        map_known=np.zeros(layers, bool),
        ignored=split.ignored,
        ignored_labels=split.ignored_labels,
        objects_known=view.calibration.objects_known(view.size, view.labels.image_boxes[~real]),
    )
