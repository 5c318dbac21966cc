"""Models against truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metabev_ros.cli.app import (
    ThreadsOption,
    app,
    command_line,
    console,
    model_dir,
    progress_bar,
)
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions import SettingGroup
from metabev_ros.lab.evaluation.bootstrap import RESAMPLES
from metabev_ros.lab.evaluation.held_out import HeldOutDrives
from metabev_ros.lab.evaluation.model_results import ModelResults
from metabev_ros.lab.evaluation.records import merge_records
from metabev_ros.lab.evaluation.report import evaluation_records, write_report
from metabev_ros.lab.evaluation.robustness import ModelSource, evaluate_robustness, with_backend
from metabev_ros.lab.evaluation.robustness_claims import claim_records, robustness_records
from metabev_ros.lab.evaluation.robustness_report import write_comparison
from metabev_ros.lab.evaluation.run import evaluate_on_synthetic
from metabev_ros.lab.evaluation.spreading import Spread

if TYPE_CHECKING:
    from metabev_ros.lab.evaluation.robustness import ModelSource


@app.command()
def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(help='Model folders, or NAME=FOLDER; default: the shipped metabev_nano.'),
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
        typer.Option(help='Inference runtime; auto: onnxruntime for exported models, else torch.'),
    ] = 'auto',
    threads: ThreadsOption = 2,
    drives: Annotated[
        int | None, typer.Option(min=1, help='Held-out worlds; default 40, with --settings 20.')
    ] = None,
    per_drive: Annotated[
        int | None, typer.Option(min=1, help='Samples of each; default 3, with --settings 20.')
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help='With --settings: processes, one thread each.')
    ] = 1,
    ray_address: Annotated[
        str | None, typer.Option(help='With --settings: run the drives on this Ray cluster.')
    ] = None,
    resamples: Annotated[
        int,
        typer.Option(min=0, help='With --settings: draws of drives for the intervals; 0: none.'),
    ] = RESAMPLES,
    out: Annotated[Path, typer.Option(help='Report folder.')] = Path('out/evaluation'),
    record: Annotated[
        Path | None, typer.Option(help='Merge the figures into this docs/results/*.json.')
    ] = None,
) -> None:
    """Score models on held-out synthetic drives; --settings: while their sensors fail.

    With --settings a run that was stopped goes on where it was.
    """
    folders = models or [str(model_dir(None))]
    if settings is None:
        if len(folders) != 1:
            raise ConfigError('evaluate', 'one model without --settings', str(folders))
        _evaluate_modalities(
            _model_source(folders[0], backend), threads, drives or 40, per_drive or 3, out, record
        )
        return
    sources = tuple(_model_source(text, backend) for text in folders)
    results = _evaluate_under_failures(
        sources,
        settings,
        HeldOutDrives(drives or 20, per_drive or 20),
        Spread(workers, ray_address),
        resamples,
        out,
    )
    report = write_comparison(results, out)
    if record is not None:
        merge_records(
            record,
            [
                *robustness_records(results, command_line(), record.stem),
                *claim_records(results, command_line(), record.stem),
            ],
        )
    console.print(report.read_text(encoding='utf-8'), markup=False)
    console.print(f'written: {report}', markup=False)


def _evaluate_under_failures(
    sources: tuple[ModelSource, ...],
    settings: SettingGroup,
    test_set: HeldOutDrives,
    spread: Spread,
    resamples: int,
    out: Path,
) -> list[ModelResults]:
    """Score models drive by drive and save NAME.json of each."""
    with progress_bar('Evaluating') as update:
        infos, scores = evaluate_robustness(
            sources, settings.settings, test_set, out / 'partial', spread, update
        )
    results: list[ModelResults] = []
    with progress_bar('Intervals') as update:
        for done, (name, info) in enumerate(infos.items()):
            update(done, len(infos), name)
            drives = {
                setting: parts for (model, setting), parts in scores.items() if model == name
            }
            result = ModelResults.make(name, info, test_set.words, drives, resamples)
            result.save(out / f'{result.name}.json')
            results.append(result)
    return results


def _model_source(text: str, backend: str) -> ModelSource:
    """'NAME=FOLDER' or 'FOLDER', whose last part is the name then."""
    name, separator, folder = text.rpartition('=')
    folder = Path(folder)
    return with_backend(ModelSource(name if separator else folder.resolve().name, folder, backend))


def _evaluate_modalities(
    source: ModelSource, threads: int, drives: int, per_drive: int, out: Path, record: Path | None
) -> None:
    with progress_bar('Evaluating') as update:
        done = 0

        def progress(text: str, total: int) -> None:
            nonlocal done
            done += 1
            update(done, total, text)

        evaluation = evaluate_on_synthetic(
            source.folder, source.backend, threads, drives, per_drive, progress=progress
        )
    report = write_report(evaluation, out)
    console.print(report.read_text(encoding='utf-8'), markup=False)
    if record is not None:
        merge_records(record, evaluation_records(evaluation, command_line()))
    console.print(f'written: {report}', markup=False)


@app.command()
def compare(
    results: Annotated[
        list[Path],
        typer.Argument(help='Files that `metabev evaluate --settings` wrote, one a model.'),
    ],
    out: Annotated[Path, typer.Option(help='Report folder.')] = Path('out/comparison'),
    record: Annotated[
        Path | None, typer.Option(help='Merge the figures into this docs/results/*.json.')
    ] = None,
) -> None:
    """Tables and pictures of models that were evaluated one by one on the same drives."""
    loaded = [ModelResults.load(path) for path in results]
    report = write_comparison(loaded, out)
    if record is not None:
        merge_records(record, claim_records(loaded, command_line(), record.stem))
    console.print(f'written: {report}', markup=False)
