"""Truth about a sample, which exists only off the vehicle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class GroundTruth:
    """Truth for one sample, ego frame at the reference stamp.

    Attributes:
        boxes: (M, 9) float32 as in `Detections`.
        labels: (M,) int64 indices into DETECTION_CLASSES.
        num_lidar_pts: (M,) int64 points of the sweep inside each box.
        visibility: (M,) float32 share of the box's camera pixels that is not occluded, 0..1.
        track_ids: (M,) int64, stable over a drive.
        map_layers: (K, Y, X) bool on `geometry.NUSCENES_MAP_GRID`, classes MAP_CLASSES.
        depth: camera name -> (H, W) float32 metres along the optical axis, inf for sky; may be
            empty.
    """

    boxes: np.ndarray
    labels: np.ndarray
    num_lidar_pts: np.ndarray
    visibility: np.ndarray
    track_ids: np.ndarray
    map_layers: np.ndarray
    depth: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
