"""nuScenes detection metrics: unit facts, stored answers of the devkit, and the devkit itself."""

import dataclasses
import json
import os
import subprocess

import numpy as np
import pytest
from support import nuscenes_devkit_cases as cases

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import NUSCENES_MAP_GRID
from metabev_ros.lab.datasets.ground_truth import ANY_LABEL, ATTRIBUTES, GroundTruth
from metabev_ros.lab.evaluation.detection import (
    CLASS_RANGE_M,
    MAX_BOXES,
    TP_ERRORS,
    DetectionEvaluator,
)
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES, Detections

TOLERANCE = 1e-9


def detections_of(part: dict) -> Detections:
    return Detections(part['boxes'], part['scores'], np.asarray(part['labels'], np.int64))


def truth_of(part: dict) -> GroundTruth:
    count = len(part['boxes'])
    return GroundTruth(
        part['boxes'],
        np.asarray(part['labels'], np.int64),
        np.asarray(part['points'], np.int64),
        np.ones(count, np.float32),
        np.arange(count),
        np.zeros((len(MAP_CLASSES), 4, 4), bool),
    )


def score(samples):
    evaluator = DetectionEvaluator()
    for found, truth in samples:
        evaluator.add(detections_of(found), truth_of(truth))
    return evaluator.result()


def one_of_each_class():
    """One box of every class within 25 m, each with points, moving at 1 m/s."""
    count = len(DETECTION_CLASSES)
    boxes = np.zeros((count, 9), np.float32)
    boxes[:, 0] = np.linspace(3, 25, count)
    boxes[:, 3:6] = (4, 2, 1.5)
    boxes[:, 7] = 1.0
    return {'boxes': boxes, 'labels': np.arange(count), 'points': np.full(count, 5)}


def as_found(truth: dict) -> dict:
    return {
        'boxes': truth['boxes'].copy(),
        'labels': truth['labels'].copy(),
        'scores': np.linspace(1, 0.5, len(truth['boxes'])).astype(np.float32),
    }


