"""Map IoU against a plain loop in float64, and the facts that can be said in advance."""

import json

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.evaluation.map_segmentation import THRESHOLDS, MapEvaluator
from metabev_ros.structures import MAP_CLASSES

SHAPE = (len(MAP_CLASSES), 20, 24)


def random_samples(count=5, seed=4):
    rng = np.random.default_rng(seed)
    for index in range(count):
        truth = rng.random(SHAPE) < rng.uniform(0.02, 0.5, (SHAPE[0], 1, 1))
        noise = rng.normal(0, 0.25, SHAPE)
        probabilities = np.clip(0.35 + 0.25 * truth + noise, 0, 1).astype(np.float32)
        probabilities.reshape(-1)[::7] = np.float32(THRESHOLDS[index])  # exactly on a threshold
        yield probabilities, truth


def loop_iou(samples):
    """Counts cell by cell."""
    counts = np.zeros((SHAPE[0], len(THRESHOLDS), 3))
    for probabilities, truth in samples:
        for k in range(SHAPE[0]):
            for p, t in zip(probabilities[k].ravel(), truth[k].ravel(), strict=True):
                for i, threshold in enumerate(THRESHOLDS):
                    said = bool(p >= np.float32(threshold))
                    if said and t:
                        counts[k, i, 0] += 1
                    elif said:
                        counts[k, i, 1] += 1
                    elif t:
                        counts[k, i, 2] += 1
    return counts[..., 0] / (counts.sum(axis=2) + 1e-7)


def evaluate(samples):
    evaluator = MapEvaluator()
    for probabilities, truth in samples:
        evaluator.add(probabilities, truth)
    return evaluator.result()


def test_iou_equals_a_plain_loop_over_all_cells():
    samples = list(random_samples())
    result = evaluate(samples)
    expected = loop_iou(samples)
    np.testing.assert_allclose(result.iou, expected, rtol=0, atol=1e-12)
    assert result.mean_iou == pytest.approx(expected.max(axis=1).mean(), abs=1e-12)
    assert result.mean_iou_at_half == pytest.approx(expected[:, 3].mean(), abs=1e-12)
    assert result.mean_iou > result.mean_iou_at_half


def test_counts_are_summed_over_samples_before_the_ratio():
    truth = np.zeros((2, *SHAPE), bool)
    truth[0, :, :, :20] = True  # 400 cells, all found
    truth[1, :, 0, :10] = True  # 10 cells, none found
    result = MapEvaluator()
    result.add(truth[0].astype(np.float32), truth[0])
    result.add(np.zeros(SHAPE, np.float32), truth[1])
    assert result.result().mean_iou == pytest.approx(400 / 410)  # the mean of ratios were 0.5


def test_the_best_threshold_may_differ_between_classes():
    truth = np.ones(SHAPE, bool)
    truth[:, :, 12:] = False
    probabilities = np.where(truth, 0.42, 0.1).astype(np.float32)
    probabilities[1] = np.where(truth[1], 0.9, 0.62)
    result = evaluate([(probabilities, truth)])
    assert result.mean_iou == pytest.approx(1.0)
    assert result.class_iou_at_half['drivable_area'] == 0.0
    assert result.class_iou_at_half['ped_crossing'] == pytest.approx(0.5)


def test_a_class_without_any_cell_scores_zero_not_nan():
    result = evaluate([(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool))])
    assert result.mean_iou == 0.0


def test_perfect_maps_of_any_dtype_score_one():
    truth = next(random_samples())[1]
    for dtype in (bool, np.uint8, np.float16, np.float64):
        assert evaluate([(truth.astype(dtype), truth)]).mean_iou == pytest.approx(1.0)


@pytest.mark.parametrize('bad', [np.full(SHAPE, 1.5), np.full(SHAPE, np.nan), np.zeros((6, 2, 2))])
def test_values_that_are_no_probabilities_or_have_another_shape_are_refused(bad):
    with pytest.raises(ConfigError, match='MapEvaluator'):
        MapEvaluator().add(bad, np.zeros(SHAPE, bool))


def test_the_plain_form_survives_json():
    plain = evaluate(random_samples()).to_plain()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_cells_whose_truth_is_not_known_do_not_count():
    known = np.zeros(SHAPE, bool)
    known[:, 3:, :9] = True
    masked, cut = MapEvaluator(), MapEvaluator()
    for probabilities, truth in random_samples():
        masked.add(probabilities, truth, known)
        cut.add(probabilities[:, 3:, :9], truth[:, 3:, :9])
    np.testing.assert_array_equal(masked.result().iou, cut.result().iou)
    assert masked.result().truth_cells.tolist() == cut.result().truth_cells.tolist()


def test_a_layer_that_is_nowhere_known_has_no_iou_and_no_part_in_the_mean():
    known = np.ones(SHAPE, bool)
    known[[1, 4]] = False
    evaluator = MapEvaluator()
    for probabilities, truth in random_samples():
        evaluator.add(probabilities, truth, known)
    again = MapEvaluator.from_arrays(evaluator.to_arrays())
    for result in (evaluator.result(), again.result()):
        whole = evaluate(random_samples())
        assert result.unknown == (MAP_CLASSES[1], MAP_CLASSES[4])
        np.testing.assert_array_equal(result.iou[[0, 2, 3, 5]], whole.iou[[0, 2, 3, 5]])
        assert result.mean_iou == pytest.approx(whole.iou[[0, 2, 3, 5]].max(axis=1).mean())
        plain = result.to_plain()
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_a_layer_that_some_samples_know_is_scored_on_those():
    samples = list(random_samples(2))
    nothing = np.zeros(SHAPE, bool)
    evaluator = MapEvaluator()
    evaluator.add(*samples[0], nothing)
    assert np.isnan(evaluator.result().mean_iou)
    evaluator.add(*samples[1])
    np.testing.assert_array_equal(evaluator.result().iou, evaluate(samples[1:]).iou)


def test_stored_counts_without_what_is_known_are_read_as_known_everywhere():
    evaluator = MapEvaluator()
    for sample in random_samples():
        evaluator.add(*sample)
    arrays = evaluator.to_arrays()
    del arrays['known']
    assert MapEvaluator.from_arrays(arrays).result().to_plain() == evaluator.result().to_plain()
