"""Labels of samples that were closed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from support.fake_drive import MS, T0, report

from metabev_ros.config import LidarConfig, RigConfig, SensingConfig
from metabev_ros.sensing.ego_motion import EgoMotion
from metabev_ros.sensing.frames import Collected, LidarFrame
from metabev_ros.sensing.health import SensorMonitor
from metabev_ros.sensing.sample_maker import SampleMaker
from metabev_ros.sensing.tf_tree import TfTree
from metabev_ros.structures import SensorKind

NAMES = ('front', 'rear')


def maker(sweeps: int = 1) -> SampleMaker:
    rig = RigConfig(lidars=tuple(LidarConfig(n, f'{n}/points', n) for n in NAMES))
    config = SensingConfig()
    monitors = {n: SensorMonitor(n, SensorKind.LIDAR, 10.0, config) for n in NAMES}
    motion = EgoMotion(rig.ego_frame, '', TfTree(rig.ego_frame))
    return SampleMaker(rig, config, monitors, motion, sweeps)


def frame(at: int, seconds: float | None, note: str = '') -> LidarFrame:
    points = np.ones((5, 5), np.float32)
    times = None if seconds is None else np.linspace(0, seconds, 5, dtype=np.float32)
    return LidarFrame(at, at, points, times, np.eye(4), note)


@pytest.mark.parametrize('apart', [0, MS // 2, 9 * MS])
def test_a_sweep_that_is_not_deskewed_says_so_however_near_the_reference_it_is(apart):
    """Half a millisecond to the reference needs no word, 40 ms within the sweep do."""
    frames = {'front': frame(T0, 0.04), 'rear': frame(T0 + apart, 0.04)}
    sample = maker().make(Collected(T0, frames))
    assert 'no ego motion over 40 ms' in report(sample, 'front').reason
    assert 'no ego motion over 40 ms' in report(sample, 'rear').reason
    assert ('no odometry over' in report(sample, 'rear').reason) == (apart > MS)


def test_what_is_missing_in_a_frame_hides_nothing_else_and_is_said_once():
    frames = {'front': frame(T0, None, 'no per-point time: no field t'), 'rear': frame(T0, None)}
    sample = maker(sweeps=3).make(Collected(T0, frames))
    assert report(sample, 'front').reason == 'no per-point time: no field t, 2 of 3 sweeps missing'
    assert report(sample, 'rear').reason == 'no per-point time, 2 of 3 sweeps missing'
