"""A folder of sample records: its manifest says what is in it, from where, and for which model.

    RECORDS/records.json
    RECORDS/<scene>/<token>.npz

The manifest is written last: a folder without one is an import that did not finish.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ConfigError
from metabev_ros.files import write_text
from metabev_ros.lab.datasets.sample_record import (
    RECORD_VERSION,
    SampleRecord,
    read_arrays,
    read_record,
)
from metabev_ros.lab.datasets.samples import LabelledSample
from metabev_ros.lab.datasets.sources.frame import SourceInfo
from metabev_ros.structures import DETECTION_CLASSES, Modality

MANIFEST = 'records.json'
_NAME = re.compile(r'[A-Za-z0-9_.+-]{1,160}')


@dataclass(frozen=True)
class InputFormat:
    """Format that records are fitted to: models with the same one share them.

    Attributes:
        height, width, stride: of the images and features, pixels.
        sweeps: merged into one cloud.
    """

    height: int
    width: int
    stride: int
    sweeps: int

    @classmethod
    def of(cls, model: ModelConfig) -> InputFormat:
        """The format that a model takes."""
        camera = model.camera
        return cls(camera.height, camera.width, camera.stride, model.lidar.sweeps)

    def __str__(self) -> str:
        return (
            f'images of {self.width} x {self.height} with features every {self.stride} pixels, '
            f'{self.sweeps} sweep{"s" if self.sweeps > 1 else ""}'
        )


@dataclass(frozen=True)
class RecordEntry:
    """One record in a manifest.

    Attributes:
        scene: the drive that it belongs to.
        token: its name, unique in the folder.
        modality: name of the sensors that it has.
        classes: names of those with an object that a LiDAR point shows; of all where there is no
            LiDAR.
    """

    scene: str
    token: str
    modality: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """The content of `records.json`."""

    source: SourceInfo
    input: InputFormat
    records: tuple[RecordEntry, ...]
    version: int = RECORD_VERSION


class RecordFolder:
    """A finished import.

    Args:
        folder: with a manifest.

    Raises:
        ConfigError: where there is none, it is of another version, or a record is missing.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        missing = [str(path) for path in self.paths if not path.is_file()]
        if missing:
            raise ConfigError(
                str(self.folder),
                f'all {len(self.paths)} records of its {MANIFEST}',
                f'{len(missing)} missing, the first {missing[0]}',
                'import the data again; what is there is kept',
            )

    def __len__(self) -> int:
        return len(self.manifest.records)

    @property
    def paths(self) -> list[Path]:
        """Paths of the records in the order of the manifest."""
        return [record_path(self.folder, e.scene, e.token) for e in self.manifest.records]

    @property
    def scenes(self) -> dict[str, list[Path]]:
        """Drive -> its records, in order."""
        scenes: dict[str, list[Path]] = {}
        for entry, path in zip(self.manifest.records, self.paths, strict=True):
            scenes.setdefault(entry.scene, []).append(path)
        return scenes

    def require_fit(self, model: ModelConfig) -> None:
        """Stop unless the records are what a model takes.

        Raises:
            ConfigError
        """
        wanted = InputFormat.of(model)
        if self.manifest.input != wanted:
            raise ConfigError(
                str(self.folder),
                f'records for {model.name}: {wanted}',
                str(self.manifest.input),
                'import the data again with --model',
            )
        if model.detection_classes != DETECTION_CLASSES:
            raise ConfigError(
                f'{model.name}: detection_classes',
                f'those of the records, {list(DETECTION_CLASSES)}',
                str(list(model.detection_classes)),
            )


def labelled(record: SampleRecord) -> LabelledSample:
    """A record as the evaluation takes it."""
    return LabelledSample(
        record.sample,
        record.truth,
        f'{record.scene} {record.token}',
        lidar_from_points=record.lidar_from_points,
    )


