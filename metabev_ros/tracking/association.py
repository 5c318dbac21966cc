"""Matching of detections to tracks: the likeliest pair first, each track and each detection once.

Greedy, as CenterPoint's tracker (Yin et al., CVPR 2021, section 4.2); by likelihood in place of
distance, so that a pair counts as near by what is known of both (Chiu et al., Probabilistic 3D
Multi-Object Tracking, 2020, section 3.2).
"""

from __future__ import annotations

import numpy as np

# 99.9 % quantile of a squared Mahalanobis distance with two degrees of freedom: -2 ln 0.001.
GATE = 13.8
OTHER_CLASS = 4.0  # added to the cost of another class of the same group: two deviations


def pair_costs(
    expected: np.ndarray,
    expected_covariance: np.ndarray,
    found: np.ndarray,
    found_covariance: np.ndarray,
    gates: np.ndarray,
) -> np.ndarray:
    """Minus twice the log likelihood of every pair, but for a constant.

    Args:
        expected: (N, 2) x, y of the tracks.
        expected_covariance: (N, 2, 2).
        found: (M, 2) x, y of the detections, in the same frame.
        found_covariance: (M, 2, 2).
        gates: (N,) metres.

    Returns:
        (N, M) float64; inf where a pair is outside of a gate.
    """
    apart = found[None] - expected[:, None]
    spread = expected_covariance[:, None] + found_covariance[None]
    a, b, d = spread[..., 0, 0], spread[..., 0, 1], spread[..., 1, 1]
    determinant = a * d - b * b
    x, y = apart[..., 0], apart[..., 1]
    squared = (d * x * x - 2 * b * x * y + a * y * y) / determinant
    inside = (squared <= GATE) & (np.hypot(x, y) <= gates[:, None])
    return np.where(inside, squared + np.log(determinant), np.inf)


def greedy_pairs(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns that belong together, the least cost first.

    Args:
        costs: (N, M); inf: never. Of equal ones the earlier row, then column, is taken.

    Returns:
        (P,) int64 rows and (P,) int64 columns.
    """
    rows, columns = np.nonzero(np.isfinite(costs))
    order = np.argsort(costs[rows, columns], kind='stable')
    free_row, free_column = np.ones(costs.shape[0], bool), np.ones(costs.shape[1], bool)
    taken: list[tuple[int, int]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if free_row[row] and free_column[column]:
            free_row[row] = free_column[column] = False
            taken.append((row, column))
    pairs = np.array(taken, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
