"""The records that a run learns from: folders of imported data, and drives rendered for it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.config.yaml import require
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.importing import import_records
from metabev_ros.lab.datasets.record_folder import (
    MANIFEST,
    InputFormat,
    RecordEntry,
    RecordFolder,
    record_path,
)
from metabev_ros.lab.datasets.sources.frame import SourceInfo
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives
from metabev_ros.lab.simulation.records import StreetDrives
from metabev_ros.lab.spreading import Spread
from metabev_ros.structures import DETECTION_CLASSES, Modality

Tell = Callable[[str], object]
Rendered = Callable[[int, int], object]


@dataclass(frozen=True)
class DataSource:
    """One source of a run's records: `records`, `streets` or `synthetic`.

    Attributes:
        records: folder that `metabev import` wrote; relative to where the command runs.
        synthetic: drives of boxes to render into the cache, once.
        streets: drives through simulated streets to render into the cache, once.
        weight: of this source in the mixture, relative to the others; None in all of them: as
            many samples of each as it has records.
    """

    records: str | None = None
    synthetic: SyntheticDrives | None = None
    weight: float | None = None
    streets: StreetDrives | None = None

    def __post_init__(self) -> None:
        kinds = ('records', 'streets', 'synthetic')
        given = [name for name in kinds if getattr(self, name) is not None]
        require(len(given) == 1, 'data', f'one of {kinds}', given or 'none')
        require(self.weight is None or self.weight > 0, 'data.weight', 'above 0', self.weight)

    @property
    def drives(self) -> SyntheticDrives | StreetDrives | None:
        """Drives to render; None where records are there."""
        return self.streets if self.synthetic is None else self.synthetic


def require_sources(sources: Sequence[DataSource]) -> None:
    """Stop unless there is data and all of it, or none of it, has a weight.

    Raises:
        ConfigError
    """
    require(len(sources) > 0, 'data', 'at least one source: records, streets or synthetic', 'none')
    weights = [source.weight is None for source in sources]
    require(len(set(weights)) == 1, 'data.weight', 'one for every source or for none', weights)


@dataclass(frozen=True, eq=False)
class RecordSet:
    """Records of one source, in the order of its manifest.

    Attributes:
        folder: that they lie in.
        info: what has to be said about them.
        weight: as in `DataSource`.
    """

    folder: Path
    info: SourceInfo
    entries: tuple[RecordEntry, ...]
    weight: float | None = None

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def paths(self) -> list[Path]:
        """Path of every record."""
        return [record_path(self.folder, e.scene, e.token) for e in self.entries]

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Sensors that every record has."""
        return tuple(Modality[entry.modality] for entry in self.entries)

    @property
    def classes(self) -> np.ndarray:
        """(records, K) bool: which classes a record shows with at least one LiDAR point."""
        shown = np.zeros((len(self), len(DETECTION_CLASSES)), bool)
        for row, entry in zip(shown, self.entries, strict=True):
            row[[DETECTION_CLASSES.index(name) for name in entry.classes]] = True
        return shown

    @property
    def scenes(self) -> list[str]:
        """Its drives, sorted."""
        return sorted({entry.scene for entry in self.entries})

    def of_scenes(self, scenes: Sequence[str]) -> RecordSet:
        """The records of some drives."""
        wanted = set(scenes)
        kept = tuple(entry for entry in self.entries if entry.scene in wanted)
        return replace(self, entries=kept)


def open_records(folder: Path | str, model: ModelConfig, weight: float | None = None) -> RecordSet:
    """A finished import, for a model.

    Raises:
        ConfigError: where it is not whole, does not fit, or a record has no sensor at all.
    """
    found = RecordFolder(folder)
    found.require_fit(model)
    entries = found.manifest.records
    blind = [entry.token for entry in entries if entry.modality == Modality.NONE.name]
    if blind:
        raise ConfigError(str(folder), 'records with a sensor', f'{blind[0]} without any')
    return RecordSet(found.folder, found.manifest.source, entries, weight)


def all_paths(sets: Sequence[RecordSet]) -> list[Path]:
    """Paths of all records; their index is that of a sample."""
    return [path for records in sets for path in records.paths]


def gather_records(
    sources: Sequence[DataSource],
    model: ModelConfig,
    cache: Path,
    workers: int,
    tell: Tell,
    rendered: Rendered,
) -> tuple[RecordSet, ...]:
    """Render the synthetic drives that the cache lacks, then open everything.

    Imported records are looked at first: nothing is rendered for a run that cannot start.

    Raises:
        ConfigError: where records are missing, do not fit, or do not fit on the disk.
    """
    for source in sources:
        if source.records is not None:
            open_records(source.records, model)
    for source in sources:
        if source.drives is not None:
            render_drives(source.drives, cache, model, workers, tell, rendered)
    return opened_records(sources, model, cache)


def opened_records(
    sources: Sequence[DataSource], model: ModelConfig, cache: Path
) -> tuple[RecordSet, ...]:
    """The records of all sources, where none has to be rendered any more."""
    folders = [
        source.records if source.drives is None else rendered_folder(source.drives, cache, model)
        for source in sources
    ]
    return tuple(
        open_records(folder, model, source.weight)
        for source, folder in zip(sources, folders, strict=True)
        if folder is not None
    )


def rendered_folder(
    drives: SyntheticDrives | StreetDrives, cache: Path, model: ModelConfig
) -> Path:
    """Folder of the cache with these drives for this model."""
    form = InputFormat.of(model)
    return cache / (f'{drives.name}_{form.width}x{form.height}_{form.stride}_{form.sweeps}')


def render_drives(
    drives: SyntheticDrives | StreetDrives,
    cache: Path,
    model: ModelConfig,
    workers: int,
    tell: Tell,
    rendered: Rendered,
) -> Path:
    """Render what the cache lacks; goes on where it was interrupted.

    Returns:
        the folder of records.

    Raises:
        ConfigError: where the disk cannot hold them, judged by the first world.
    """
    folder = rendered_folder(drives, cache, model)
    if (folder / MANIFEST).is_file() and not _missing(folder):
        return folder
    tell(f'rendering {drives.worlds} worlds, {len(drives)} records, into {folder}')
    before = time.perf_counter()

    def progress(done: int, total: int, scene: str) -> None:
        if done == 1 and total > 1:
            took = time.perf_counter() - before
            tell(_estimate(folder, scene, took / min(workers, total), total))
        rendered(done, total)

    import_records(drives, folder, model, Spread(workers), progress)
    return folder


def _missing(folder: Path) -> bool:
    try:
        RecordFolder(folder)
    except ConfigError:
        return True
    return False


def _estimate(folder: Path, scene: str, seconds: float, worlds: int) -> str:
    """Time and disk for all worlds, judged by one.

    Raises:
        ConfigError: where there is not that much disk.
    """
    size = sum(path.stat().st_size for path in (folder / scene).iterdir()) * worlds
    there = sum(path.stat().st_size for path in folder.rglob('*.npz'))
    free = shutil.disk_usage(folder).free
    if size - there > free:
        raise ConfigError(
            str(folder),
            f'{size / 1e9:.1f} GB of disk for {worlds} worlds',
            f'{free / 1e9:.1f} GB free',
            'name another --cache, or fewer worlds',
        )
    return (
        f'judged by the first world: {seconds * worlds / 60:.0f} min and {size / 1e9:.2f} GB '
        'in all; interrupt at will, what is rendered is kept'
    )
