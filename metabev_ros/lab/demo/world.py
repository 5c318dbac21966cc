"""The held-out drive of the demonstration: rendered by several processes, written as a bag."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2

from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic import DriveConfig, DriveFrame, SyntheticDrive, write_bag

IN_FLIGHT = 3  # frames per worker that wait or are being rendered
_drive: SyntheticDrive | None = None  # of a worker process


def _enter_worker(seed: int, config: DriveConfig) -> None:
    global _drive
    cv2.setNumThreads(1)  # the workers share the cores already
    _drive = SyntheticDrive(seed, config)


def _render(index: int) -> DriveFrame:
    assert _drive is not None  # `_enter_worker` set it
    frame = _drive[index]
    truth = dataclasses.replace(frame.ground_truth, depth={})  # not needed, and large
    return dataclasses.replace(frame, ground_truth=truth)


class RenderedDrive:
    """The frames of a synthetic drive in order, rendered ahead by worker processes.

    Attributes:
        truths: stamp in nanoseconds -> truth of the frames that were taken so far.
    """

    def __init__(self, seed: int, config: DriveConfig, workers: int = 2) -> None:
        self.seed, self.config, self._workers = seed, config, workers
        self.truths: dict[int, GroundTruth] = {}

    def __len__(self) -> int:
        return self.config.frames

    def __iter__(self) -> Iterator[DriveFrame]:
        # `spawn`: a forked child could inherit a lock that a thread of this process holds.
        with ProcessPoolExecutor(
            self._workers, get_context('spawn'), _enter_worker, (self.seed, self.config)
        ) as pool:
            waiting: deque[Future] = deque()
            try:
                for index in range(len(self)):
                    waiting.append(pool.submit(_render, index))
                    if len(waiting) >= IN_FLIGHT * self._workers:
                        yield self._keep(waiting.popleft().result())
                while waiting:
                    yield self._keep(waiting.popleft().result())
            finally:
                for future in waiting:
                    future.cancel()

    def _keep(self, frame: DriveFrame) -> DriveFrame:
        self.truths[frame.stamp_ns] = frame.ground_truth
        return frame


def make_drive(
    path: Path,
    seed: int,
    config: DriveConfig,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, GroundTruth]:
    """Write the drive as a bag; returns stamp_ns -> truth of every frame."""
    drive = RenderedDrive(seed, config, workers)
    write_bag(drive, path, progress)
    return drive.truths
