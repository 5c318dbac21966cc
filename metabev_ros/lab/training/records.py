"""Cached records as labelled samples: what was trained on, through the real pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from metabev_ros.lab.datasets.samples import LIDAR_NAME, LabelledSample
from metabev_ros.lab.training.samples import load_record
from metabev_ros.structures import (
    CameraCalibration,
    CameraImage,
    GroundTruth,
    Modality,
    Sample,
    SensorKind,
    SensorReport,
    SensorState,
    Sweep,
)


class RecordSamples(Sequence):
    """One `LabelledSample` per record, all sensors present."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> LabelledSample:
        path = self._paths[index]
        return labelled_sample(load_record(path), path.stem)

    def __iter__(self) -> Iterator[LabelledSample]:
        return (self[i] for i in range(len(self)))


def labelled_sample(record: dict[str, np.ndarray], source: str) -> LabelledSample:
    """A record as the `Sample` that the synchroniser would have made, and its truth."""
    height, width = record['pixels'].shape[1:3]
    cameras = {
        f'camera_{i}': CameraImage(0, pixels, CameraCalibration(width, height, k, pose))
        for i, (pixels, k, pose) in enumerate(
            zip(record['pixels'], record['intrinsics'], record['ego_from_camera'], strict=True)
        )
    }
    kinds = {**dict.fromkeys(cameras, SensorKind.CAMERA), LIDAR_NAME: SensorKind.LIDAR}
    reports = tuple(
        SensorReport(name, kind, SensorState.OK, used=True, stamp_ns=0, age_ns=0)
        for name, kind in kinds.items()
    )
    sample = Sample(
        0, cameras, Sweep(0, record['points'], record['ego_from_lidar']), Modality.FUSED, reports
    )
    truth = GroundTruth(
        record['boxes'],
        record['labels'],
        record['num_lidar_pts'],
        record['visibility'],
        np.arange(len(record['boxes'])),
        record['map_layers'],
    )
    return LabelledSample(sample, truth, source)
