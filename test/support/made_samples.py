"""A made-up sample, and waiting for another thread."""

from __future__ import annotations

import time

import numpy as np

from metabev_ros.structures import Modality, Sample, Sweep


def sample(stamp_ns: int, epoch: int = 0, modality: Modality = Modality.LIDAR) -> Sample:
    sweep = Sweep(stamp_ns, np.ones((3, 5), np.float32), np.eye(4))
    return Sample(stamp_ns, {}, sweep, modality, (), epoch)


def wait_for(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)
