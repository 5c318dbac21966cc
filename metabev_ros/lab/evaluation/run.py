"""Scoring a pipeline on labelled samples, once per modality."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.errors import BackendError
from metabev_ros.lab.datasets.samples import LabelledSample, SyntheticSamples, restrict_to
from metabev_ros.lab.datasets.synthetic import DriveConfig
from metabev_ros.lab.evaluation.detection import DetectionEvaluator, DetectionResult
from metabev_ros.lab.evaluation.map_segmentation import MapEvaluator, MapResult
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality, PerceptionResult, Sample

MODALITIES = (Modality.FUSED, Modality.LIDAR, Modality.CAMERA)
SWEEP_RATE_HZ = 20  # of the drives of a model that takes several sweeps
HELD_OUT_FIRST_SEED = 900_000  # training takes its worlds from seed 100 000 on


@dataclass(frozen=True)
class ModalityResult:
    """Scores of one modality.

    Attributes:
        latency_ms: median time of one pipeline call, all stages together.
    """

    modality: Modality
    detection: DetectionResult
    map: MapResult
    latency_ms: float


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one set of samples.

    Attributes:
        model, model_hash, backend: of the pipeline.
        source: where the samples come from, in words.
        samples: how many.
    """

    model: str
    model_hash: str
    backend: str
    source: str
    samples: int
    modalities: dict[Modality, ModalityResult]

    def to_plain(self) -> dict:
        """For JSON."""
        return {
            'model': self.model,
            'model_hash': self.model_hash,
            'backend': self.backend,
            'source': self.source,
            'samples': self.samples,
            'modalities': {
                modality.name: {
                    'detection': result.detection.to_plain(),
                    'map': result.map.to_plain(),
                    'latency_ms': result.latency_ms,
                }
                for modality, result in self.modalities.items()
            },
        }


def held_out_samples(
    pipeline: Pipeline, drives: int = 40, per_drive: int = 3, first_seed: int = HELD_OUT_FIRST_SEED
) -> SyntheticSamples:
    """Synthetic samples that no training saw: a few instants, seconds apart, of many worlds."""
    sweeps = pipeline.config.lidar.sweeps
    rate_hz, stride = (0.5, 1) if sweeps == 1 else (SWEEP_RATE_HZ, 2 * SWEEP_RATE_HZ)
    config = DriveConfig(frames=sweeps + (per_drive - 1) * stride, rate_hz=rate_hz)
    seeds = tuple(range(first_seed, first_seed + drives))
    return SyntheticSamples(
        seeds,
        per_drive,
        config,
        pipeline.prepare_image,
        stride=stride,
        first=sweeps - 1,
        sweeps=sweeps,
    )


def evaluate_model(
    pipeline: Callable[[Sample], PerceptionResult],
    samples: Iterable[LabelledSample],
    modalities: tuple[Modality, ...] = MODALITIES,
    progress: Callable[[str], None] | None = None,
) -> dict[Modality, ModalityResult]:
    """Run every sample once per modality, with only that modality's sensors in it.

    Args:
        progress: called with the sample's source after each sample.

    Raises:
        BackendError: if a result is labelled with another modality than was given.
    """
    detection = {modality: DetectionEvaluator() for modality in modalities}
    maps = {modality: MapEvaluator() for modality in modalities}
    seconds: dict[Modality, list[float]] = {modality: [] for modality in modalities}
    for labelled in samples:
        for modality in modalities:
            result = pipeline(restrict_to(labelled.sample, modality))
            if result.sample.modality is not modality:
                raise BackendError(
                    'evaluate_model', f'a result of {modality.name}', result.sample.modality.name
                )
            detection[modality].add(result.detections, labelled.truth)
            maps[modality].add(
                result.map_probabilities, labelled.truth.map_layers, labelled.truth.map_known
            )
            seconds[modality].append(sum(result.latency_s.values()))
        if progress is not None:
            progress(labelled.source)
    return {
        modality: ModalityResult(
            modality,
            detection[modality].result(),
            maps[modality].result(),
            float(np.median(seconds[modality]) * 1e3) if seconds[modality] else float('nan'),
        )
        for modality in modalities
    }


def evaluate_on_synthetic(
    model_dir: Path | str,
    backend: str = 'onnxruntime',
    threads: int = 2,
    drives: int = 40,
    per_drive: int = 3,
    first_seed: int = HELD_OUT_FIRST_SEED,
    progress: Callable[[str, int], None] | None = None,
) -> Evaluation:
    """Load a model and score it on held-out synthetic drives.

    Args:
        progress: called with (sample's source, number of samples in all) after each sample.
    """
    pipeline = Pipeline.load(model_dir, backend, threads)
    samples = held_out_samples(pipeline, drives, per_drive, first_seed)
    report = None if progress is None else lambda source: progress(source, len(samples))
    results = evaluate_model(pipeline, samples, progress=report)
    source = (
        f'synthetic drives, seeds {first_seed}..{first_seed + drives - 1}, {per_drive} frames each'
    )
    return Evaluation(
        pipeline.model.name,
        pipeline.model.hash,
        pipeline.model.backend,
        source,
        len(samples),
        results,
    )