class RecordSamples(Sequence[LabelledSample]):
    """One `LabelledSample` per record, all sensors present; each is read when asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Any) -> Any:
        return labelled(read_record(self._paths[index]))


def record_path(folder: Path, scene: str, token: str) -> Path:
    """Path of one record.

    Raises:
        ConfigError: for a name that is no plain file name.
    """
    return scene_folder(folder, scene) / f'{_plain_name(token)}.npz'


def scene_folder(folder: Path, scene: str) -> Path:
    """Folder of the records of a drive.

    Raises:
        ConfigError: for a name that is no plain file name.
    """
    return folder / _plain_name(scene)


def _plain_name(name: str) -> str:
    if not _NAME.fullmatch(name) or name.startswith('.'):
        raise ConfigError('record', 'letters, digits, _ . + -', repr(name))
    return name


def entry_of(record: SampleRecord) -> RecordEntry:
    """The line of a record in the manifest."""
    classes = _shown(record.labels, record.num_lidar_pts, record.modality)
    return RecordEntry(record.scene, record.token, record.modality.name, classes)


def stored_entry(path: Path) -> tuple[int, RecordEntry]:
    """Stamp of a record on disk and its line in the manifest; its images are not read.

    Raises:
        ConfigError: where the file is no record.
    """
    names = ('token', 'scene', 'stamp_ns', 'cameras', 'points', 'labels', 'num_lidar_pts')
    arrays = read_arrays(path, names)
    modality = Modality.from_presence(len(arrays['cameras']) > 0, len(arrays['points']) > 0)
    classes = _shown(arrays['labels'], arrays['num_lidar_pts'], modality)
    entry = RecordEntry(str(arrays['scene']), str(arrays['token']), modality.name, classes)
    return int(arrays['stamp_ns']), entry


def _shown(labels: np.ndarray, points: np.ndarray, modality: Modality) -> tuple[str, ...]:
    """Names of the classes with an object that a LiDAR point shows; without LiDAR, of all."""
    seen = (points > 0) | (not modality.has_lidar)
    return tuple(DETECTION_CLASSES[label] for label in sorted(set(labels[seen].tolist())))


def write_manifest(
    folder: Path, source: SourceInfo, model: ModelConfig, records: Iterable[RecordEntry]
) -> None:
    """Declare an import finished; replaces the file as a whole."""
    manifest = Manifest(source, InputFormat.of(model), tuple(records))
    head = {k: v for k, v in dataclasses.asdict(manifest).items() if k != 'records'}
    lines = ',\n'.join(json.dumps(dataclasses.asdict(entry)) for entry in manifest.records)
    text = json.dumps(head, indent=1)[:-2] + f',\n "records": [\n{lines}\n]}}\n'
    write_text(folder / MANIFEST, text)


def read_manifest(folder: Path) -> Manifest:
    """Read what a folder holds.

    Raises:
        ConfigError: where there is no manifest, or none of this version.
    """
    path = folder / MANIFEST
    try:
        plain = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        got = 'an import that did not finish' if folder.is_dir() else 'no such folder'
        raise ConfigError(
            str(folder), f'a folder of records with {MANIFEST}', got, 'run `metabev import`'
        ) from error
    except ValueError as error:
        raise ConfigError(str(path), 'JSON', str(error), 'import the data again') from error
    try:
        if plain['version'] != RECORD_VERSION:
            raise ConfigError(
                str(path),
                f'records of version {RECORD_VERSION}',
                str(plain['version']),
                'import the data again',
            )
        source = plain['source'] | {'notes': tuple(plain['source']['notes'])}
        entries = (e | {'classes': tuple(e['classes'])} for e in plain['records'])
        return Manifest(
            SourceInfo(**source),
            InputFormat(**plain['input']),
            tuple(RecordEntry(**entry) for entry in entries),
        )
    except (TypeError, KeyError) as error:
        raise ConfigError(
            str(path), 'a manifest of records', f'{type(error).__name__}: {error}', 'import again'
        ) from error
