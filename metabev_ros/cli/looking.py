"""Lists of what is there: the models of this package, the topics of a bag."""

from __future__ import annotations

import math
from pathlib import Path

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from metabev_ros.bags import BagReader
from metabev_ros.bags.overview import BagOverview, TopicOverview, look_through
from metabev_ros.cli.app import BagArgument, app, console, examples, progress_bar
from metabev_ros.cli.model_list import ModelEntry, shipped_models
from metabev_ros.cli.results import JsonOption, say_json

MODEL_COLUMNS = ('images', 'sweeps', 'runs on', 'scores', 'MB')


@app.command(epilog=examples('metabev models', 'metabev models --json'))
def models(as_json: JsonOption = False) -> None:
    """List the models that this package brings, by the names that --model takes."""
    found = shipped_models()
    if as_json:
        say_json(found)
        return
    table = Table(Column('name', no_wrap=True), *MODEL_COLUMNS, box=SIMPLE_HEAD)  # 80 columns
    for entry in found:
        table.add_row(*_model_row(entry))
    console.print(table)


def _model_row(entry: ModelEntry) -> tuple[str, ...]:
    return (
        entry.name + ('\n(default)' if entry.is_default else ''),
        entry.image_size,
        str(entry.sweeps),
        '\n'.join(entry.backends),
        'calibrated' if entry.is_calibrated else 'raw',
        f'{entry.size / 1e6:.0f}',
    )


@app.command(epilog=examples('metabev info drive.mcap', 'metabev info rosbag2_folder --json'))
def info(
    bag: BagArgument,
    as_json: JsonOption = False,
) -> None:
    """Say what a bag holds: topics, types, rates, gaps, and what could not be read.

    Exit code 3: a part of the bag could not be read.
    """
    reader = BagReader(bag)
    with progress_bar('Reading') as update:
        overview = look_through(reader, lambda done, total: update(done, total))
    if as_json:
        say_json({'seconds': overview.seconds, **vars(overview)})
    else:
        _print_overview(bag, overview)
    if overview.is_lossy:
        raise typer.Exit(3)


def _print_overview(bag: Path, overview: BagOverview) -> None:
    table = Table(Column('topic', overflow='fold'), Column('type', overflow='fold'))
    for column in ('messages', 'Hz', 'longest gap s', 'MB'):
        table.add_column(column, justify='right', no_wrap=True)
    for topic in overview.topics:
        table.add_row(*_topic_row(topic))
    console.print(table)
    console.print(f'{bag}: {overview.seconds:.1f} s, {overview.integrity}', markup=False)


def _topic_row(topic: TopicOverview) -> tuple[str, ...]:
    def number(value: float, digits: int) -> str:
        return '' if math.isnan(value) else f'{value:.{digits}f}'

    return (
        topic.topic,
        topic.msgtype,
        str(topic.count),
        number(topic.rate_hz, 1),
        number(topic.longest_gap_s, 2),
        number(topic.payload / 1e6, 1),
    )
