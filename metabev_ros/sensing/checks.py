"""What the data itself says of its sensor: dark, torn, noise, frozen, empty, blocked and so on."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.structures import SensorState

_STRIDE = 16
MOST_POINTS = 300_000  # of a sweep that are used: the latency of what follows is bounded
_MIN_RANGE, _MAX_RANGE = 1.0, 200.0
_SECTORS = 36
_ROWS = 30  # of one degree each, from the lowest to _HIGHEST degrees
_HIGHEST = -2.0  # lower beams hit the ground wherever the vehicle is; higher ones may not
_PLACES = np.arange(8192) + np.random.default_rng(0).uniform(0, 1, 8192)
_LEAST_ROWS = 6  # a sensor with fewer beams below that is not judged by them
_HISTORY = 20
_WARM_UP = 5
_LINES = 16  # of pixels whose neighbours are compared
_NOISE_CONTRAST = 20  # grey levels; the noise of a dark picture is below that
_NOISE_SHARE = 0.6  # of the contrast lies between neighbours; in pictures of nuScenes 0.04
_ORDERED = np.deg2rad(15.0)  # neighbours in a message lie closer together, in most drivers' order


@dataclass(frozen=True)
class Verdict:
    """OK, SUSPECT (use, but flag), INVALID or FROZEN (do not use), and why."""

    state: SensorState = SensorState.OK
    reason: str = ''


GOOD = Verdict()


class FrozenDetector:
    """Counts identical arrays in a row: a checksum of a part first, then the whole."""

    def __init__(self, frozen_frames: int) -> None:
        self._limit = frozen_frames
        self._last: np.ndarray | None = None
        self._checksum = 0
        self._count = 1

    def check(self, data: np.ndarray, part: np.ndarray) -> Verdict:
        """The verdict on `data`, of which `part` is a small contiguous share."""
        checksum = zlib.crc32(part)
        same = (
            self._last is not None
            and checksum == self._checksum
            and np.array_equal(self._last, data)
        )
        self._count = self._count + 1 if same else 1
        self._last, self._checksum = data, checksum
        if self._count >= self._limit:
            return Verdict(SensorState.FROZEN, f'{self._count} identical frames')
        if self._count == self._limit - 1 and self._count > 1:
            return Verdict(SensorState.SUSPECT, f'{self._count} identical frames')
        return GOOD


class ImageCheck:
    """Content checks of one camera, on every 16th pixel of both axes."""

    def __init__(self, frozen_frames: int) -> None:
        self._frozen = FrozenDetector(frozen_frames)
        self._dark = 0
        self._bright = 0

    def check(self, pixels: np.ndarray) -> Verdict:
        """The verdict on (H, W, 3) uint8 RGB; the array is kept until the next call."""
        # Nearest-neighbour striding keeps exact values; small images are taken whole.
        step = max(1, min(_STRIDE, min(pixels.shape[:2]) // 16))
        part = np.ascontiguousarray(pixels[::step, ::step])
        frozen = self._frozen.check(pixels, part)
        if frozen.state is SensorState.FROZEN:
            return frozen
        mean, deviation = (float(v.mean()) for v in cv2.meanStdDev(part))
        dark = mean <= 5 and deviation <= 2
        bright_share = float((part >= 250).all(axis=2).mean())
        self._dark = self._dark + 1 if dark else 0
        self._bright = self._bright + 1 if bright_share >= 0.95 else 0
        if dark:
            state = SensorState.INVALID if self._dark >= 2 else SensorState.SUSPECT
            return Verdict(state, 'dark')
        if bright_share >= 0.60:
            state = SensorState.INVALID if self._bright >= 2 else SensorState.SUSPECT
            return Verdict(state, f'over-exposed: {bright_share:.0%}')
        if _torn_share(part) >= 0.25:
            return Verdict(SensorState.SUSPECT, f'torn: {_torn_share(part):.0%} fill')
        noise = _noise_share(pixels)
        if noise >= _NOISE_SHARE:
            return Verdict(SensorState.SUSPECT, f'noise: {noise:.0%} of the contrast')
        return frozen


def _noise_share(pixels: np.ndarray) -> float:
    """How much of the contrast along some lines lies between neighbouring pixels.

    Near 0 where a picture shows something, 1 for white noise; 0 where there is little contrast.
    """
    lines = pixels[:: max(1, len(pixels) // _LINES), :, 1].astype(np.float32)
    contrast = float(lines.var(axis=1).mean())
    if contrast < _NOISE_CONTRAST**2:
        return 0.0
    return float(np.square(np.diff(lines, axis=1)).mean()) / (2 * contrast)


def _torn_share(part: np.ndarray) -> float:
    """Longest run of rows that are all one filling grey (0 or 128), as a share of the height."""
    flat = part.reshape(len(part), -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    fill = (high <= 2) | ((low >= 126) & (high <= 130))
    longest = run = 0
    for row in fill:
        run = run + 1 if row else 0
        longest = max(longest, run)
    return longest / len(part)


def limit_points(points: np.ndarray) -> tuple[np.ndarray, Verdict]:
    """At most MOST_POINTS of (P, 5) points, evenly chosen; SUSPECT where some are left out."""
    if len(points) <= MOST_POINTS:
        return points, GOOD
    chosen = np.linspace(0, len(points) - 1, MOST_POINTS).astype(np.int64)
    return points[chosen], Verdict(
        SensorState.SUSPECT, f'clipped: {len(points) - MOST_POINTS} points left out'
    )


class CloudCheck:
    """Content checks of the LiDAR: against its own recent past and against emptiness."""

    def __init__(self, frozen_frames: int) -> None:
        self._frozen = FrozenDetector(frozen_frames)
        self._counts: deque[int] = deque(maxlen=_HISTORY)
        self._sectors: deque[np.ndarray] = deque(maxlen=_HISTORY)
        self._rows: deque[np.ndarray] = deque(maxlen=_HISTORY)
        self._turns: deque[float] = deque(maxlen=_HISTORY)

    def check(self, points: np.ndarray, announced: int) -> Verdict:
        """The verdict on (P, 5) float32 usable points of `announced` points in the message."""
        if not len(points):
            return Verdict(SensorState.INVALID, 'empty')
        if len(points) < 0.1 * announced:
            share = len(points) / announced
            return Verdict(SensorState.INVALID, f'non-finite: {share:.1%} usable')
        frozen = self._frozen.check(points, np.ascontiguousarray(points[::_STRIDE]))
        if frozen.state is SensorState.FROZEN:
            return frozen
        sparse = _thinned(points)
        distance = np.hypot(sparse[:, 0], sparse[:, 1])
        in_range = (distance > _MIN_RANGE) & (distance < _MAX_RANGE)
        if in_range.mean() < 0.1:
            return Verdict(SensorState.INVALID, f'in range: {in_range.mean():.1%}')
        verdict = self._against_history(
            len(points),
            _sector_counts(sparse[in_range]),
            _row_counts(sparse[in_range], distance[in_range]),
            _turn(points),
        )
        return verdict if verdict is not GOOD else frozen

    def _against_history(
        self, count: int, sectors: np.ndarray, rows: np.ndarray, turn: float
    ) -> Verdict:
        if len(self._counts) >= _WARM_UP:
            if float(np.median(self._turns)) < _ORDERED and turn > 3 * _ORDERED:
                return Verdict(
                    SensorState.INVALID, f'noise: neighbours {np.rad2deg(turn):.0f} deg apart'
                )
            usual = float(np.median(self._counts))
            if count < 0.3 * usual:
                return Verdict(SensorState.SUSPECT, f'sparse: {count} of {usual:.0f} points')
            lost, _ = _missing(sectors, self._sectors)
            if lost >= 3:
                return Verdict(SensorState.SUSPECT, f'blocked: {lost * 360 // _SECTORS} deg')
            lost, all_rows = _missing(rows, self._rows)
            if all_rows >= _LEAST_ROWS and 3 * lost >= all_rows:
                return Verdict(SensorState.SUSPECT, f'beams: {lost} of {all_rows} rows empty')
        # Only good sweeps make the past: a fault does not become the norm.
        self._counts.append(count)
        self._sectors.append(sectors)
        self._rows.append(rows)
        self._turns.append(turn)
        return GOOD


def _turn(points: np.ndarray) -> float:
    """Median angle of azimuth, in radians, from a point of a message to the next one.

    Whether a driver sends firing by firing or beam by beam, it is small; in noise it is pi / 2.
    """
    if len(points) < 2:
        return 0.0
    first = np.linspace(0, len(points) - 2, 1024).astype(np.int64)
    here, there = points[first, :2], points[first + 1, :2]
    cross = here[:, 0] * there[:, 1] - here[:, 1] * there[:, 0]
    return float(np.median(np.abs(np.arctan2(cross, (here * there).sum(axis=1)))))


def _thinned(points: np.ndarray) -> np.ndarray:
    """At most 8192 of the points, at random places: drivers send the beams in turn, and a fixed
    step would see the same few of them always."""
    if len(points) <= len(_PLACES):
        return points
    return points[(_PLACES * (len(points) / len(_PLACES))).astype(np.int64)]


def _missing(counts: np.ndarray, past: deque[np.ndarray]) -> tuple[int, int]:
    """How many bins are empty that usually are not, and how many usually are not."""
    usual = np.median(np.stack(past), axis=0) >= 4
    return int(((counts == 0) & usual).sum()), int(usual.sum())


def _sector_counts(points: np.ndarray) -> np.ndarray:
    """(36,) points per azimuth sector of 10 degrees."""
    azimuth = np.arctan2(points[:, 1], points[:, 0])
    index = ((azimuth + np.pi) * (_SECTORS / (2 * np.pi))).astype(np.int64) % _SECTORS
    return np.bincount(index, minlength=_SECTORS)


def _row_counts(points: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """(30,) points per degree of elevation below the horizon, in the sensor's own frame."""
    below = np.floor(_HIGHEST - np.rad2deg(np.arctan2(points[:, 2], distance))).astype(np.int64)
    return np.bincount(below[(below >= 0) & (below < _ROWS)], minlength=_ROWS)
