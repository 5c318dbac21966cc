"""How good the live outputs were, against the truth of the drive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.lab.evaluation import DetectionEvaluator, DetectionResult, MapEvaluator, MapResult
from metabev_ros.structures import DETECTION_CLASSES, GroundTruth, Modality

STAMP_SLACK_NS = 5_000_000  # the sensors of the drive are stamped with the frame's own stamp


@dataclass(frozen=True)
class Quality:
    """Scores of the outputs made from one set of sensors.

    Attributes:
        title: which outputs.
        class_names: detection classes that have truth in these outputs; the mean is over them.
        samples: outputs with a truth of the same stamp.
    """

    title: str
    modality: Modality
    samples: int
    class_names: tuple[str, ...]
    mean_ap: float
    mean_iou: float
    detection: DetectionResult
    map: MapResult

    def to_plain(self) -> dict:
        """For JSON."""
        return {
            'title': self.title,
            'samples': self.samples,
            'classes': list(self.class_names),
            'mean_ap': self.mean_ap,
            'mean_iou': self.mean_iou,
            'class_ap': {name: self.detection.class_ap[name] for name in self.class_names},
            'class_iou': self.map.class_iou,
        }


def truth_of(
    evidence: Evidence, truths: dict[int, GroundTruth], stamp_ns: int
) -> GroundTruth | None:
    """The truth of an output's stamp; None where the drive has no frame."""
    wanted = evidence.truth_stamp(stamp_ns)
    nearest = min(truths, key=lambda stamp: abs(stamp - wanted))
    return truths[nearest] if abs(nearest - wanted) <= STAMP_SLACK_NS else None


def score_outputs(
    evidence: Evidence, truths: dict[int, GroundTruth], everything: frozenset[str]
) -> list[Quality]:
    """Scores per kind of output: all sensors, part of the cameras, LiDAR only, cameras only."""
    groups: dict[tuple[Modality, bool], list[int]] = {}
    for output in evidence.outputs:
        part = output.modality is Modality.FUSED and output.sensors != everything
        groups.setdefault((output.modality, part), []).append(output.stamp_ns)
    titles = {
        (Modality.FUSED, False): 'all sensors',
        (Modality.FUSED, True): 'LiDAR and part of the cameras',
        (Modality.LIDAR, False): 'LiDAR only',
        (Modality.CAMERA, False): 'cameras only',
    }
    return [
        _score(evidence, truths, title, key[0], groups[key])
        for key, title in titles.items()
        if key in groups
    ]


def _score(
    evidence: Evidence,
    truths: dict[int, GroundTruth],
    title: str,
    modality: Modality,
    stamps: list[int],
) -> Quality:
    detection, maps, samples = DetectionEvaluator(), MapEvaluator(), 0
    for stamp in stamps:
        truth, frame = truth_of(evidence, truths, stamp), evidence.frame(stamp)
        if truth is None or frame is None or frame.map_probabilities is None:
            continue
        samples += 1
        detection.add(frame.detections, truth)
        maps.add(frame.map_probabilities, truth.map_layers)
    found, layers = detection.result(), maps.result()
    names = tuple(
        name for name, count in zip(DETECTION_CLASSES, found.truth_count, strict=True) if count
    )
    mean_ap = float(np.mean([found.class_ap[name] for name in names])) if names else 0.0
    seen = layers.truth_cells > 0
    mean_iou = float(layers.iou.max(axis=1)[seen].mean()) if seen.any() else 0.0
    return Quality(title, modality, samples, names, mean_ap, mean_iou, found, layers)
