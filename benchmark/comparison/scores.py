"""Scores of all trained models: exported, evaluated drive by drive, drawn.

Every step leaves files, and what is there is not made again: models by the hash of their weights,
partial results by model and drive, draws by model, drives and settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from benchmark.comparison.norms import settled
from benchmark.comparison.plan import Scoring
from benchmark.comparison.trainings import Training
from metabev_ros.config import to_plain
from metabev_ros.files import replacing, sha256_of
from metabev_ros.lab.datasets.corruptions import Setting
from metabev_ros.lab.evaluation.bootstrap import resampled_figures
from metabev_ros.lab.evaluation.held_out import HeldOutDrives
from metabev_ros.lab.evaluation.labelled_drives import LabelledDrives
from metabev_ros.lab.evaluation.record_drives import drives_for
from metabev_ros.lab.evaluation.robustness import ModelSource, finish_drives, stored_scores
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.lab.export.to_onnx import export_model
from metabev_ros.lab.spreading import Spread
from metabev_ros.structures import ModelInfo

AT_ONCE = 12  # settings of a job: a kill loses one drive under so many
ENCODERS = ('camera_encoder.', 'lidar_encoder.')
FIGURES = ('nds', 'map', 'miou')
Progress = Callable[[int, int, str], None]


def drives_of(
    records: Sequence[str], drives: HeldOutDrives, settings: tuple[Setting, ...]
) -> tuple[LabelledDrives, tuple[Setting, ...], dict[str, str]]:
    """The test set, the settings that it can show, and why not the others."""
    if not records:
        return drives, settings, {}
    return drives_for([Path(folder) for folder in records], settings)


def model_of(training: Training, out: Path, cache: Path, scoring: Scoring) -> ModelSource:
    """A trained model on its backend; exported if that is not done yet."""
    folder = run = settled(training, cache)
    weights = run / 'weights.safetensors'
    if scoring.backend == 'onnxruntime':
        folder = out / 'models' / training.name
        exported = folder / 'weights.safetensors'
        whole = exported.exists() and (folder / 'contract.json').exists()
        if not whole or sha256_of(exported) != sha256_of(weights):
            folder.mkdir(parents=True, exist_ok=True)
            export_model(folder, run, lambda line: None, seed=0)
    return ModelSource(training.name, folder, scoring.backend, encoders_of(training))


def encoders_of(training: Training) -> str:
    """Hash of everything that the encoders' outputs depend on, but for the inputs."""
    model = to_plain(training.run.model)
    found = hashlib.sha256(
        json.dumps({name: model[name] for name in ('bev_grid', 'camera', 'lidar')}).encode()
    )
    weights = load_file(training.folder / 'weights.safetensors')
    for name in sorted(name for name in weights if name.startswith(ENCODERS)):
        found.update(name.encode() + weights[name].tobytes())
    return found.hexdigest()


def evaluate(
    models: tuple[ModelSource, ...],
    settings: tuple[Setting, ...],
    test_set: LabelledDrives,
    partial: Path,
    workers: int,
    progress: Progress,
) -> dict[str, ModelInfo]:
    """Finish every drive under every setting, some settings at once."""
    infos: dict[str, ModelInfo] = {}
    for first in range(0, len(settings), AT_ONCE):
        some = settings[first : first + AT_ONCE]

        def told(done: int, total: int, text: str, some: tuple[Setting, ...] = some) -> None:
            progress(done, total, f'{some[0].id} ... {some[-1].id}: {text}')

        infos = finish_drives(models, some, test_set, partial, Spread(workers), told)
    return infos


@dataclass(frozen=True)
class DrawJob:
    """One model whose figures are drawn; plain data."""

    model: ModelSource
    info: ModelInfo
    settings: tuple[Setting, ...]
    test_set: LabelledDrives
    partial: Path
    resamples: int
    out: Path

    @property
    def path(self) -> Path:
        """File of the draws; its name holds all that they depend on but the metrics."""
        plain = {
            'hash': self.info.hash,
            'backend': self.info.backend,
            'drives': [[d.name, dict(d.identity)] for d in self.test_set.all_drives],
            'settings': [setting.id for setting in self.settings],
            'resamples': self.resamples,
        }
        key = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
        return self.out / f'{self.model.name}.{key}.npz'


def draw(job: DrawJob) -> None:
    """Write the figures of one model, on the drives themselves and on every draw."""
    if job.path.exists():
        return
    arrays: dict[str, np.ndarray] = {}
    for setting in job.settings:
        infos = {job.model.name: job.info}
        scores = stored_scores([job.model], [setting], job.test_set, job.partial, infos)
        drives = scores[job.model.name, setting]
        figures = Score.merged(drives).result().figures
        draws = resampled_figures(drives, job.resamples)
        for figure in FIGURES:
            arrays[f'{setting.id}/{figure}'] = np.array([figures[figure], *draws[figure]])
        arrays[f'{setting.id}/samples'] = np.array(Score.merged(drives).detection.counts().samples)
    job.out.mkdir(parents=True, exist_ok=True)
    with replacing(job.path) as part, open(part, 'wb') as file:
        # No array is named `allow_pickle`: every name holds a slash.
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]


def drawn(jobs: Sequence[DrawJob], workers: int, progress: Progress) -> dict[str, Path]:
    """Model -> file of its draws, each made where it is missing."""
    missing = [job for job in jobs if not job.path.exists()]
    for done, (job, _) in enumerate(Spread(workers)(draw, missing), 1):
        progress(done, len(missing), f'draws of {job.model.name}')
    return {job.model.name: job.path for job in jobs}


def samples_of(path: Path, setting: Setting) -> int:
    """Number of samples behind the figures of a setting."""
    with np.load(path, allow_pickle=False) as file:
        return int(file[f'{setting.id}/samples'])
