"""Lift-splat tables for a node that must not stand still while they are built."""

from __future__ import annotations

import concurrent.futures
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from metabev_ros.preprocess.lift_splat import LiftSplatTables, calibration_keys, remember
from metabev_ros.structures import CameraCalibration

ANSWERS = 4  # as cameras come and go; tables of a large network are 26 MB each


class BackgroundTables:
    """Builds on a thread of its own; who asks waits for at most `patience`.

    The answer is the tables of exactly the calibrations that were asked for, or None: never
    those of an older calibration. What a wait was too short for is finished all the same and
    there for the next sample; of the builds that nobody waits for any more only the running one
    goes on. What was answered lately is answered at once, whatever the builder does meanwhile and
    however late a loaded machine wakes it. The builder thread owns the cache of `tables` and the
    asking thread that of the answers, so neither needs a lock.

    Args:
        tables: builds and caches; used by nobody else.
        patience: seconds.
    """

    def __init__(self, tables: LiftSplatTables, patience: float) -> None:
        self._tables, self._patience = tables, patience
        self._answers: OrderedDict[bytes, dict[str, np.ndarray]] = OrderedDict()
        self._builder = concurrent.futures.ThreadPoolExecutor(1, 'tables')

    def __call__(
        self, calibrations: Sequence[CameraCalibration], must_wait: bool
    ) -> dict[str, np.ndarray] | None:
        """As `LiftSplatTables.__call__`, or None while they are being built.

        Args:
            must_wait: wait for as long as it takes.
        """
        key = b''.join(calibration_keys(calibrations))
        if key in self._answers:
            self._answers.move_to_end(key)
            return self._answers[key]
        future = self._builder.submit(self._tables, list(calibrations))
        try:
            tables = future.result(None if must_wait else self._patience)
        except concurrent.futures.TimeoutError:
            future.cancel()
            return None
        return remember(self._answers, key, ANSWERS, lambda: tables)
