"""Intervals over drives: exact on the drives themselves, paired, and of the right width."""

import numpy as np
import pytest

from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.evaluation.bootstrap import difference, drawn_drives, resampled_figures
from metabev_ros.lab.evaluation.drawn_detection import DrawnDetections
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.structures import MAP_CLASSES, Detections

CELLS = (len(MAP_CLASSES), 8, 8)


def drive(seed: int, offset: float) -> Score:
    """Three samples of cars that are found `offset` metres beside where they are."""
    rng, score = np.random.default_rng(seed), Score()
    for _ in range(3):
        boxes = np.zeros((4, 9), np.float32)
        boxes[:, :2], boxes[:, 3:6] = rng.uniform(-30, 30, (4, 2)), (4.5, 1.9, 1.6)
        labels, layers = np.zeros(4, np.int64), rng.random(CELLS) < 0.5
        truth = GroundTruth(
            boxes, labels, np.ones(4, np.int64), np.ones(4, np.float32), np.arange(4), layers
        )
        found = boxes.copy()
        found[:, 0] += offset
        noise = rng.random(CELLS) < 0.2
        score.add(
            Detections(found, rng.random(4).astype(np.float32), labels),
            (layers ^ noise).astype(np.float32),
            truth,
        )
    return score


def test_drawing_every_drive_once_gives_the_score_itself(monkeypatch):
    drives = [drive(seed, 0.3 * seed) for seed in range(4)]
    monkeypatch.setattr(
        'metabev_ros.lab.evaluation.bootstrap.drawn_drives', lambda n, r: np.arange(n)[None]
    )
    whole = Score.merged(drives).result().figures
    figures = resampled_figures(drives, 1)
    assert figures['nds'] == [pytest.approx(whole['nds'], abs=1e-12)]
    assert figures['miou'] == [pytest.approx(whole['miou'], abs=1e-12)]


def test_a_drive_drawn_twice_counts_twice(monkeypatch):
    drives = [drive(seed, 0.3 * seed) for seed in range(3)]
    monkeypatch.setattr(
        'metabev_ros.lab.evaluation.bootstrap.drawn_drives',
        lambda n, r: np.array([[0, 2, 2]]),
    )
    again = Score.merged([drives[0], drives[2], drive(2, 0.6)]).result().figures
    figures = resampled_figures(drives, 1)
    assert figures['nds'] == [pytest.approx(again['nds'], abs=1e-12)]
    assert figures['miou'] == [pytest.approx(again['miou'], abs=1e-12)]


def test_a_draw_scores_like_the_set_that_it_stands_for():
    """Random draws of random drives, missing ones and repeated ones among them: every part."""
    rng = np.random.default_rng(5)
    for trial in range(6):
        drives = [crowd(10 * trial + i) for i in range(4)]
        detections = DrawnDetections([one.detection for one in drives])
        for draw in rng.integers(0, 4, (4, 4)):
            found = detections.result(np.bincount(draw, minlength=4))
            whole = Score.merged([drives[i] for i in draw]).detection.result()
            np.testing.assert_allclose(found.precision, whole.precision, atol=1e-12)
            np.testing.assert_allclose(found.ap, whole.ap, atol=1e-12)
            np.testing.assert_allclose(found.errors, whole.errors, atol=1e-12)
            assert found.nds == pytest.approx(whole.nds, abs=1e-12)


def crowd(seed: int) -> Score:
    """Three samples of all classes, with false detections and missed objects."""
    rng, score = np.random.default_rng(seed), Score()
    for _ in range(3):
        truths, count = int(rng.integers(0, 12)), int(rng.integers(0, 40))
        boxes = np.zeros((truths, 9), np.float32)
        boxes[:, :2], boxes[:, 3:6] = rng.uniform(-20, 20, (truths, 2)), (4.5, 1.9, 1.6)
        boxes[:, 7] = rng.uniform(0, 3, truths)
        labels, layers = rng.integers(0, 3, truths), rng.random(CELLS) < 0.5
        ones = np.ones(truths, np.int64)
        truth = GroundTruth(boxes, labels, ones, ones.astype(np.float32), np.cumsum(ones), layers)
        found = np.zeros((count, 9), np.float32)
        found[:, :2], found[:, 3:6] = rng.uniform(-20, 20, (count, 2)), (4, 2, 1.5)
        hits = min(truths, count)
        found[:hits, :2] = boxes[:hits, :2] + rng.normal(0, 1, (hits, 2))
        found_labels = np.concatenate([labels[:hits], rng.integers(0, 3, count - hits)])
        scores = rng.random(count).astype(np.float32)
        score.add(Detections(found, scores, found_labels), layers.astype(np.float32), truth)
    return score


def test_all_models_and_settings_see_the_same_draws():
    assert np.array_equal(drawn_drives(20), drawn_drives(20))
    assert drawn_drives(20).shape == (1000, 20)


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says():
    """Against a known truth: means of drives whose true difference is 0.5."""
    rng, draws, held = np.random.default_rng(1), drawn_drives(20), 0
    for _ in range(400):
        world = rng.normal(0, 5, 20)
        first, second = world + rng.normal(0.5, 1, 20), world + rng.normal(0, 1, 20)
        found = difference(
            first.mean() - second.mean(), first[draws].mean(1), second[draws].mean(1)
        )
        held += found.low <= 0.5 <= found.high
    assert 0.88 <= held / 400 <= 0.97  # percentile intervals of 20 drives are a little narrow


def test_a_difference_inside_its_interval_is_none():
    draws = np.random.default_rng(0).normal(0.004, 0.004, 1000)
    assert difference(0.004, draws, np.zeros(1000)).sign == 0
    assert difference(0.02, draws + 0.02, np.zeros(1000)).sign == 1
    assert difference(-0.02, draws - 0.03, np.zeros(1000)).sign == -1
