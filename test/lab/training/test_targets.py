import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.geometry import wrap_angle
from metabev_ros.lab.training.targets import depth_bins, detection_targets, encode_boxes
from metabev_ros.postprocess import Postprocessor, decode_boxes

CONFIG = ModelConfig()


def boxes(count=40, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            rng.uniform(-50, 50, (count, 2)),
            rng.normal(1, 0.3, (count, 1)),
            rng.uniform(0.4, 9, (count, 3)),
            rng.uniform(-3, 3, (count, 1)),
            rng.normal(0, 5, (count, 2)),
        ],
        1,
    )


def test_decoding_inverts_encoding():
    truth = boxes()
    channels, rows, columns = encode_boxes(truth, CONFIG)
    decoded = decode_boxes(channels, rows, columns, CONFIG)
    difference = decoded - truth
    difference[:, 6] = wrap_angle(difference[:, 6])
    assert np.abs(difference).max() < 1e-4


def test_perfect_targets_decode_to_the_truth_through_the_postprocessor():
    truth = boxes(12)
    truth[:, :2] = np.stack(np.meshgrid([-40, -15, 15, 40], [-30, 0.3, 30]), -1).reshape(-1, 2)
    labels = np.arange(12) % 10
    targets = detection_targets(truth, labels, CONFIG)
    maps = np.zeros((1, 10, *CONFIG.bev_grid.shape), np.float32)
    maps.reshape(10, -1)[:, targets['cells']] = targets['channels'].T
    heatmap = np.clip(targets['heatmap'], 1e-4, 1 - 1e-4)
    raw = {
        'heatmap': np.log(heatmap / (1 - heatmap))[None].astype(np.float32),
        'boxes': maps,
        'map_logits': np.zeros((1, 6, 200, 200), np.float32),
    }
    detections, _ = Postprocessor(CONFIG)(raw)
    best = detections.scores > 0.99
    assert best.sum() == 12
    for box, label in zip(detections.boxes[best], detections.labels[best], strict=True):
        nearest = np.argmin(np.abs(truth[:, :3] - box[:3]).sum(1))
        np.testing.assert_allclose(box[:6], truth[nearest, :6], atol=1e-4)
        assert label == labels[nearest]


def test_boxes_outside_the_grid_give_no_target():
    truth = boxes(2)
    truth[:, 0] = [60.0, -80.0]
    targets = detection_targets(truth, np.array([0, 1]), CONFIG)
    assert targets['heatmap'].max() == 0 and len(targets['cells']) == 0


def test_depth_outside_the_range_is_ignored():
    depth = np.array([[[0.5, 1.0, 2.5, 56.9, 57.0, np.inf]]])
    assert depth_bins(depth, CONFIG)[0, 0].tolist() == [-1, 0, 1, 39, -1, -1]
