"""nuScenes result files: their form, and what the devkit's own evaluator says of them."""

import dataclasses
import json
import os

import numpy as np
import pytest
from support import submission_cases as cases
from support.made_records import made_record

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import quaternion_to_rotation, rigid_transform, rotation_z
from metabev_ros.lab.evaluation.detection import MAX_BOXES, TP_ERRORS, DetectionEvaluator
from metabev_ros.lab.evaluation.submission import SubmissionFile, submitted_boxes
from metabev_ros.structures import DETECTION_CLASSES, Detections, Modality

DEVKIT = os.environ.get('METABEV_DEVKIT_PYTHON')
TOLERANCE = 1e-9


def found(labels, speed=1.0, count=None) -> Detections:
    count = len(labels) if count is None else count
    boxes = np.zeros((count, 9), np.float32)
    boxes[:, 0] = np.arange(count)
    boxes[:, 3:9] = [4.0, 2.0, 1.5, 0.25, speed, 0.0]
    return Detections(boxes, np.linspace(0.1, 0.9, count).astype(np.float32), np.array(labels))


def assert_equal_to(answer: dict, case: cases.Case) -> None:
    evaluator = DetectionEvaluator()
    for record, detections in case:
        evaluator.add(detections, record.truth)
    result = evaluator.result()
    errors = [[np.nan if value is None else value for value in row] for row in answer['errors']]
    np.testing.assert_allclose(result.ap, answer['ap'], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(result.errors, errors, rtol=0, atol=TOLERANCE)
    assert [result.truth_count.sum(), result.detection_count.sum()] == answer['boxes']
    assert result.mean_ap == pytest.approx(answer['mean_ap'], abs=TOLERANCE)
    assert result.nds == pytest.approx(answer['nds'], abs=TOLERANCE)
    np.testing.assert_allclose(
        [result.mean_errors[name] for name in TP_ERRORS],
        answer['mean_errors'],
        rtol=0,
        atol=TOLERANCE,
    )


def test_nds_and_all_errors_equal_what_the_devkit_stored_for_the_result_file():
    answer, case = json.loads(cases.GOLDEN.read_text()), cases.make_case()
    assert cases.digest(case) == answer['inputs'], 'other inputs: renew the stored answers'
    assert_equal_to(answer, case)


def test_the_stored_case_holds_what_is_hard():
    answer, case = json.loads(cases.GOLDEN.read_text()), cases.make_case()
    assert 0.1 < answer['mean_ap'] < 0.9 and 0.2 < answer['nds'] < 0.9
    boxes = np.concatenate([record.boxes for record, _ in case])
    attributes = np.concatenate([record.attributes for record, _ in case])
    assert 0.1 < np.isnan(boxes[:, 7]).mean() < 0.5
    assert len(set(attributes.tolist())) == 9
    racks = [~r.truth.is_asked(r.boxes[:, :3], r.labels) for r, _ in case]
    assert np.concatenate(racks).sum() > 3


@pytest.mark.devkit
def test_nds_and_all_errors_equal_the_devkits_evaluation_of_the_result_file(tmp_path):
    case = cases.make_case()
    assert_equal_to(cases.answer(DEVKIT, case, tmp_path), case)


@pytest.mark.devkit
def test_a_vehicle_that_is_tilted_moves_nds_by_less_than_a_thousandth(tmp_path):
    """The devkit measures distances in the plane of the map, we in that of the vehicle."""
    pitch = np.deg2rad(1.5)
    tilt = np.eye(4)
    tilt[:3, :3] = [
        [np.cos(pitch), 0, np.sin(pitch)],
        [0, 1, 0],
        [-np.sin(pitch), 0, np.cos(pitch)],
    ]
    case = [
        (dataclasses.replace(record, world_from_ego=record.world_from_ego @ tilt), detections)
        for record, detections in cases.make_case()
    ]
    evaluator = DetectionEvaluator()
    for record, detections in case:
        evaluator.add(detections, record.truth)
    answer = cases.answer(DEVKIT, case, tmp_path)
    assert 0 < abs(evaluator.result().nds - answer['nds']) < 1e-3


def test_a_box_is_written_in_the_world_frame_with_width_before_length():
    world_from_ego = rigid_transform(rotation_z(np.pi / 2), [100.0, 200.0, 3.0])
    (box,) = submitted_boxes('t', world_from_ego, found([0], count=1))
    assert box['sample_token'] == 't' and box['detection_name'] == 'car'
    np.testing.assert_allclose(box['translation'], [100.0, 200.0, 3.0])
    np.testing.assert_allclose(box['size'], [2.0, 4.0, 1.5])
    w, x, y, z = box['rotation']
    np.testing.assert_allclose(
        quaternion_to_rotation(x, y, z, w), rotation_z(np.pi / 2 + 0.25), atol=1e-12
    )
    np.testing.assert_allclose(box['velocity'], [0.0, 1.0], atol=1e-12)
    assert box['detection_score'] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ('name', 'fast', 'slow'),
    [
        ('car', 'vehicle.moving', 'vehicle.parked'),
        ('bus', 'vehicle.moving', 'vehicle.stopped'),
        ('bicycle', 'cycle.with_rider', 'cycle.without_rider'),
        ('pedestrian', 'pedestrian.moving', 'pedestrian.standing'),
        ('barrier', '', ''),
        ('traffic_cone', '', ''),
    ],
)
def test_the_attribute_follows_from_class_and_speed(name, fast, slow):
    label = DETECTION_CLASSES.index(name)
    for speed, attribute in ((0.21, fast), (0.19, slow)):
        (box,) = submitted_boxes('t', np.eye(4), found([label], speed))
        assert box['attribute_name'] == attribute


def test_the_best_boxes_are_kept_where_there_are_too_many():
    boxes = submitted_boxes('t', np.eye(4), found(np.zeros(MAX_BOXES + 40, int)))
    scores = [box['detection_score'] for box in boxes]
    assert len(boxes) == MAX_BOXES and scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(0.9)


@pytest.mark.parametrize('modality', [Modality.FUSED, Modality.LIDAR, Modality.CAMERA])
def test_the_file_says_which_sensors_were_used(tmp_path, modality):
    path = tmp_path / 'new' / 'result.json'
    with SubmissionFile(path, modality, is_external=True) as submission:
        submission.add('a', np.eye(4), found([0, 1]))
        submission.add('b', np.eye(4), found([]))
    content = json.loads(path.read_text())
    assert content['meta'] == {
        'use_camera': modality.has_camera,
        'use_lidar': modality.has_lidar,
        'use_radar': False,
        'use_map': False,
        'use_external': True,
    }
    assert [len(content['results'][token]) for token in ('a', 'b')] == [2, 0]
    assert os.listdir(path.parent) == ['result.json']


def test_a_failure_leaves_no_file_and_keeps_an_old_one(tmp_path):
    path = tmp_path / 'result.json'
    path.write_text('old')
    lost = dataclasses.replace(made_record(), world_from_ego=np.full((4, 4), np.nan))
    with pytest.raises(ConfigError, match='pose'):
        with SubmissionFile(path, Modality.FUSED, is_external=False) as submission:
            submission.add('a', np.eye(4), found([0]))
            submission.add('b', lost.world_from_ego, found([0]))
    assert os.listdir(tmp_path) == ['result.json'] and path.read_text() == 'old'


def test_a_sample_is_written_once(tmp_path):
    with pytest.raises(ConfigError, match='each sample once'):
        with SubmissionFile(tmp_path / 'r.json', Modality.FUSED, is_external=False) as submission:
            submission.add('a', np.eye(4), found([0]))
            submission.add('a', np.eye(4), found([0]))
