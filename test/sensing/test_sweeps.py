"""Deskewed sweeps and several of them in one frame, against float64 loops and real data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from support.fake_drive import MS, T0, odometry

from metabev_ros.geometry import (
    inverse_rigid,
    points_in_box,
    rigid_transform,
    rotation_z,
    transform_points,
)
from metabev_ros.sensing.ego_motion import EgoMotion
from metabev_ros.sensing.sweeps import SweepHistory, points_in_ego
from metabev_ros.sensing.tf_tree import TfTree

EGO_FROM_LIDAR = rigid_transform(rotation_z(0.3), (1.2, -0.1, 1.8))
SPEED, TURN = 15.0, 1.0


def on_a_bend(t: float) -> np.ndarray:
    """(4, 4) world_from_ego at 15 m/s and 1 rad/s."""
    radius = SPEED / TURN
    return rigid_transform(
        rotation_z(TURN * t), (radius * math.sin(TURN * t), radius * (1 - math.cos(TURN * t)), 0)
    )


def bend(target_ns: int, source_ns: int) -> np.ndarray:
    """The exact motion on the bend."""
    target, source = (on_a_bend((ns - T0) / 1e9) for ns in (target_ns, source_ns))
    return inverse_rigid(target) @ source


def unknown(target_ns: int, source_ns: int) -> None:
    """No motion at all."""


def cloud(count: int, seed: int = 0) -> np.ndarray:
    """(count, 5) float32 points within 100 m, with intensities."""
    rng = np.random.default_rng(seed)
    azimuth, distance = rng.uniform(-np.pi, np.pi, count), rng.uniform(2, 100, count)
    columns = (
        distance * np.cos(azimuth),
        distance * np.sin(azimuth),
        rng.uniform(-2, 6, count),
        rng.uniform(0, 255, count),
        np.zeros(count),
    )
    return np.stack(columns, axis=1).astype(np.float32)


# ----------------------------------------------------------------------------------------- deskew
@pytest.mark.parametrize('span', [(0.0, 0.1), (-0.1, 0.0), (-0.05, 0.05), (0.02, 0.2)])
def test_every_point_is_where_a_float64_loop_over_points_puts_it(span):
    points = cloud(4000)
    seconds = np.random.default_rng(1).uniform(*span, len(points)).astype(np.float32)
    moved, note = points_in_ego(points, seconds, T0, EGO_FROM_LIDAR, bend)
    assert note == '' and moved.dtype == np.float32 and moved.shape == points.shape
    for point, second, got in zip(points.astype(float), seconds.tolist(), moved, strict=True):
        pose = on_a_bend(0) if second == 0 else inverse_rigid(on_a_bend(0)) @ on_a_bend(second)
        expected = pose @ EGO_FROM_LIDAR @ [*point[:3], 1]
        assert np.abs(got[:3] - expected[:3]).max() < 1e-3
    assert np.array_equal(moved[:, 3:], points[:, 3:])


def test_points_are_deskewed_with_odometry_that_lies_between_them():
    ego = EgoMotion('base_link', '', TfTree('base_link'))
    for k in range(-10, 20):
        pose = on_a_bend(k * 0.01)
        message = odometry(T0 + k * 10 * MS, pose[0, 3], TURN * k * 0.01)
        message.pose.pose.position.y = pose[1, 3]
        ego.update_odometry(message, T0 + 10**12)
    points = cloud(2000)
    seconds = np.linspace(-0.05, 0.1, len(points), dtype=np.float32)
    moved, note = points_in_ego(points, seconds, T0, EGO_FROM_LIDAR, ego.motion)
    exact, _ = points_in_ego(points, seconds, T0, EGO_FROM_LIDAR, bend)
    assert note == '' and np.abs(moved - exact).max() < 1e-3
    still, _ = points_in_ego(points, None, T0, EGO_FROM_LIDAR, ego.motion)
    assert np.abs(moved - still).max() > 5, 'without it far points are metres away'


def test_the_result_is_the_same_bit_for_bit_and_the_input_is_left_alone():
    points = cloud(20_000)
    seconds = np.random.default_rng(2).uniform(0, 0.1, len(points)).astype(np.float32)
    before = points.copy()
    first, _ = points_in_ego(points, seconds, T0, EGO_FROM_LIDAR, bend)
    assert np.array_equal(points, before)
    # A part of the cloud alone gives the same bits: no result depends on how work is divided.
    part, _ = points_in_ego(points[::7], seconds[::7], T0, EGO_FROM_LIDAR, unknown)
    whole, _ = points_in_ego(points, seconds, T0, EGO_FROM_LIDAR, unknown)
    assert np.array_equal(part, whole[::7])
    assert np.array_equal(first, points_in_ego(points, seconds, T0, EGO_FROM_LIDAR, bend)[0])


@pytest.mark.parametrize(
    'seconds,motion,note',
    [
        (None, bend, 'no per-point time'),
        (np.linspace(0, 0.05, 500), unknown, 'no ego motion over 50 ms'),
        (np.linspace(-0.1, 0.05, 500), unknown, 'no ego motion over 100 ms'),
        (
            np.linspace(0, 1e6, 500),
            bend,
            'per-point time from +0.000 s to +1000000.000 s: not used',
        ),
        (np.full(500, np.nan), bend, 'per-point time from +nan s to +nan s: not used'),
        (np.linspace(0, 0.0009, 500), unknown, ''),
        (np.zeros(500), bend, ''),
    ],
)
def test_what_cannot_be_deskewed_stays_as_it_was_measured_and_is_said(seconds, motion, note):
    points = cloud(500)
    seconds = None if seconds is None else seconds.astype(np.float32)
    moved, said = points_in_ego(points, seconds, T0, EGO_FROM_LIDAR, motion)
    assert said == note
    expected = transform_points(EGO_FROM_LIDAR, points[:, :3].astype(float))
    assert np.abs(moved[:, :3] - expected).max() < 5e-5
    assert np.array_equal(moved[:, 3:], points[:, 3:])


def test_points_that_all_have_one_time_are_moved_by_that_time():
    points = cloud(100)
    moved, note = points_in_ego(points, np.full(100, 0.05, np.float32), T0, EGO_FROM_LIDAR, bend)
    expected = transform_points(on_a_bend(0.05) @ EGO_FROM_LIDAR, points[:, :3].astype(float))
    assert note == '' and np.abs(moved[:, :3] - expected).max() < 1e-3


def test_a_cloud_without_points_is_a_cloud_without_points():
    for seconds in (None, np.zeros(0, np.float32)):
        moved, _ = points_in_ego(np.zeros((0, 5), np.float32), seconds, T0, np.eye(4), bend)
        assert moved.shape == (0, 5)


# ----------------------------------------------------------------------------------- many sweeps
def test_older_sweeps_lie_where_the_vehicle_is_now_with_their_time_lag_newest_first():
    landmark = np.array([30.0, -12.0, 1.0])
    history = SweepHistory(4)
    for k in range(6):
        seen = transform_points(inverse_rigid(on_a_bend(k * 0.05)), landmark)
        history.add(T0 + k * 50 * MS, np.array([[*seen, k, 0]], np.float32))
    merged, note = history.merged(T0 + 250 * MS, bend)
    assert note == '' and merged.dtype == np.float32
    assert merged[:, 3].tolist() == [5, 4, 3, 2]
    assert np.allclose(merged[:, 4], [0, 0.05, 0.1, 0.15])
    assert np.abs(merged[:, :3] - merged[0, :3]).max() < 1e-4
    ahead, _ = history.merged(T0 + 300 * MS, bend)  # a sample that another sensor began
    assert np.allclose(ahead[:, 4], [0.05, 0.1, 0.15, 0.2])
    expected = transform_points(inverse_rigid(on_a_bend(0.3)), landmark)
    assert np.abs(ahead[:, :3] - expected).max() < 1e-4


def test_one_sweep_alone_is_handed_out_as_it_is():
    history = SweepHistory(1)
    for k in range(3):
        points = cloud(10, k)
        history.add(T0 + k * 50 * MS, points)
        merged, note = history.merged(T0 + k * 50 * MS, unknown)
        assert merged is points and note == ''


def test_sweeps_without_a_known_motion_are_left_out_and_said():
    def since(target_ns: int, source_ns: int) -> np.ndarray | None:
        return None if min(target_ns, source_ns) < T0 + 120 * MS else np.eye(4)

    history = SweepHistory(10)
    assert history.merged(T0, bend)[1] == '10 of 10 sweeps missing'
    for k in range(6):
        history.add(T0 + k * 50 * MS, np.full((2, 5), k, np.float32))
    merged, note = history.merged(T0 + 250 * MS, since)
    assert merged[:, 3].tolist() == [5, 5, 4, 4, 3, 3]
    assert note == '3 of 10 sweeps left out: no ego motion; 4 of 10 sweeps missing'
    merged, note = history.merged(T0 + 290 * MS, unknown)
    assert merged[:, 0].tolist() == [5, 5] and note.startswith('no ego motion over -40 ms; 5 of')


def test_sweeps_that_are_too_old_or_of_another_time_are_forgotten():
    history = SweepHistory(3)
    for ns in (T0, T0 + 1400 * MS, T0 + 1600 * MS):
        history.add(ns, np.zeros((1, 5), np.float32))
    merged, note = history.merged(T0 + 1600 * MS, bend)
    assert len(merged) == 2 and note == '1 of 3 sweeps missing'
    history.add(T0 + 1500 * MS, np.zeros((1, 5), np.float32))  # the clock went back
    assert len(history.merged(T0 + 1500 * MS, bend)[0]) == 2
    history.clear()
    assert history.merged(T0 + 1500 * MS, bend)[0].shape == (0, 5)


# -------------------------------------------------------------------- a real pair of sweeps
class RealPair:
    """Two sweeps of Argoverse 2, 0.1 s apart; published without the motion during a sweep."""

    def __init__(self, folder) -> None:
        self.sweeps = [np.load(path) for path in sorted(folder.glob('av2_*.npz'))]
        self.stamps = [int(sweep['stamp_ns']) for sweep in self.sweeps]
        self.poses = [self._pose(sweep) for sweep in self.sweeps]
        # The published poses, and as a driver would go on, one more before and after them.
        self.motion = EgoMotion('base_link', '', TfTree('base_link'))
        for share in (-1, 0, 1, 2):
            self.motion.update_odometry(self._message(share), 10**19)

    @staticmethod
    def _pose(sweep) -> np.ndarray:
        w, x, y, z, *offset = sweep['city_from_ego_wxyz_xyz']
        return rigid_transform(Rotation.from_quat([x, y, z, w]).as_matrix(), offset)

    def pose(self, share) -> tuple[Rotation, np.ndarray]:
        """The pose at shares of the time between the sweeps; beyond them by going on."""
        first, second = (Rotation.from_matrix(pose[:3, :3]) for pose in self.poses)
        step = np.multiply.outer(share, (first.inv() * second).as_rotvec())
        begin, end = (pose[:3, 3] for pose in self.poses)
        return first * Rotation.from_rotvec(step), begin + np.multiply.outer(share, end - begin)

    def _message(self, share: float):
        turn, offset = self.pose(share)
        message = odometry(round(self.stamps[0] + share * (self.stamps[1] - self.stamps[0])), 0)
        position, orientation = message.pose.pose.position, message.pose.pose.orientation
        position.x, position.y, position.z = offset
        orientation.x, orientation.y, orientation.z, orientation.w = turn.as_quat()
        return message

    def published(self, k: int) -> np.ndarray:
        """(P, 3) float64 in the ego frame at the stamp of sweep `k`."""
        sweep = self.sweeps[k]
        return transform_points(sweep['ego_from_lidar'], sweep['points'][:, :3].astype(float))

    def measured(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(P, 5) points as the LiDAR saw them while the vehicle moved on, and their times."""
        sweep = self.sweeps[k]
        seconds = sweep['offset'] / 1e9
        share = k + seconds / ((self.stamps[1] - self.stamps[0]) / 1e9)
        turn, offset = self.pose(share)
        in_city = transform_points(self.poses[k], self.published(k))
        then = turn.inv().apply(in_city - offset)
        points = transform_points(inverse_rigid(sweep['ego_from_lidar']), then)
        rest = np.stack([sweep['points'][:, 3], np.zeros(len(points))], axis=1)
        return np.hstack([points, rest]).astype(np.float32), seconds.astype(np.float32)

    def static(self, points: np.ndarray, k: int) -> np.ndarray:
        """(P,) bool: 3 to 60 m away and in no labelled box."""
        distance = np.linalg.norm(points[:, :2], axis=1)
        static = (distance > 3) & (distance < 60)
        for box in self.sweeps[k]['boxes']:
            wide = np.concatenate([box[:3], box[3:6] + 0.6, box[6:]])
            static &= ~points_in_box(points, wide)
        return static


