"""A sample of the front end and its labels as a sample record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.geometry import NUSCENES_MAP_GRID, transform_points
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.classes import ClassMap
from metabev_ros.lab.datasets.sources.frame import lidar_depth
from metabev_ros.lab.datasets.sources.label_track import PlacedLabels
from metabev_ros.structures import DETECTION_CLASSES, Sample

MAX_REACH = 300.0  # metres from the vehicle; a box farther away is in a wrong frame
_STANDING = ('barrier', 'traffic_cone')  # what does not move needs no velocity


def ego_points(sample: Sample) -> np.ndarray:
    """(P, 3) float64 points of the newest sweep in the ego frame; none without a sweep."""
    if sample.sweep is None:
        return np.zeros((0, 3))
    points = sample.sweep.points
    newest = points[points[:, 4] == 0][:, :3].astype(np.float64)
    return transform_points(sample.sweep.ego_from_lidar, newest)


def header_ns(sample: Sample, offsets: Mapping[str, int]) -> int:
    """The stamp that the sensor which leads a sample gave its own frame.

    Args:
        offsets: sensor -> nanoseconds that its front end adds to its stamps.
    """
    for report in sample.sensors:
        if report.used and report.age_ns == 0 and offsets[report.name]:
            return sample.stamp_ns - offsets[report.name]
    return sample.stamp_ns


def truth_of(
    placed: PlacedLabels,
    classes: ClassMap,
    points: np.ndarray,
    layers: tuple[np.ndarray, np.ndarray | None],
    labelled_range_m: float | None,
) -> GroundTruth:
    """The truth of a sample.

    What was labelled at another stamp, and moved since in a way that nobody knows, is ignored.
    Boxes beyond MAX_REACH are left out.

    Args:
        points: (P, 3) float64 of the newest sweep, in the ego frame.
        layers: `map_layers` and `map_known`.
        labelled_range_m: distance up to which all objects are labelled; None: everywhere.
    """
    labels = placed.labels
    near = np.flatnonzero(~is_far(placed))
    split = classes.split(placed.boxes[near], [labels.names[row] for row in near])
    names = np.array([DETECTION_CLASSES[label] for label in split.labels], str)
    rows = near[split.kept]
    is_asked = placed.is_known[rows] | np.isin(names, _STANDING)
    kept, lost = rows[is_asked], rows[~is_asked]
    given = np.where(placed.is_moved, -1, labels.num_lidar_pts)
    counted = np.where(given < 0, placed.counts(points), given)
    return GroundTruth(
        placed.boxes[kept].astype(np.float32),
        split.labels[is_asked],
        counted[kept],
        labels.visibility[kept],
        labels.tracks[kept],
        layers[0],
        map_known=layers[1],
        ignored=np.concatenate([split.ignored, placed.boxes[lost, :7]]).astype(np.float32),
        ignored_labels=np.concatenate([split.ignored_labels, split.labels[~is_asked]]),
        objects_known=_objects_known(labelled_range_m),
    )


def is_far(placed: PlacedLabels) -> np.ndarray:
    """(M,) bool: which boxes lie where no sensor reaches."""
    return np.linalg.norm(placed.boxes[:, :3], axis=1) > MAX_REACH


def _objects_known(distance: float | None) -> np.ndarray | None:
    """(Y, X) bool cells up to a distance; None for all."""
    if distance is None:
        return None
    return np.hypot(*np.moveaxis(NUSCENES_MAP_GRID.centres(), -1, 0)) <= distance


def record_of(
    token: str,
    scene: str,
    sample: Sample,
    truth: GroundTruth,
    world_from_ego: np.ndarray,
    model: ModelConfig,
) -> SampleRecord:
    """The record of a sample: its pixels, points and poses as they are.

    Args:
        truth: with counted points.
        world_from_ego: (4, 4), NaN where it is not known.
    """
    images = {name: image for name, image in sample.cameras.items() if image is not None}
    views = [image.calibration for image in images.values()]
    points, (h, w) = ego_points(sample), model.camera.feature_shape
    pixels = [image.pixels for image in images.values()]
    depths = [lidar_depth(points, view, model) for view in views]
    sweep = sample.sweep
    size = (model.camera.height, model.camera.width, 3)
    names = [f.name for f in dataclasses.fields(GroundTruth) if f.name != 'depth']
    return SampleRecord(
        token=token,
        scene=scene,
        stamp_ns=sample.stamp_ns,
        cameras=tuple(images),
        pixels=np.array(pixels, np.uint8).reshape(-1, *size),
        intrinsics=np.array([view.intrinsics for view in views]).reshape(-1, 3, 3),
        ego_from_camera=np.array([view.ego_from_camera for view in views]).reshape(-1, 4, 4),
        camera_ages_ns=np.array([sample.stamp_ns - i.stamp_ns for i in images.values()], np.int64),
        depth=np.array(depths, np.float32).reshape(-1, h, w),
        points=np.zeros((0, 5), np.float32) if sweep is None else sweep.points,
        ego_from_lidar=np.eye(4) if sweep is None else sweep.ego_from_lidar,
        world_from_ego=world_from_ego,
        own_vehicle=sample.own_vehicle,
        **{name: getattr(truth, name) for name in names},
    )
