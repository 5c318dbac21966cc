"""Drives and recordings: made, replayed, damaged, played."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from metabev_ros.cli.app import (
    BackendOption,
    BagArgument,
    ModelOption,
    RigOption,
    ThreadsOption,
    app,
    console,
    examples,
    model_dir,
    progress_bar,
    rig_config,
)
from metabev_ros.cli.results import ForceOption, JsonOption, require_free, say_json
from metabev_ros.config import read_node_config
from metabev_ros.resources import rig_file

T = TypeVar('T')


@app.command(
    epilog=examples(
        'metabev simulate drive.mcap --seconds 5',
        'metabev simulate drive.mcap --rig four_cameras --seed 7 --world boxes',
    )
)
def simulate(
    out: Annotated[Path, typer.Argument(help='The bag to write (.mcap).')],
    seed: Annotated[int, typer.Option(min=0, help='Seed of the world.')] = 900_000,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=3600, help='Default: 10, or as long as the recording of --traffic.'
        ),
    ] = None,
    rig: RigOption = None,
    drive: Annotated[
        str | None,
        typer.Option(
            metavar='NAME|FILE',
            help='Mounts and motion: a YAML file, or the name of one in config/drives/; '
            "default: that of the rig file's name.",
        ),
    ] = None,
    timing: Annotated[
        str | None,
        typer.Option(
            metavar='NAME|FILE',
            help='When sensors measure: a YAML file, or the name of one in '
            "config/drives/timing/; default: the drive's.",
        ),
    ] = None,
    world: Annotated[
        str | None,
        typer.Option(
            metavar='boxes|streets',
            help='Default: streets. Boxes take a tenth of the time; metabev_nano is their model.',
        ),
    ] = None,
    traffic: Annotated[
        Path | None,
        typer.Option(
            help='A recorded scene (.npz) to drive again, through streets. For evaluation only.'
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help='Processes that render.')] = 2,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Render a vehicle's drive with ground truth into a bag."""
    from metabev_ros.lab.datasets.synthetic import (
        drive_for_rig,
        find_drive,
        find_timing,
        write_vehicle_bag,
    )
    from metabev_ros.lab.simulation.drives import drive_through
    from metabev_ros.lab.simulation.traffic_file import read_traffic
    from metabev_ros.lab.simulation.worlds import find_world

    require_free(force, out)
    config = find_drive(drive) if drive else drive_for_rig(rig_file(rig))
    if seconds is None:
        seconds = 10.0 if traffic is None else read_traffic(traffic).seconds
    made = drive_through(
        find_world(world, traffic),
        rig_config(rig),
        seed,
        seconds,
        config,
        find_timing(timing or config.timing),
        traffic,
    )
    for note in made.notes:
        console.print(note, markup=False)
    with progress_bar('Rendering') as update:
        write_vehicle_bag(made, out, workers, lambda done, total: update(done, total))
    console.print(f'written: {out}', markup=False)
    if as_json:
        say_json({'written': [out], 'seconds': seconds, 'notes': made.notes})


