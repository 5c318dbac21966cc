"""Cost of the checks of content, and their false alarms."""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import cv2
import numpy as np

from benchmark.reliability.detection import Stop
from benchmark.reliability.figures import Figure
from metabev_ros.lab.datasets.synthetic import DriveConfig, DriveFrame, SyntheticDrive
from metabev_ros.sensing import checks, measures
from metabev_ros.sensing.decoding import PackedImage, Rows
from metabev_ros.sensing.encodings import find_encoding
from metabev_ros.structures import SensorState

# Timed apart: functions, some of which serve more than one check, and rows of IMAGE_CHECKS.
PARTS: dict[str, tuple[Any, str]] = {
    'frozen': (checks.FrozenDetector, 'check'),
    'dark': (measures.cv2, 'meanStdDev'),
    'noise_of_sweeps': (measures, '_turn'),
    'thinning': (measures, '_thinned'),
    'sectors': (measures, '_sector_counts'),
    'beams': (measures, '_row_counts'),
}
ROWS = {'torn': 'torn', 'noise_of_pictures': 'noise'}
TABLES = (
    *checks.IMAGE_CHECKS,
    *checks.COUNT_CHECKS,
    *checks.SWEEP_CHECKS,
    *checks.PAST_CHECKS,
    *checks.INTENSITY_CHECKS,
)
DETECTORS = (*dict.fromkeys(check.name for check in TABLES), checks.IDENTICAL)
WORLDS, FRAMES = 12, 30
WIDTH, HEIGHT = 352, 128
FULL_SIZE = (1600, 900)
GREY_NOISE, RANGE_NOISE, DROPPED = 6.0, 0.03, 0.1  # levels, metres, largest share of points


@dataclass
class Rig:
    """The checks of six cameras and one LiDAR, as the front end holds them."""

    cameras: list[tuple[checks.FrozenDetector, checks.ImageCheck]] = field(
        default_factory=lambda: [(checks.FrozenDetector(3), checks.ImageCheck()) for _ in range(6)]
    )
    lidar: checks.CloudCheck = field(default_factory=lambda: checks.CloudCheck(3))

    def check(self, pictures: list[np.ndarray], points: np.ndarray) -> list[checks.Verdict]:
        verdicts = [self.lidar.check(points, len(points))]
        for (frozen, content), pixels in zip(self.cameras, pictures, strict=True):
            height, width = pixels.shape[:2]
            rows = Rows(find_encoding('rgb8'), 3 * width, False)
            packed = PackedImage((width, height), pixels.reshape(-1), rows)
            verdicts.append(frozen.check(packed.fingerprint()))
            verdicts.append(content.check(measures.look_at_picture(pixels)))
        return verdicts


class Noise:
    """Makes a rendered frame one that a sensor might give: never the same twice."""

    def __init__(self, seed: int) -> None:
        self._dice = np.random.default_rng(seed)
        self._fields = self._dice.normal(0, GREY_NOISE, (16, HEIGHT + 64, WIDTH + 64, 3)).astype(
            np.int16
        )

    def picture(self, pixels: np.ndarray) -> np.ndarray:
        which, y, x = self._dice.integers(0, (16, 64, 64))
        noise = self._fields[which, y : y + HEIGHT, x : x + WIDTH]
        return (pixels + noise).clip(0, 255).astype(np.uint8)

    def sweep(self, points: np.ndarray) -> np.ndarray:
        """Noise of the range, and a share of the points lost."""
        lost = self._dice.random() * DROPPED
        points = points[self._dice.random(len(points), dtype=np.float32) >= lost]
        distance = np.linalg.norm(points[:, :3], axis=1, keepdims=True)
        noise = self._dice.standard_normal(distance.shape, dtype=np.float32) * RANGE_NOISE
        points[:, :3] *= 1 + noise / np.maximum(distance, 1)
        return points


def _frames(seed: int, count: int = FRAMES) -> list[DriveFrame]:
    config = DriveConfig(count, image_width=WIDTH, image_height=HEIGHT)
    return list(SyntheticDrive(seed, config))