@pytest.fixture(scope='module')
def pair(shared_data) -> RealPair:
    folder = shared_data / 'real_lidar'
    if not folder.is_dir():
        pytest.skip(f'no real sweeps at {folder}')
    return RealPair(folder)


def nearest(pair: RealPair, deskew: bool, motion) -> float:
    """Median metres from a static point of the older sweep to the nearest one of the newer."""
    history = SweepHistory(2)
    for k, stamp in enumerate(pair.stamps):
        points, seconds = pair.measured(k)
        pose = pair.sweeps[k]['ego_from_lidar']
        moved, note = points_in_ego(
            points, seconds, stamp, pose, pair.motion.motion if deskew else unknown
        )
        assert (note == '') == deskew
        history.add(stamp, moved[pair.static(pair.published(k), k)])
    merged, note = history.merged(pair.stamps[1], motion)
    assert note == ''
    newer, older = (merged[(merged[:, 4] > 0.05) == late, :3] for late in (False, True))
    return float(np.median(cKDTree(newer).query(older)[0]))


def test_real_static_points_of_two_sweeps_lie_on_each_other(pair):
    together = nearest(pair, True, pair.motion.motion)
    assert together < 0.05
    assert nearest(pair, True, lambda target, source: np.eye(4)) > 1.5 * together


def test_real_sweeps_are_deskewed_to_what_their_publisher_made_of_them(pair):
    for k, stamp in enumerate(pair.stamps):
        points, seconds = pair.measured(k)
        pose = pair.sweeps[k]['ego_from_lidar']
        moved, note = points_in_ego(points, seconds, stamp, pose, pair.motion.motion)
        still, _ = points_in_ego(points, None, stamp, pose, pair.motion.motion)
        truth = pair.published(k)
        near = np.linalg.norm(truth, axis=1) < 100
        assert note == '' and np.abs(moved[near, :3] - truth[near]).max() < 1e-3
        assert np.abs(still[near, :3] - truth[near]).max() > 0.3
