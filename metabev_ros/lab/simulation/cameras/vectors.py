"""Products and lengths of many short vectors; NumPy's own sums over three numbers are slow."""

from __future__ import annotations

import numpy as np


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) products of (N, 3) vectors."""
    return np.einsum('ij,ij->i', a, b)


def length(a: np.ndarray) -> np.ndarray:
    """(N,) lengths of (N, 3) or (N, 2) vectors."""
    return np.sqrt(np.einsum('ij,ij->i', a, a))


def unit(a: np.ndarray) -> np.ndarray:
    """(N, 3) vectors of length 1; those of length 0 stay so."""
    return a / np.maximum(length(a), np.float32(1e-12))[:, None]


def brightest(colour: np.ndarray) -> np.ndarray:
    """(N,) largest of the three parts of (N, 3) colours."""
    return np.maximum(np.maximum(colour[:, 0], colour[:, 1]), colour[:, 2])


def grey(colour: np.ndarray) -> np.ndarray:
    """(...) mean of the three parts of (..., 3) colours."""
    return (colour[..., 0] + colour[..., 1] + colour[..., 2]) * np.float32(1 / 3)


def crossed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, 3) cross products of (N, 3) vectors."""
    found = np.empty_like(a)
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        found[:, k] = a[:, i] * b[:, j] - a[:, j] * b[:, i]
    return found
