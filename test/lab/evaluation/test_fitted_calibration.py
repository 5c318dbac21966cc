"""Calibration error against a slow count; evaluators merged and stored equal one that saw all."""

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.evaluation.calibration import (
    BINS,
    Reliability,
    add_map,
    detection_calibration,
    map_reliability,
)
from metabev_ros.lab.evaluation.detection import DetectionEvaluator
from metabev_ros.lab.evaluation.score import FIGURES, Score
from metabev_ros.structures import MAP_CLASSES, Detections


def slow_ece(scores, right) -> float:
    """Guo et al. 2017, equation 3, one case after the other."""
    bins = {}
    for score, hit in zip(scores, right, strict=True):
        bins.setdefault(min(int(score * 15), 14), []).append((score, hit))
    return sum(
        len(cases)
        / len(scores)
        * abs(np.mean([h for _, h in cases]) - np.mean([s for s, _ in cases]))
        for cases in bins.values()
    )


def test_the_error_equals_a_slow_count():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.uniform(size=500), [0.0, 1.0, 1 / 15, 14 / 15]])
    right = rng.random(len(scores)) < scores**2
    reliability = Reliability(('a', 'b'))
    for part in np.array_split(np.arange(len(scores)), 7):
        reliability.add(1, scores[part], right[part])
    result = reliability.result()
    assert result.class_ece['b'] == pytest.approx(slow_ece(scores, right), abs=1e-12)
    assert np.isnan(result.class_ece['a']) and result.mean_ece == result.class_ece['b']
    assert result.counts[1].sum() == len(scores) and result.counts.shape == (2, BINS)


def test_scores_that_are_right_as_often_as_they_say_have_no_error():
    reliability = Reliability(('a',))
    reliability.add(0, np.full(100, 0.3), np.arange(100) < 30)
    assert reliability.result().mean_ece == pytest.approx(0)
    sure = Reliability(('a',))
    sure.add(0, np.ones(50), np.arange(50) < 10)
    assert sure.result().mean_ece == pytest.approx(0.8)
    with pytest.raises(ConfigError):
        sure.add(0, np.array([1.1]), np.array([True]))


def test_map_classes_are_counted_apart():
    layers = np.zeros((6, 10, 10), bool)
    layers[0] = True
    reliability = map_reliability()
    add_map(reliability, np.full((6, 10, 10), 0.25, np.float32), layers)
    ece = reliability.result().class_ece
    assert ece[MAP_CLASSES[0]] == pytest.approx(0.75)
    assert ece[MAP_CLASSES[1]] == pytest.approx(0.25)


def test_map_cells_whose_truth_is_not_known_are_no_cases():
    layers, known = np.zeros((6, 10, 10), bool), np.ones((6, 10, 10), bool)
    layers[0, :5] = True
    known[0, 5:], known[1] = False, False
    reliability = map_reliability()
    add_map(reliability, np.full((6, 10, 10), 0.25, np.float32), layers, known)
    result = reliability.result()
    assert result.class_ece[MAP_CLASSES[0]] == pytest.approx(0.75)
    assert np.isnan(result.class_ece[MAP_CLASSES[1]])
    assert result.counts.sum(axis=1).tolist() == [50, 0, 100, 100, 100, 100]


def random_sample(rng, count: int = 25):
    boxes = np.zeros((count, 9), np.float32)
    boxes[:, :2] = rng.uniform(-30, 30, (count, 2))
    boxes[:, 3:6] = rng.uniform(1, 4, (count, 3))
    labels = rng.integers(0, 10, count)
    truth = GroundTruth(
        boxes,
        labels,
        rng.integers(0, 4, count),
        np.ones(count, np.float32),
        np.arange(count),
        rng.random((6, 20, 20)) < 0.3,
    )
    moved = boxes.copy()
    moved[:, :2] += rng.normal(0, 1.2, (count, 2))
    found = Detections(moved, np.round(rng.random(count), 1).astype(np.float32), labels)
    return found, rng.random((6, 20, 20)).astype(np.float32), truth


def test_a_detection_is_right_when_it_matches_at_two_metres():
    rng = np.random.default_rng(3)
    found, _, truth = random_sample(rng, 1)
    shifted = found.boxes.copy()
    for shift, accuracy in ((1.9, 1.0), (2.1, 0.0)):
        shifted[0, :2] = truth.boxes[0, :2] + [shift, 0]
        seen = GroundTruth(
            truth.boxes,
            truth.labels,
            np.ones(1),
            truth.visibility,
            truth.track_ids,
            truth.map_layers,
        )
        evaluator = DetectionEvaluator()
        evaluator.add(Detections(shifted, np.float32([0.8]), found.labels), seen)
        result = detection_calibration(evaluator)
        assert np.nanmean(result.accuracy) == accuracy
        assert result.mean_ece == pytest.approx(abs(accuracy - 0.8), abs=1e-6)


def test_parts_that_were_stored_and_merged_equal_the_whole(tmp_path):
    rng = np.random.default_rng(1)
    samples = [random_sample(rng, count) for count in (25, 0, 40, 3, 0)]
    whole = Score()
    for sample in samples:
        whole.add(*sample)
    merged = Score()
    for number, part in enumerate((samples[:2], samples[2:2], samples[2:])):
        score = Score()
        for sample in part:
            score.add(*sample)
        np.savez(tmp_path / f'{number}.npz', **score.to_arrays())
        with np.load(tmp_path / f'{number}.npz', allow_pickle=False) as file:
            merged.merge(Score.from_arrays(file))
    first, second = whole.result(), merged.result()
    assert first.figures == second.figures and set(first.figures) == set(FIGURES)
    assert first.to_plain() == second.to_plain()
    assert second.detection.samples == second.map.samples == 5