def assert_equals_devkit(result, answer):
    expected = [[np.nan if value is None else value for value in row] for row in answer['errors']]
    np.testing.assert_allclose(result.ap, answer['ap'], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(result.errors, expected, rtol=0, atol=TOLERANCE)
    assert result.mean_ap == pytest.approx(answer['mean_ap'], abs=TOLERANCE)
    assert result.nds == pytest.approx(answer['nds'], abs=TOLERANCE)
    np.testing.assert_allclose(
        [result.mean_errors[name] for name in TP_ERRORS],
        answer['mean_errors'],
        rtol=0,
        atol=TOLERANCE,
    )


@pytest.mark.parametrize('name', cases.CASES)
def test_every_score_equals_what_the_nuscenes_devkit_stored(name):
    answer = json.loads(cases.GOLDEN.read_text())[name]
    samples = cases.make_case(name)
    assert cases.digest(samples) == answer['inputs'], 'other inputs: renew the stored answers'
    assert_equals_devkit(score(samples), answer)


@pytest.fixture(scope='module')
def devkit_answers(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp('devkit') / 'answers.json'
    command = [os.environ['METABEV_DEVKIT_PYTHON'], cases.__file__, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-3000:]
    return json.loads(path.read_text())


@pytest.mark.devkit
@pytest.mark.parametrize('name', cases.CASES)
def test_every_score_equals_what_the_nuscenes_devkit_says(name, devkit_answers):
    samples = cases.make_case(name)
    assert cases.digest(samples) == devkit_answers[name]['inputs']
    assert_equals_devkit(score(samples), devkit_answers[name])


def test_the_stored_cases_are_not_trivial():
    answers = json.loads(cases.GOLDEN.read_text())
    assert 0.1 < answers['random']['mean_ap'] < 0.9
    assert len({round(answer['nds'], 6) for answer in answers.values()}) >= len(answers) - 1


def test_perfect_predictions_have_nds_one():
    truth = one_of_each_class()
    result = score([(as_found(truth), truth)])
    assert result.nds == pytest.approx(1.0)
    assert result.mean_ap == pytest.approx(1.0)
    assert set(result.mean_errors.values()) == {0.0}


def test_no_predictions_have_map_zero_all_errors_one_and_nds_zero():
    truth = one_of_each_class()
    nothing = {key: value[:0] for key, value in as_found(truth).items()}
    result = score([(nothing, truth)])
    assert (result.mean_ap, result.nds) == (0.0, 0.0)
    assert set(result.mean_errors.values()) == {1.0}


def test_an_evaluator_without_samples_scores_zero():
    assert DetectionEvaluator().result().nds == 0.0


def test_a_box_displaced_by_three_metres_counts_only_at_the_largest_distance():
    truth = one_of_each_class()
    found = as_found(truth)
    found['boxes'][:, 1] += 3.0
    result = score([(found, truth)])
    np.testing.assert_allclose(result.ap, np.tile([0, 0, 0, 1.0], (10, 1)))


def test_a_match_needs_a_distance_strictly_below_the_threshold():
    truth = one_of_each_class()
    found = as_found(truth)
    found['boxes'][:, 1] += 2.0
    np.testing.assert_allclose(score([(found, truth)]).ap[:, 2], 0.0)
    found['boxes'][:, 1] -= 0.001
    np.testing.assert_allclose(score([(found, truth)]).ap[:, 2], 1.0)


def test_truth_without_lidar_points_is_not_asked_for():
    truth = one_of_each_class()
    truth['points'][0] = 0
    found = as_found(truth)
    result = score([(found, truth)])
    assert result.truth_count.tolist() == [0] + [1] * 9
    assert result.ap[0].tolist() == [0.0] * 4


@pytest.mark.parametrize('name', DETECTION_CLASSES)
def test_boxes_at_or_beyond_the_class_range_are_left_out(name):
    reach = CLASS_RANGE_M[name]
    boxes = np.zeros((2, 9), np.float32)
    boxes[:, 0] = (reach, np.nextafter(np.float32(reach), np.float32(0)))
    boxes[:, 3:6] = 1.0
    label = DETECTION_CLASSES.index(name)
    truth = {'boxes': boxes, 'labels': np.full(2, label), 'points': np.ones(2)}
    result = score([(as_found(truth), truth)])
    assert result.truth_count[label] == result.detection_count[label] == 1


def test_boxes_of_another_sample_do_not_match():
    truth = one_of_each_class()
    nothing = {key: value[:0] for key, value in truth.items()}
    found = as_found(truth)
    empty = {key: value[:0] for key, value in found.items()}
    result = score([(found, nothing), (empty, truth)])
    assert result.mean_ap == 0.0


def test_a_wrong_moving_state_is_an_attribute_error_except_for_classes_without_attribute():
    truth = one_of_each_class()
    found = as_found(truth)
    found['boxes'][:, 7] = 0.1
    errors = score([(found, truth)]).errors[:, TP_ERRORS.index('AAE')]
    for name, error in zip(DETECTION_CLASSES, errors, strict=True):
        assert np.isnan(error) if name in ('barrier', 'traffic_cone') else error == 1.0


def test_a_barrier_may_be_turned_by_half_a_turn_and_a_car_may_not():
    truth = one_of_each_class()
    found = as_found(truth)
    found['boxes'][:, 6] += np.float32(np.pi)
    errors = score([(found, truth)]).errors[:, TP_ERRORS.index('AOE')]
    assert errors[DETECTION_CLASSES.index('barrier')] == pytest.approx(0, abs=1e-6)
    assert errors[DETECTION_CLASSES.index('car')] == pytest.approx(np.pi, abs=1e-6)


def test_more_boxes_than_the_limit_are_refused():
    boxes = np.ones((MAX_BOXES + 1, 9), np.float32)
    found = {
        'boxes': boxes,
        'labels': np.zeros(len(boxes), int),
        'scores': np.ones(len(boxes), np.float32),
    }
    with pytest.raises(ConfigError, match='at most 500'):
        DetectionEvaluator().add(detections_of(found), truth_of(one_of_each_class()))


@pytest.mark.parametrize(('column', 'value'), [(0, np.nan), (3, 0.0), (4, -1.0)])
def test_boxes_that_are_not_valid_are_refused(column, value):
    truth = one_of_each_class()
    found = as_found(truth)
    found['boxes'][2, column] = value
    with pytest.raises(ConfigError, match='positive size'):
        DetectionEvaluator().add(detections_of(found), truth_of(truth))


def test_the_plain_form_survives_json():
    samples = cases.make_case('random')
    plain = score(samples).to_plain()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain['classes']['barrier']['errors']['AVE'] is None


def scored(found: dict, truth: dict, **known):
    """The result of one sample whose truth knows more, or less."""
    evaluator = DetectionEvaluator()
    evaluator.add(detections_of(found), dataclasses.replace(truth_of(truth), **known))
    return evaluator.result()


@pytest.mark.parametrize(
    ('label', 'left_out'), [(ANY_LABEL, (1, 2)), (1, (1,)), (2, (2,)), (3, ())]
)
def test_what_lies_in_an_ignored_box_is_neither_asked_for_nor_wrong(label, left_out):
    truth = one_of_each_class()
    truth['boxes'][2, :3] = truth['boxes'][1, :3]
    found = as_found(truth)
    found['boxes'][1:3, 0] += 0.4  # still inside
    ignored = np.concatenate([truth['boxes'][1:2, :6], [[0.3]]], axis=1).astype(np.float32)
    result = scored(found, truth, ignored=ignored, ignored_labels=np.array([label]))
    expected = [0 if k in left_out else 1 for k in range(10)]
    assert result.truth_count.tolist() == result.detection_count.tolist() == expected


def test_where_nobody_labelled_objects_nothing_is_asked_for():
    truth = one_of_each_class()
    truth['boxes'][:, 1] = np.linspace(-10, 10, 10)
    known = np.zeros(NUSCENES_MAP_GRID.shape, bool)
    known[NUSCENES_MAP_GRID.rows // 2 :] = True  # the left side
    result = scored(as_found(truth), truth, objects_known=known)
    assert result.truth_count.tolist() == result.detection_count.tolist() == [0] * 5 + [1] * 5
    assert result.ap[5:].min() > 0.99


def test_annotated_attributes_are_compared_with_those_that_follow_from_the_speed():
    truth = one_of_each_class()  # all move
    attributes = np.full(10, ATTRIBUTES.index('vehicle.moving'))
    attributes[1] = ATTRIBUTES.index('vehicle.parked')
    attributes[2] = -1
    result = scored(as_found(truth), truth, attributes=attributes)
    errors = result.errors[:, TP_ERRORS.index('AAE')]
    assert errors[:2].tolist() == [0.0, 1.0]
    assert errors[2] == 1.0, 'the devkit says 1 where no truth of a class has an attribute'
    assert errors[8] == 1.0, 'a pedestrian is no vehicle'
    assert result.nds < score([(as_found(truth), truth)]).nds


def test_an_object_without_attribute_or_velocity_does_not_count_beside_one_that_has_them():
    truth = one_of_each_class()
    truth['labels'][:] = 0
    attributes = np.full(10, ATTRIBUTES.index('vehicle.moving'))
    whole = scored(as_found(truth), truth, attributes=attributes)
    attributes[3:6] = -1
    truth['boxes'][6:9, 7:9] = np.nan
    found = as_found(truth)
    found['boxes'][3:9, 7:9] = 0.0
    found['boxes'][3:6, 7] = 1.0
    attributes[6:9] = ATTRIBUTES.index('vehicle.parked')
    assert (
        whole.errors[0].tolist() == scored(found, truth, attributes=attributes).errors[0].tolist()
    )


def test_without_any_velocity_there_is_no_velocity_error_and_no_nds():
    truth = one_of_each_class()
    truth['boxes'][:, 7:9] = np.nan
    result = score([(as_found(one_of_each_class()), truth)])
    assert np.isnan(result.nds) and np.isnan([result.mean_errors[n] for n in ('AVE', 'AAE')]).all()
    assert result.mean_ap == pytest.approx(1.0)
    plain = result.to_plain()
    assert plain['nds'] is None and plain['mean_errors']['AVE'] is None
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_stored_truth_without_attributes_is_read_as_it_was_scored():
    evaluator = DetectionEvaluator()
    for found, truth in cases.make_case('velocity_nan'):
        evaluator.add(detections_of(found), truth_of(truth))
    arrays = evaluator.to_arrays()
    del arrays['truth_attributes']
    again = DetectionEvaluator.from_arrays(arrays).result()
    assert again.to_plain() == evaluator.result().to_plain()
