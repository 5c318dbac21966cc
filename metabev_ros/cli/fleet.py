"""Many bags at once."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated

import typer

from metabev_ros.cli.app import (
    BackendOption,
    ModelOption,
    RigOption,
    app,
    console,
    examples,
    model_dir,
    progress_bar,
)
from metabev_ros.cli.results import JsonOption, require_folder, say_json
from metabev_ros.resources import rig_file


@app.command(
    epilog=examples(
        "metabev batch 'bags/*.mcap' --report --what-if --workers 4",
        "metabev batch 'bags/*.mcap' --rig my_rig.yaml --ray-address auto",
    )
)
def batch(
    bags: Annotated[
        list[str], typer.Argument(help='Bags, or patterns in quotes; ** goes into folders.')
    ],
    out: Annotated[Path, typer.Option(help='Folder of the batch.')] = Path('out/fleet'),
    model: ModelOption = None,
    rig: RigOption = None,
    backend: BackendOption = 'onnxruntime',
    every: Annotated[
        float,
        typer.Option(
            min=0, help='Seconds between outputs of which both branches are asked; 0: none.'
        ),
    ] = 2.0,
    video: Annotated[bool, typer.Option(help='Also draw an .mp4 of each.')] = False,
    report: Annotated[
        bool, typer.Option('--report', help='Also write the page of `metabev report`.')
    ] = False,
    what_if: Annotated[
        bool, typer.Option('--what-if', help="Also write what each sensor's loss costs.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, max=256, help='Processes.')] = 2,
    ray_address: Annotated[
        str | None, typer.Option(metavar='auto|HOST:PORT', help='Use this Ray cluster instead.')
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Replay many bags and rank them by sensor trouble and disagreement, on one page.

    A batch that was stopped, by whatever, goes on where it was. Exit code 1: a bag failed.
    """
    from metabev_ros.lab.fleet.batch import drive_names, run_batch
    from metabev_ros.lab.fleet.drive_work import DriveTask
    from metabev_ros.lab.spreading import Spread

    found = sorted({Path(path) for text in bags for path in _paths(text)})
    tasks = [
        DriveTask(
            name,
            path.resolve(),
            (out / name).resolve(),
            model_dir(model).resolve(),
            rig_file(rig).resolve(),
            backend,
            every,
            video,
            report,
            what_if,
        )
        for name, path in zip(drive_names(found), found, strict=True)
    ]
    require_folder(out)
    with progress_bar('Replaying') as update:
        outcomes = run_batch(tasks, out, Spread(workers, ray_address), update)
    failed = [outcome for outcome in outcomes if outcome.failure]
    for outcome in failed:
        console.print(
            f'failed: {outcome.bag}: {outcome.failure}',
            markup=False,
            style='red',
            soft_wrap=True,
        )
    console.print(f'written: {out / "index.html"}', markup=False, soft_wrap=True)
    if as_json:
        say_json({'written': [out / 'index.html'], 'drives': outcomes})
    if failed:
        raise typer.Exit(1)


def _paths(text: str) -> list[str]:
    """Files that a pattern matches; a name that is there, or not, stands for itself."""
    return glob.glob(text, recursive=True) if glob.has_magic(text) else [text]
