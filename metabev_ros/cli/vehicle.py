"""Commands that a team runs around the vehicle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from metabev_ros.cli.app import (
    ModelOption,
    app,
    command_line,
    console,
    examples,
    model_dir,
    rig_config,
)
from metabev_ros.cli.results import (
    ForceOption,
    JsonOption,
    require_folder,
    require_free,
    say_json,
    write_file,
)


@app.command(
    epilog=examples(
        'metabev policy my_rig.yaml policy.xml',
    )
)
def policy(
    rig: Annotated[
        Path,
        typer.Argument(metavar='NAME|FILE', help='Rig YAML, or the name of one in config/rigs/.'),
    ],
    out: Annotated[Path, typer.Argument(help='SROS2 policy to write (.xml).')],
    namespace: Annotated[str, typer.Option(metavar='/NAMESPACE', help='Of the node.')] = '/',
    name: Annotated[str, typer.Option(metavar='NAME', help='Of the node.')] = 'perception',
    sim_time: Annotated[bool, typer.Option(help='Also listen to /clock.')] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write what the node may hear and say, for SROS2 (docs/security.md)."""
    from metabev_ros.node.access_policy import access_policy

    require_free(force, out)
    write_file(out, access_policy(rig_config(rig), namespace, name, sim_time))
    if as_json:
        say_json({'written': [out]})


@app.command(
    epilog=examples(
        'metabev demo --out out/demo',
        'metabev demo --world boxes',
    )
)
def demo(
    out: Annotated[Path, typer.Option(help='Report folder.')] = Path('out/demo'),
    seed: Annotated[int, typer.Option(help='Seed of the held-out drive.')] = 900_113,
    world: Annotated[
        str | None,
        typer.Option(
            metavar='boxes|streets',
            help='Default: streets. Boxes render faster; metabev_nano is their model.',
        ),
    ] = None,
    model: ModelOption = None,
    record: Annotated[
        Path | None, typer.Option(help='Merge the figures into this docs/results/*.json.')
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Sensors die and come back while the real node runs; measures it and writes a report."""
    from metabev_ros.lab.demo.run import DemoConfig, run_demo
    from metabev_ros.lab.demo.summary import SUMMARY
    from metabev_ros.lab.simulation.worlds import find_world

    own = None if model is None else model_dir(model)  # else that of the world
    config = DemoConfig(out, seed, own, record, command_line(), world=find_world(world))
    require_folder(out)
    is_met = run_demo(config, console)
    if as_json:
        say_json(json.loads((out / SUMMARY).read_text(encoding='utf-8')))
    if not is_met:
        raise typer.Exit(1)
