"""An import of labelled data: what all sources have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from metabev_ros.cli.app import console, model_dir, progress_bar
from metabev_ros.cli.results import require_folder, say_json
from metabev_ros.config import ModelConfig, from_plain, load_config
from metabev_ros.config.yaml import load_yaml
from metabev_ros.errors import ConfigError
from metabev_ros.lab.spreading import Spread

if TYPE_CHECKING:
    from metabev_ros.lab.datasets.sources.frame import Source
    from metabev_ros.lab.datasets.summary import Summary

RecordsOption = Annotated[
    Path,
    typer.Option('--out', '-o', help='Folder of records; what is there already is kept.'),
]
ImportModelOption = Annotated[
    Path | None,
    typer.Option(
        '--model',
        help='Model folder, or run or model YAML: images and sweeps are fitted to it; default: '
        'metabev_nano_streets.',
    ),
]
ClassOption = Annotated[
    list[str] | None,
    typer.Option(
        '--class',
        metavar='THEIRS=OURS',
        help="What a class of the data becomes: one of ours, 'ignore' or 'background'.",
    ),
]
WorkersOption = Annotated[int, typer.Option(min=1, max=256, help='Drives at a time.')]
RayOption = Annotated[
    str | None,
    typer.Option(metavar='auto|HOST:PORT', help='Spread the drives over this Ray cluster.'),
]
PicturesOption = Annotated[int, typer.Option(min=0, max=1000, help='Records to draw.')]


def run_import(
    source: Source, out: Path, model: Path | None, spread: Spread, pictures: int, as_json: bool
) -> None:
    """Import a source, then say and draw what came out."""
    from metabev_ros.lab.datasets.importing import import_records
    from metabev_ros.lab.datasets.record_folder import RecordFolder
    from metabev_ros.lab.datasets.record_pictures import write_pictures
    from metabev_ros.lab.datasets.summary import summarise

    require_folder(out)
    with progress_bar('Importing') as update:
        import_records(source, out, import_model(model), spread, update)
    folder = RecordFolder(out)
    summary = summarise(folder)
    summary.save(out / 'summary.json')
    drawn = write_pictures(folder, pictures)
    for note in folder.manifest.source.notes:
        console.print(note, markup=False)
    _print_summary(summary)
    if drawn:
        console.print(f'look at: {out / "pictures"} ({len(drawn)} records)', markup=False)
    console.print(f'written: {out}', markup=False)
    if as_json:
        say_json({'written': [out], 'summary': summary})


def import_model(model: Path | None) -> ModelConfig:
    """The model that records are fitted to: of a folder, or of a model's or run's YAML.

    Raises:
        ConfigError: where there is no such thing.
    """
    path = model if model is not None and model.is_file() else model_dir(model)
    if path.is_dir():
        return load_config(ModelConfig, path / 'config.yaml')
    plain = load_yaml(path)
    if isinstance(plain, dict) and 'model' in plain:
        return from_plain(ModelConfig, plain['model'], f'{path}: model')
    return from_plain(ModelConfig, plain, str(path))


def class_changes(given: Sequence[str] | None) -> dict[str, str]:
    """The meaning of `--class THEIRS=OURS`, repeated.

    Raises:
        ConfigError: for one without '='.
    """
    changes: dict[str, str] = {}
    for text in given or ():
        theirs, separator, ours = text.rpartition('=')
        if not separator or not theirs:
            raise ConfigError('--class', 'THEIRS=OURS', repr(text))
        changes[theirs] = ours
    return changes


def _print_summary(summary: Summary) -> None:
    """The figures of a folder, and what looks wrong, last."""
    table = Table()
    table.add_column('class', no_wrap=True)
    for column in (
        'boxes',
        'with\npoints',
        'with\nvelocity',
        'range\nm',
        'most\nm',
        'points\neach',
    ):
        table.add_column(column, justify='right', no_wrap=True)
    for c in summary.classes:
        numbers = (c.median_range_m, c.farthest_m, c.median_points)
        shown = ['' if number != number else f'{number:.0f}' for number in numbers]
        table.add_row(c.name, *map(str, (c.boxes, c.with_points, c.with_velocity)), *shown)
    console.print(table)
    modalities = ', '.join(f'{count} {name}' for name, count in summary.modalities.items())
    lines = [
        f'{summary.records} records of {summary.scenes} drives ({modalities}), '
        f'{summary.ignored} boxes ignored',
        f'cameras: {", ".join(summary.cameras) or "none"}',
    ]
    if summary.cameras:
        lines.append(
            f'images {summary.newest_image_ms:.0f} to {summary.oldest_image_ms:.0f} ms old'
        )
    if summary.points == summary.points:
        low, middle, high = summary.intensity
        lines.append(
            f'points: {summary.points:.0f} (median); intensity {low:.0f}, {middle:.0f}, '
            f'{high:.0f} (1, 50, 99 % of points)'
        )
    known = [f'{name} {share:.0%}' for name, share in summary.map_known.items() if share]
    lines.append(f'map known: {", ".join(known) or "nothing"}')
    lines.append(f'objects labelled in {summary.objects_known:.0%} of the area')
    console.print('\n'.join(lines), markup=False)
    for warning in summary.warnings:
        console.print(f'warning: {warning}', markup=False, style='yellow')
