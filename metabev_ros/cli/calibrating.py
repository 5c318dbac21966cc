"""Calibration of scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metabev_ros.cli.app import (
    ThreadsOption,
    app,
    command_line,
    console,
    examples,
    model_dir,
    progress_bar,
)
from metabev_ros.cli.results import JsonOption, say_json
from metabev_ros.errors import ConfigError
from metabev_ros.lab.evaluation.held_out import HeldOutDrives
from metabev_ros.lab.evaluation.labelled_drives import LabelledDrives
from metabev_ros.lab.evaluation.record_drives import RecordDrives
from metabev_ros.lab.evaluation.records import merge_records
from metabev_ros.lab.evaluation.score_calibrating import (
    FIRST_SEED,
    calibrate,
    store_calibration,
)
from metabev_ros.lab.simulation.worlds import find_world


@app.command(
    'calibrate',
    epilog=examples(
        'metabev calibrate models/mine --data records/held_out',
    ),
)
def calibrate_command(
    model: Annotated[Path, typer.Argument(help='Exported model folder.')],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help='Records that no training saw; may be repeated. Default: synthetic drives.'
        ),
    ] = None,
    drives: Annotated[
        int | None, typer.Option(min=2, help='Synthetic worlds; default 40.')
    ] = None,
    per_drive: Annotated[
        int | None, typer.Option(min=1, help='Samples of each; default 5.')
    ] = None,
    world: Annotated[
        str | None,
        typer.Option(
            metavar='boxes|streets',
            help='Of synthetic drives; default: the one that the weights learnt from.',
        ),
    ] = None,
    threads: ThreadsOption = 2,
    dry_run: Annotated[
        bool, typer.Option('--dry-run', help='Say what it would give; change no contract.')
    ] = False,
    record: Annotated[
        Path | None, typer.Option(help='Merge the figures into this docs/results/*.json.')
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make scores say how often they are right, per branch and class; written to contract.json.

    The errors of true boxes are measured and written too: of them covariances are made.

    Contracts of other forms and precisions of the same weights get it too.
    """
    if data and (drives or per_drive or world):
        raise ConfigError(
            '--drives, --per-drive, --world', 'synthetic drives', '--data', 'leave one away'
        )
    model = model_dir(model)
    test_set: LabelledDrives
    if data:
        test_set = RecordDrives(tuple(data))
    else:
        from metabev_ros.lab.training.provenance import world_behind  # brings torch

        learnt = world_behind(model / 'weights.safetensors')
        through = learnt if world is None else find_world(world)
        test_set = HeldOutDrives(drives or 40, per_drive or 5, FIRST_SEED, world=through)
    with progress_bar('Calibrating') as update:
        outcome = calibrate(model, test_set, threads, update)
    for line in outcome.lines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    figures = outcome.records(command_line())
    if record is not None:
        merge_records(record, figures)
    written = () if dry_run else store_calibration(model, outcome.calibration, outcome.measured)
    for path in written:
        console.print(f'written: {path}', markup=False)
    if as_json:
        say_json({'written': written, 'figures': figures})
