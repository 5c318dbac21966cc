"""The measures behind the check of a rig, on made input whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.config import CameraConfig, PointTime, TimeUnit, Transport
from metabev_ros.geometry import inverse_rigid, rigid_transform, rotation_z, transform_points
from metabev_ros.lab.rig_check import turning
from metabev_ros.lab.rig_check.camera_checks import check_direction
from metabev_ros.lab.rig_check.edges import project, range_edges
from metabev_ros.lab.rig_check.findings import ADVICE, Kind
from metabev_ros.lab.rig_check.ground import find_ground
from metabev_ros.lab.rig_check.look import CameraLook, Placed, SweepLook, TopicLook
from metabev_ros.lab.rig_check.motion import Motion, carry
from metabev_ros.lab.rig_check.point_fields import find_intensity_scale, find_point_time
from metabev_ros.lab.rig_check.proposing import camera_root, is_named_rectified
from metabev_ros.lab.rig_check.qos import latched_problem
from metabev_ros.lab.rig_check.time_checks import check_lags, check_stamps
from metabev_ros.sensing.calibration import Intrinsics
from metabev_ros.sensing.pose_track import Pose
from metabev_ros.structures import DistortionModel

LIDAR = np.array([1.0, 0.0, 1.8])
MS = 1_000_000


def test_every_kind_has_words_and_a_remedy():
    assert set(ADVICE) == set(Kind)
    assert all(advice.title and advice.remedy for advice in ADVICE.values())
    assert len({advice.title for advice in ADVICE.values()}) == len(Kind)


# --------------------------------------------------------------------------------------- ground
def plane(roll: float, pitch: float, height: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-20, 20, (2, 4000))
    z = height - np.tan(np.deg2rad(pitch)) * x + np.tan(np.deg2rad(roll)) * y
    walls = np.c_[rng.uniform(-20, 20, 800), np.full(800, 9.0), rng.uniform(0, 4, 800)]
    return np.concatenate([np.c_[x, y, z + rng.normal(0, 0.02, 4000)], walls])


@pytest.mark.parametrize(
    ('roll', 'pitch', 'height'), [(0, 0, 0), (5, 0, 0.2), (0, -4, -0.5), (-3, 6, 1)]
)
def test_roll_pitch_and_height_of_the_ground_are_measured(roll, pitch, height):
    ground = find_ground(plane(roll, pitch, height), LIDAR)
    assert (ground.roll, ground.pitch) == pytest.approx((roll, pitch), abs=0.3)
    assert ground.height == pytest.approx(height, abs=0.05)


def test_without_level_points_there_is_no_ground():
    rng = np.random.default_rng(2)
    wall = np.c_[rng.uniform(-20, 20, 3000), np.full(3000, 9.0), rng.uniform(0, 9, 3000)]
    assert find_ground(wall, LIDAR) is None
    assert find_ground(np.zeros((10, 3)), LIDAR) is None


# --------------------------------------------------------------------------------------- motion
def test_a_standing_point_is_carried_to_where_the_vehicle_sees_it():
    """A vehicle at 10 m/s that turns: the same world point, seen 0.05 s apart."""
    twist = np.array([10.0, 0.0, 0.4])
    world = np.array([[12.0, 3.0, 1.0]])
    steps = 1000

    def pose(seconds):
        place, yaw = np.zeros(2), 0.0
        for _ in range(steps):
            place += 10.0 * seconds / steps * np.array([np.cos(yaw), np.sin(yaw)])
            yaw += 0.4 * seconds / steps
        return rigid_transform(rotation_z(yaw), [*place, 0])

    later = transform_points(inverse_rigid(pose(0.05)), world)
    assert np.abs(carry(later, 0.05, twist) - world).max() < 0.01
    assert np.abs(later - world).max() > 0.3


def test_motion_is_interpolated_and_not_invented():
    half = np.sin(0.05)
    motion = Motion(
        [
            (1000 * MS, Pose(0, 0, 0, 0, 0, 0, 1)),
            (1100 * MS, Pose(1, 0, 0, 0, 0, half, np.cos(0.05))),
            (2000 * MS, Pose(9, 0, 0, 0, 0, 0, 1)),
        ]
    )
    assert motion.rest_from_ego(1050 * MS)[0, 3] == pytest.approx(0.5)
    assert motion.twist(1050 * MS) == pytest.approx([10.0, 0.0, 1.0], abs=0.01)
    assert motion.rest_from_ego(1500 * MS) is None and motion.rest_from_ego(0) is None
    assert not Motion([]).is_known and Motion([]).twist(0) is None


def test_the_yaw_of_a_lidar_is_found_from_motion_alone():
    rng = np.random.default_rng(3)
    posts = np.c_[rng.uniform(-30, 40, 60), rng.uniform(-20, 20, 60)]
    world = np.concatenate([np.c_[posts, np.full(60, z)] for z in (0.8, 1.5, 2.2)])

    def sweeps(degrees):
        found = []
        for way in (0.0, 4.0, 8.0):
            pose = rigid_transform(np.eye(3), [way, 0, 0])
            seen = transform_points(inverse_rigid(pose), world)
            turned = (seen - LIDAR) @ rotation_z(np.deg2rad(degrees)).T + LIDAR
            found.append(turning.PlacedSweep(turned, pose))
        return found

    for degrees in (-6, 0, 4):
        turn = turning.find_turn(sweeps(degrees), LIDAR)
        assert turn.degrees == pytest.approx(-degrees, abs=1.0) and turn.pairs == 3
    standing = [turning.PlacedSweep(one.points, np.eye(4)) for one in sweeps(0)]
    assert turning.find_turn(standing, LIDAR) is None


# ---------------------------------------------------------------------------------------- edges
def test_the_near_side_of_a_jump_in_range_is_an_edge():
    azimuth = np.deg2rad(np.arange(-20, 20, 0.35))
    distance = np.where(np.abs(azimuth) < np.deg2rad(5), 6.0, 20.0)
    points = np.c_[distance * np.cos(azimuth), distance * np.sin(azimuth), 0 * azimuth]
    found = points[range_edges(points)]
    assert len(found) == 2 and np.hypot(found[:, 0], found[:, 1]) == pytest.approx(6.0)
    assert np.rad2deg(np.arctan2(found[:, 1], found[:, 0])) == pytest.approx([-5, 5], abs=0.4)


def test_points_behind_a_camera_have_no_pixel_and_others_the_right_one():
    matrix = np.array([[100.0, 0, 50], [0, 100.0, 40], [0, 0, 1]])
    points = np.array([[1.0, 0.5, 5.0], [0.0, 0.0, -5.0]])
    for lens in (
        Intrinsics(100, 80, matrix, np.zeros(0)),
        Intrinsics(100, 80, matrix, np.full(5, 1e-12)),
        Intrinsics(100, 80, matrix, np.zeros(4), DistortionModel.EQUIDISTANT),
    ):
        pixels = project(points, lens)
        assert np.isnan(pixels[1]).all()
        assert pixels[0] == pytest.approx([70, 50], abs=0.5)


# ---------------------------------------------------------------------------------- proposals
def sweep(**others) -> SweepLook:
    points = np.zeros((100, 5), np.float32)
    points[:, 3] = np.linspace(0, 1, 100)
    return SweepLook(5 * 10**9, points, 5.0, ('x', 'y', 'z'), others)


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        (np.linspace(-0.1, 0, 100).astype('<f4'), PointTime('t', TimeUnit.SECONDS)),
        (np.linspace(0, 1e8, 100).astype('<u4'), PointTime('t', TimeUnit.NANOSECONDS)),
        (np.linspace(0, 1e5, 100).astype('<u4'), PointTime('t', TimeUnit.MICROSECONDS)),
        (np.linspace(5.0, 5.1, 100), PointTime('t', TimeUnit.SECONDS, absolute=True)),
        (np.linspace(5e9, 5.1e9, 100), PointTime('t', TimeUnit.NANOSECONDS, absolute=True)),
        (np.zeros(100, '<f4'), None),
        (np.linspace(100, 200, 100), None),
    ],
)
def test_the_unit_of_a_points_time_is_found_by_what_makes_sense(values, expected):
    assert find_point_time([sweep(t=values)]) == expected
    assert find_point_time([sweep(ring=values)]) is None


def test_the_scale_of_intensities_is_found():
    bright = sweep()
    for factor, scale in ((0.0, 1.0), (1.0, 255.0), (255.0, 1.0), (60_000.0, 255 / 65535)):
        points = bright.points.copy()
        points[:, 3] *= factor
        changed = SweepLook(1, points, 5.0, (), {})
        assert find_intensity_scale([changed]) == pytest.approx(scale)


@pytest.mark.parametrize(
    ('topic', 'root', 'is_rectified'),
    [
        ('/front/image_raw', '/front', False),
        ('/front/image_raw/compressed', '/front', False),
        ('/front/image_rect_color', '/front', True),
        ('/CAM_FRONT/image_rect_compressed', '/CAM_FRONT', True),
        ('/rig/left_camera/image', '/rig/left_camera', False),
        ('/direct/image_color', '/direct', False),
    ],
)
def test_the_namespace_of_a_camera_is_read_from_its_topic(topic, root, is_rectified):
    assert camera_root(topic) == root and is_named_rectified(topic) is is_rectified


# -------------------------------------------------------------------------------------- checks
def look_of(stamps_ms, logs_ms=None) -> TopicLook:
    logs = stamps_ms if logs_ms is None else logs_ms
    return TopicLook(
        '/a', 'b', logs=[log * MS for log in logs], stamps=[stamp * MS for stamp in stamps_ms]
    )


def kinds(findings) -> list[Kind]:
    return [finding.kind for finding in findings]


def test_stamps_are_judged_by_their_steps():
    steady = list(range(1000, 3000, 100))
    assert kinds(check_stamps(look_of(steady), 'a')) == []
    assert kinds(check_stamps(look_of([0, *steady]), 'a')) == [Kind.STAMP_ZERO]
    assert kinds(check_stamps(look_of(steady, range(1000, 9000, 400)), 'a')) == []
    jumped = [*steady[:10], *(stamp + 700 for stamp in steady[10:])]
    assert kinds(check_stamps(look_of(jumped, steady), 'a')) == [Kind.STAMP_JUMP]


def test_the_one_whose_lag_differs_is_named_and_of_two_the_one_farther_from_none():
    base = list(range(1000, 2000, 100))
    prompt, late = look_of(base, [t + 20 for t in base]), look_of(base, [t + 400 for t in base])
    ahead = look_of(base, [t - 300 for t in base])
    for bad, offset in ((late, '0.380'), (ahead, '-0.320')):
        (finding,) = check_lags({'good': prompt, 'bad': bad}, [])
        assert finding.sensor == 'bad' and f'time_offset {offset}' in finding.got
    assert not list(check_lags({'a': late}, [])) and not list(check_lags({'a': late}, [late]))


@pytest.mark.parametrize(
    ('name', 'yaw', 'is_wrong'),
    [
        ('cam_front', 10.0, False),
        ('cam_front', 120.0, True),
        ('cam_front_left', 55.0, False),
        ('cam_front_left', -55.0, True),
        ('cam_back_left', 110.0, False),
        ('rear', 180.0, False),
        ('left', 0.0, False),  # of a pair of stereo cameras
        ('left', -90.0, True),
        ('cam_3', 77.0, False),
    ],
)
def test_a_direction_in_a_name_is_held_against_the_pose(name, yaw, is_wrong):
    camera = CameraConfig(name, f'{name}/image', name, Transport.RAW, True, f'{name}/info')
    body_from_optical = np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]])
    pose = rigid_transform(rotation_z(np.deg2rad(yaw)) @ body_from_optical, (0, 0, 1))
    assert bool(list(check_direction(camera, Placed(pose)))) is is_wrong


def test_the_numbers_and_the_names_of_qos_are_both_read():
    def problem(text):
        return latched_problem(TopicLook('/tf_static', 'x', text))

    assert problem('- reliability: 1\n  durability: 1\n') == ''
    assert problem('- reliability: reliable\n  durability: transient_local\n') == ''
    assert problem('- reliability: reliable\n  durability: volatile\n') == 'volatile'
    assert problem('- reliability: 2\n  durability: 2\n') == 'best effort and volatile'
    # One publisher of two is heard.
    both = '- {reliability: 2, durability: 2}\n- {reliability: 1, durability: 1}\n'
    assert problem(both) == ''
    for text in ('', '][', '7', '- 3', 'a: b'):
        assert problem(text) == ''
    assert latched_problem(None) == ''


def test_a_rate_is_that_of_the_middle_step_and_unknown_of_two_frames():
    assert look_of([1000, 1100, 1200, 1300, 2300]).rate_hz == pytest.approx(10.0)
    assert look_of([0, 0, 0, 0], [1000, 1050, 1100, 1150]).rate_hz == pytest.approx(20.0)
    assert look_of([1000, 1100]).rate_hz == 0.0
    assert not CameraLook('/a', 'b').is_readable
