"""Scoring a pipeline on labelled samples, once per modality."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from metabev_ros.errors import BackendError
from metabev_ros.lab.datasets.samples import LabelledSample, restrict_to
from metabev_ros.lab.evaluation.calibration import ScoreErrorCount, ScoreErrors
from metabev_ros.lab.evaluation.detection import DetectionEvaluator, DetectionResult
from metabev_ros.lab.evaluation.held_out import HeldOutDrives
from metabev_ros.lab.evaluation.map_segmentation import MapEvaluator, MapResult
from metabev_ros.pipeline import Pipeline
from metabev_ros.score_calibration import ScoreCalibration, branch_scores
from metabev_ros.structures import Detections, Modality, PerceptionResult, Sample

MODALITIES = (Modality.FUSED, Modality.LIDAR, Modality.CAMERA)
BY_SPEED = (
    'no attribute is annotated, AAE is the share of wrong moving / standing states (0.2 m/s)'
)


@dataclass(frozen=True)
class ModalityResult:
    """Scores of one modality.

    Attributes:
        latency_ms: median time of one pipeline call, all stages together.
        left_out: samples that lack its sensors.
        ece: calibration errors of its scores; None: not measured.
    """

    modality: Modality
    detection: DetectionResult
    map: MapResult
    latency_ms: float
    left_out: int = 0
    ece: ScoreErrors | None = None


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one set of samples.

    Attributes:
        model, model_hash, backend: of the pipeline.
        source: where the samples come from, in words.
        samples: how many.
        notes: what a reader of the figures has to know of the data, one sentence each.
        own: figures of the data set's own metrics: their name -> modality -> figure -> value.
        calibrated_on: samples that the scores were calibrated on, in words; '': they are not.
    """

    model: str
    model_hash: str
    backend: str
    source: str
    samples: int
    modalities: dict[Modality, ModalityResult]
    notes: tuple[str, ...] = (BY_SPEED,)
    own: dict[str, dict[Modality, dict[str, float]]] = field(default_factory=dict)
    calibrated_on: str = ''

    def to_plain(self) -> dict:
        """For JSON."""
        return {
            'model': self.model,
            'model_hash': self.model_hash,
            'backend': self.backend,
            'source': self.source,
            'samples': self.samples,
            'calibrated_on': self.calibrated_on,
            'notes': list(self.notes),
            'own': {
                name: {modality.name: figures for modality, figures in results.items()}
                for name, results in self.own.items()
            },
            'modalities': {
                modality.name: {
                    'detection': result.detection.to_plain(),
                    'map': result.map.to_plain(),
                    'latency_ms': result.latency_ms,
                    'left_out': result.left_out,
                    'ece': None if result.ece is None else result.ece.to_plain(),
                }
                for modality, result in self.modalities.items()
            },
        }


def evaluate_model(
    pipeline: Callable[[Sample], PerceptionResult],
    samples: Iterable[LabelledSample],
    modalities: tuple[Modality, ...] = MODALITIES,
    progress: Callable[[str], None] | None = None,
    calibration: ScoreCalibration | None = None,
) -> dict[Modality, ModalityResult]:
    """Run every sample once per modality, with only that modality's sensors in it.

    A sample that lacks the sensors of a modality is left out there, and counted.

    Args:
        progress: called with the sample's source after each sample.
        calibration: that the pipeline's scores went through.

    Raises:
        BackendError: if a result is labelled with another modality than was given.
    """
    scores = ModalityScores(pipeline, modalities, calibration)
    for labelled in samples:
        scores.run(labelled)
        if progress is not None:
            progress(labelled.source)
    return scores.results()


class ModalityScores:
    """Scores of every modality over samples that come one by one.

    Args:
        pipeline: from a sample to what it perceives.
        modalities: to run each sample under.
        calibration: that the pipeline's scores went through.
    """

    def __init__(
        self,
        pipeline: Callable[[Sample], PerceptionResult],
        modalities: tuple[Modality, ...],
        calibration: ScoreCalibration | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._detection = {modality: DetectionEvaluator() for modality in modalities}
        self._maps = {modality: MapEvaluator() for modality in modalities}
        branches = branch_scores(calibration)
        self._errors = {modality: ScoreErrorCount(branches[modality]) for modality in modalities}
        self._seconds: dict[Modality, list[float]] = {modality: [] for modality in modalities}
        self._left_out = dict.fromkeys(modalities, 0)

    def run(self, labelled: LabelledSample) -> dict[Modality, Detections]:
        """Run a sample under every modality whose sensors it has.

        Returns:
            what was found, by modality.

        Raises:
            BackendError: if a result is labelled with another modality than was given.
        """
        found: dict[Modality, Detections] = {}
        truth = labelled.truth
        for modality in self._detection:
            if modality & labelled.sample.modality != modality:
                self._left_out[modality] += 1
                continue
            result = self._pipeline(restrict_to(labelled.sample, modality))
            if result.sample.modality is not modality:
                raise BackendError(
                    'evaluate_model', f'a result of {modality.name}', result.sample.modality.name
                )
            self._detection[modality].add(result.detections, truth)
            layers = (result.map_probabilities, truth.map_layers, truth.map_known)
            self._maps[modality].add(*layers)
            self._errors[modality].add_map(*layers)
            self._seconds[modality].append(sum(result.latency_s.values()))
            found[modality] = result.detections
        return found

    def results(self) -> dict[Modality, ModalityResult]:
        """Scores of the modalities that some sample has, or of all without any sample."""
        some = any(self._seconds.values())
        return {
            modality: ModalityResult(
                modality,
                self._detection[modality].result(),
                self._maps[modality].result(),
                float(np.median(seconds) * 1e3) if seconds else float('nan'),
                self._left_out[modality],
                self._errors[modality].errors(self._detection[modality]),
            )
            for modality, seconds in self._seconds.items()
            if seconds or not some
        }


def evaluate_on_drives(
    pipeline: Pipeline,
    test_set: HeldOutDrives,
    progress: Callable[[str, int], None] | None = None,
) -> Evaluation:
    """Score a model on held-out drives.

    Args:
        progress: called with (sample's source, number of samples in all) after each sample.
    """
    total = test_set.drives * test_set.per_drive
    samples = (s for drive in test_set.all_drives for s in test_set.samples(drive, pipeline))
    report = None if progress is None else lambda source: progress(source, total)
    results = evaluate_model(
        pipeline, samples, progress=report, calibration=pipeline.backend.score_calibration
    )
    return Evaluation(
        pipeline.model.name,
        pipeline.model.hash,
        pipeline.model.backend,
        test_set.words,
        total,
        results,
        calibrated_on=pipeline.model.calibrated_on,
    )
