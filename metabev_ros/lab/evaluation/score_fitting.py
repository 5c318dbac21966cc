"""Fits the lines of a score calibration, and measures them on drives they were not fitted to.

Of Platt's line and an isotonic map of 6 or 10 knots the line gave the lower error on other drives
in every branch, for boxes and map, and alone kept the map's IoU; a beta calibration was its equal
with one number more (docs/evaluation.md). A class with few boxes leans on the line of all classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.evaluation.calibration import Reliability
from metabev_ros.lab.evaluation.detection import MAX_BOXES, TP_DISTANCE_M, DetectionEvaluator
from metabev_ros.postprocess import Postprocessor
from metabev_ros.score_calibration import (
    MAX_BIAS,
    MAX_LOGIT,
    MAX_SCALE,
    MIN_SCALE,
    BranchCalibration,
    BranchScores,
    ScoreCalibration,
    ScoreLine,
    logit,
    sigmoid,
)
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES, Detections, Modality

FITTED_SCORE = 0.01  # raw scores from here on: calibration may lift them above the threshold
LOGIT_BINS = 512  # of the map's cells, over +-MAX_LOGIT
# Weight, as if of so many cases at the middle of the line, of the line that a class leans on.
CLASS_PULL, POOLED_PULL = 10.0, 1.0
STEPS, LONGEST_STEP = 200, 1.0
LARGEST = 500.0  # of a logit in the exponential of float64
CHANCE_DRAWS = 20


def every_score(config: ModelConfig) -> Postprocessor:
    """A postprocessor of raw scores that drops next to nothing."""
    head = dataclasses.replace(config.head, score_threshold=FITTED_SCORE, max_detections=MAX_BOXES)
    return Postprocessor(dataclasses.replace(config, head=head))


class DriveCases:
    """Raw scores of one branch on one drive, and whether they are right.

    Attributes:
        cells: (L, LOGIT_BINS, 2) int64 known map cells by logit, false and true ones.
    """

    def __init__(self) -> None:
        self._boxes = DetectionEvaluator()
        self.cells = np.zeros((len(MAP_CLASSES), LOGIT_BINS, 2), np.int64)

    def add(self, detections: Detections, probabilities: np.ndarray, truth: GroundTruth) -> None:
        """Add one sample: what `every_score` gave, and the truth."""
        self._boxes.add(detections, truth)
        bins = ((logit(probabilities) + MAX_LOGIT) * (LOGIT_BINS / (2 * MAX_LOGIT))).astype(int)
        bins = np.clip(bins, 0, LOGIT_BINS - 1)
        for layer, right in enumerate(truth.map_layers):
            known = np.ones(right.shape, bool)
            if truth.map_known is not None:
                known = truth.map_known[layer]
            for value, cells in enumerate((known & ~right, known & right)):
                counted = np.bincount(bins[layer][cells], minlength=LOGIT_BINS)
                self.cells[layer, :, value] += counted

    def boxes(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """(N,) raw scores of a class and (N,) whether each box matches at 2 m."""
        matches = self._boxes.matches(label, TP_DISTANCE_M)
        return matches.scores, matches.hits

    def pairs(self, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(P,) raw scores, (P, 9) boxes and (P, 9) true boxes of a class, matched at 2 m."""
        return self._boxes.pairs(label, TP_DISTANCE_M)


def bin_logits() -> np.ndarray:
    """(LOGIT_BINS,) the logit in the middle of every bin."""
    return (np.arange(LOGIT_BINS) + 0.5) * (2 * MAX_LOGIT / LOGIT_BINS) - MAX_LOGIT


def fit_line(
    logits: np.ndarray, right: np.ndarray, times: np.ndarray, towards: ScoreLine, pull: float
) -> ScoreLine:
    """The most likely line (Newton's method), pulled towards another one.

    Args:
        logits: (N,) raw.
        right: (N,) bool or 0..1.
        times: (N,) how often each case is there.
        pull: weight of the squared distance to `towards`; above 0, so that there is one optimum.
    """
    x, y, n = (np.asarray(values, np.float64) for values in (logits, right, times))
    start = np.array([towards.scale, towards.bias])
    line = start.copy()
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(line[0] * x + line[1], -LARGEST, LARGEST)))
        off, weight = n * (p - y), n * p * (1 - p)
        slope = np.array([(off * x).sum(), off.sum()]) + pull * (line - start)
        cross = (weight * x).sum()
        curve = np.array([[(weight * x * x).sum() + pull, cross], [cross, weight.sum() + pull]])
        step = np.clip(np.linalg.solve(curve, slope), -LONGEST_STEP, LONGEST_STEP)
        line -= step
        if np.abs(step).max() < 1e-9:
            break
    return ScoreLine(
        float(np.clip(line[0], MIN_SCALE, MAX_SCALE)),
        float(np.clip(line[1], -MAX_BIAS, MAX_BIAS)),
    )


