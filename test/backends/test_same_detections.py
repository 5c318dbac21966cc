"""Equal scores may change places; nothing else may."""

import numpy as np
import pytest
from support.small_networks import small_model

from metabev_ros.backends.same_detections import align_queries, count_matched, is_tie_at_the_cut
from metabev_ros.config import HeadConfig
from metabev_ros.errors import ContractError
from metabev_ros.lab.export.parity import check_parity
from metabev_ros.structures import Detections

HEAD = HeadConfig(max_detections=5)


def queries(seed=0, count=8, classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    scores = np.zeros((1, classes, count), np.float32)
    scores[0, labels, np.arange(count)] = np.sort(rng.uniform(0.3, 0.9, count))[::-1]
    boxes = rng.normal(size=(1, 10, count)).astype(np.float32)
    boxes[0, :2] = rng.permutation(4 * count)[: 2 * count].reshape(2, count)
    return {
        'boxes': boxes,
        'query_scores': scores,
        'map_logits': np.ones((1, 2, 3, 3)),
        'class_logits': rng.normal(size=(1, classes, count)).astype(np.float32),
    }


def test_queries_in_another_order_are_brought_into_the_first_ones():
    expected, order = queries(), [3, 1, 0, 2, 5, 7, 6, 4]
    shuffled = {name: a if name == 'map_logits' else a[..., order] for name, a in expected.items()}
    aligned = align_queries(expected, shuffled)
    for name, array in expected.items():
        np.testing.assert_array_equal(aligned[name], array, err_msg=name)
    wrong = {**shuffled, 'boxes': shuffled['boxes'] + 0.5}
    assert np.abs(align_queries(expected, wrong)['boxes'] - expected['boxes']).max() > 0.4


def test_maps_are_left_alone():
    maps = {'heatmap': np.zeros((1, 2, 4, 4)), 'boxes': np.zeros((1, 10, 4, 4))}
    assert align_queries(maps, maps) is maps and not is_tie_at_the_cut(maps, maps)


@pytest.mark.parametrize(
    ('index', 'change', 'is_tie'), [(-1, 0.0, True), (-1, 1e-2, False), (0, 0.0, False)]
)
def test_a_tie_is_another_query_of_the_same_score_at_the_cut(index, change, is_tie):
    """`index`: the query that the other runtime did not take; it took one elsewhere."""
    expected = queries()
    got = {name: array.copy() for name, array in expected.items()}
    got['boxes'][0, 0, index] += 50
    label = got['query_scores'][0, :, index].argmax()
    got['query_scores'][0, label, index] += change
    assert is_tie_at_the_cut(expected, got) is is_tie


def test_the_same_queries_are_no_tie():
    assert not is_tie_at_the_cut(queries(), queries())


def detections(*scores, shift=0.0, yaw=0.0):
    boxes = np.zeros((len(scores), 9), np.float32)
    boxes[:, 0] = np.arange(len(scores)) * 10 + shift
    boxes[:, 3:6], boxes[:, 6] = 2.0, yaw
    return Detections(boxes, np.array(scores, np.float32), np.zeros(len(scores), np.int64))


def test_equal_lists_match_whatever_their_order():
    ours = detections(0.9, 0.8, 0.7)
    other = Detections(ours.boxes[::-1], ours.scores[::-1], ours.labels)
    assert count_matched(ours, other, HEAD) == (6, 6)


@pytest.mark.parametrize(
    ('options', 'matched'),
    [
        ({}, 4),
        ({'shift': 0.01}, 4),
        ({'shift': 0.05}, 0),
        ({'yaw': 0.05}, 0),
        ({'yaw': 2 * np.pi - 0.001}, 4),
    ],
)
def test_boxes_match_within_centimetres_and_one_degree(options, matched):
    assert count_matched(detections(0.9, 0.8), detections(0.9, 0.8, **options), HEAD) == (
        matched,
        4,
    )


def test_a_missing_box_counts_but_not_at_the_threshold_or_the_end_of_a_full_list():
    assert count_matched(detections(0.9, 0.8), detections(0.9), HEAD) == (2, 3)
    assert count_matched(detections(0.9, 0.0504), detections(0.9), HEAD) == (2, 2)
    full = detections(0.9, 0.8, 0.7, 0.6, 0.5)
    other = detections(0.9, 0.8, 0.7, 0.6, 0.5002)
    other.boxes[-1, 1] = 30
    assert count_matched(full, other, HEAD) == (8, 8)


def test_another_class_or_score_is_another_box():
    ours = detections(0.9)
    assert count_matched(ours, Detections(ours.boxes, ours.scores, ours.labels + 1), HEAD)[0] == 0
    assert count_matched(ours, detections(0.89), HEAD)[0] == 0


class Fixed:
    """A backend whose fusion gives what it is told."""

    config = small_model('transfusion')

    def __init__(self, outputs):
        self.outputs = outputs

    def encode_lidar(self, inputs):
        return np.zeros((1, 8, 16, 16), np.float32)

    def fuse(self, camera_bev, lidar_bev):
        return self.outputs


@pytest.mark.parametrize(('tensor', 'change'), [('map_logits', 0.1), (None, 0)])
def test_with_a_tie_the_gate_compares_the_map_all_the_same(tensor, change):
    expected = queries()
    expected['map_logits'] = np.arange(18, dtype=np.float32).reshape(1, 2, 3, 3)
    got = {name: array.copy() for name, array in expected.items()}
    got['boxes'][0, 0, -1] += 50
    pairs = [(Fixed(expected), Fixed(got)), (Fixed(expected), Fixed(expected))]
    if tensor:
        got[tensor][0, 0, 0, 0] += change
        with pytest.raises(ContractError, match='fusion_lidar: map_logits'):
            check_parity(*pairs[0], [(None, {})])
        return
    with pytest.raises(ContractError, match='without a tie'):
        check_parity(*pairs[0], [(None, {})])
    assert check_parity(*pairs[1], [(None, {})]).ties == 0
