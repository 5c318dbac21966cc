"""Measures of content: pure functions of a picture or a sweep, each one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_STRIDE = 16
MIN_RANGE, MAX_RANGE = 1.0, 200.0  # metres
_FLAT = 2  # grey levels; the deviation of a picture that shows nothing
_WHITE = 250  # grey level
_FILLS = ((0, 2), (126, 130))  # grey levels that decoders fill missing rows with, after JPEG
_LINES = 16  # of pixels whose neighbours are compared
_NOISE_CONTRAST = 20  # grey levels; the noise of a dark picture is below that
_SECTORS = 36
_ROWS = 30  # of one degree each, from the lowest to _HIGHEST degrees
_HIGHEST = -2.0  # lower beams hit the ground wherever the vehicle is; higher ones may not
_LEAST_ROWS = 6  # a sensor with fewer beams below that is not judged by them
_LEAST_POINTS = 4  # of a sector or row that usually sees something
_PLACES = np.arange(8192) + np.random.default_rng(0).uniform(0, 1, 8192)
_ORDERED = 15.0  # degrees; neighbours in a message lie closer together, in most drivers' order


# ---------------------------------------------------------------------------------- pictures
@dataclass(frozen=True)
class Picture:
    """A picture and a share of it.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        part: (h, w, 3) uint8, contiguous: every 16th pixel of both axes, all of a small picture.
        reduce: each pixel is the mean of `reduce` times `reduce` of the camera's.
    """

    pixels: np.ndarray
    part: np.ndarray
    reduce: int = 1


def look_at_picture(pixels: np.ndarray, reduce: int = 1) -> Picture:
    """Take the part of (H, W, 3) uint8 RGB that most measures look at.

    Args:
        pixels: the picture, perhaps decoded at reduced size.
        reduce: by how much; noise is as much weaker in the mean.
    """
    # Nearest-neighbour striding keeps exact values; small images are taken whole.
    step = max(1, min(_STRIDE, min(pixels.shape[:2]) // 16))
    return Picture(pixels, np.ascontiguousarray(pixels[::step, ::step]), reduce)


def flat_level(picture: Picture) -> float:
    """Mean grey level of a picture without contrast, 0..255; 255 where there is contrast."""
    mean, deviation = (float(values.mean()) for values in cv2.meanStdDev(picture.part))
    return mean if deviation <= _FLAT else 255.0


def white_share(picture: Picture) -> float:
    """Share of pixels that are white in all colours, 0..1."""
    return float((picture.part >= _WHITE).all(axis=2).mean())


def fill_share(picture: Picture) -> float:
    """Longest run of rows that are all one filling grey, as a share of the height."""
    flat = picture.part.reshape(len(picture.part), -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    fill = np.any([(low >= first) & (high <= last) for first, last in _FILLS], axis=0)
    longest = run = 0
    for row in fill:
        run = run + 1 if row else 0
        longest = max(longest, run)
    return longest / len(flat)


def noise_share(picture: Picture) -> float:
    """Share of the contrast along some lines that lies between neighbouring pixels.

    Near 0 where a picture shows something, 1 for white noise; 0 where there is little contrast.
    """
    pixels = picture.pixels
    lines = pixels[:: max(1, len(pixels) // _LINES), :, 1].astype(np.float32)
    contrast = float(lines.var(axis=1).mean())
    if contrast < (_NOISE_CONTRAST / picture.reduce) ** 2:
        return 0.0
    return float(np.square(np.diff(lines, axis=1)).mean()) / (2 * contrast)


# ------------------------------------------------------------------------------------ clouds
@dataclass(frozen=True)
class PointCount:
    """Points of a cloud that are finite, and points that its message announces."""

    usable: int
    announced: int


def usable_points(count: PointCount) -> float:
    """Number of usable points."""
    return count.usable


def usable_share(count: PointCount) -> float:
    """Usable points, as a share of the announced ones."""
    return count.usable / max(1, count.announced)


@dataclass(frozen=True)
class SweepShape:
    """Shape of one sweep.

    Attributes:
        count: usable points.
        in_range: share of the points between `MIN_RANGE` and `MAX_RANGE` of the sensor, 0..1.
        sectors: (36,) points per azimuth sector of 10 degrees.
        rows: (30,) points per degree of elevation below the horizon, in the sensor's frame.
        turn: median angle of azimuth in degrees from a point of a message to the next one. It is
            small whether a driver sends firing by firing or beam by beam; in noise it is 90.
        brightness: the intensity that one point in a hundred exceeds.
    """

    count: int
    in_range: float
    sectors: np.ndarray
    rows: np.ndarray
    turn: float
    brightness: float


def look_at_sweep(points: np.ndarray) -> SweepShape:
    """Shape of (P, 5) float32 points, P > 0."""
    sparse = _thinned(points)
    distance = np.hypot(sparse[:, 0], sparse[:, 1])
    in_range = (distance > MIN_RANGE) & (distance < MAX_RANGE)
    return SweepShape(
        len(points),
        float(in_range.mean()),
        _sector_counts(sparse[in_range]),
        _row_counts(sparse[in_range], distance[in_range]),
        _turn(points),
        float(np.partition(sparse[:, 3], -1 - len(sparse) // 100)[-1 - len(sparse) // 100]),
    )


def brightness(sweep: SweepShape) -> float:
    """The intensity that one point in a hundred exceeds."""
    return sweep.brightness


def measured_brightness(sweep: SweepShape) -> float:
    """The same; infinite where all are zero, of a sensor that measures none."""
    return sweep.brightness if sweep.brightness != 0 else np.inf


def share_in_range(sweep: SweepShape) -> float:
    """Share of the points at a distance that a LiDAR measures, 0..1."""
    return sweep.in_range


@dataclass(frozen=True)
class Comparison:
    """One sweep beside the usual one: the medians of sound sweeps before it.

    Attributes:
        count, usual_count: points.
        turn, usual_turn: degrees, as `SweepShape.turn`.
        lost_sectors: sectors of 10 degrees that are empty and usually are not.
        lost_rows, usual_rows: rows that are empty and usually are not; rows that usually are not.
    """

    count: int
    usual_count: float
    turn: float
    usual_turn: float
    lost_sectors: int
    lost_rows: int
    usual_rows: int


def compare(sweep: SweepShape, past: Sequence[SweepShape]) -> Comparison:
    """Hold a sweep against those before it, of which there is at least one."""
    usual_sectors = np.median([p.sectors for p in past], axis=0) >= _LEAST_POINTS
    usual_rows = np.median([p.rows for p in past], axis=0) >= _LEAST_POINTS
    return Comparison(
        count=sweep.count,
        usual_count=float(np.median([p.count for p in past])),
        turn=sweep.turn,
        usual_turn=float(np.median([p.turn for p in past])),
        lost_sectors=int(((sweep.sectors == 0) & usual_sectors).sum()),
        lost_rows=int(((sweep.rows == 0) & usual_rows).sum()),
        usual_rows=int(usual_rows.sum()),
    )


def disorder(found: Comparison) -> float:
    """Degrees between neighbours in a message; 0 where a sensor's points never had an order."""
    return found.turn if found.usual_turn < _ORDERED else 0.0


