"""Models under sensor failure: drives x settings x models, in parallel and resumable.

One job is one drive: it renders every sample once, fails it under every setting, and runs all
models on it. Results are merged in the order of the drives, so that they do not depend on where
or in which order the jobs ran.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from metabev_ros.config import to_plain
from metabev_ros.contract import ModelInfo
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions import Setting, corrupt
from metabev_ros.lab.datasets.samples import LabelledSample, SyntheticSamples
from metabev_ros.lab.datasets.synthetic import DriveConfig
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.lab.evaluation.sharing import SharedRuns
from metabev_ros.lab.evaluation.spreading import Spread
from metabev_ros.pipeline import Pipeline

# Worlds for the final figures: neither training (from 100 000 on) nor the choice of a checkpoint
# (from 900 000 on) sees them.
TEST_FIRST_SEED = 950_000
PARTIAL_FORMAT = 1  # raise it when metrics or corruptions change: old partial results are unused
RATE_HZ, LOOKBACK_FRAMES = 20.0, 10  # 0.5 s before every sample can be asked for


@dataclass(frozen=True)
class ModelSource:
    """A model to evaluate.

    Attributes:
        name: in figures and ids.
        folder: with contract.json and graphs (onnxruntime) or config.yaml and
            weights.safetensors (torch).
    """

    name: str
    folder: Path
    backend: str

    def __post_init__(self) -> None:
        if not self.name or not all(c.isalnum() or c in '_-' for c in self.name):
            raise ConfigError(
                'ModelSource.name',
                'letters, digits, - and _',
                repr(self.name),
                'give it as NAME=FOLDER',
            )


@dataclass(frozen=True)
class HeldOutDrives:
    """Which samples.

    Attributes:
        drives, per_drive: worlds, and samples of each.
        spacing_s: seconds from one sample of a drive to the next.
    """

    drives: int = 20
    per_drive: int = 20
    first_seed: int = TEST_FIRST_SEED
    spacing_s: float = 1.0

    def __post_init__(self) -> None:
        frames = self.spacing_s * RATE_HZ
        if self.drives < 1 or self.per_drive < 1 or frames < 1 or frames != int(frames):
            raise ConfigError(
                'HeldOutDrives',
                f'positive counts, a spacing in steps of {1 / RATE_HZ} s',
                f'{self.drives}, {self.per_drive}, {self.spacing_s}',
            )

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(range(self.first_seed, self.first_seed + self.drives))

    @property
    def words(self) -> str:
        return (
            f'synthetic drives, seeds {self.seeds[0]}..{self.seeds[-1]}, {self.per_drive} '
            f'samples each, {self.spacing_s:g} s apart'
        )

    def samples(self, seed: int, prepare_image) -> SyntheticSamples:
        """Of one drive."""
        stride = int(self.spacing_s * RATE_HZ)
        frames = LOOKBACK_FRAMES + (self.per_drive - 1) * stride + 1
        return SyntheticSamples(
            (seed,),
            self.per_drive,
            DriveConfig(frames, RATE_HZ),
            prepare_image,
            stride=stride,
            first=LOOKBACK_FRAMES,
        )


Scores = dict[tuple[str, Setting], Score]


def evaluate_settings(
    pipelines: dict[str, Pipeline],
    settings: Iterable[Setting],
    samples: Iterable[LabelledSample],
    first_sample_seed: int,
) -> Scores:
    """Every model under every setting on the same failed samples.

    Args:
        pipelines: by name; all take images of the samples' size.
        first_sample_seed: sample i draws its failures from this + i.
    """
    settings = tuple(settings)
    scores = {(name, setting): Score() for name in pipelines for setting in settings}
    for index, labelled in enumerate(samples):
        runs = {name: SharedRuns(pipeline) for name, pipeline in pipelines.items()}
        for setting in settings:
            sample = corrupt(labelled, setting, first_sample_seed + index)
            for name, run in runs.items():
                scores[name, setting].add(*run(sample), labelled.truth)
    return scores


@dataclass(frozen=True)
class DriveJob:
    """One drive for one worker; plain data."""

    seed: int
    models: tuple[ModelSource, ...]
    settings: tuple[Setting, ...]
    test_set: HeldOutDrives


def run_drive(job: DriveJob) -> dict[tuple[str, Setting], dict[str, np.ndarray]]:
    """The raw scores of one drive, as arrays."""
    pipelines = {model.name: _loaded(model) for model in job.models}
    first = next(iter(pipelines.values()))
    samples = job.test_set.samples(job.seed, first.prepare_image)
    scores = evaluate_settings(pipelines, job.settings, samples, job.seed * 1000)
    return {key: score.to_arrays() for key, score in scores.items()}


@lru_cache(maxsize=16)
def _loaded(model: ModelSource) -> Pipeline:
    return Pipeline.load(model.folder, model.backend, threads=1)


def load_models(models: Iterable[ModelSource]) -> dict[str, ModelInfo]:
    """What the models are.

    Raises:
        ConfigError: on a name given twice, or models that take images of different sizes.
    """
    infos: dict[str, ModelInfo] = {}
    for model in models:
        if model.name in infos:
            raise ConfigError('models', 'distinct names', model.name, 'give it as NAME=FOLDER')
        infos[model.name] = _loaded(model).model
    sizes = {(i.config.camera.height, i.config.camera.width) for i in infos.values()}
    if len(sizes) != 1:
        raise ConfigError(
            'models',
            'one image size',
            str(sorted(sizes)),
            'evaluate them one by one, then `metabev compare`',
        )
    return infos


class PartialResults:
    """Finished drives on disk: a run that was killed goes on after the last one.

    A file belongs to one model (by the hash of its weights), test set and drive, and holds any
    settings; nothing in it is code.
    """

    def __init__(self, folder: Path, test_set: HeldOutDrives) -> None:
        self._folder, self._test_set = folder, test_set

    def _path(self, info: ModelInfo, seed: int) -> Path:
        plain = {
            **to_plain(self._test_set),
            'format': PARTIAL_FORMAT,
            'model': info.hash,
            'backend': info.backend,
            'drives': None,
        }
        key = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
        return self._folder / key / f'{seed}.npz'

    def finished(self, info: ModelInfo, seed: int) -> set[str]:
        """Ids of the settings that a drive's file holds."""
        try:
            with np.load(self._path(info, seed), allow_pickle=False) as file:
                return {name.partition('/')[0] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return set()

    def read(self, info: ModelInfo, seed: int) -> dict[str, dict[str, np.ndarray]]:
        """Setting id -> arrays; empty when nothing is there or the file is damaged."""
        found: dict[str, dict[str, np.ndarray]] = {}
        try:
            with np.load(self._path(info, seed), allow_pickle=False) as file:
                for name in file.files:
                    setting, _, array = name.partition('/')
                    found.setdefault(setting, {})[array] = file[name]
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return {}
        return found

    def write(self, info: ModelInfo, seed: int, new: dict[str, dict[str, np.ndarray]]) -> None:
        """Add settings to a drive's file; atomic."""
        path = self._path(info, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        merged = {**self.read(info, seed), **new}
        part = path.with_name(f'.{path.name}.{os.getpid()}.part')
        with open(part, 'wb') as file:
            np.savez_compressed(
                file,
                **{
                    f'{setting}/{name}': array
                    for setting, arrays in merged.items()
                    for name, array in arrays.items()
                },
            )
        os.replace(part, path)


def evaluate_robustness(
    models: tuple[ModelSource, ...],
    settings: tuple[Setting, ...],
    test_set: HeldOutDrives,
    partial: Path,
    spread: Spread,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[dict[str, ModelInfo], Scores]:
    """All models under all settings on a test set.

    Args:
        partial: folder for finished drives.
        spread: where jobs run; equal results wherever.
        progress: called with (finished drives, all drives, text).

    Raises:
        ConfigError, ContractError, BackendError, MissingDependencyError.
    """
    infos = load_models(models)
    store = PartialResults(partial, test_set)
    jobs = [
        job
        for seed in test_set.seeds
        for job in [_missing(seed, models, settings, test_set, store, infos)]
        if job
    ]
    done = len(test_set.seeds) - len(jobs)
    if progress is not None:
        progress(done, len(test_set.seeds), 'drives')
    for job, arrays in spread(run_drive, jobs):
        for model in job.models:
            store.write(
                infos[model.name],
                job.seed,
                {setting.id: arrays[model.name, setting] for setting in job.settings},
            )
        done += 1
        if progress is not None:
            progress(done, len(test_set.seeds), f'seed {job.seed}')
    return infos, _merged(models, settings, test_set, store, infos)


def _missing(
    seed: int, models, settings, test_set: HeldOutDrives, store: PartialResults, infos
) -> DriveJob | None:
    """What of a drive is still to do: models and settings of which anything is missing."""
    todo = {}
    for model in models:
        finished = store.finished(infos[model.name], seed)
        todo[model] = [s for s in settings if s.id not in finished]
    left = {s for missing in todo.values() for s in missing}
    if not left:
        return None
    return DriveJob(
        seed,
        tuple(m for m in models if todo[m]),
        tuple(s for s in settings if s in left),
        test_set,
    )


def _merged(models, settings, test_set: HeldOutDrives, store: PartialResults, infos) -> Scores:
    scores: Scores = {(m.name, s): Score() for m in models for s in settings}
    for seed in test_set.seeds:
        for model in models:
            found = store.read(infos[model.name], seed)
            for setting in settings:
                scores[model.name, setting].merge(Score.from_arrays(found[setting.id]))
    return scores


def with_backend(source: ModelSource) -> ModelSource:
    """'auto' becomes onnxruntime where there is a contract, else torch."""
    if source.backend != 'auto':
        return source
    exported = (source.folder / 'contract.json').exists()
    return dataclasses.replace(source, backend='onnxruntime' if exported else 'torch')