def fit_branch(drives: Sequence[DriveCases]) -> BranchCalibration:
    """The lines of a branch; those of a class without boxes are those of all classes."""
    cases = [[drive.boxes(label) for drive in drives] for label in range(len(DETECTION_CLASSES))]
    classes = [
        (np.concatenate([s for s, _ in parts]), np.concatenate([h for _, h in parts]))
        for parts in cases
    ]
    scores, hits = (np.concatenate([c[i] for c in classes]) for i in (0, 1))
    pooled = fit_line(logit(scores), hits, np.ones(len(scores)), ScoreLine(), POOLED_PULL)
    detection = tuple(
        fit_line(logit(scores), hits, np.ones(len(scores)), pooled, CLASS_PULL)
        for scores, hits in classes
    )
    cells = sum((drive.cells for drive in drives), np.zeros_like(drives[0].cells))
    x, right = np.tile(bin_logits(), 2), np.repeat([0.0, 1.0], LOGIT_BINS)
    layers = tuple(
        fit_line(x, right, layer.T.reshape(-1), ScoreLine(), CLASS_PULL) for layer in cells
    )
    return BranchCalibration(detection, layers)


@dataclass(frozen=True)
class Errors:
    """Expected calibration errors of one state, means over classes; NaN without any case.

    Attributes:
        detection, map: of boxes above the threshold, and of map cells.
        pooled: of the boxes of all classes together.
        chance: what boxes that are right exactly as often as their scores say would still show
            with so few cases; mean over classes.
        boxes: behind the figures.
    """

    detection: float
    map: float
    pooled: float
    chance: float
    boxes: int


class ErrorCount:
    """Counts scores after a calibration, drive by drive."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._boxes, self._cells = Reliability(DETECTION_CLASSES), Reliability(MAP_CLASSES)
        self._all = Reliability(('all',))
        self._chance = [Reliability(DETECTION_CLASSES) for _ in range(CHANCE_DRAWS)]
        self._rng = np.random.default_rng(0)

    def add(self, drive: DriveCases, branch: BranchScores) -> None:
        """Add one drive as a calibration has it."""
        for label in range(len(DETECTION_CLASSES)):
            raw, hits = drive.boxes(label)
            scores = branch.scores(raw, np.full(len(raw), label))
            kept = scores >= self._threshold
            scores, hits = scores[kept], hits[kept]
            self._boxes.add(label, scores, hits)
            self._all.add(0, scores, hits)
            for chance in self._chance:
                chance.add(label, scores, self._rng.random(len(scores)) < scores)
        logits = np.broadcast_to(bin_logits().astype(np.float32)[:, None], (LOGIT_BINS, 1))
        planes = np.stack([logits] * len(MAP_CLASSES))
        for layer, plane in enumerate(sigmoid(branch.map_logits(planes))):
            for right in (0, 1):
                times = drive.cells[layer, :, right]
                self._cells.add(layer, plane[:, 0], np.full(LOGIT_BINS, bool(right)), times)

    def errors(self) -> Errors:
        """Errors of everything counted so far."""
        return Errors(
            self._boxes.result().mean_ece,
            self._cells.result().mean_ece,
            self._all.result().mean_ece,
            float(np.mean([chance.result().mean_ece for chance in self._chance])),
            int(self._boxes.result().counts.sum()),
        )


@dataclass(frozen=True)
class StateErrors:
    """Errors of a state before and after calibration, on drives that it was not fitted to."""

    before: Errors
    after: Errors


def cross_fitted_errors(
    cases: Mapping[str, Sequence[DriveCases]], branch_of: Mapping[str, Modality], threshold: float
) -> dict[str, StateErrors]:
    """Errors of every state, each half of the drives calibrated by lines of the other half.

    Args:
        cases: state -> drives. The states that are named like a branch ('fused') are fitted to;
            the others are measured with the lines of their branch.
        branch_of: state -> branch.

    Raises:
        ConfigError: for less than two drives.
    """
    drives = {len(parts) for parts in cases.values()}
    if min(drives) < 2:
        raise ConfigError('metabev calibrate', 'at least two drives', str(min(drives)))
    found: dict[str, StateErrors] = {}
    for state, parts in cases.items():
        whole = cases[branch_of[state].name.lower()]
        before, after = ErrorCount(threshold), ErrorCount(threshold)
        for half in (0, 1):
            lines = BranchScores(fit_branch(whole[1 - half :: 2]))
            for drive in parts[half::2]:
                before.add(drive, BranchScores(None))
                after.add(drive, lines)
        found[state] = StateErrors(before.errors(), after.errors())
    return found


def fit_calibration(
    cases: Mapping[str, Sequence[DriveCases]], weights_sha256: str, fitted_on: str
) -> ScoreCalibration:
    """The lines of all branches ('fused', 'camera', 'lidar') that there are cases of."""
    return ScoreCalibration(
        weights_sha256,
        fitted_on,
        DETECTION_CLASSES,
        MAP_CLASSES,
        {
            modality: fit_branch(cases[modality.name.lower()])
            for modality in (Modality.FUSED, Modality.CAMERA, Modality.LIDAR)
            if modality.name.lower() in cases
        },
    )
