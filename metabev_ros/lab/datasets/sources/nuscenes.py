"""nuScenes v1.0 (mini, trainval): https://www.nuscenes.org/nuscenes. Read without the devkit.

The ego frame is nuScenes' own; what is asked of a sample is placed at the ego pose of its sweep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from metabev_ros.errors import ConfigError, SensorDataError, clean_text
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.classes import ClassMap
from metabev_ros.lab.datasets.sources.frame import RecordMaker, SourceFrame, SourceInfo
from metabev_ros.lab.datasets.sources.json_rows import AGAIN, read_rows
from metabev_ros.lab.datasets.sources.nuscenes_drive import Drive
from metabev_ros.lab.datasets.sources.nuscenes_map import map_file
from metabev_ros.lab.datasets.sources.nuscenes_rows import Scene
from metabev_ros.lab.datasets.sources.nuscenes_splits import scenes_of_split
from metabev_ros.lab.datasets.sources.nuscenes_tables import read_scenes, read_tables
from metabev_ros.lab.datasets.sources.nuscenes_truth import CLASSES, TruthMaker

_NAME = re.compile(r'[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,99}')


@dataclass(frozen=True)
class NuScenes:
    """nuScenes as a source of records.

    Attributes:
        path: the folder with `samples`, `sweeps`, `maps` and that of the tables.
        version: name of the folder of the tables.
        split: a key of SPLITS, or a text file with the name of a scene in each line; None: all.
        classes: categories to be mapped otherwise than in the official evaluation.
        remove_close: whether points within 1 m of the LiDAR, to each side, are left out of the
            sweeps before the newest one, as BEVFusion does it (`remove_close`). The newest stays
            whole, there as here; the devkit's `from_file_multisweep` thins it too.
        radar_points: whether the points of an object are those of LiDAR and radar together. The
            official evaluation leaves out what has neither, and so does BEVFusion's training
            (`use_valid_flag`); without it an object needs a point of the LiDAR.

    Raises:
        ConfigError: for a version that is no name of a folder, and for a wrong target of a class.
    """

    path: Path
    version: str = 'v1.0-mini'
    split: str | None = None
    classes: Mapping[str, str] = field(default_factory=dict[str, str])
    remove_close: bool = True
    radar_points: bool = True

    def __post_init__(self) -> None:
        _require_name('version', self.version)
        self._class_map()

    def _class_map(self) -> ClassMap:
        return ClassMap(CLASSES).with_changes(self.classes)

    @property
    def _folder(self) -> Path:
        """Of the tables."""
        return self.path / self.version

    @property
    def info(self) -> SourceInfo:
        """Name, licence, classes and notes.

        Raises:
            ConfigError: as `scenes`.
        """
        part = '' if self.split is None else f' {clean_text(self.split)}'
        return SourceInfo(
            name=f'nuScenes {self.version}{part}',
            licence='CC BY-NC-SA 4.0',
            is_commercial=False,
            attribution='nuScenes, Motional; Caesar et al., CVPR 2020 (https://www.nuscenes.org)',
            classes=dict(self._class_map().names),
            notes=self._notes(),
        )

    def _notes(self) -> tuple[str, ...]:
        sensors = 'LiDAR and radar together' if self.radar_points else 'the LiDAR alone'
        notes = [f'The points of an object are those of {sensors}.']
        if self.remove_close:
            notes.append(
                'Points within 1 m of the LiDAR are left out of all sweeps but the newest.'
            )
        places = {scene.location for _, scene in self._chosen().values()}
        if unmapped := sorted(p for p in places if not map_file(self.path, p).is_file()):
            notes.append(
                f'No map expansion of {", ".join(unmapped)}: map layers are unknown there.'
            )
        return tuple(notes)

    def scenes(self) -> dict[str, int]:
        """Drive -> its number of key frames, in the order of the table.

        Raises:
            ConfigError: for tables that are missing or foreign, a version without labels, and a
                split that does not fit.
        """
        return {name: scene.samples for name, (_, scene) in self._chosen().items()}

    def _chosen(self) -> dict[str, tuple[str, Scene]]:
        """Name -> token and row of the drives of the split."""
        self._require_folder()
        scenes = read_scenes(self._folder)
        for name, (_, scene) in scenes.items():
            _require_name('scene', name)
            _require_name('location', scene.location)
        if next(read_rows(self._folder / 'sample_annotation.json'), None) is None:
            raise ConfigError(
                str(self._folder),
                'annotations',
                'none: the labels of the test set are not published',
                'take v1.0-mini or v1.0-trainval',
            )
        if self.split is None:
            return scenes
        chosen = scenes_of_split(self.split, self.version, list(scenes))
        return {name: scenes[name] for name in chosen}

    def _require_folder(self) -> None:
        if self._folder.is_dir():
            return
        where, wanted = clean_text(self.path, 300), f'a folder {self.version} with tables'
        if (self.path / 'sample.json').is_file():
            raise ConfigError(where, wanted, 'the tables themselves', 'name the folder above it')
        found = sorted(p.parent.name for p in self.path.glob('*/sample_data.json'))
        remedy = f'take version {" or ".join(found)}' if found else 'check the path'
        raise ConfigError(where, wanted, 'no such folder', remedy)

    def records(
        self, scene: str, maker: RecordMaker, done: frozenset[str]
    ) -> Iterator[SampleRecord]:
        """Records of a drive in the order of their stamps, but for the tokens that are done.

        Raises:
            ConfigError: for files that are missing, damaged or contradict each other.
        """
        for frame in self.frames(scene, maker.model.lidar.sweeps, done):
            try:
                yield maker.make(frame)
            except SensorDataError as error:
                where = f'{clean_text(self.path, 300)}: sample {frame.token}'
                raise ConfigError(
                    f'{where}: {error.where}', error.expected, error.got, AGAIN
                ) from error

    def frames(
        self, scene: str, sweeps: int, done: frozenset[str] = frozenset()
    ) -> Iterator[SourceFrame]:
        """Labelled instants of a drive, as `records`.

        Args:
            sweeps: of the LiDAR, the newest one included; fewer at the begin of a drive.

        Raises:
            ConfigError: as `records`.
        """
        token, row = read_scenes(self._folder)[scene]
        tables = read_tables(self._folder)
        truth = TruthMaker(str(self._folder), tables, self._class_map(), self.radar_points)
        drive = Drive(self.path, truth, self.remove_close, token, row)
        for sample in drive.samples():
            if sample.token not in done:
                yield drive.frame(sample, sweeps)


def _require_name(where: str, name: str) -> None:
    """Stop unless a name can be that of a file or folder."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f'nuScenes: {where}', 'letters, digits, _ . + -', repr(clean_text(name)))
