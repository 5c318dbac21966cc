"""`metabev what-if`: one's own bag with each sensor failing in turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from metabev_ros.cli.importing import ClassOption, class_changes
from metabev_ros.cli.results import (
    ForceOption,
    JsonOption,
    require_free,
    say_json,
    write_file,
)
from metabev_ros.lab.what_if.failures import FailureKind

if TYPE_CHECKING:
    from metabev_ros.lab.what_if.report import Report

SHOWN = 12  # outcomes that are printed; the page has all


@app.command(
    'what-if',
    epilog=examples(
        'metabev what-if drive.mcap --rig my_rig.yaml',
        'metabev what-if drive.mcap --only kill --pairs --every 2 --seconds 60 --json',
    ),
)
def what_if(
    bag: BagArgument,
    out: Annotated[
        Path | None,
        typer.Option('--out', '-o', help='Page to write; default: <bag>.what_if.html here.'),
    ] = None,
    model: ModelOption = None,
    rig: RigOption = None,
    only: Annotated[
        list[FailureKind] | None,
        typer.Option(
            metavar='KIND',
            help='Failures to try: kill, delay, freeze or blind; may be repeated. Default: all.',
        ),
    ] = None,
    pairs: Annotated[
        bool, typer.Option('--pairs', help='Also lose each pair of sensors.')
    ] = False,
    delay: Annotated[
        float, typer.Option(metavar='SECONDS', help='Seconds by which a delayed sensor is late.')
    ] = 0.3,
    begin: Annotated[
        float | None,
        typer.Option(
            metavar='SECONDS',
            help='Seconds after the first message of a sensor at which sensors fail; default: 2, '
            'a quarter of a short bag, or 0 where each sensor speaks once.',
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar='SECONDS', help='Seconds to look at, from the failure on.')
    ] = 10.0,
    every: Annotated[
        float, typer.Option(metavar='SECONDS', help='Seconds between two looks.')
    ] = 1.0,
    score: Annotated[float, typer.Option(help='Boxes below this score do not count.')] = 0.3,
    boxes: Annotated[
        str,
        typer.Option(
            '--boxes',
            '--labels',
            metavar='TOPIC',
            help='Topic of labels; default: /ground_truth/detections.',
        ),
    ] = '',
    classes: ClassOption = None,
    use_labels: Annotated[
        bool, typer.Option('--use-labels/--no-labels', help='Hold to the labels of the bag.')
    ] = True,
    backend: BackendOption = 'onnxruntime',
    threads: ThreadsOption = 2,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Tell what is lost when each sensor of a bag dies, comes late, freezes or goes blind.

    Every failure goes through the node's own perception; boxes and map are held to those with
    all sensors, or to the labels of the bag.

    --json also writes the figures beside the page, for `metabev card`.

    Exit code 3: a part of the bag could not be read.
    """
    from metabev_ros.lab.datasets.sources.label_collection import LabelTopics
    from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
    from metabev_ros.lab.what_if.page import page
    from metabev_ros.lab.what_if.question import Question
    from metabev_ros.lab.what_if.run import ask
    from metabev_ros.pipeline import Pipeline

    out = out or Path(f'{bag.resolve().stem}.what_if.html')
    files = (out, out.with_suffix('.json')) if as_json else (out,)
    require_free(force, *files, inputs=(bag,))
    kinds = tuple(dict.fromkeys(only or FailureKind))
    source = LabelledBags(
        (bag,), rig_config(rig), labels=LabelTopics(boxes), classes=class_changes(classes)
    )
    question = Question(source, kinds, pairs, delay, begin, seconds, every, score, use_labels)
    pipeline = Pipeline.load(model_dir(model), backend, threads)

    def say(line: str) -> None:
        console.print(line, markup=False)

    with progress_bar('Failing') as update:
        answer = ask(question, pipeline, lambda done, total: update(done, total), say)
    _print(answer.report)
    texts = (page(answer), json.dumps(answer.report.to_plain(), indent=1, allow_nan=False) + '\n')
    for path, text in zip(files, texts, strict=False):
        write_file(path, text)
    if as_json:
        say_json(answer.report.to_plain())
    if answer.is_lossy:
        raise typer.Exit(3)


def _print(report: Report) -> None:
    """The dearest failures, one a line."""
    for outcome in report.outcomes[:SHOWN]:
        console.print(outcome.sentence(), markup=False, highlight=False, soft_wrap=True)
    left = len(report.outcomes) - SHOWN
    if left > 0:
        console.print(f'... and {left} more', markup=False)
    for name, why in report.not_tried.items():
        console.print(f'not tried: {name} ({why})', markup=False, soft_wrap=True)
