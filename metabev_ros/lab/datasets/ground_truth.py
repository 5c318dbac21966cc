"""Truth about a sample, which exists only off the vehicle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from metabev_ros.geometry import NUSCENES_MAP_GRID, points_in_box

ATTRIBUTES = (  # nuScenes' eight; an object has one of them or none
    'cycle.with_rider',
    'cycle.without_rider',
    'pedestrian.moving',
    'pedestrian.sitting_lying_down',
    'pedestrian.standing',
    'vehicle.moving',
    'vehicle.parked',
    'vehicle.stopped',
)
NO_ATTRIBUTE = -1
ANY_LABEL = -1


def _no_boxes() -> np.ndarray:
    return np.zeros((0, 7), np.float32)


def _no_labels() -> np.ndarray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class GroundTruth:
    """Truth for one sample, ego frame at the reference stamp.

    Attributes:
        boxes: (M, 9) float32 as in `Detections`; a velocity that is not known is NaN.
        labels: (M,) int64 indices into DETECTION_CLASSES.
        num_lidar_pts: (M,) int64 points of the sweep inside each box.
        visibility: (M,) float32 share of the box's camera pixels that is not occluded, 0..1; NaN
            where nobody said.
        track_ids: (M,) int64, stable over a drive; -1 where nobody said.
        map_layers: (K, Y, X) bool on `geometry.NUSCENES_MAP_GRID`, classes MAP_CLASSES.
        depth: camera name -> (H, W) float32 metres along the optical axis, inf for sky; may be
            empty.
        attributes: (M,) int64 indices into ATTRIBUTES, NO_ATTRIBUTE where an object has none.
            None where the source knows no attributes: they then follow from the speed.
        map_known: (K, Y, X) bool, cells of a layer whose truth is known; None: all.
        ignored: (R, 7) float32 `x y z length width height yaw`: what lies inside is neither asked
            for nor counted as wrong.
        ignored_labels: (R,) int64 the class that this holds for; ANY_LABEL for all of them.
        objects_known: (Y, X) bool on `geometry.NUSCENES_MAP_GRID`, cells in which all objects are
            labelled; None: all. Outside of the grid it is what it is at the nearest cell.
    """

    boxes: np.ndarray
    labels: np.ndarray
    num_lidar_pts: np.ndarray
    visibility: np.ndarray
    track_ids: np.ndarray
    map_layers: np.ndarray
    depth: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    attributes: np.ndarray | None = None
    map_known: np.ndarray | None = None
    ignored: np.ndarray = field(default_factory=_no_boxes)
    ignored_labels: np.ndarray = field(default_factory=_no_labels)
    objects_known: np.ndarray | None = None

    def is_asked(self, centres: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Tell where an object would have been labelled, and counts.

        Args:
            centres: (N, 3) metres in the ego frame, of truth or of what was found.
            labels: (N,) indices into DETECTION_CLASSES.

        Returns:
            (N,) bool: False inside a box that is ignored for the class, and where nobody said
            whether there is something.
        """
        asked = np.ones(len(centres), bool)
        if self.objects_known is not None:
            grid = NUSCENES_MAP_GRID
            column = np.floor((centres[:, 0] - grid.x_min) / grid.cell)
            row = np.floor((centres[:, 1] - grid.y_min) / grid.cell)
            asked &= self.objects_known[
                np.clip(row, 0, grid.rows - 1).astype(np.int64),
                np.clip(column, 0, grid.columns - 1).astype(np.int64),
            ]
        for box, label in zip(self.ignored, self.ignored_labels, strict=True):
            concerned = (label == ANY_LABEL) | (np.asarray(labels) == label)
            asked &= ~(concerned & points_in_box(centres, box.astype(np.float64)))
        return asked
