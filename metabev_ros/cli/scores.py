"""Models against truth."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import typer

from metabev_ros.backends import BackendKind
from metabev_ros.cli import scoring
from metabev_ros.cli.app import (
    RigOption,
    ThreadsOption,
    app,
    choices,
    command_line,
    console,
    examples,
    rig_config,
)
from metabev_ros.cli.cards import compare_cards
from metabev_ros.cli.importing import ClassOption, class_changes
from metabev_ros.cli.results import JsonOption, require_folder, require_free, say_json
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions import SettingGroup
from metabev_ros.lab.datasets.sources.label_collection import LabelTopics
from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
from metabev_ros.lab.evaluation.bootstrap import RESAMPLES
from metabev_ros.lab.evaluation.card_gates import read_gates
from metabev_ros.lab.evaluation.held_out import CHOICE_FIRST_SEED, HeldOutDrives
from metabev_ros.lab.evaluation.model_results import ModelResults
from metabev_ros.lab.evaluation.record_runs import SubmissionRequest
from metabev_ros.lab.evaluation.records import merge_records
from metabev_ros.lab.evaluation.robustness_claims import claim_records
from metabev_ros.lab.evaluation.robustness_report import write_comparison
from metabev_ros.lab.evaluation.run import MODALITIES
from metabev_ros.lab.simulation.worlds import find_world
from metabev_ros.lab.spreading import Spread
from metabev_ros.resources import DEFAULT_MODEL
from metabev_ros.structures import Modality

ModalityName = Literal['FUSED', 'LIDAR', 'CAMERA']


@app.command(
    epilog=examples(
        'metabev evaluate',
        'metabev evaluate metabev_nano --data records/mine',
        'metabev evaluate a=models/a b=models/b --settings headline --workers 2',
    )
)
def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help='Names of `metabev models`, model folders, or NAME=FOLDER; default: '
            'metabev_nano_streets, with --world boxes metabev_nano.'
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help='Records of `metabev import`; may be repeated. Default: synthetic drives.'
        ),
    ] = None,
    bag: Annotated[
        list[Path] | None,
        typer.Option(help='Labelled bag, imported for this run only; may be repeated.'),
    ] = None,
    rig: RigOption = None,
    boxes: Annotated[
        str,
        typer.Option(
            '--boxes',
            '--labels',
            metavar='TOPIC',
            help='With --bag: topic of the boxes; default: the one it has.',
        ),
    ] = '',
    labelled_range: Annotated[
        float | None,
        typer.Option(
            min=1, help='With --bag: metres up to which all objects are labelled; default: all.'
        ),
    ] = None,
    classes: ClassOption = None,
    original: Annotated[
        Path | None,
        typer.Option(help="With --data: the data set's own folder, for KITTI AP and AV2 regions."),
    ] = None,
    settings: Annotated[
        SettingGroup | None,
        typer.Option(
            help='Sensor failures to evaluate under; without it: fused, LiDAR only and '
            'camera only, without failures.'
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            metavar='auto|' + choices(BackendKind),
            help='Inference runtime; auto: onnxruntime for exported models, else torch.',
        ),
    ] = 'auto',
    threads: ThreadsOption = 2,
    drives: Annotated[
        int | None, typer.Option(min=1, help='Held-out worlds; default 40, with --settings 20.')
    ] = None,
    per_drive: Annotated[
        int | None, typer.Option(min=1, help='Samples of each; default 3, with --settings 20.')
    ] = None,
    world: Annotated[
        str | None,
        typer.Option(metavar='boxes|streets', help='Of held-out drives; default: streets.'),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help='With --settings: processes, one thread each.')
    ] = 1,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar='auto|HOST:PORT', help='With --settings: run the drives on this Ray cluster.'
        ),
    ] = None,
    resamples: Annotated[
        int,
        typer.Option(min=0, help='With --settings: draws of drives for the intervals; 0: none.'),
    ] = RESAMPLES,
    modality: Annotated[
        ModalityName | None,
        typer.Option(help='With records: score these sensors only; default: all that are there.'),
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(
            help='With records: write a nuScenes result file, of --modality or the first of '
            'FUSED, LIDAR and CAMERA that is there.'
        ),
    ] = None,
    external: Annotated[
        bool,
        typer.Option(help='Whether the model learnt from other data than nuScenes: use_external.'),
    ] = True,
    out: Annotated[Path, typer.Option(help='Report folder.')] = Path('out/evaluation'),
    record: Annotated[
        Path | None, typer.Option(help='Merge the figures into this docs/results/*.json.')
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score models on held-out synthetic drives, or on records; --settings: while sensors fail.

    With --settings a run that was stopped goes on where it was.
    """
    own = Path(DEFAULT_MODEL).name if data or bag else find_world(world).model
    folders = models or [own]
    scoring.require_sense(
        folders, bool(data or bag), settings, drives or per_drive or world, modality or submission
    )
    of_bags = {'--rig': rig, '--boxes': boxes, '--class': classes}
    scoring.require_bag(bag, of_bags | {'--labelled-range': labelled_range})
    sources = tuple(scoring.model_source(text, backend) for text in folders)
    require_free(True, submission)
    topic = record.stem if record is not None else 'evaluation'
    with ExitStack() as stack:
        if bag:
            made = Path(stack.enter_context(TemporaryDirectory(prefix='metabev_')))
            labelled = LabelledBags(
                tuple(bag),
                rig_config(rig),
                labels=LabelTopics(boxes),
                classes=class_changes(classes),
                labelled_range_m=labelled_range,
            )
            data = [*(data or ()), scoring.import_bags(labelled, made / 'records', sources[0])]
        if settings is not None:
            test_set = HeldOutDrives(drives or 20, per_drive or 20, world=find_world(world))
            spread = Spread(workers, ray_address)
            figures = scoring.evaluate_settings(
                sources, settings, data or test_set, spread, resamples, out, topic
            )
        elif data:
            chosen = MODALITIES if modality is None else (Modality[modality],)
            request = None if submission is None else SubmissionRequest(submission, external)
            figures = scoring.evaluate_records(
                sources[0], threads, data, chosen, request, original, out, topic
            )
        else:
            test_set = HeldOutDrives(
                drives or 40, per_drive or 3, CHOICE_FIRST_SEED, 2.0, find_world(world)
            )
            figures = scoring.evaluate_modalities(sources[0], threads, test_set, out)
    if record is not None:
        merge_records(record, figures)
    if as_json:
        say_json({'written': [out], 'figures': figures})


