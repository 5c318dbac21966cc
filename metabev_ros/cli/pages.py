"""Pages for a browser: the report of a run, and the running node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metabev_ros.cli.app import (
    ModelOption,
    RigOption,
    app,
    console,
    examples,
    model_dir,
    progress_steps,
    rig_config,
)
from metabev_ros.cli.results import ForceOption, JsonOption, require_free, say_json


@app.command(
    epilog=examples(
        'metabev report drive.metabev.mcap',
        'metabev report before.mcap --compare after.mcap -o both.html',
    )
)
def report(
    bag: Annotated[
        Path, typer.Argument(help='What `metabev replay` wrote, or a recording of the live node.')
    ],
    compare: Annotated[
        Path | None, typer.Option(help='A second run, shown beside the first.')
    ] = None,
    out: Annotated[
        Path | None, typer.Option('--out', '-o', help='The page; default: <bag>.html here.')
    ] = None,
    force: ForceOption = False,
    rig: RigOption = None,
    model: ModelOption = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help='Processes that draw.')] = 2,
    as_json: JsonOption = False,
) -> None:
    """Make one HTML page of a run: film, timeline, worst moments, sensors, latencies, map.

    The page opens without a network, on a telephone too. Exit code 2: the bag has no outputs.
    """
    from metabev_ros.contract import load_contract
    from metabev_ros.lab.report.run import ReportConfig, write_report

    page = out or Path(f'{bag.resolve().stem}.html')
    config = ReportConfig(
        bag,
        page,
        rig_config(rig),
        load_contract(model_dir(model)).config,
        compare,
        workers=workers,
    )
    require_free(force, *config.files, inputs=config.bags)
    with progress_steps() as tell:
        runs = write_report(config, tell)
    for run in runs:
        for note in run.notes:
            console.print(f'{run.recording.name}: {note}', markup=False, soft_wrap=True)
    console.print(f'written: {page}', markup=False, soft_wrap=True)
    if as_json:
        written = [path for path in config.files if path.is_file()]
        say_json({'written': written, 'notes': {run.recording.name: run.notes for run in runs}})


@app.command(
    epilog=examples(
        'metabev watch',
        'metabev watch --node /car/perception --cameras',
        'metabev watch --host 0.0.0.0 --allow-name car.local',
    )
)
def watch(
    node: Annotated[
        str, typer.Option(metavar='/NAME', help='The node, with its namespace.')
    ] = '/perception',
    host: Annotated[
        str,
        typer.Option(
            metavar='ADDRESS', help='Address to listen at; 0.0.0.0 lets other machines look.'
        ),
    ] = '127.0.0.1',
    port: Annotated[int, typer.Option(min=0, max=65535, help='0 takes a free one.')] = 8077,
    cameras: Annotated[
        bool, typer.Option('--cameras', help='Also the cameras; the node then draws them.')
    ] = False,
    allow_name: Annotated[
        list[str] | None,
        typer.Option(help='A name of this machine that browsers may use; addresses always may.'),
    ] = None,
) -> None:
    """Show the running node in a browser: modality, sensors, map, boxes, rates, latencies.

    It only listens. It needs ROS 2, but no RViz. Ctrl-C ends it.
    """
    from metabev_ros.node.watching import watch as hear
    from metabev_ros.pages.live import CAMERAS, WATCHED, LiveState
    from metabev_ros.pages.server import PageServer, is_loopback
    from metabev_ros.pages.watch import live_page

    name = f'/{node.strip("/")}'
    state = LiveState(name)
    topics = {**WATCHED, **(CAMERAS if cameras else {})}
    server = PageServer(state, live_page(name, cameras), host, port, allow_name or ())
    try:
        console.print(f'{name}: open {server.address}', markup=False, soft_wrap=True)
        if not is_loopback(host):
            console.print('everybody who reaches this machine can look', style='yellow')
        hear(name, topics, state.take)
    finally:
        server.close()
