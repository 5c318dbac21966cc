"""Points sorted into square cells, to find those near a place quickly."""

from __future__ import annotations

import numpy as np

_MOST = 250  # cells along each side: their numbers then fit 16 bits, which sort fastest


class Buckets:
    """(N, 2) points in cells of at least `cell` metres."""

    def __init__(self, points: np.ndarray, cell: float) -> None:
        some = len(points) > 0
        self._low = points.min(0).astype(np.float64) if some else np.zeros(2)
        extent = points.max(0) - self._low if some else np.zeros(2)
        self._cell = max(cell, float(extent.max()) / (_MOST - 1))
        self._shape = (extent / self._cell).astype(np.int64) + 1
        place = (points - self._low.astype(np.float32)) * np.float32(1 / self._cell)
        column = np.minimum(place[:, 0].astype(np.uint16), np.uint16(self._shape[0] - 1))
        row = np.minimum(place[:, 1].astype(np.uint16), np.uint16(self._shape[1] - 1))
        key = row * np.uint16(self._shape[0]) + column
        self._order = np.argsort(key, kind='stable')
        count = np.bincount(key, minlength=int(self._shape.prod()))
        self._start = np.concatenate(([0], np.cumsum(count)))
        self._below = np.zeros(self._shape[::-1] + 1, np.int64)
        self._below[1:, 1:] = count.reshape(self._shape[::-1]).cumsum(0).cumsum(1)

    def each_near(self, centre: np.ndarray, radius: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Rows of the points in the cells that squares around (M, 2) `centre` touch.

        Returns:
            number of the square and rows, for each that has any.
        """
        radius = radius[:, None]
        low = np.floor((centre - radius - self._low) / self._cell).astype(np.int64)
        high = np.floor((centre + radius - self._low) / self._cell).astype(np.int64)
        x0, y0 = np.clip(low, 0, self._shape).T
        x1, y1 = np.clip(high + 1, 0, self._shape).T
        x1, y1 = np.maximum(x0, x1), np.maximum(y0, y1)
        below = self._below
        count = below[y1, x1] - below[y0, x1] - below[y1, x0] + below[y0, x0]
        wide = int(self._shape[0])
        found = []
        for k in np.flatnonzero(count):
            rows = np.arange(y0[k], y1[k]) * wide
            spans = zip(self._start[rows + x0[k]], self._start[rows + x1[k]], strict=True)
            found.append((int(k), np.concatenate([self._order[a:b] for a, b in spans])))
        return found
