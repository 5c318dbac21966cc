"""Velocities of labelled objects from where their tracks are before and after."""

from __future__ import annotations

import numpy as np

LONGEST_GAP_S = 0.55  # a track that pauses longer says nothing about the speed between


def track_velocities(stamps_ns: np.ndarray, tracks: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Velocity of every label between the labels of its track before and after it.

    Where one of the two is missing the label itself takes its place.

    Args:
        stamps_ns: (N,) int64.
        tracks: (N,) int64 which labels are one object; below 0: no track.
        centres: (N, 3) float64 metres in a frame that stands still.

    Returns:
        (N, 3) float64 metres a second in that frame; NaN for a label without a neighbour.
    """
    order = np.lexsort((stamps_ns, tracks))
    track, stamp, centre = tracks[order], stamps_ns[order], centres[order]
    after = (stamp[1:] - stamp[:-1]) / 1e9
    linked = (track[1:] == track[:-1]) & (track[1:] >= 0) & (after > 0) & (after <= LONGEST_GAP_S)
    rows = np.arange(len(order))
    first = rows - np.concatenate([[False], linked]).astype(np.int64)[: len(rows)]
    last = rows + np.concatenate([linked, [False]]).astype(np.int64)[: len(rows)]
    seconds = (stamp[last] - stamp[first]) / 1e9
    velocity = np.full((len(order), 3), np.nan)
    known = last > first
    velocity[known] = (centre[last] - centre[first])[known] / seconds[known, None]
    result = np.empty_like(velocity)
    result[order] = velocity
    return result
