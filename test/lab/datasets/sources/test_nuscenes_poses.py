"""The line of poses of a drive."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.geometry import rotation_z
from metabev_ros.lab.datasets.sources.nuscenes_poses import HOLE_NS, PoseLine
from metabev_ros.sensing.pose_track import Pose


def pose(x: float, yaw: float = 0.0) -> Pose:
    return Pose(x, 0.0, 0.0, 0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2))


def test_poses_between_two_are_linear_and_slerp():
    line = PoseLine({100: pose(1.0, 0.2), 300: pose(5.0, 0.6)})
    middle = line.at(150)
    np.testing.assert_allclose(middle[:3, 3], [2.0, 0, 0])
    np.testing.assert_allclose(middle[:3, :3], rotation_z(0.3), atol=1e-12)


def test_motion_leads_from_the_source_to_the_target():
    line = PoseLine({0: pose(1.0), 10: pose(4.0, np.pi / 2)})
    np.testing.assert_allclose(line.motion(0, 10)[:3, 3], [3.0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(line.motion(10, 0)[:3, 3], [0.0, 3.0, 0], atol=1e-12)


@pytest.mark.parametrize('stamp', [-1, 11])
def test_outside_nothing_is_known(stamp):
    line = PoseLine({0: pose(0.0), 10: pose(1.0)})
    assert line.at(stamp) is None
    assert line.motion(stamp, 5) is None and line.motion(5, stamp) is None


def test_in_a_hole_nothing_is_known_but_its_ends_are():
    line = PoseLine({0: pose(0.0), HOLE_NS + 1: pose(9.0)})
    assert line.at(5) is None
    np.testing.assert_allclose(line.motion(0, HOLE_NS + 1)[:3, 3], [9.0, 0, 0])
    assert PoseLine({0: pose(0.0), HOLE_NS: pose(9.0)}).at(5) is not None


def test_without_poses_nothing_is_known():
    assert PoseLine({}).at(0) is None
