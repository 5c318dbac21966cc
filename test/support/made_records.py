"""Sample records of a few numbers, for tests that need no pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.geometry import NUSCENES_MAP_GRID
from metabev_ros.lab.datasets.record_folder import entry_of, record_path, write_manifest
from metabev_ros.lab.datasets.sample_record import SampleRecord, write_record
from metabev_ros.lab.datasets.sources.frame import SourceInfo
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives
from metabev_ros.structures import MAP_CLASSES
from support.tiny import TINY


def made_record(boxes: np.ndarray | None = None, **changes: Any) -> SampleRecord:
    """A record without cameras: one point, these boxes as cars, an empty map.

    Args:
        boxes: (M, 9).
        changes: other fields.
    """
    boxes = np.zeros((0, 9), np.float32) if boxes is None else np.asarray(boxes, np.float32)
    count = len(boxes)
    record = SampleRecord(
        token='made',
        scene='scene',
        stamp_ns=1_000_000_000,
        cameras=(),
        pixels=np.zeros((0, 8, 8, 3), np.uint8),
        intrinsics=np.zeros((0, 3, 3)),
        ego_from_camera=np.zeros((0, 4, 4)),
        camera_ages_ns=np.zeros(0, np.int64),
        depth=np.zeros((0, 1, 1), np.float32),
        points=np.zeros((1, 5), np.float32),
        ego_from_lidar=np.eye(4),
        world_from_ego=np.eye(4),
        boxes=boxes,
        labels=np.zeros(count, np.int64),
        num_lidar_pts=np.ones(count, np.int64),
        visibility=np.ones(count, np.float32),
        track_ids=np.arange(count),
        map_layers=np.zeros((len(MAP_CLASSES), *NUSCENES_MAP_GRID.shape), bool),
        ignored=np.zeros((0, 7), np.float32),
        ignored_labels=np.zeros(0, np.int64),
    )
    return dataclasses.replace(record, **changes)


def folder_of(
    folder: Path,
    records: Sequence[SampleRecord],
    model: ModelConfig = TINY,
    info: SourceInfo | None = None,
) -> Path:
    """A finished import of these records; of ours where nobody says whose they are."""
    for record in records:
        path = record_path(folder, record.scene, record.token)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_record(path, record)
    entries = [entry_of(record) for record in records]
    write_manifest(folder, info or SyntheticDrives().info, model, entries)
    return folder
