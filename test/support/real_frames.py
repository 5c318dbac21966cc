"""The real labelled frames as records, imported from folders laid out as the data sets are.

What the data sets' folders need and the frames lack is invented by their writers (a second key
frame of nuScenes, pictures and a map of Argoverse 2). It is taken out again here: what is left to
be scored is real.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.lab.datasets.importing import import_records
from metabev_ros.lab.datasets.record_folder import RecordFolder, entry_of, write_manifest
from metabev_ros.lab.datasets.sample_record import SampleRecord, read_record, write_record
from metabev_ros.lab.datasets.sources.argoverse import Argoverse2
from metabev_ros.lab.datasets.sources.frame import Source
from metabev_ros.lab.datasets.sources.kitti import KittiObject
from metabev_ros.lab.datasets.sources.nuscenes import NuScenes
from metabev_ros.lab.spreading import Spread
from support.av2_folder import RealAv2, write_av2_folder
from support.kitti_folder import RealKitti, write_object_folder
from support.nuscenes_folder import write_folder
from support.nuscenes_keyframes import Plan, real_keyframe

KITTI_TOKENS = ('000002', '000008', '000134')


@dataclass(frozen=True)
class RealRecords:
    """Records of one data set's real frames.

    Attributes:
        records: folder of records.
        original: folder that they were imported from; None where its rest is invented.
    """

    records: Path
    original: Path | None


def real_records(data: Path, folder: Path, model: ModelConfig) -> dict[str, RealRecords]:
    """'nuscenes', 'kitti' and 'av2' -> records, made in a folder.

    Args:
        data: with the real frames.
    """
    keyframe = real_keyframe(data)
    tables = write_folder(folder / 'nuscenes', keyframe, Plan(keyframes=2))
    frames = [RealKitti.read(data / 'real_lidar', token) for token in KITTI_TOKENS]
    kitti = write_object_folder(folder / 'kitti', frames)
    av2 = write_av2_folder(folder / 'av2', RealAv2.read(data / 'real_lidar'))

    def given(record: SampleRecord) -> SampleRecord | None:
        # Its file names no attributes: they follow from the speed.
        only = dataclasses.replace(record, attributes=None)
        return only if record.token == keyframe.token else None

    made = {
        'nuscenes': _imported(NuScenes(tables), folder / 'nuscenes_records', model, given),
        'kitti': _imported(KittiObject(kitti), folder / 'kitti_records', model, lambda r: r),
        'av2': _imported(Argoverse2(av2), folder / 'av2_records', model, _without_invented),
    }
    originals = {'kitti': kitti}
    return {name: RealRecords(path, originals.get(name)) for name, path in made.items()}


def _imported(
    source: Source,
    folder: Path,
    model: ModelConfig,
    real: Callable[[SampleRecord], SampleRecord | None],
) -> Path:
    """Import a source and keep what is real of it."""
    import_records(source, folder, model, Spread(), lambda done, total, scene: None)
    kept: list[SampleRecord] = []
    for path in RecordFolder(folder).paths:
        record = real(read_record(path))
        if record is not None:
            write_record(path, record)
            kept.append(record)
    write_manifest(folder, source.info, model, map(entry_of, kept))
    return folder


def _without_invented(record: SampleRecord) -> SampleRecord:
    """Without pictures and map."""
    names = ('pixels', 'intrinsics', 'ego_from_camera', 'camera_ages_ns', 'depth')
    return dataclasses.replace(
        record,
        cameras=(),
        map_known=np.zeros(record.map_layers.shape, bool),
        **{name: getattr(record, name)[:0] for name in names},
    )
