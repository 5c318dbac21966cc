"""Measures the errors of true boxes per branch and class: what covariances are made of.

A box is true that matches at 2 m; so no error of position is larger, and what a covariance says
holds for boxes that are right at all. Their scores say how often they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metabev_ros.class_errors import ClassErrors
from metabev_ros.lab.evaluation.matching import turns
from metabev_ros.lab.evaluation.score_fitting import DriveCases
from metabev_ros.measured_errors import BRANCHES, MeasuredErrors
from metabev_ros.score_calibration import BranchScores, ScoreCalibration
from metabev_ros.structures import DETECTION_CLASSES, Modality

MIN_BOXES = 30  # of a class in a branch; a figure of fewer says little
LEAST = 1e-3  # metres, radians, metres a second: no error is nothing


def measure_errors(
    cases: Mapping[str, Sequence[DriveCases]],
    calibration: ScoreCalibration,
    threshold: float,
    weights_sha256: str,
    measured_on: str,
) -> MeasuredErrors:
    """The errors of the boxes that a model would publish.

    Args:
        cases: state -> drives; those named like a branch are taken.
        calibration: of the scores, and `threshold` the least of them.
        measured_on: the samples, in words.
    """
    branches: dict[Modality, dict[str, ClassErrors]] = {}
    for modality in BRANCHES:
        drives = cases.get(modality.name.lower(), ())
        scores = BranchScores(calibration.branches.get(modality))
        found = {
            name: _class_errors(drives, label, name, scores, threshold)
            for label, name in enumerate(DETECTION_CLASSES)
        }
        known = {name: errors for name, errors in found.items() if errors is not None}
        if known:
            branches[modality] = known
    return MeasuredErrors(weights_sha256, measured_on, branches)


def _class_errors(
    drives: Sequence[DriveCases], label: int, name: str, scores: BranchScores, threshold: float
) -> ClassErrors | None:
    """Root mean squares; None for too few boxes."""
    pairs = [drive.pairs(label) for drive in drives]
    if not pairs:
        return None
    raw, found, truth = (np.concatenate([pair[part] for pair in pairs]) for part in range(3))
    kept = scores.scores(raw.astype(np.float32), np.full(len(raw), label)) >= threshold
    found, truth = found[kept], truth[kept]
    if len(found) < MIN_BOXES:
        return None
    apart = found - truth
    moving = apart[~np.isnan(apart[:, 7:9]).any(axis=1), 7:9]
    return ClassErrors(
        len(found),
        position=_root_mean_square(apart[:, :2]),
        height=_root_mean_square(apart[:, 2]),
        yaw=_root_mean_square(turns(found, truth, name)),
        velocity=_root_mean_square(moving) if len(moving) >= MIN_BOXES else None,
    )


def _root_mean_square(values: np.ndarray) -> float:
    return max(float(np.sqrt(np.mean(np.square(values)))), LEAST)