@app.command(
    epilog=examples(
        'metabev compare out/a.json out/b.json --out out/comparison',
        'metabev compare --cards a.json b.json --at-least lidar_missing.nds_retention=0.5',
    )
)
def compare(
    results: Annotated[
        list[Path],
        typer.Argument(
            help='Files that `metabev evaluate --settings` wrote, one a model; or cards.'
        ),
    ],
    out: Annotated[Path, typer.Option(help='Report folder; cards have none.')] = Path(
        'out/comparison'
    ),
    record: Annotated[
        Path | None, typer.Option(help='Merge the figures into this docs/results/*.json.')
    ] = None,
    cards: Annotated[
        bool, typer.Option('--cards', help='The files are robustness cards of `metabev card`.')
    ] = False,
    gate: Annotated[
        Path | None,
        typer.Option(help='With --cards: YAML of limits, `at_least:` and `at_most:`.'),
    ] = None,
    at_least: Annotated[
        list[str] | None,
        typer.Option(
            metavar='NAME=LIMIT',
            help='With --cards: a limit, e.g. lidar_missing.nds_retention=0.5; may be repeated.',
        ),
    ] = None,
    at_most: Annotated[
        list[str] | None,
        typer.Option(
            metavar='NAME=LIMIT',
            help='The same from above, e.g. clean.detection_ece=0.1 or label.worst=0.5.',
        ),
    ] = None,
    report_junit: Annotated[
        Path | None, typer.Option('--junit', help='With --cards: verdicts as JUnit XML, for CI.')
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tables and pictures of models that were evaluated one by one on the same drives.

    With --cards a table, and exit code 1 where a card misses a limit or lacks its figure.
    """
    if cards:
        if record is not None:
            raise ConfigError('compare --record', 'results', '--cards', 'leave one away')
        gates = read_gates(gate, at_least or (), at_most or ())
        if report_junit is not None and not gates:
            raise ConfigError('compare --junit', 'limits', 'none', 'say --gate or --at-least')
        if not compare_cards(results, gates, report_junit, as_json):
            raise typer.Exit(1)
        return
    if gate or at_least or at_most or report_junit:
        options = '--gate, --at-least, --at-most, --junit'
        raise ConfigError(options, '--cards', 'results of evaluate', 'make cards of them first')
    loaded = [ModelResults.load(path) for path in results]
    require_folder(out)
    report = write_comparison(loaded, out)
    topic = record.stem if record is not None else 'comparison'
    figures = claim_records(loaded, command_line(), topic)
    if record is not None:
        merge_records(record, figures)
    console.print(f'written: {report}', markup=False)
    if as_json:
        say_json({'written': [report], 'figures': figures})
