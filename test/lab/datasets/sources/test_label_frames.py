"""Where frames are over a whole bag: chains, both sides of a stamp, holes and jumps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.labelled_drives import small_rig

from metabev_ros.geometry import inverse_rigid, rigid_transform, rotation_z
from metabev_ros.lab.datasets.sources.label_frames import FrameLog
from metabev_ros.lab.datasets.synthetic.bag_messages import odometry, transforms

MS = 1_000_000
T0 = 1_700_000_000_000_000_000


def pose(x, yaw=0.0, y=0.0):
    return rigid_transform(rotation_z(yaw), (x, y, 0.0))


def tf(log, stamp, *links, is_static=False):
    log.add_tf(transforms(stamp, links), is_static)


def drive(log, count=10, speed=10.0):
    """Odometry each 100 ms, turning."""
    for k in range(count):
        log.add_odometry(odometry(T0 + k * 100 * MS, pose(speed * k / 10, 0.02 * k), np.zeros(3)))


@pytest.fixture
def log():
    return FrameLog(small_rig())


def test_a_stamp_between_two_poses_is_between_them_whatever_their_order(log):
    for k in (3, 0, 2, 1, 1):
        log.add_odometry(odometry(T0 + k * 100 * MS, pose(k, 0.1 * k), np.zeros(3)))
    found = log.world_from_ego(T0 + 150 * MS)
    assert np.allclose(found, pose(1.5, 0.15), atol=1e-12)
    motion = log.motion(T0 + 300 * MS, T0 + 50 * MS)
    assert np.allclose(motion, inverse_rigid(pose(3, 0.3)) @ pose(0.5, 0.05), atol=1e-12)


def test_nothing_is_known_far_beyond_the_ends_in_holes_and_across_jumps(log):
    drive(log, 5)
    log.add_odometry(odometry(T0 + 3000 * MS, pose(30), np.zeros(3)))
    log.add_odometry(odometry(T0 + 3100 * MS, pose(90), np.zeros(3)))
    for after, is_known in ((-90, 1), (-110, 0), (0, 1), (400, 1), (1500, 0), (3050, 0),
                            (3100, 1), (3250, 0)):  # fmt: skip
        assert (log.world_from_ego(T0 + after * MS) is not None) == is_known, after
    assert log.motion(T0 + 3050 * MS, T0) is None
    assert np.array_equal(log.motion(T0 + 1500 * MS, T0 + 1500 * MS + 900), np.eye(4))


def test_a_lone_pose_counts_at_its_own_stamp_only(log):
    tf(log, T0, ('map', 'base_link', pose(5, 0.5)))
    assert np.allclose(log.world_from_ego(T0 + 1000), pose(5, 0.5))
    assert np.allclose(log.ego_from('map', T0), inverse_rigid(pose(5, 0.5)))
    assert log.world_from_ego(T0 + 50 * MS) is None


def test_chains_lead_over_static_and_dynamic_links_in_both_directions(log):
    mount, arm = pose(1, 0.3, y=2), pose(0.5, -0.2)
    tf(log, T0, ('base_link', 'mast', mount), is_static=True)
    for k in range(3):
        tf(log, T0 + k * 100 * MS, ('mast', 'head', arm @ pose(0.1 * k)))
    drive(log)
    found = log.ego_from('/head', T0 + 150 * MS)
    assert np.allclose(found, mount @ arm @ pose(0.15), atol=1e-12)
    for k in range(10):
        tf(log, T0 + k * 100 * MS, ('map', 'odom', pose(7, 1.0)))
    expected = inverse_rigid(pose(7, 1.0) @ pose(2, 0.04))
    assert np.allclose(log.ego_from('map', T0 + 200 * MS), expected, atol=1e-12)
    assert log.ego_from('nowhere', T0) is None


def test_odometry_and_tf_that_tell_of_different_frames_are_both_asked(log):
    drive(log)
    for k in range(10):
        tf(log, T0 + k * 100 * MS, ('map', 'base_link', pose(k, 0.0)))
    assert np.allclose(log.ego_from('map', T0 + 200 * MS), inverse_rigid(pose(2)))
    assert np.allclose(log.ego_from('odom', T0 + 200 * MS), inverse_rigid(pose(2, 0.04)))


def test_a_fixed_pose_of_the_rig_file_counts_before_tf():
    fixed = pose(3, 0.7)
    rig = small_rig(ego_from_lidar=tuple(fixed.reshape(-1).tolist()))
    log = FrameLog(rig)
    tf(log, T0, ('base_link', 'top', pose(9)), is_static=True)
    assert np.allclose(log.ego_from('top', T0), fixed)


def test_poses_that_are_not_measured_count_before_odometry(log):
    drive(log)
    for k in range(3):
        message = odometry(T0 + k * 100 * MS, pose(50 + k), np.zeros(3), ('world', 'base_link'))
        log.add_odometry(message, is_truth=True)
    assert np.allclose(log.world_from_ego(T0 + 50 * MS), pose(50.5))


def test_hostile_links_are_counted_and_cost_nothing(log):
    drive(log)
    nan = pose(float('nan'))
    tf(log, T0, ('a', 'a', pose(1)), ('a', 'b' * 300, pose(1)), ('c', 'd', nan))
    log.add_odometry(odometry(T0, pose(1), np.zeros(3), ('odom', 'trailer')))
    log.add_odometry(odometry(T0, nan, np.zeros(3)))
    assert log.refused == 5
    for k in range(1200):
        tf(log, T0, (f'parent{k}', f'child{k}', pose(1)))
    assert 1000 < log.refused - 5 + 1000 <= 1205
    loop = FrameLog(dataclasses.replace(small_rig(), odometry_topic=''))
    tf(loop, T0, ('x', 'y', pose(1)), ('y', 'x', pose(1)), is_static=True)
    assert loop.ego_from('x', T0) is None
