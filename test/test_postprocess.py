import numpy as np
import pytest

from metabev_ros.config import ModelConfig
from metabev_ros.errors import BackendError
from metabev_ros.geometry import wrap_angle
from metabev_ros.postprocess import Postprocessor, circle_nms, decode_boxes, find_peaks, sigmoid

CONFIG = ModelConfig()


def outputs():
    rows, columns = CONFIG.bev_grid.shape
    return {'heatmap': np.full((1, 10, rows, columns), -9.0, np.float32),
            'boxes': np.zeros((1, 10, rows, columns), np.float32),
            'map_logits': np.zeros((1, 6, 200, 200), np.float32)}


def test_one_peak_becomes_one_box_at_its_metric_place():
    raw = outputs()
    raw['heatmap'][0, 8, 30, 100] = 2.0
    raw['boxes'][0, :, 30, 100] = [0.25, 0.75, 0.9, *np.log([0.7, 0.6, 1.8]), 1.0, 0.0, 1.5, -0.5]
    detections, probabilities = Postprocessor(CONFIG)(raw)
    np.testing.assert_allclose(detections.boxes[0], [
        -51.2 + 100.25 * 0.8, -51.2 + 30.75 * 0.8, 0.9, 0.7, 0.6, 1.8, np.pi / 2, 1.5, -0.5],
        atol=1e-5)
    assert len(detections) == 1 and detections.labels[0] == 8
    assert detections.scores[0] == pytest.approx(1 / (1 + np.exp(-2.0)))
    np.testing.assert_array_equal(probabilities, 0.5)


def test_peaks_equal_a_loop_over_neighbourhoods():
    heatmap = np.random.default_rng(0).normal(-1, 2, (3, 12, 15)).astype(np.float32)
    scores, labels, rows, columns = find_peaks(heatmap, 0.4)
    padded = np.pad(heatmap, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    expected = {(k, y, x) for k, y, x in np.ndindex(heatmap.shape)
                if heatmap[k, y, x] == padded[k, y:y + 3, x:x + 3].max()
                and 1 / (1 + np.exp(-heatmap[k, y, x])) >= 0.4}
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
    channels[0, 6:8] = [0.0, -1.0]   # yaw = pi -> -pi
    assert decode_boxes(channels, np.array([0]), np.array([0]), CONFIG)[0, 6] < np.pi
