"""Are the boxes of two runtimes the same, although equals may change places?

Queries are chosen and boxes ordered by score: where two scores differ by less than the arithmetic
of a runtime, the order says nothing, and at a cut one may stand for the other.
"""

from __future__ import annotations

import numpy as np

from metabev_ros.config import HeadConfig
from metabev_ros.geometry import wrap_angle
from metabev_ros.structures import Detections

# Two boxes are the same within these: metres (position, size) and m/s, radians, score.
BOX_TOLERANCE, YAW_TOLERANCE, SCORE_TOLERANCE = 0.02, 0.02, 1e-3
LEAST_MATCHED = 0.99  # the others: rivals of equal score that suppress each other
SAME_SCORE = 1e-5
QUERY_TENSORS = ('boxes', 'class_logits', 'query_scores')


def align_queries(
    expected: dict[str, np.ndarray], got: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Put the queries of `got` into the order of `expected`.

    Nothing changes without queries, and where two queries would have one partner.

    Args:
        expected, got: outputs of a fusion graph; query tensors are (1, C, P).
    """
    if 'class_logits' not in expected:
        return got
    names = [name for name in QUERY_TENSORS if name in expected]
    queries = expected['class_logits'].shape[2]
    distance = np.zeros((queries, queries))
    for name in names:
        span = float(np.ptp(expected[name])) or 1.0
        difference = np.abs(expected[name][0][:, :, None] - got[name][0][:, None]) / span
        distance = np.maximum(distance, difference.max(0))
    order = distance.argmin(1)
    if len(np.unique(order)) < len(order):
        return got
    return {**got, **{name: got[name][:, :, order] for name in names}}


def is_tie_at_the_cut(expected: dict[str, np.ndarray], got: dict[str, np.ndarray]) -> bool:
    """Tell whether each has queries that the other lacks, all of them as low as its lowest.

    The other queries see them in the self-attention, so that all tensors differ then.
    """
    if 'query_scores' not in expected:
        return False
    sides = [
        (
            tensors['query_scores'][0].argmax(0),
            tensors['query_scores'][0].max(0),
            tensors['boxes'][0, :2].T,
        )
        for tensors in (expected, got)
    ]
    lowest, lacking = min(scores.min() for _, scores, _ in sides), False
    for (labels, scores, places), (other_labels, _, other_places) in (sides, sides[::-1]):
        near = np.abs(places[:, None] - other_places[None]).max(-1) < 0.5  # cells
        unmatched = ~(near & (labels[:, None] == other_labels[None])).any(1)
        if (scores[unmatched] > lowest + SAME_SCORE).any():
            return False
        lacking |= bool(unmatched.any())
    return lacking


def count_matched(expected: Detections, got: Detections, head: HeadConfig) -> tuple[int, int]:
    """(boxes of both that the other has too, boxes of both), without those at the cut.

    At the cut are boxes within `SCORE_TOLERANCE` of the threshold, or of the lowest score of a
    full list.
    """
    lowest = max(_cut(expected, head), _cut(got, head)) + SCORE_TOLERANCE
    same = _same_boxes(expected, got)
    sure = np.asarray(expected.scores > lowest)
    sure_too = np.asarray(got.scores > lowest)
    matched = np.count_nonzero(same[sure].any(1)) + np.count_nonzero(same[:, sure_too].any(0))
    return int(matched), int(sure.sum() + sure_too.sum())


def _cut(detections: Detections, head: HeadConfig) -> float:
    is_full = len(detections.scores) >= head.max_detections
    return float(detections.scores.min()) if is_full else head.score_threshold


def _same_boxes(expected: Detections, got: Detections) -> np.ndarray:
    """(M, M') bool."""
    difference = np.abs(expected.boxes[:, None] - got.boxes[None]).astype(np.float64)
    yaw = np.abs(wrap_angle(difference[..., 6]))
    difference[..., 6] = 0
    limit = np.full_like(difference, BOX_TOLERANCE)
    # Sizes reach tens of metres in a network that was not trained: a share of them.
    limit[..., 3:6] *= np.maximum(1, expected.boxes[:, None, 3:6])
    return (
        (difference <= limit).all(-1)
        & (yaw <= YAW_TOLERANCE)
        & (np.abs(expected.scores[:, None] - got.scores[None]) <= SCORE_TOLERANCE)
        & (expected.labels[:, None] == got.labels[None])
    )
