"""Points in eight bytes instead of twenty, where nothing is lost by it.

A LiDAR's own messages resolve a few millimetres and whole intensities. Points that lie on such
steps (1/256 m, whole intensities, few different time lags) are kept as whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

STEPS = 256.0  # of a metre
PREFIX = 'points_'


def pack_points(points: np.ndarray) -> dict[str, np.ndarray] | None:
    """Arrays that hold (P, 5) float32 points exactly; None where whole numbers cannot."""
    steps = points[:, :3] * np.float32(STEPS)
    intensity = points[:, 3]
    lags, row = np.unique(points[:, 4], return_inverse=True)
    exact = (
        (np.abs(steps) < 32768).all()
        and (steps == np.rint(steps)).all()
        and ((intensity >= 0) & (intensity <= 255) & (intensity == np.rint(intensity))).all()
        and len(lags) <= 256
    )
    if not exact:
        return None
    return {
        f'{PREFIX}steps': steps.astype(np.int16),
        f'{PREFIX}intensity': intensity.astype(np.uint8),
        f'{PREFIX}lag_row': row.astype(np.uint8),
        f'{PREFIX}lags': lags.astype(np.float32),
    }


def unpack_points(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """(P, 5) float32 points from the arrays of `pack_points`.

    Raises:
        KeyError, IndexError, ValueError: where they are damaged.
    """
    steps = arrays[f'{PREFIX}steps']
    points = np.empty((len(steps), 5), np.float32)
    points[:, :3] = steps / np.float32(STEPS)
    points[:, 3] = arrays[f'{PREFIX}intensity']
    points[:, 4] = arrays[f'{PREFIX}lags'][arrays[f'{PREFIX}lag_row']]
    return points
