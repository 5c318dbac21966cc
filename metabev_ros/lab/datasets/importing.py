"""A data set to a folder of sample records: in parallel, going on where it was."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.record_folder import (
    MANIFEST,
    InputFormat,
    RecordEntry,
    entry_of,
    read_manifest,
    record_path,
    scene_folder,
    stored_entry,
    write_manifest,
)
from metabev_ros.lab.datasets.sample_record import write_record
from metabev_ros.lab.datasets.sources.frame import RecordMaker, Source
from metabev_ros.lab.spreading import Spread

Progress = Callable[[int, int, str], None]
Made = tuple[list[RecordEntry], list[str], Counter[str]]


def import_records(
    source: Source, folder: Path, model: ModelConfig, spread: Spread, progress: Progress
) -> tuple[RecordEntry, ...]:
    """Write the records that are missing, then the manifest.

    Args:
        folder: to write into; records that are there are kept, if they are for this model.
        spread: of the drives over processes.
        progress: called with (finished drives, all drives, drive).

    Returns:
        the entries of all records, drives in the order of the source.

    Raises:
        ConfigError: for wrong data, a folder of another source or model, or no records at all.
    """
    scenes = source.scenes()
    if not scenes:
        raise ConfigError(source.info.name, 'drives with labels', 'none', 'check the path')
    folder.mkdir(parents=True, exist_ok=True)
    _require_same(folder, source, model)
    manifest = folder / MANIFEST
    manifest.unlink(missing_ok=True)  # until all is there again, this is no whole import
    made: dict[str, Made] = {}
    jobs = [ImportJob(source, scene, folder, model) for scene in scenes]
    for job, found in spread(import_scene, jobs):
        made[job.scene] = found
        progress(len(made), len(scenes), job.scene)
    entries = [entry for scene in scenes for entry in made[scene][0]]
    notes = [note for scene in scenes for note in made[scene][1]]
    lacked = sum((made[scene][2] for scene in scenes), Counter())
    if not entries:
        raise ConfigError(source.info.name, 'labelled samples', 'none', 'check path and split')
    _require_distinct(entries)
    notes += [f'{count} times, in what was read last: {why}' for why, count in lacked.items()]
    info = dataclasses.replace(source.info, notes=(*source.info.notes, *notes))
    write_manifest(folder, info, model, entries)
    return tuple(entries)


@dataclass(frozen=True)
class ImportJob:
    """One drive of a source."""

    source: Source
    scene: str
    folder: Path
    model: ModelConfig


def import_scene(job: ImportJob) -> Made:
    """Records of one drive, what was noted of them, and what they lacked; in its own process."""
    source, scene, folder, model = job.source, job.scene, job.folder, job.model
    maker = RecordMaker(model)
    drive = scene_folder(folder, scene)
    drive.mkdir(exist_ok=True)
    made = {path.stem: path for path in sorted(drive.glob('*.npz'))}
    entries = [stored_entry(path) for path in made.values()]
    for record in source.records(scene, maker, frozenset(made)):
        write_record(record_path(folder, scene, record.token), record)
        entries.append((record.stamp_ns, entry_of(record)))
    entries.sort(key=lambda item: item[0])
    for (first, one), (second, other) in itertools.pairwise(entries):
        if first == second:
            raise ConfigError(
                f'{source.info.name}: {scene}',
                'samples of different stamps',
                f'{one.token} and {other.token} at {first} ns',
                'look at the stamps of the data',
            )
    return [entry for _, entry in entries], maker.notes, maker.shortfalls


def _require_same(folder: Path, source: Source, model: ModelConfig) -> None:
    """Refuse to mix records of two sources, class maps or models in one folder.

    Raises:
        ConfigError
    """
    begun = folder / '.import'
    want = f'{source.info.name}; {InputFormat.of(model)}; {sorted(source.info.classes.items())}'
    if begun.is_file():
        have = begun.read_text(encoding='utf-8')
    elif (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        info = manifest.source
        have = f'{info.name}; {manifest.input}; {sorted(info.classes.items())}'
    elif any(folder.iterdir()):
        raise ConfigError(
            str(folder), 'an empty folder, or one of records', 'other files', 'name another one'
        )
    else:
        begun.write_text(want, encoding='utf-8')
        return
    if have != want:
        raise ConfigError(
            str(folder),
            f'records of {want}',
            f'records of {have}',
            'name another folder, or delete this one',
        )


def _require_distinct(entries: list[RecordEntry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.token in seen:
            raise ConfigError('import', 'tokens that differ', f'{entry.token} twice')
        seen.add(entry.token)