@app.command(
    epilog=examples(
        'metabev replay drive.mcap -o seen.mcap --video seen.mp4',
        'metabev replay my_bag/ --rig my_rig.yaml --set sensing.deadline=0.2',
    )
)
def replay(
    context: typer.Context,
    bag: BagArgument,
    out: Annotated[
        Path | None,
        typer.Option('--out', '-o', help='Output bag; default: <bag>.metabev.mcap here.'),
    ] = None,
    video: Annotated[Path | None, typer.Option(help='Also draw an .mp4.')] = None,
    model: ModelOption = None,
    rig: RigOption = None,
    backend: BackendOption = 'onnxruntime',
    threads: ThreadsOption = 2,
    provider: Annotated[
        str,
        typer.Option(metavar='cpu|cuda|tensorrt|openvino', help='What onnxruntime computes with.'),
    ] = 'cpu',
    precision: Annotated[
        str, typer.Option(metavar='fp32|fp16|int8', help='Of the exported graphs.')
    ] = 'fp32',
    params: Annotated[
        Path | None,
        typer.Option(
            '--params',
            help="The node's parameter file (config/perception.param.yaml). Its rig, model, "
            'backend, provider, precision and threads count where no option says otherwise; '
            'rates and time limits of the live node have no meaning here. Of `outputs.*` those '
            'that say `require` are written.',
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            '--set', metavar='NAME=VALUE', help='A parameter, e.g. sensing.deadline=0.1.'
        ),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the node's own perception over a bag, without ROS; outputs lie beside the inputs.

    Exit code 1: nothing was perceived; 3: a part of the bag could not be read.
    """
    from metabev_ros.replay.run import NODE_NAME, replay_bag

    node, given = read_node_config(params, settings or (), NODE_NAME)

    def chosen(name: str, option: T, parameter: T) -> T:
        """An option that was typed, else the parameter where one was given."""
        source = context.get_parameter_source(name)
        is_typed = source is not None and source.name != 'DEFAULT'
        return parameter if name in given and not is_typed else option

    out = out or Path(f'{bag.resolve().stem}.metabev.mcap')
    require_free(force, out, video, inputs=(bag,))
    with progress_bar('Replaying') as update:
        summary = replay_bag(
            bag,
            out,
            model_dir(chosen('model', model, Path(node.model) if node.model else None)),
            rig_config(chosen('rig', rig, Path(node.rig) if node.rig else None)),
            node.sensing,
            chosen('backend', backend, node.backend),
            chosen('threads', threads, node.threads),
            video,
            lambda done, total: update(done, total),
            chosen('precision', precision, node.precision),
            chosen('provider', provider, node.provider),
            node.outputs,
            node.settings,
            node.tracking,
        )
    console.print('\n'.join(summary.lines()), markup=False)
    is_drawn = video is not None and summary.outputs and not summary.video_lost
    console.print(f'written: {out}' + (f' and {video}' if is_drawn else ''), markup=False)
    if as_json:
        say_json(
            {
                'written': [out, video] if is_drawn else [out],
                'is_blind': summary.is_blind,
                'is_lossy': summary.is_lossy,
                **vars(summary),
            }
        )
    if summary.is_blind or summary.video_lost:
        raise typer.Exit(1 if summary.is_blind else 2)
    if summary.is_lossy:
        raise typer.Exit(3)


@app.command(
    epilog=examples(
        'metabev inject drive.mcap broken.mcap --schedule bad_day --enable-fault-injection'
    )
)
def inject(
    bag: BagArgument,
    out: Annotated[Path, typer.Argument(help='The bag to write (.mcap).')],
    schedule: Annotated[
        str,
        typer.Option(
            metavar='NAME|FILE',
            help='Fault plan: a YAML file, or the name of one in config/faults/.',
        ),
    ],
    seed: Annotated[int, typer.Option(min=0, help='Seed of all chance.')] = 0,
    rig: RigOption = None,
    truth: Annotated[
        Path | None, typer.Option(help='Truth file; default: <out>.truth.jsonl.')
    ] = None,
    enabled: Annotated[
        bool, typer.Option('--enable-fault-injection', help='Without it nothing is injected.')
    ] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy a bag with faults in it, and write down what was done to every message.

    Exit code 1: a fault of the plan touched no message.
    """
    from metabev_ros.faults.inject import inject_bag
    from metabev_ros.faults.plan import find_plan

    truth = truth or out.with_suffix('.truth.jsonl')
    require_free(force, out, truth, inputs=(bag,))
    with progress_bar('Injecting') as update:
        summary = inject_bag(
            bag,
            out,
            find_plan(schedule),
            rig_config(rig),
            seed,
            enabled,
            truth,
            lambda done, total: update(done, total),
        )
    for name, count in summary.touched.items():
        console.print(f'{name}: {count} messages dropped or changed', markup=False)
    console.print(
        f'written: {out} ({summary.written} of {summary.messages} messages) and {truth}',
        markup=False,
    )
    if as_json:
        say_json(
            {
                'written': [out, truth],
                'written_messages': summary.written,
                'messages': summary.messages,
                'touched': summary.touched,
                'integrity': summary.integrity,
            }
        )
    if summary.idle or summary.integrity.is_lossy:
        raise typer.Exit(1 if summary.idle else 3)


@app.command(epilog=examples('metabev play drive.mcap --restamp --loop'))
def play(
    bag: BagArgument,
    rate: Annotated[float, typer.Option(min=0.01, max=100)] = 1.0,
    loop: Annotated[bool, typer.Option(help='Start again at the end.')] = False,
    clock: Annotated[
        bool, typer.Option(help='Publish /clock, for nodes with use_sim_time.')
    ] = False,
    restamp: Annotated[
        bool, typer.Option(help='Move header stamps to now, for nodes on the system clock.')
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Publish a bag over ROS 2 (for machines without `ros2 bag`)."""
    from metabev_ros.node.player import PlayerOptions, play_bag

    def tell(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    published = play_bag(bag, PlayerOptions(rate, loop, clock, restamp), tell)
    tell(f'played: {sum(published.values())} messages')
    if as_json:
        say_json({'published': published})
