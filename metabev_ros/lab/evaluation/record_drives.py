"""Folders of records as drives that models are scored on."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions import Needs, Setting, needs_of
from metabev_ros.lab.datasets.record_folder import MANIFEST, RecordFolder, labelled
from metabev_ros.lab.datasets.sample_record import has_array, read_arrays, read_record
from metabev_ros.lab.datasets.samples import LabelledSample
from metabev_ros.lab.evaluation.labelled_drives import Drive
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality, Sample

EARLIER_TOLERANCE = 0.1  # share of a time by which an earlier record may be off


@dataclass(frozen=True)
class RecordDrives:
    """The records of some imports; a drive is a scene of one of them.

    Attributes:
        folders: of finished imports.
        earlier_ms: only records count that have one so many milliseconds before them.
    """

    folders: tuple[Path, ...]
    earlier_ms: tuple[int, ...] = ()

    @cached_property
    def _opened(self) -> dict[str, RecordFolder]:
        """SHA-256 of the manifest -> folder."""
        opened: dict[str, RecordFolder] = {}
        for path in self.folders:
            folder = RecordFolder(path)
            content = hashlib.sha256((Path(path) / MANIFEST).read_bytes()).hexdigest()
            if content in opened:
                raise ConfigError('--data', 'folders of different records', f'{path} twice')
            opened[content] = folder
        return opened

    @cached_property
    def _chosen(self) -> dict[tuple[str, str], list[_Placed]]:
        """(manifest, scene) -> records that count."""
        chosen: dict[tuple[str, str], list[_Placed]] = {}
        for content, folder in self._opened.items():
            for scene, paths in folder.scenes.items():
                placed = _with_earlier(paths, self.earlier_ms)
                if placed:
                    chosen[content, scene] = placed
        return chosen

    @property
    def opened(self) -> tuple[RecordFolder, ...]:
        """The folders.

        Raises:
            ConfigError: for one that is no finished import, or named twice.
        """
        return tuple(self._opened.values())

    @property
    def words(self) -> str:
        """Sources, numbers and hashes of the manifests."""
        parts: list[str] = []
        for content, folder in self._opened.items():
            mine = [records for (c, _), records in self._chosen.items() if c == content]
            count = sum(map(len, mine))
            some = str(count) if count == len(folder) else f'{count} of {len(folder)}'
            parts.append(
                f'{folder.manifest.source.name} ({some} records of {len(mine)} drives, manifest '
                f'{content[:12]})'
            )
        words = ' and '.join(parts)
        times = ' and '.join(f'{ms} ms' for ms in self.earlier_ms)
        return f'{words}, those with a record {times} before' if times else words

    @property
    def all_drives(self) -> tuple[Drive, ...]:
        """One drive a scene."""
        return tuple(
            Drive(
                scene,
                zlib.crc32(scene.encode()),
                {'records': content, 'earlier_ms': list(self.earlier_ms)},
            )
            for content, scene in self._chosen
        )

    def samples(self, drive: Drive, pipeline: Pipeline) -> Iterator[LabelledSample]:
        """The records of one drive; each is read when it is its turn.

        Raises:
            ConfigError: where the records were made for another kind of model.
        """
        content = drive.identity['records']
        self._opened[content].require_fit(pipeline.config)
        return map(_Placed.labelled, self._chosen[content, drive.name])


@dataclass(frozen=True)
class _Placed:
    """A record, and those before it by milliseconds."""

    path: Path
    earlier: Mapping[int, Path]

    def labelled(self) -> LabelledSample:
        whole = labelled(read_record(self.path))
        return dataclasses.replace(whole, earlier=self.sample_before) if self.earlier else whole

    def sample_before(self, milliseconds: int) -> Sample:
        """The sample that lies so long before, or nearly."""
        return read_record(self.earlier[milliseconds]).sample


def _with_earlier(paths: Sequence[Path], earlier_ms: Sequence[int]) -> list[_Placed]:
    """The records of a scene that have others of the same cameras at those times before them."""
    if not earlier_ms:
        return [_Placed(path, {}) for path in paths]
    arrays = [read_arrays(path, ['stamp_ns', 'cameras']) for path in paths]
    stamps = np.array([int(a['stamp_ns']) for a in arrays])
    cameras = [a['cameras'].tolist() for a in arrays]
    placed: list[_Placed] = []
    for i, path in enumerate(paths):
        earlier: dict[int, Path] = {}
        for ms in earlier_ms:
            off = np.abs(stamps - (stamps[i] - ms * 1_000_000))
            nearest = int(off.argmin())
            if off[nearest] <= EARLIER_TOLERANCE * ms * 1e6 and cameras[nearest] == cameras[i]:
                earlier[ms] = paths[nearest]
        if len(earlier) == len(earlier_ms):
            placed.append(_Placed(path, earlier))
    return placed


def drives_for(
    folders: Iterable[Path], settings: Sequence[Setting]
) -> tuple[RecordDrives, tuple[Setting, ...], dict[str, str]]:
    """The drives, settings that they can show, and why not the others.

    A setting counts where every record has what it fails. One that needs earlier samples takes
    earlier records; those that have none do not count then, under any setting.

    Returns:
        drives, settings in their order, and the id of each other setting -> the reason.

    Raises:
        ConfigError: for a folder that is no finished import, or where no record has all the
            earlier ones that are needed.
    """
    whole = RecordDrives(tuple(folders))
    left_out: dict[str, str] = {}
    kept: list[Setting] = []
    facts = _Facts(whole)
    for setting in settings:
        reason = facts.obstacle(needs_of(setting))
        if reason:
            left_out[setting.id] = reason
        else:
            kept.append(setting)
    times = {ms for setting in kept for ms in needs_of(setting).earlier_ms}
    drives = RecordDrives(whole.folders, tuple(sorted(times)))
    if not drives.all_drives:
        raise ConfigError(
            '--data',
            f'records with others {sorted(times)} ms before them',
            'none that has all of these',
            'choose another group of --settings',
        )
    return drives, tuple(kept), left_out


class _Facts:
    """Facts of records, looked up once, and only when a setting asks."""

    def __init__(self, drives: RecordDrives) -> None:
        self._drives = drives
        self._modalities = [
            Modality[entry.modality] for f in drives.opened for entry in f.manifest.records
        ]

    def obstacle(self, needs: Needs) -> str:
        """The reason that a setting cannot be shown; '' where it can."""
        count = len(self._modalities)
        blind = sum(not m.has_camera for m in self._modalities)
        unlit = sum(not m.has_lidar for m in self._modalities)
        if needs.camera and blind:
            return f'{blind} of {count} records have no camera'
        if needs.lidar and unlit:
            return f'{unlit} of {count} records have no LiDAR'
        sweeps = max(folder.manifest.input.sweeps for folder in self._drives.opened)
        if needs.beams and sweeps > 1:
            return f'{sweeps} sweeps are one cloud, which has no beams'
        if needs.place and self._unplaced:
            return f'{self._unplaced} of {count} records do not say where their LiDAR is'
        for ms in sorted(needs.earlier_ms):
            if not RecordDrives(self._drives.folders, (ms,)).all_drives:
                return f'no record lies {ms} ms before another'
        return ''

    @cached_property
    def _unplaced(self) -> int:
        """Records whose points are in the ego frame, and that know nothing of their LiDAR."""
        return sum(
            Modality[entry.modality].has_lidar
            and not has_array(path, 'lidar_mount')
            and bool((read_arrays(path, ['ego_from_lidar'])['ego_from_lidar'] == np.eye(4)).all())
            for folder in self._drives.opened
            for entry, path in zip(folder.manifest.records, folder.paths, strict=True)
        )
