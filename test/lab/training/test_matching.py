import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from metabev_ros.config import ModelConfig
from metabev_ros.lab.training.matching import box_iou, match_queries

CONFIG = ModelConfig()
CELL = CONFIG.bev_grid.cell


def boxes(count, seed=0, spread=4.0):
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            rng.uniform(-spread, spread, (count, 2)),
            rng.normal(0, 0.5, (count, 1)),
            rng.uniform(0.5, 5, (count, 3)),
            rng.uniform(-np.pi, np.pi, (count, 1)),
        ],
        1,
    )


def footprint(box):
    """Corners, counter-clockwise, as complex numbers."""
    turn = np.exp(1j * box[6])
    return [
        complex(box[0], box[1]) + turn * complex(sx * box[3] / 2, sy * box[4] / 2)
        for sx, sy in ((1, 1), (-1, 1), (-1, -1), (1, -1))
    ]


def cross(a, b):
    return (a.conjugate() * b).imag


def clipped_area(polygon, clip):
    """Area of a polygon inside a convex one (Sutherland and Hodgman), one edge after the other."""
    for p, q in zip(clip, clip[1:] + clip[:1], strict=True):
        kept = []
        for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            side_a, side_b = cross(q - p, a - p), cross(q - p, b - p)
            if side_a >= 0:
                kept.append(a)
            if side_a * side_b < 0:
                kept.append(a + (b - a) * side_a / (side_a - side_b))
        polygon = kept
    return sum(cross(a, b) for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True)) / 2


def plain_iou(a, b):
    """One pair of boxes."""
    height = min(a[2] + a[5] / 2, b[2] + b[5] / 2) - max(a[2] - a[5] / 2, b[2] - b[5] / 2)
    common = clipped_area(footprint(a), footprint(b)) * max(height, 0.0)
    return common / (a[3:6].prod() + b[3:6].prod() - common)


def test_iou_of_turned_boxes_equals_polygon_clipping():
    first, second = boxes(40), boxes(30, seed=1)
    expected = np.array([[plain_iou(a, b) for b in second] for a in first])
    assert (expected > 0).sum() > 200
    np.testing.assert_allclose(box_iou(first, second), expected, atol=1e-9)


def test_iou_by_hand():
    box = np.array([[1.0, 2, 0.5, 4, 2, 1.5, 0.0]])
    quarter = box + [[0, 0, 0, 0, 0, 0, np.pi / 2]]
    half = box + [[2.0, 0, 0, 0, 0, 0, 0]]
    above = box + [[0, 0, 1.5, 0, 0, 0, 0]]
    turned = box + [[0, 0, 0, 0, 0, 0, np.pi]]
    inner = box * [[1, 1, 1, 0.5, 0.5, 1, 1]]
    result = box_iou(box, np.concatenate([box, quarter, half, above, turned, inner]))[0]
    np.testing.assert_allclose(result, [1, 4 / 12, 4 / 12, 0, 1, 0.25], atol=1e-9)
    assert box_iou(box[:0], box).shape == (0, 1)


def test_iou_with_equal_boxes_and_shared_edges_stays_exact():
    first = boxes(50)
    np.testing.assert_allclose(np.diag(box_iou(first, first)), 1.0, atol=1e-9)
    beside = first.copy()  # moved along by its own length: they touch along an edge
    beside[:, 0] += first[:, 3] * np.cos(first[:, 6])
    beside[:, 1] += first[:, 3] * np.sin(first[:, 6])
    np.testing.assert_allclose(np.diag(box_iou(first, beside)), 0.0, atol=1e-9)


def channels(metric):
    """Metric boxes whose corner is the origin -> (M, 10) channels."""
    return torch.as_tensor(
        np.concatenate(
            [
                metric[:, :2] / CELL,
                metric[:, 2:3],
                np.log(metric[:, 3:6]),
                np.sin(metric[:, 6:]),
                np.cos(metric[:, 6:]),
                np.zeros((len(metric), 2)),
            ],
            1,
        )
    ).float()


def test_matching_equals_scipy_on_a_cost_written_out_pair_by_pair():
    rng = np.random.default_rng(3)
    found, truth = boxes(20, seed=4) + 10 * np.eye(7)[:2].sum(0), boxes(6, seed=5)
    truth[:, :2] += 10
    logits, labels = rng.normal(size=(10, 20)), rng.integers(0, 10, 6)
    cost = np.empty((20, 6))
    for i in range(20):
        for j in range(6):
            p = 1 / (1 + np.exp(-logits[labels[j], i]))
            classes = (-np.log(p) * 0.25 * (1 - p) ** 2) - (-np.log(1 - p) * 0.75 * p**2)
            centre = np.abs(found[i, :2] - truth[j, :2]).sum() / 102.4
            cost[i, j] = 0.15 * classes + 0.25 * centre - 0.25 * plain_iou(found[i], truth[j])
    queries, rows = match_queries(
        torch.as_tensor(logits).float(),
        channels(found).t(),
        channels(truth),
        torch.as_tensor(labels),
        CONFIG,
    )
    expected = linear_sum_assignment(cost)
    np.testing.assert_array_equal(queries, expected[0])
    np.testing.assert_array_equal(rows, expected[1])


@pytest.mark.parametrize('count', [0, 1, 30])
def test_each_box_has_one_query_as_long_as_there_are_queries(count):
    queries, rows = match_queries(
        torch.zeros(10, 20),
        channels(boxes(20)).t(),
        channels(boxes(count, seed=1)),
        torch.zeros(count, dtype=torch.int64),
        CONFIG,
    )
    assert len(set(queries.tolist())) == len(set(rows.tolist())) == min(count, 20)


def test_a_network_that_has_diverged_is_still_matched():
    found = channels(boxes(20)).t()
    found[:, 3] = torch.nan
    found[3, 5] = torch.inf
    queries, _ = match_queries(
        torch.full((10, 20), torch.nan),
        found,
        channels(boxes(4)),
        torch.zeros(4, dtype=torch.int64),
        CONFIG,
    )
    assert len(queries) == 4
