"""Disagreement of the branches: boxes of the LiDAR branch beside those of the camera branch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metabev_ros.bags import BagReader
from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.lab.datasets.samples import restrict_to
from metabev_ros.pipeline import Pipeline
from metabev_ros.replay.feed import BagFeed
from metabev_ros.structures import Detections, Modality

NEAR_M = 2.0  # distance of centres up to which two boxes are one object


def compare_branches(
    bag: Path,
    pipeline: Pipeline,
    rig: RigConfig,
    sensing: SensingConfig,
    every: float,
    score: float,
) -> tuple[int, float]:
    """Ask both branches at moments of a bag that have cameras and LiDAR.

    Args:
        every: seconds between moments at least.
        score: boxes below it are not counted.

    Returns:
        number of moments, and the share of boxes without one of the other branch; NaN where
        there is no box.
    """
    feed = BagFeed(BagReader(bag), pipeline.front_end(rig, sensing), sensing)
    due_ns = moments = alone = boxes = 0
    for moment in feed:
        for sample in moment.samples:
            if sample.modality is not Modality.FUSED or sample.stamp_ns < due_ns:
                continue
            due_ns = sample.stamp_ns + round(every * 1e9)
            lidar, camera = (
                pipeline(restrict_to(sample, modality)).detections
                for modality in (Modality.LIDAR, Modality.CAMERA)
            )
            moments += 1
            both = 2 * shared_boxes(lidar, camera, score)
            here = int((lidar.scores >= score).sum() + (camera.scores >= score).sum())
            boxes, alone = boxes + here, alone + here - both
    return moments, alone / boxes if boxes else float('nan')


def shared_boxes(first: Detections, second: Detections, score: float) -> int:
    """Number of objects that both have: same class, centres near, the nearest pair first."""
    count = 0
    for label in np.union1d(first.labels, second.labels):
        one, other = (
            d.boxes[(d.labels == label) & (d.scores >= score), :2] for d in (first, second)
        )
        distance = np.linalg.norm(one[:, None] - other[None], axis=2)
        while distance.size and distance.min() <= NEAR_M:
            row, column = np.unravel_index(distance.argmin(), distance.shape)
            distance[row], distance[:, column] = np.inf, np.inf
            count += 1
    return count
