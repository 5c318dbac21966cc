"""Smooth random patterns that are looked up at points: the grain of everything."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

_LATTICE = 128  # random values along each side; the pattern repeats after as many wavelengths
_FINE = 4  # texels between two of them
_ROW = 4096  # points in a row of a look-up


@lru_cache(maxsize=1)
def _pattern() -> np.ndarray:
    """(513, 513) float32 values with mean 0 and standard deviation 1; it tiles."""
    values = np.random.default_rng(7).standard_normal((_LATTICE, _LATTICE)).astype(np.float32)
    padded = np.pad(values, 4, mode='wrap')
    size = (padded.shape[1] * _FINE, padded.shape[0] * _FINE)
    fine = cv2.resize(padded, size, interpolation=cv2.INTER_CUBIC)
    inner = fine[4 * _FINE : -4 * _FINE, 4 * _FINE : -4 * _FINE]
    inner = inner / inner.std()
    return np.pad(inner, ((0, 1), (0, 1)), mode='wrap')


def noise(x: np.ndarray, y: np.ndarray, wavelength: float) -> np.ndarray:
    """(N,) float32 smooth noise at (N,) float32 points; mean 0, standard deviation 1."""
    side = np.float32(_LATTICE * _FINE)
    scale = np.float32(1.0 / (wavelength * _LATTICE))
    u, v = x * scale, y * scale
    u -= np.floor(u)
    v -= np.floor(v)
    u *= side
    v *= side
    return look_up(_pattern(), u, v)


def look_up(image: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Values of an image between its pixels, at (N,) places; its border goes on for ever."""
    count = len(column)
    if not count:
        return np.zeros((0, *image.shape[2:]), image.dtype)
    rows = -(-count // _ROW)
    if rows > 1 and count % _ROW:
        pad = rows * _ROW - count
        column = np.concatenate([column, column[:pad]])
        row = np.concatenate([row, row[:pad]])
    wide = _ROW if rows > 1 else count
    found = cv2.remap(
        image,
        column.reshape(-1, wide).astype(np.float32, copy=False),
        row.reshape(-1, wide).astype(np.float32, copy=False),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return found.reshape(-1, *image.shape[2:])[:count]


def hashed(*columns: np.ndarray) -> np.ndarray:
    """(N,) float32 in 0..1 that depends on (N,) whole numbers and looks random."""
    key = np.zeros(columns[0].shape, np.uint32)
    for column in columns:
        key ^= column.astype(np.int64).astype(np.uint32)
        key *= np.uint32(0x9E3779B1)
        key ^= key >> np.uint32(15)
        key *= np.uint32(0x85EBCA77)
        key ^= key >> np.uint32(13)
    return (key >> np.uint32(8)).astype(np.float32) * np.float32(1 / (1 << 24))
