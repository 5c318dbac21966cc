import dataclasses

import numpy as np
import pytest
import torch
from support.small_networks import small_model, truth_boxes

from metabev_ros.config import HeadConfig, ModelConfig
from metabev_ros.config.heads import CENTERPOINT_GROUPS
from metabev_ros.errors import BackendError
from metabev_ros.geometry import wrap_angle
from metabev_ros.lab.training.losses import absolute_channels
from metabev_ros.lab.training.targets import detection_targets
from metabev_ros.postprocess import (
    POST_HEIGHT,
    POST_MARGIN,
    Postprocessor,
    circle_nms,
    decode_boxes,
    find_peaks,
    sigmoid,
    without_own_vehicle,
)
from metabev_ros.structures import Detections

CONFIG = ModelConfig()
GROUPS = dataclasses.replace(CONFIG, head=HeadConfig(groups=CENTERPOINT_GROUPS))
QUERIES = small_model('transfusion')


def outputs():
    rows, columns = CONFIG.bev_grid.shape
    return {
        'heatmap': np.full((1, 10, rows, columns), -9.0, np.float32),
        'boxes': np.zeros((1, 10, rows, columns), np.float32),
        'map_logits': np.zeros((1, 6, 200, 200), np.float32),
    }


def test_one_peak_becomes_one_box_at_its_metric_place():
    raw = outputs()
    raw['heatmap'][0, 8, 30, 100] = 2.0
    raw['boxes'][0, :, 30, 100] = [0.25, 0.75, 0.9, *np.log([0.7, 0.6, 1.8]), 1.0, 0.0, 1.5, -0.5]
    detections, probabilities = Postprocessor(CONFIG)(raw)
    np.testing.assert_allclose(
        detections.boxes[0],
        [-51.2 + 100.25 * 0.8, -51.2 + 30.75 * 0.8, 0.9, 0.7, 0.6, 1.8, np.pi / 2, 1.5, -0.5],
        atol=1e-5,
    )
    assert len(detections) == 1 and detections.labels[0] == 8
    assert detections.scores[0] == pytest.approx(1 / (1 + np.exp(-2.0)))
    np.testing.assert_array_equal(probabilities, 0.5)


def test_a_box_in_our_own_vehicle_is_published_only_where_nobody_says_how_large_it_is():
    raw = outputs()
    raw['heatmap'][0, 0, 64, 66] = 2.0  # 1.6 m ahead, in the middle
    assert len(Postprocessor(CONFIG)(raw)[0]) == 1
    own = np.array([-1.0, 3.7, -0.95, 0.95])
    assert len(Postprocessor(CONFIG)(raw, own_vehicle=own)[0]) == 0


