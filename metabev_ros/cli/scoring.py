"""Runs of `metabev evaluate`: on synthetic drives, on records, and under failures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

from metabev_ros.cli.app import ProgressUpdate, command_line, console, progress_bar
from metabev_ros.cli.results import require_folder
from metabev_ros.config import ModelConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions import CLEAN, Setting, SettingGroup
from metabev_ros.lab.datasets.importing import import_records
from metabev_ros.lab.datasets.record_folder import RecordFolder
from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
from metabev_ros.lab.evaluation.held_out import HeldOutDrives
from metabev_ros.lab.evaluation.labelled_drives import LabelledDrives
from metabev_ros.lab.evaluation.model_results import ModelResults
from metabev_ros.lab.evaluation.record_drives import RecordDrives, drives_for
from metabev_ros.lab.evaluation.record_runs import SubmissionRequest, evaluate_on_records
from metabev_ros.lab.evaluation.records import ResultRecord
from metabev_ros.lab.evaluation.report import write_report
from metabev_ros.lab.evaluation.report_records import class_records, evaluation_records, slug
from metabev_ros.lab.evaluation.robustness import ModelSource, evaluate_robustness, with_backend
from metabev_ros.lab.evaluation.robustness_claims import claim_records, robustness_records
from metabev_ros.lab.evaluation.robustness_report import write_comparison
from metabev_ros.lab.evaluation.run import Evaluation, evaluate_on_drives
from metabev_ros.lab.spreading import Spread
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import model_folder
from metabev_ros.structures import Modality


def import_bags(bags: LabelledBags, folder: Path, source: ModelSource) -> Path:
    """Records of labelled bags as a model takes them."""
    model = load_config(ModelConfig, source.folder / 'config.yaml')
    with progress_bar('Importing') as update:
        import_records(bags, folder, model, Spread(), update)
    for note in RecordFolder(folder).manifest.source.notes:
        console.print(note, markup=False)
    return folder


def evaluate_settings(
    sources: tuple[ModelSource, ...],
    group: SettingGroup,
    on: list[Path] | HeldOutDrives,
    spread: Spread,
    resamples: int,
    out: Path,
    topic: str,
) -> list[ResultRecord]:
    """Score models under failures on records or synthetic drives; the figures.

    Args:
        topic: how their ids begin.
    """
    test_set: LabelledDrives
    if isinstance(on, HeldOutDrives):
        test_set, shown, left_out = on, group.settings, {}
    else:
        test_set, shown, left_out = drives_for(on, group.settings)
        say_left_out(group, shown, left_out)
    require_folder(out)
    results = evaluate_under_failures(sources, shown, left_out, test_set, spread, resamples, out)
    report = write_comparison(results, out)
    console.print(report.read_text(encoding='utf-8'), markup=False)
    console.print(f'written: {report}', markup=False)
    command = command_line()
    return [
        *robustness_records(results, command, topic),
        *claim_records(results, command, topic),
    ]


def require_sense(
    models: list[str],
    data: bool,
    settings: SettingGroup | None,
    held_out: int | str | None,
    single: str | Path | None,
) -> None:
    """Refuse options that do not go together.

    Args:
        held_out: an option of held-out drives that was given.

    Raises:
        ConfigError
    """
    if settings is None and len(models) != 1:
        raise ConfigError('evaluate', 'one model without --settings', str(models))
    if data and held_out:
        got, remedy = '--data', 'leave one away'
        raise ConfigError('--drives, --per-drive, --world', 'held-out drives', got, remedy)
    if single and (settings is not None or not data):
        got = 'no --data' if not data else '--settings'
        raise ConfigError('--modality, --submission', '--data without --settings', got)


def require_bag(bags: list[Path] | None, options: Mapping[str, object]) -> None:
    """Refuse options of bags where there is none.

    Args:
        options: name -> value; one that is empty was not given.

    Raises:
        ConfigError
    """
    given = [name for name, value in options.items() if value]
    if given and not bags:
        raise ConfigError(', '.join(given), '--bag', 'none', 'they say how to read a bag')


def say_left_out(
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


def evaluate_under_failures(
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
    seed = test_set.first_seed if isinstance(test_set, HeldOutDrives) else None
    with progress_bar('Intervals') as update:
        for done, (name, info) in enumerate(infos.items()):
            update(done, len(infos), name)
            drives = {
                setting: parts for (model, setting), parts in scores.items() if model == name
            }
            result = ModelResults.make(
                name, info, test_set.words, drives, resamples, left_out, seed
            )
            result.save(out / f'{result.name}.json')
            results.append(result)
    return results


def model_source(text: str, backend: str) -> ModelSource:
    """'NAME=FOLDER', or 'FOLDER' with the name of its last part; models have names too."""
    name, separator, folder = text.rpartition('=')
    folder = model_folder(folder)
    return with_backend(ModelSource(name if separator else folder.resolve().name, folder, backend))


def evaluate_modalities(
    source: ModelSource,
    threads: int,
    test_set: HeldOutDrives,
    out: Path,
) -> list[ResultRecord]:
    """Score one model on held-out drives, once per modality; the figures."""
    pipeline = Pipeline.load(source.folder, source.backend, threads)
    require_folder(out)
    with progress_bar('Evaluating') as update:
        evaluation = evaluate_on_drives(pipeline, test_set, _counted(update))
    print_report(evaluation, out)
    return evaluation_records(evaluation, command_line())


def _counted(update: ProgressUpdate) -> Callable[[str, int], None]:
    """Tell a progress bar of one more sample; (its text, number of all samples)."""
    numbers = itertools.count(1)
    return lambda text, total: update(next(numbers), total, text)


def print_report(evaluation: Evaluation, out: Path) -> None:
    """Write a report and print it."""
    report = write_report(evaluation, out)
    console.print(report.read_text(encoding='utf-8'), markup=False)
    console.print(f'written: {report}', markup=False)


def evaluate_records(
    source: ModelSource,
    threads: int,
    data: list[Path],
    modalities: tuple[Modality, ...],
    submission: SubmissionRequest | None,
    original: Path | None,
    out: Path,
    topic: str,
) -> list[ResultRecord]:
    """Score one model on records, once per modality; the figures.

    Args:
        topic: how their ids begin; the names of the data follow.
    """
    drives = RecordDrives(tuple(data))
    pipeline = Pipeline.load(source.folder, source.backend, threads)
    require_folder(out)
    with progress_bar('Evaluating') as update:
        evaluation = evaluate_on_records(
            pipeline, drives, modalities, submission, original, _counted(update)
        )
    print_report(evaluation, out)
    if submission is not None:
        console.print(f'written: {submission.path}', markup=False)
    names = '_and_'.join(slug(folder.manifest.source.name) for folder in drives.opened)
    topic, command = f'{topic}.{names}', command_line()
    records = evaluation_records(evaluation, command, topic)
    return [*records, *class_records(evaluation, command, topic)]
