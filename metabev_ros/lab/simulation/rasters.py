"""A raster at full, half, ... size, looked up smoothly at world points."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_ROW = 1024  # points in a row of the maps that OpenCV takes


@dataclass(frozen=True)
class RasterPyramid:
    """Pixel (row, column) of level 0 is at origin + (column, row) * cell.

    Attributes:
        origin: (2,) world metres of the centre of pixel (0, 0) of level 0.
        cell: metres of its pixels.
        levels: (H, W) uint8 each, every one of half the size before.
        outside: value beyond the raster.
    """

    origin: np.ndarray
    cell: float
    levels: tuple[np.ndarray, ...]
    outside: int = 0

    @classmethod
    def of(
        cls, origin: np.ndarray, cell: float, image: np.ndarray, levels: int = 5, outside: int = 0
    ) -> RasterPyramid:
        """The pyramid of an image."""
        images = [image]
        while len(images) < levels and min(images[-1].shape[:2]) >= 4:
            last = images[-1]
            even = last[: last.shape[0] // 2 * 2, : last.shape[1] // 2 * 2]
            size = (even.shape[1] // 2, even.shape[0] // 2)
            images.append(cv2.resize(even, size, interpolation=cv2.INTER_AREA))
        return cls(origin, cell, tuple(images), outside)

    def at(self, xy: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """(N,) float32 values 0..255 at (N, 2) world points, seen by pixels of (N,) metres."""
        level = np.log2(np.maximum(footprint, 1e-4) * np.float32(1 / self.cell)) + np.float32(0.5)
        level = np.clip(level.astype(np.int32), 0, len(self.levels) - 1)
        place = ((xy - self.origin) / self.cell).astype(np.float32)
        values = np.empty(len(xy), dtype=np.float32)
        for number, image in enumerate(self.levels):
            rows = np.flatnonzero(level == number)
            if len(rows):
                values[rows] = self._look(image, (place[rows] + 0.5) / (1 << number) - 0.5)
        return values

    def _look(self, image: np.ndarray, place: np.ndarray) -> np.ndarray:
        count = len(place)
        height = -(-count // _ROW)
        maps = np.zeros((height * _ROW, 2), dtype=np.float32)
        maps[:count] = place
        found = cv2.remap(
            image,
            maps.reshape(height, _ROW, 2),
            None,  # type: ignore[arg-type]
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=self.outside,
        )
        return found.reshape(-1)[:count].astype(np.float32)