def count_share(found: Comparison) -> float:
    """Points, as a share of the usual number."""
    return found.count / found.usual_count


def blocked_angle(found: Comparison) -> float:
    """Degrees of azimuth without the points that are usually there."""
    return found.lost_sectors * (360 / _SECTORS)


def lost_row_share(found: Comparison) -> float:
    """Empty rows as a share of the usual ones; 0 for a sensor with few of them."""
    return found.lost_rows / found.usual_rows if found.usual_rows >= _LEAST_ROWS else 0.0


def _turn(points: np.ndarray) -> float:
    if len(points) < 2:
        return 0.0
    first = np.linspace(0, len(points) - 2, 1024).astype(np.int64)
    here, there = points[first, :2], points[first + 1, :2]
    cross = here[:, 0] * there[:, 1] - here[:, 1] * there[:, 0]
    angles = np.abs(np.arctan2(cross, (here * there).sum(axis=1)))
    return float(np.rad2deg(float(np.median(angles))))


def _thinned(points: np.ndarray) -> np.ndarray:
    """At most 8192 of the points, at random places.

    Drivers send the beams in turn, and a fixed step would see the same few of them always.
    """
    if len(points) <= len(_PLACES):
        return points
    return points[(_PLACES * (len(points) / len(_PLACES))).astype(np.int64)]


def _sector_counts(points: np.ndarray) -> np.ndarray:
    azimuth = np.arctan2(points[:, 1], points[:, 0])
    index = ((azimuth + np.pi) * (_SECTORS / (2 * np.pi))).astype(np.int64) % _SECTORS
    return np.bincount(index, minlength=_SECTORS)


def _row_counts(points: np.ndarray, distance: np.ndarray) -> np.ndarray:
    below = np.floor(_HIGHEST - np.rad2deg(np.arctan2(points[:, 2], distance))).astype(np.int64)
    return np.bincount(below[(below >= 0) & (below < _ROWS)], minlength=_ROWS)