def test_peaks_equal_a_loop_over_neighbourhoods():
    heatmap = np.random.default_rng(0).normal(-1, 2, (3, 12, 15)).astype(np.float32)
    scores, labels, rows, columns = find_peaks(heatmap, 0.4)
    padded = np.pad(heatmap, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    expected = {
        (k, y, x)
        for k, y, x in np.ndindex(heatmap.shape)
        if heatmap[k, y, x] == padded[k, y : y + 3, x : x + 3].max()
        and 1 / (1 + np.exp(-heatmap[k, y, x])) >= 0.4
    }
    assert set(zip(labels.tolist(), rows.tolist(), columns.tolist(), strict=True)) == expected
    assert (np.diff(scores) <= 0).all()


def test_of_two_near_boxes_of_a_class_the_better_stays():
    boxes = np.zeros((3, 9), np.float32)
    boxes[1, 0] = 0.3
    boxes[2, 0] = 0.3
    keep = circle_nms(boxes, np.array([0, 0, 1]), np.array([1.0, 1.0]))
    assert keep.tolist() == [0, 2]


@pytest.mark.parametrize('name', ['heatmap', 'boxes', 'map_logits'])
@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_non_finite_output_is_refused_and_named(name, value):
    raw = outputs()
    raw[name][0, 1, 2, 3] = value
    with pytest.raises(BackendError, match=name):
        Postprocessor(CONFIG)(raw)


def test_hostile_finite_outputs_still_give_valid_boxes():
    raw = outputs()
    rng = np.random.default_rng(0)
    raw['heatmap'][:] = rng.normal(0, 50, raw['heatmap'].shape)
    raw['boxes'][:] = rng.normal(0, 1e4, raw['boxes'].shape)
    detections, probabilities = Postprocessor(CONFIG)(raw)
    assert 0 < len(detections) <= CONFIG.head.max_detections
    assert np.isfinite(detections.boxes).all() and (detections.boxes[:, 3:6] > 0).all()
    assert ((detections.scores >= 0) & (detections.scores <= 1)).all()
    yaw = detections.boxes[:, 6]
    np.testing.assert_allclose(wrap_angle(yaw), yaw, atol=1e-5)
    assert (yaw < np.pi).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_sigmoid_equals_the_definition_in_float64():
    x = np.linspace(-30, 30, 1001)
    np.testing.assert_allclose(sigmoid(x.astype(np.float32)), 1 / (1 + np.exp(-x)), atol=1e-6)


def test_decoded_yaw_lies_in_the_half_open_interval():
    channels = np.zeros((1, 10), np.float32)
    channels[0, 6:8] = [0.0, -1.0]  # yaw = pi -> -pi
    assert decode_boxes(channels, np.array([0]), np.array([0]), CONFIG)[0, 6] < np.pi


# Centre head with groups of classes


def test_a_peak_takes_its_box_from_the_channels_of_its_classs_group():
    raw = outputs()
    raw['boxes'] = np.zeros((1, 60, *CONFIG.bev_grid.shape), np.float32)
    places = {0: (10, 10), 2: (20, 30), 4: (40, 50), 5: (60, 70), 7: (80, 90), 9: (100, 110)}
    for group, (label, (row, column)) in enumerate(places.items()):  # one class of each group
        raw['heatmap'][0, label, row, column] = 3.0 - group / 10
        raw['boxes'][0, 10 * group + 2, row, column] = 1.0 + group  # z
    detections, _ = Postprocessor(GROUPS)(raw)
    assert detections.labels.tolist() == list(places)
    np.testing.assert_allclose(detections.boxes[:, 2], np.arange(6) + 1.0)


# TransFusion


def query_outputs(proposals=20):
    raw = {
        'boxes': np.zeros((1, 10, proposals), np.float32),
        'class_logits': np.full((1, 10, proposals), -20.0, np.float32),
        'query_scores': np.zeros((1, 10, proposals), np.float32),
        'map_logits': np.zeros((1, 6, 24, 24), np.float32),
    }
    raw['boxes'][0, :2] = 8.0  # the middle of the grid
    return raw


def test_a_querys_score_is_class_probability_times_heatmap_and_only_for_its_own_class():
    raw = query_outputs()
    raw['class_logits'][0, 3, 4], raw['query_scores'][0, 3, 4] = 1.0, 0.8
    raw['class_logits'][0, 6, 5], raw['query_scores'][0, 2, 5] = 9.0, 0.9  # another class's
    detections, _ = Postprocessor(QUERIES)(raw)
    assert detections.labels.tolist() == [3]
    assert detections.scores[0] == pytest.approx(0.8 / (1 + np.exp(-1.0)))


def test_queries_are_decoded_from_cells_of_the_grids_corner_without_nms():
    raw = query_outputs()
    for i, score in ((7, 0.6), (2, 0.9)):  # the same place twice: both stay, best first
        raw['boxes'][0, :, i] = [4.5, 12.25, 0.9, *np.log([4.0, 2.0, 1.5]), 0.0, -1.0, 1.5, -0.5]
        raw['class_logits'][0, 1, i], raw['query_scores'][0, 1, i] = 20.0, score
    detections, _ = Postprocessor(QUERIES)(raw)
    np.testing.assert_allclose(detections.scores, [0.9, 0.6], atol=1e-6)
    for box in detections.boxes:
        np.testing.assert_allclose(
            box,
            [-6.4 + 4.5 * 0.8, -6.4 + 12.25 * 0.8, 0.9, 4, 2, 1.5, -np.pi, 1.5, -0.5],
            atol=1e-5,
        )


@pytest.mark.parametrize(
    ('channel', 'value'),
    [
        (0, 16 + POST_MARGIN / 0.8 + 0.1),
        (0, -POST_MARGIN / 0.8 - 0.1),
        (1, 16 + POST_MARGIN / 0.8 + 0.1),
        (1, -POST_MARGIN / 0.8 - 0.1),
        (2, POST_HEIGHT + 0.1),
        (2, -POST_HEIGHT - 0.1),
    ],
)
def test_boxes_far_outside_are_dropped_and_those_just_outside_stay(channel, value):
    raw = query_outputs()
    raw['class_logits'][0, 0, 0], raw['query_scores'][0, 0, 0] = 20.0, 0.9
    raw['boxes'][0, channel, 0] = value
    assert len(Postprocessor(QUERIES)(raw)[0]) == 0
    raw['boxes'][0, channel, 0] = value - 0.2 * np.sign(value - 8 * (channel < 2))
    assert len(Postprocessor(QUERIES)(raw)[0]) == 1


def test_targets_as_queries_decode_to_the_truth():
    rng = np.random.default_rng(0)
    truth = truth_boxes(QUERIES, rng, 8)
    labels = rng.permutation(10)[:8]
    targets = {
        name: torch.from_numpy(array)
        for name, array in detection_targets(truth, labels, QUERIES).items()
    }
    raw = query_outputs()
    raw['boxes'][0, :, :8] = absolute_channels(targets, QUERIES).T.numpy()
    raw['class_logits'][0, labels, np.arange(8)] = 20.0
    raw['query_scores'][0, labels, np.arange(8)] = np.linspace(0.9, 0.3, 8)
    detections, _ = Postprocessor(QUERIES)(raw)
    np.testing.assert_array_equal(detections.labels, labels)
    np.testing.assert_allclose(detections.boxes, truth, atol=1e-4)


def test_hostile_finite_queries_still_give_valid_boxes():
    raw, rng = query_outputs(), np.random.default_rng(0)
    for name in ('boxes', 'class_logits', 'query_scores'):
        raw[name][:] = rng.normal(0, 1e4, raw[name].shape)
    raw['boxes'][0, :3, ::2] = 8.0
    detections, _ = Postprocessor(QUERIES)(raw)
    assert 0 < len(detections) <= 20
    assert np.isfinite(detections.boxes).all() and (detections.boxes[:, 3:6] > 0).all()
    assert ((detections.scores >= 0) & (detections.scores <= 1)).all()
    assert (np.abs(detections.boxes[:, 6]) <= np.pi).all()


def test_boxes_with_their_centre_in_our_own_vehicle_are_dropped_and_others_stay():
    boxes = np.zeros((5, 9), np.float32)
    boxes[:, 3:6] = (4.6, 1.8, 1.6)
    boxes[:, :2] = [(1.3, 0.0), (3.5, 0.9), (1.3, 1.3), (3.6, 0.0), (-1.2, 0.0)]
    found = Detections(boxes, np.linspace(0.9, 0.5, 5, dtype=np.float32), np.arange(5))
    kept = without_own_vehicle(found, np.array([-1.0, 3.5, -0.9, 0.9]))
    assert kept.labels.tolist() == [2, 3, 4]
    np.testing.assert_array_equal(kept.boxes, boxes[2:])
    np.testing.assert_array_equal(kept.scores, found.scores[2:])
