"""Errors of true boxes against the noise that was put into them."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.evaluation.box_errors import MIN_BOXES, measure_errors
from metabev_ros.lab.evaluation.score_fitting import DriveCases
from metabev_ros.score_calibration import BranchCalibration, ScoreCalibration, ScoreLine
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES, Detections, Modality

WEIGHTS = '1' * 64
CAR, BARRIER = DETECTION_CLASSES.index('car'), DETECTION_CLASSES.index('barrier')
NOISE = {'position': 0.3, 'height': 0.2, 'yaw': 0.1, 'velocity': 0.8}


def unchanged() -> ScoreCalibration:
    """Lines that leave scores as they are."""
    lines = BranchCalibration(
        (ScoreLine(),) * len(DETECTION_CLASSES), (ScoreLine(),) * len(MAP_CLASSES)
    )
    return ScoreCalibration(
        WEIGHTS, 'made', DETECTION_CLASSES, MAP_CLASSES, {Modality.LIDAR: lines}
    )


def noisy_drive(seed: int, label: int = CAR, turned: float = 0.0) -> DriveCases:
    """Boxes 5 m apart, found with this noise; every second one has no known velocity."""
    rng, drive = np.random.default_rng(seed), DriveCases()
    for _ in range(10):
        true = np.zeros((64, 9), np.float32)
        true[:, 0], true[:, 1] = np.arange(64) % 8 * 3.5 - 14, np.arange(64) // 8 * 3.5 - 14
        true[:, 3:6] = 1.0
        found = true.copy()
        found[:, :2] += rng.normal(0, NOISE['position'], (64, 2))
        found[:, 2] += rng.normal(0, NOISE['height'], 64)
        found[:, 6] += rng.normal(turned, NOISE['yaw'], 64)
        found[:, 7:9] += rng.normal(0, NOISE['velocity'], (64, 2))
        true[::2, 7:9] = np.nan
        count = len(true)
        truth = GroundTruth(
            true,
            np.full(count, label),
            np.ones(count, int),
            np.ones(count, np.float32),
            np.arange(count),
            np.zeros((6, 4, 4), bool),
        )
        scores = np.where(np.arange(count) < 48, 0.6, 0.02).astype(np.float32)
        wild = found.copy()
        wild[:, :2] += 1.2  # boxes that a threshold drops shall not count
        found[48:] = wild[48:]
        drive.add(
            Detections(found, scores, np.full(count, label)),
            np.zeros((6, 4, 4), np.float32),
            truth,
        )
    return drive


def test_the_noise_of_the_boxes_that_are_published_is_found_again() -> None:
    cases = {'lidar': [noisy_drive(1), noisy_drive(2)], 'lidar_120': [noisy_drive(3)]}
    measured = measure_errors(cases, unchanged(), 0.05, WEIGHTS, 'made')
    assert set(measured.branches) == {Modality.LIDAR}
    (name,), (errors,) = zip(*measured.branches[Modality.LIDAR].items(), strict=True)
    assert name == 'car' and errors.boxes == 2 * 10 * 48
    for part, noise in NOISE.items():
        assert getattr(errors, part) == pytest.approx(noise, rel=0.1)


def test_a_barrier_that_is_turned_by_half_a_turn_is_not_wrong() -> None:
    measured = measure_errors(
        {'lidar': [noisy_drive(1, BARRIER, np.pi)]}, unchanged(), 0.05, WEIGHTS, 'made'
    )
    assert measured.branches[Modality.LIDAR]['barrier'].yaw == pytest.approx(0.1, rel=0.1)


def test_nothing_is_said_of_a_class_with_few_boxes_or_of_velocities_that_nobody_knew() -> None:
    drive = DriveCases()
    for count in (MIN_BOXES - 1, 1):
        boxes = np.zeros((count, 9), np.float32)
        boxes[:, 0], boxes[:, 3:6] = np.arange(count) * 1.5 - 20, 1.0
        true = boxes.copy()
        true[:, 7:9] = np.nan
        labels = np.full(count, CAR)
        truth = GroundTruth(
            true,
            labels,
            np.ones(count, int),
            np.ones(count, np.float32),
            np.arange(count),
            np.zeros((6, 4, 4), bool),
        )
        assert measure_errors({'lidar': [drive]}, unchanged(), 0.05, WEIGHTS, '').branches == {}
        found = Detections(boxes, np.full(count, 0.9, np.float32), labels)
        drive.add(found, np.zeros((6, 4, 4), np.float32), truth)
    measured = measure_errors({'lidar': [drive]}, unchanged(), 0.05, WEIGHTS, '')
    errors = measured.branches[Modality.LIDAR]['car']
    assert (errors.boxes, errors.velocity) == (MIN_BOXES, None)
