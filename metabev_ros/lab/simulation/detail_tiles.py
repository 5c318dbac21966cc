"""Close-up structure of surfaces: tiles that repeat, at full, half, ... size."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

TILE, GRASS_TILE, CRACKS = range(3)  # kinds: mineral grain, blades, cracks of asphalt
_SIZE = 1024
_CELLS = (0.004, 0.004, 0.008)  # metres of a pixel of each kind
_LEVELS = 9
_SEED = 20_731  # the tiles are the same in every world; worlds differ in where and how strong


@dataclass(frozen=True)
class DetailTiles:
    """Factors of a colour, 1 on average.

    Attributes:
        pixels: (P, 3) uint8, all kinds and sizes behind one another; 128 is a factor of 1.
        starts: (kinds, levels) rows of `pixels`.
    """

    pixels: np.ndarray
    starts: np.ndarray

    def at(self, kind: int, xy: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """(N, 3) float32 factors at (N, 2) metres, seen by pixels of (N,) metres."""
        cell = _CELLS[kind]
        level = np.log2(np.maximum(footprint, 1e-4) * np.float32(1 / cell)) + np.float32(0.5)
        level = np.clip(level.astype(np.int32), 0, _LEVELS - 1)
        place = np.floor(xy * np.float32(1 / cell)).astype(np.int32) & (_SIZE - 1)
        row, column = place[:, 1] >> level, place[:, 0] >> level
        index = self.starts[kind][level] + row * (_SIZE >> level) + column
        return np.take(self.pixels, index, axis=0) * np.float32(1 / 128)


@functools.cache
def detail_tiles() -> DetailTiles:
    """The tiles, made once in a process."""
    rng = np.random.default_rng(_SEED)
    rows, starts, count = [], np.zeros((len(_CELLS), _LEVELS), dtype=np.int32), 0
    for kind, image in enumerate((_grain(rng), _blades(rng), _cracks(rng))):
        for level in range(_LEVELS):
            starts[kind, level] = count
            size = _SIZE >> level
            small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
            rows.append(np.clip(small * 128, 0, 255).astype(np.uint8).reshape(-1, 3))
            count += size * size
    return DetailTiles(np.concatenate(rows), starts)


def periodic_noise(rng: np.random.Generator, size: int, softness: float) -> np.ndarray:
    """(size, size) float32 of mean 0 and deviation 1 that repeats without a seam."""
    noise = rng.normal(size=(size, size)).astype(np.float32)
    reach = min(size, int(4 * softness) + 1)
    padded = cv2.copyMakeBorder(noise, reach, reach, reach, reach, cv2.BORDER_WRAP)
    soft = cv2.GaussianBlur(padded, (0, 0), softness)[reach:-reach, reach:-reach]
    return (soft - soft.mean()) / soft.std()


def _grain(rng: np.random.Generator) -> np.ndarray:
    """Stones in a binder: light and dark grains of some millimetres."""
    fine, stones, clumps = (periodic_noise(rng, _SIZE, k) for k in (0.7, 1.6, 9.0))
    gray = 1 + 0.11 * fine + 0.09 * stones + 0.035 * clumps
    gray += 0.30 * np.clip(periodic_noise(rng, _SIZE, 1.2) - 1.9, 0, 1)
    gray -= 0.35 * np.clip(periodic_noise(rng, _SIZE, 1.4) - 1.8, 0, 1)
    warm = 0.012 * periodic_noise(rng, _SIZE, 3.0)
    return _of_mean_one(np.stack([gray + warm, gray, gray - warm], axis=-1))


def _blades(rng: np.random.Generator, count: int = 36_000) -> np.ndarray:
    """Blades of grass that lie over one another, darker below."""
    image = np.full((_SIZE, _SIZE, 3), 0.45, dtype=np.float32)
    image *= 1 + 0.12 * periodic_noise(rng, _SIZE, 30.0)[..., None]
    layers = 24
    for layer in range(layers):
        # Strokes at the border are cut: moved on, later layers lie over the cuts.
        image = np.roll(image, rng.integers(_SIZE, size=2), axis=(0, 1))
        lines = count // layers
        start = rng.uniform(0, _SIZE, (lines, 1, 2))
        turn = rng.normal(np.pi / 2, 0.9, (lines, 1))
        length = rng.uniform(8, 34, (lines, 1, 1))
        end = start + length * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
        shade = (0.55 + 0.75 * layer / layers) * rng.uniform(0.9, 1.1)
        dry = rng.uniform(-0.10, 0.16)
        colour = (shade * (1 + dry), shade, shade * (1 - 1.2 * dry))
        points = np.rint(np.concatenate([start, end], axis=1) * 16).astype(np.int32)
        cv2.polylines(image, list(points), False, colour, 1, cv2.LINE_8, shift=4)
    return _of_mean_one(image)


def _cracks(rng: np.random.Generator, count: int = 26) -> np.ndarray:
    """Cracks that wander and fork, dark on 1."""
    image = np.full((_SIZE, _SIZE), 255, dtype=np.uint8)
    for _ in range(count):
        heading, place = (
            rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.5),
            rng.uniform(0, _SIZE, 2),
        )
        steps = int(rng.integers(20, 90))
        turns = heading + np.cumsum(rng.normal(0, 0.22, steps)) * 0.5 + rng.normal(0, 0.35, steps)
        walk = place + np.cumsum(7 * np.stack([np.cos(turns), np.sin(turns)], -1), axis=0)
        fork = walk[steps // 2] + np.cumsum(
            6 * np.stack([np.cos(turns[::-1] + 0.8), np.sin(turns[::-1] + 0.8)], -1), axis=0
        )
        shade = int(rng.integers(60, 150))
        for line in (walk, fork[: steps // 2]):
            for shift in np.array(np.meshgrid([-1, 0, 1], [-1, 0, 1])).reshape(2, -1).T * _SIZE:
                points = np.rint((line + shift) * 16).astype(np.int32)
                cv2.polylines(image, [points], False, shade, 1, cv2.LINE_AA, shift=4)
    return np.repeat(image[..., None].astype(np.float32) / 255, 3, axis=-1)


def _of_mean_one(image: np.ndarray) -> np.ndarray:
    return np.clip(image / image.mean(axis=(0, 1)), 0.0, 1.99)