def alarms(outputs: int, seed: int) -> list[Figure]:
    """False alarms of each check on rendered drives with noise; each is driven to and fro."""
    noise, judged = Noise(seed), 0
    found: Counter[str] = Counter()
    for number in Stop().until(range(WORLDS), 'worlds', 1):
        frames = _frames(960_000 + number)
        there_and_back = [*frames, *frames[-2:0:-1]]
        rig = Rig()
        for k in range(outputs // WORLDS):
            frame = there_and_back[k % len(there_and_back)]
            pictures = [noise.picture(pixels) for pixels in frame.images.values()]
            verdicts = rig.check(pictures, noise.sweep(frame.points))
            found.update({v.check for v in verdicts if v.state is not SensorState.OK})
            judged += 1
    sys.stdout.write(f'{dict(found)}\n')
    return alarm_figures(found, judged)


def alarm_figures(found: Counter[str], judged: int) -> list[Figure]:
    """Outputs with an alarm, by the name of the check; of one that no table holds, too."""
    return [
        Figure('checks.outputs', judged, 'outputs', judged, '>= 100000'),
        *[
            Figure(f'checks.{name}.false_alarms', found[name], 'outputs', judged, '<= 1')
            for name in dict.fromkeys([*DETECTORS, *found])
        ],
    ]


class Clock:
    """Wraps a function and adds up the time inside of it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function, self.seconds = function, 0.0

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        begin = time.thread_time()
        try:
            return self._function(*arguments, **keywords)
        finally:
            self.seconds += time.thread_time() - begin


def _watch(name: str) -> tuple[Clock, AbstractContextManager[Any]]:
    """Clock of a part, and the patch that makes checks built inside of it run through it."""
    if name in PARTS:
        owner, attribute = PARTS[name]
        clock = Clock(getattr(owner, attribute))
        # A function, so that it binds like the method it replaces.
        return clock, mock.patch.object(owner, attribute, lambda *a, **k: clock(*a, **k))
    (row,) = (check for check in checks.IMAGE_CHECKS if check.name == ROWS[name])
    clock = Clock(row.measure)
    rows = [replace(c, measure=clock) if c is row else c for c in checks.IMAGE_CHECKS]
    return clock, mock.patch.object(checks, 'IMAGE_CHECKS', tuple(rows))


def cost(outputs: int, seed: int) -> list[Figure]:
    """Processor time in the checks of six pictures of 1600 x 900 and a sweep, and by part."""
    cv2.setNumThreads(1)
    frames, noise = _frames(960_000, 12), Noise(seed)
    pictures = [
        [cv2.resize(noise.picture(p), FULL_SIZE) for p in frame.images.values()]
        for frame in frames
    ]
    total: list[float] = []
    parts: dict[str, list[float]] = {name: [] for name in (*PARTS, *ROWS)}
    rig, order = Rig(), [*range(12), *range(10, 0, -1)]
    gc.disable()
    for k in range(outputs):
        chosen = order[k % len(order)]
        points = noise.sweep(frames[chosen].points)
        begin = time.thread_time()
        rig.check(pictures[chosen], points)
        total.append(time.thread_time() - begin)
    gc.enable()
    for name, seconds in parts.items():
        clock, patch = _watch(name)
        with patch:
            rig = Rig()
            for k in range(min(outputs, 500)):
                chosen = order[k % len(order)]
                before = clock.seconds
                rig.check(pictures[chosen], frames[chosen].points)
                seconds.append(clock.seconds - before)
    milliseconds = np.array(total) * 1e3
    return [
        Figure('f16.checks_p50', float(np.median(milliseconds)), 'ms', len(total)),
        Figure('f16.checks_p99', float(np.quantile(milliseconds, 0.99)), 'ms', len(total), '<= 5'),
        *[
            Figure(f'f16.{name}_p99', float(np.quantile(values, 0.99)) * 1e3, 'ms', len(values))
            for name, values in parts.items()
        ],
    ]
