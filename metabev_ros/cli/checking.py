"""`metabev check-rig`: a rig judged by a recording of it, or by what the running graph says."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from metabev_ros.cli.app import (
    app,
    console,
    examples,
    progress_bar,
    rig_config,
)
from metabev_ros.cli.results import ForceOption, JsonOption, require_free, say_json
from metabev_ros.config import RigConfig
from metabev_ros.errors import OutputError, clean_text

if TYPE_CHECKING:
    from metabev_ros.lab.rig_check.look import BagLook
    from metabev_ros.lab.rig_check.report import RigReport

_MARKS = {'blocks': '[red]not used[/]', 'wrong': '[yellow]wrong[/]', 'note': '[dim]note[/]'}
_CELL = 64  # characters of a topic in the table
LIVE = 'the running graph'  # in the report, where a bag has its path


@app.command(
    'check-rig',
    epilog=examples(
        'metabev check-rig drive.mcap --write rig.yaml --picture rig.png',
        'metabev check-rig drive.mcap --rig rig.yaml --json',
        'metabev check-rig --live --rig rig.yaml',
    ),
)
def check_rig(
    bag: Annotated[
        Path | None,
        typer.Argument(
            metavar='BAG', help='.mcap or .db3 file, or a bag folder.', show_default=False
        ),
    ] = None,
    live: Annotated[
        bool, typer.Option('--live', help='Listen to the running ROS graph in place of a bag.')
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=600, help='How long --live listens.')
    ] = 10.0,
    rig: Annotated[
        Path | None,
        typer.Option(
            metavar='NAME|FILE',
            help='Check this rig file against the bag; without it one is made from the bag.',
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar='FILE', help='Write the rig file that was made, for replay --rig and the node.'
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar='FILE.png',
            help='Draw the LiDAR points on every camera, and all sensors from above.',
        ),
    ] = None,
    as_json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Say of each sensor whether it is usable, and if not, why and what to change.

    It looks at topics, types, QoS, stamps, rates, frames, CameraInfo, TF, pictures and points.

    docs/check_rig.md names all that it finds, and what it cannot see.

    Exit code 0: all sensors are usable (notes may remain); 1: something is wrong; 2: wrong usage,
    or no sensor on the graph.
    """
    from metabev_ros.lab.rig_check.check import check_rig as judge
    from metabev_ros.lab.rig_check.proposing import propose_rig
    from metabev_ros.lab.rig_check.rig_file import report_plain

    if (bag is None) != live:
        problem = 'a bag is judged, or --live' if live else "Missing argument 'BAG', or --live"
        raise typer.BadParameter(problem, param_hint='BAG')
    given = _check_usage(bag, rig, write, picture, force)
    if bag is None:
        look = _listen(seconds, given)
    else:
        look = _read(bag, given)
    if given is not None:
        report = judge(look, given)
    else:
        made = propose_rig(look)
        report = judge(look, made.rig, made.findings, made.choices)
    written = _write(look, report, write, picture)
    if as_json:
        say_json(report_plain(report))
    else:
        _print(report, written, rig)
    if not report.is_good:
        raise typer.Exit(1)


def _check_usage(
    bag: Path | None, rig: Path | None, write: Path | None, picture: Path | None, force: bool
) -> RigConfig | None:
    """The given rig; refuses what cannot be done before the bag is read."""
    if rig is not None and write is not None:
        raise typer.BadParameter('makes a rig file, and --rig gives one', param_hint='--write')
    if picture is not None and picture.suffix.lower() != '.png':
        raise typer.BadParameter('its name must end in .png', param_hint='--picture')
    require_free(force, write, picture, inputs=(bag,))
    return None if rig is None else rig_config(rig)


def _listen(seconds: float, rig: RigConfig | None) -> BagLook:
    """Record the running graph into a file that does not stay, and look at that."""
    from metabev_ros.node.graph_recording import RecordingOptions, record_graph

    options = RecordingOptions(seconds, tuple(_topics(rig)))
    with TemporaryDirectory(prefix='metabev_') as folder:
        heard = Path(folder) / 'heard.mcap'
        with progress_bar('Listening') as update:
            record_graph(heard, options, lambda done, total: update(int(done), int(total)))
        look = _read(heard, rig)
    look.path = LIVE
    return look


def _read(bag: Path, rig: RigConfig | None) -> BagLook:
    from metabev_ros.lab.rig_check.reading import read_bag

    with progress_bar('Reading') as update:
        return read_bag(bag, _topics(rig), lambda done, total: update(done, total))


def _topics(rig: RigConfig | None) -> list[str]:
    """Topics that a rig names; none where all count."""
    if rig is None:
        return []
    infos = [camera.info_topic for camera in rig.cameras]
    named = [*(sensor.topic for sensor in rig.sensors), *infos, rig.odometry_topic]
    return [topic for topic in named if topic]


def _write(
    look: BagLook, report: RigReport, write: Path | None, picture: Path | None
) -> list[Path]:
    """Write what was asked for and can be made; the files."""
    from metabev_ros.files import write_bytes
    from metabev_ros.lab.rig_check.picture import draw_rig, png_of
    from metabev_ros.lab.rig_check.rig_file import rig_text

    contents: dict[Path, bytes] = {}
    if write is not None and report.rig is not None:
        contents[write] = rig_text(report.rig, report.bag, report.choices).encode()
    if picture is not None:
        contents[picture] = png_of(draw_rig(look, report))
    for path, content in contents.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content)
        except OSError as error:
            raise OutputError.of(path, error) from error
    return list(contents)


# ------------------------------------------------------------------------------------- report
def _print(report: RigReport, written: list[Path], rig: Path | None) -> None:
    console.print(_table(report))
    for finding in report.findings:
        mark = _MARKS[finding.severity.value]
        console.print(
            f'{mark} {escape(finding.sensor)}: {escape(finding.text())}', highlight=False
        )
    for choice in report.choices:
        console.print(
            f'chosen: {clean_text(choice, 160)}', markup=False, highlight=False, soft_wrap=True
        )
    if not report.sensors:
        console.print('no sensor in it: no Image, CompressedImage or PointCloud2')
    for path in written:
        console.print(f'written: {path}', markup=False, highlight=False, soft_wrap=True)
    verdict = 'all sensors are usable' if report.is_good else 'something is wrong, see above'
    against = f' by {rig}' if rig is not None else ''
    console.print(
        f'{report.bag}{against}: {verdict}', markup=False, highlight=False, soft_wrap=True
    )


def _table(report: RigReport) -> Table:
    table = Table(title=None, show_lines=False)
    for heading in ('sensor', 'topic', 'seen', 'rate', 'usable', 'why not'):
        table.add_column(heading, overflow='fold')
    for sensor in report.sensors:
        usable = '[green]yes[/]' if sensor.is_usable else '[red]no[/]'
        rate = f'{sensor.rate_hz:.1f} Hz' if sensor.rate_hz else '?'
        why = dict.fromkeys(
            finding.title for finding in sensor.findings if finding.severity.value != 'note'
        )
        table.add_row(
            escape(sensor.name),
            escape(clean_text(sensor.topic, _CELL)),
            str(sensor.messages),
            rate,
            usable,
            '; '.join(why),
        )
    return table
