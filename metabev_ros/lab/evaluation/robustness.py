"""Models under sensor failure: drives x settings x models, in parallel and resumable.

One job is one drive: it makes every sample once, fails it under every setting, and runs all
models on it. Results are merged in the order of the drives, so that they do not depend on where
or in which order the jobs ran.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions import Setting, corrupt
from metabev_ros.lab.datasets.samples import LabelledSample
from metabev_ros.lab.evaluation.labelled_drives import Drive, LabelledDrives
from metabev_ros.lab.evaluation.partial_results import PartialResults
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.lab.evaluation.sharing import InputKeys, SharedMaps, SharedRuns
from metabev_ros.lab.spreading import Spread
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import ModelInfo


@dataclass(frozen=True)
class ModelSource:
    """A model to evaluate.

    Attributes:
        name: in figures and ids.
        folder: with contract.json and graphs (onnxruntime) or config.yaml and
            weights.safetensors (torch).
        encoders: the same text in models whose encoders are equal: every input is encoded once
            for all of them. None: no other model's are.
    """

    name: str
    folder: Path
    backend: str
    encoders: str | None = None

    def __post_init__(self) -> None:
        if not self.name or not all(c.isalnum() or c in '_-' for c in self.name):
            raise ConfigError(
                'ModelSource.name',
                'letters, digits, - and _',
                repr(self.name),
                'give it as NAME=FOLDER',
            )


Scores = dict[tuple[str, Setting], Score]
DriveScores = dict[tuple[str, Setting], list[Score]]  # one score a drive


def evaluate_settings(
    pipelines: dict[str, Pipeline],
    settings: Iterable[Setting],
    samples: Iterable[LabelledSample],
    first_sample_seed: int,
    encoders: Mapping[str, str | None] | None = None,
) -> Scores:
    """Every model under every setting on the same failed samples.

    Args:
        pipelines: by name; all take images of the samples' size.
        first_sample_seed: sample i draws its failures from this + i.
        encoders: name -> as in `ModelSource`.
    """
    settings, encoders = tuple(settings), encoders or {}
    scores = {(name, setting): Score() for name in pipelines for setting in settings}
    for index, labelled in enumerate(samples):
        maps = {key: SharedMaps() for key in encoders.values() if key is not None}
        runs = {
            name: SharedRuns(pipeline, maps.get(encoders.get(name) or ''))
            for name, pipeline in pipelines.items()
        }
        for setting in settings:
            sample = corrupt(labelled, setting, first_sample_seed + index)
            keys = InputKeys.of(sample)
            for name, run in runs.items():
                scores[name, setting].add(*run(sample, keys), labelled.truth)
    return scores


@dataclass(frozen=True)
class DriveJob:
    """One drive for one worker; plain data."""

    drive: Drive
    models: tuple[ModelSource, ...]
    settings: tuple[Setting, ...]
    test_set: LabelledDrives


def run_drive(job: DriveJob) -> dict[tuple[str, Setting], dict[str, np.ndarray]]:
    """The raw scores of one drive, as arrays."""
    pipelines = {model.name: _loaded(model) for model in job.models}
    first = next(iter(pipelines.values()))
    samples = job.test_set.samples(job.drive, first)
    scores = evaluate_settings(
        pipelines,
        job.settings,
        samples,
        job.drive.first_sample_seed,
        {model.name: model.encoders for model in job.models},
    )
    return {key: score.to_arrays() for key, score in scores.items()}


@lru_cache(maxsize=64)
def _loaded(model: ModelSource) -> Pipeline:
    return Pipeline.load(model.folder, model.backend, threads=1)


def load_models(models: Iterable[ModelSource]) -> dict[str, ModelInfo]:
    """Load the models once and describe them.

    Raises:
        ConfigError: on a name given twice, or models that take other images or sweeps.
    """
    infos: dict[str, ModelInfo] = {}
    sizes: set[tuple[int, int, int]] = set()
    for model in models:
        if model.name in infos:
            raise ConfigError('models', 'distinct names', model.name, 'give it as NAME=FOLDER')
        pipeline = _loaded(model)
        infos[model.name] = pipeline.model
        config = pipeline.config
        sizes.add((config.camera.height, config.camera.width, config.lidar.sweeps))
    if len(sizes) != 1:
        raise ConfigError(
            'models',
            'one height and width of the images, one number of sweeps',
            str(sorted(sizes)),
            'evaluate them one by one, then `metabev compare`',
        )
    return infos


def evaluate_robustness(
    models: tuple[ModelSource, ...],
    settings: tuple[Setting, ...],
    test_set: LabelledDrives,
    partial: Path,
    spread: Spread,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[dict[str, ModelInfo], DriveScores]:
    """Score all models under all settings on a test set, drive by drive.

    Args:
        partial: folder for finished drives.
        spread: where jobs run; equal results wherever.
        progress: called with (finished drives, all drives, text).

    Raises:
        ConfigError, ContractError, BackendError, MissingDependencyError.
    """
    infos = finish_drives(models, settings, test_set, partial, spread, progress)
    return infos, stored_scores(models, settings, test_set, partial, infos)


def finish_drives(
    models: tuple[ModelSource, ...],
    settings: tuple[Setting, ...],
    test_set: LabelledDrives,
    partial: Path,
    spread: Spread,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, ModelInfo]:
    """`evaluate_robustness` without its scores, which may be more than fit into memory."""
    infos = load_models(models)
    store, drives = PartialResults(partial), test_set.all_drives
    jobs = [
        job
        for drive in drives
        for job in [_missing(drive, models, settings, test_set, store, infos)]
        if job
    ]
    done = len(drives) - len(jobs)
    if progress is not None:
        progress(done, len(drives), 'drives')
    for job, arrays in spread(run_drive, jobs):
        for model in job.models:
            store.write(
                infos[model.name],
                job.drive,
                {setting.id: arrays[model.name, setting] for setting in job.settings},
            )
        done += 1
        if progress is not None:
            progress(done, len(drives), f'drive {job.drive.name}')
    return infos


def _missing(
    drive: Drive,
    models: Sequence[ModelSource],
    settings: Sequence[Setting],
    test_set: LabelledDrives,
    store: PartialResults,
    infos: dict[str, ModelInfo],
) -> DriveJob | None:
    """Job for the part of a drive that is still to do; None when nothing is."""
    todo = {}
    for model in models:
        finished = store.finished(infos[model.name], drive)
        todo[model] = [s for s in settings if s.id not in finished]
    left = {s for missing in todo.values() for s in missing}
    if not left:
        return None
    return DriveJob(
        drive,
        tuple(m for m in models if todo[m]),
        tuple(s for s in settings if s in left),
        test_set,
    )


def stored_scores(
    models: Sequence[ModelSource],
    settings: Iterable[Setting],
    test_set: LabelledDrives,
    partial: Path,
    infos: dict[str, ModelInfo],
) -> DriveScores:
    """The scores of drives that `finish_drives` finished."""
    store, drives, settings = PartialResults(partial), test_set.all_drives, tuple(settings)
    wanted = {setting.id for setting in settings}
    scores: DriveScores = {(m.name, s): [] for m in models for s in settings}
    for drive in drives:
        for model in models:
            found = store.read(infos[model.name], drive, wanted)
            for setting in settings:
                scores[model.name, setting].append(Score.from_arrays(found[setting.id]))
    return scores


def with_backend(source: ModelSource) -> ModelSource:
    """'auto' becomes onnxruntime where there is a contract, else torch."""
    if source.backend != 'auto':
        return source
    exported = (source.folder / 'contract.json').exists()
    return dataclasses.replace(source, backend='onnxruntime' if exported else 'torch')
