"""Models against truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
from metabev_ros.lab.datasets.corruptions import CLEAN, Setting, SettingGroup
from metabev_ros.lab.evaluation.bootstrap import RESAMPLES
from metabev_ros.lab.evaluation.held_out import HeldOutDrives
from metabev_ros.lab.evaluation.labelled_drives import LabelledDrives
from metabev_ros.lab.evaluation.model_results import ModelResults
from metabev_ros.lab.evaluation.record_drives import RecordDrives, drives_for
from metabev_ros.lab.evaluation.record_runs import SubmissionRequest, evaluate_on_records
from metabev_ros.lab.evaluation.records import merge_records
from metabev_ros.lab.evaluation.report import write_report
from metabev_ros.lab.evaluation.report_records import class_records, evaluation_records, slug
from metabev_ros.lab.evaluation.robustness import ModelSource, evaluate_robustness, with_backend
from metabev_ros.lab.evaluation.robustness_claims import claim_records, robustness_records
from metabev_ros.lab.evaluation.robustness_report import write_comparison
from metabev_ros.lab.evaluation.run import MODALITIES, Evaluation, evaluate_on_synthetic
from metabev_ros.lab.evaluation.spreading import Spread
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality

ModalityName = Literal['FUSED', 'LIDAR', 'CAMERA']


@app.command()
def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(help='Model folders, or NAME=FOLDER; default: the shipped metabev_nano.'),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help='Records of `metabev import`; may be repeated. Default: synthetic drives.'
        ),
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
    modality: Annotated[
        ModalityName | None,
        typer.Option(help='With --data: score these sensors only; default: all that are there.'),
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(
            help='With --data: write a nuScenes result file, of --modality or the first of FUSED, '
            'LIDAR and CAMERA that is there.'
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
) -> None:
    """Score models on held-out synthetic drives, or on records; --settings: while sensors fail.

    With --settings a run that was stopped goes on where it was.
    """
    folders = models or [str(model_dir(None))]
    _require_sense(folders, data, settings, drives or per_drive, modality or submission)
    sources = tuple(_model_source(text, backend) for text in folders)
    if settings is None and data:
        chosen = MODALITIES if modality is None else (Modality[modality],)
        request = None if submission is None else SubmissionRequest(submission, external)
        _evaluate_records(sources[0], threads, data, chosen, request, out, record)
        return
    if settings is None:
        _evaluate_modalities(sources[0], threads, drives or 40, per_drive or 3, out, record)
        return
    test_set: LabelledDrives = HeldOutDrives(drives or 20, per_drive or 20)
    shown, left_out = settings.settings, {}
    if data:
        test_set, shown, left_out = drives_for(data, settings.settings)
        _say_left_out(settings, shown, left_out)
    spread = Spread(workers, ray_address)
    results = _evaluate_under_failures(sources, shown, left_out, test_set, spread, resamples, out)
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


def _require_sense(
    models: list[str],
    data: list[Path] | None,
    settings: SettingGroup | None,
    counts: int | None,
    single: str | Path | None,
) -> None:
    """Refuse options that do not go together.

    Raises:
        ConfigError
    """
    if settings is None and len(models) != 1:
        raise ConfigError('evaluate', 'one model without --settings', str(models))
    if data and counts is not None:
        raise ConfigError('--drives, --per-drive', 'synthetic drives', '--data', 'leave one away')
    if single and (settings is not None or not data):
        got = 'no --data' if not data else '--settings'
        raise ConfigError('--modality, --submission', '--data without --settings', got)


def _say_left_out(
    group: SettingGroup, shown: tuple[Setting, ...], left_out: dict[str, str]
) -> None:
    """Name the settings that the records cannot show.

    Raises:
        ConfigError: where nothing of the group is left but the clean setting.
    """
    for setting, reason in left_out.items():
        console.print(f'not shown: {setting}, {reason}', markup=False)
    if left_out and all(setting == CLEAN or setting.is_harmless for setting in shown):
        raise ConfigError(
            f'--settings {group.value}',
            'a failure that the records can show',
            '; '.join(f'{setting}: {reason}' for setting, reason in left_out.items()),
            'choose another group, or other records',
        )


def _evaluate_under_failures(
    sources: tuple[ModelSource, ...],
    settings: tuple[Setting, ...],
    left_out: dict[str, str],
    test_set: LabelledDrives,
    spread: Spread,
    resamples: int,
    out: Path,
) -> list[ModelResults]:
    """Score models drive by drive and save NAME.json of each."""
    with progress_bar('Evaluating') as update:
        infos, scores = evaluate_robustness(
            sources, settings, test_set, out / 'partial', spread, update
        )
    results: list[ModelResults] = []
    with progress_bar('Intervals') as update:
        for done, (name, info) in enumerate(infos.items()):
            update(done, len(infos), name)
            drives = {
                setting: parts for (model, setting), parts in scores.items() if model == name
            }
            result = ModelResults.make(name, info, test_set.words, drives, resamples, left_out)
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
    if record is not None:
        merge_records(record, evaluation_records(evaluation, command_line()))
    _report(evaluation, out)


def _report(evaluation: Evaluation, out: Path) -> None:
    report = write_report(evaluation, out)
    console.print(report.read_text(encoding='utf-8'), markup=False)
    console.print(f'written: {report}', markup=False)


def _evaluate_records(
    source: ModelSource,
    threads: int,
    data: list[Path],
    modalities: tuple[Modality, ...],
    submission: SubmissionRequest | None,
    out: Path,
    record: Path | None,
) -> None:
    drives = RecordDrives(tuple(data))
    pipeline = Pipeline.load(source.folder, source.backend, threads)
    with progress_bar('Evaluating') as update:
        done = 0

        def progress(text: str, total: int) -> None:
            nonlocal done
            done += 1
            update(done, total, text)

        evaluation = evaluate_on_records(pipeline, drives, modalities, submission, progress)
    if record is not None:
        names = [slug(folder.manifest.source.name) for folder in drives.opened]
        topic, command = '.'.join([record.stem, '_and_'.join(names)]), command_line()
        records = evaluation_records(evaluation, command, topic)
        merge_records(record, [*records, *class_records(evaluation, command, topic)])
    _report(evaluation, out)
    if submission is not None:
        console.print(f'written: {submission.path}', markup=False)


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
