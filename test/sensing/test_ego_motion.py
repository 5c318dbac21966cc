"""The vehicle's own motion from odometry and TF: exact, and never across what cannot be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.fake_drive import MS, T0, odometry, tf_message, transform

from metabev_ros.errors import SensorDataError
from metabev_ros.geometry import inverse_rigid, rigid_transform, rotation_z, shared_motion
from metabev_ros.sensing.ego_motion import EgoMotion
from metabev_ros.sensing.tf_tree import TfTree

NAN = math.nan
SPEED = 15.0


def motion_of(frame: str = '') -> EgoMotion:
    return EgoMotion('base_link', frame, TfTree('base_link', ['cam']))


class OnTf:
    """An ego motion that is told by /tf alone, with the same messages as by odometry."""

    def __init__(self) -> None:
        self.tree = TfTree('base_link', ['cam'])
        self.motion_from_tf = EgoMotion('base_link', 'map', self.tree)
        self.motion = self.motion_from_tf.motion

    @property
    def problem(self) -> str:
        return self.motion_from_tf.problem

    def update_odometry(self, message, latest_ns: int) -> None:
        pose = message.pose.pose
        position, turn = pose.position, pose.orientation
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        xyz = position.x, position.y, position.z
        link = transform('map', 'base_link', xyz, (turn.x, turn.y, turn.z, turn.w), stamp)
        for _, error in self.tree.update(tf_message(link), False):
            raise error


@pytest.fixture(params=['odometry', 'tf'])
def ego(request) -> EgoMotion | OnTf:
    """Told by odometry, or by /tf `map -> base_link` alone."""
    return motion_of() if request.param == 'odometry' else OnTf()


def take(ego: EgoMotion | OnTf, message, latest_ns: int = T0 + 10**12) -> str:
    """The reason why a message was refused; '' where it was taken."""
    try:
        ego.update_odometry(message, latest_ns)
    except SensorDataError as error:
        return error.reason
    return ''


def drive(ego: EgoMotion | OnTf, ticks: range, start: float = 0.0, shift_ns: int = 0) -> list[str]:
    """Drive straight on at 50 Hz; the reasons of what was refused."""
    return [
        take(ego, odometry(T0 + shift_ns + k * 20 * MS, start + SPEED * k * 0.02)) for k in ticks
    ]


def driven(ego: EgoMotion | OnTf, target: float, source: float) -> float | None:
    """Metres along x between two times in seconds."""
    motion = ego.motion(T0 + round(target * 1e9), T0 + round(source * 1e9))
    return None if motion is None else motion[0, 3]


# ------------------------------------------------------------------------------------ exactness
def curve(t: float) -> np.ndarray:
    """A pose of a drive that turns and changes its speed, in float64."""
    return rigid_transform(
        rotation_z(0.6 * math.sin(0.9 * t)), (12 * t + math.sin(t), 3 * math.sin(0.7 * t), 0.1 * t)
    )


def reference(t: float, step: float) -> np.ndarray:
    """The curve between its two neighbouring messages: linear, the turn in equal parts."""
    k = math.floor(t / step)
    share = t / step - k
    first, second = curve(k * step), curve((k + 1) * step)
    yaw = [math.atan2(pose[1, 0], pose[0, 0]) for pose in (first, second)]
    offset = first[:3, 3] + share * (second[:3, 3] - first[:3, 3])
    return rigid_transform(rotation_z(yaw[0] + share * (yaw[1] - yaw[0])), offset)


@pytest.mark.parametrize('rate', [10, 50, 100, 200, 1000])
def test_motion_is_that_of_a_float64_interpolation_for_two_seconds_at_any_rate(ego, rate):
    step = 1 / rate
    for k in range(4 * rate + 1):
        pose = curve(k * step)
        yaw = math.atan2(pose[1, 0], pose[0, 0])
        message = odometry(T0 + round(k * step * 1e9), pose[0, 3], yaw)
        message.pose.pose.position.y, message.pose.pose.position.z = pose[1, 3], pose[2, 3]
        assert take(ego, message) == ''
    grid = max(step, 0.004)  # poses closer than that are thinned out
    for target, source in ((3.9017, 3.8523), (3.99, 2.0), (2.2391, 3.9713), (4.0, 3.95)):
        motion = ego.motion(T0 + round(target * 1e9), T0 + round(source * 1e9))
        expected = inverse_rigid(reference(target, step)) @ reference(source, step)
        assert np.allclose(motion, expected, atol=1e-6 if grid == step else 1e-3)


def test_motion_between_two_stamps_is_the_true_motion_and_goes_on_for_a_tenth_of_a_second(ego):
    speed, turn = 12.0, 0.4

    def pose(t: float) -> np.ndarray:
        return rigid_transform(rotation_z(turn * t), (speed * t, 0, 0))

    for k in range(20):
        assert take(ego, odometry(T0 + k * 20 * MS, speed * k * 0.02, turn * k * 0.02)) == ''
    motion = ego.motion(T0 + 311 * MS, T0 + 268 * MS)
    assert np.allclose(motion, inverse_rigid(pose(0.311)) @ pose(0.268), atol=1e-9)
    ahead = ego.motion(T0 + 450 * MS, T0 + 400 * MS)
    assert np.allclose(ahead, inverse_rigid(pose(0.45)) @ pose(0.40), atol=1e-9)
    assert ego.motion(T0 + 481 * MS, T0 + 400 * MS) is None


def test_noise_does_not_grow_when_the_motion_goes_on(ego):
    noise = np.random.default_rng(0).normal(0, 0.01, 200)
    for k in range(200):
        assert take(ego, odometry(T0 + k * 10 * MS, SPEED * k * 0.01 + noise[k])) == ''
    assert driven(ego, 1.99, 2.08) == pytest.approx(SPEED * 0.09, abs=0.06)


def test_motion_is_unknown_where_no_pose_reaches(ego):
    assert ego.motion(T0, T0) is None
    take(ego, odometry(T0, 0))
    assert ego.motion(T0, T0) is None
    take(ego, odometry(T0 + 50 * MS, 1))
    assert ego.motion(T0 + 10, T0 - 10) is None
    assert ego.motion(T0 + 200 * MS, T0) is None
    for k in range(5):
        assert take(ego, odometry(T0 + 9000 * MS + k * 20 * MS, 2)) == '', 'a hole is no error'
    assert ego.motion(T0 + 4000 * MS, T0) is None, 'a hole is not bridged'
    assert ego.motion(T0 + 9020 * MS, T0) is None
    assert ego.motion(T0 + 9020 * MS, T0 + 9000 * MS) is not None


# -------------------------------------------------------------------------------------- refusals
def test_wrong_odometry_is_refused_with_its_reason_and_the_reason_is_said_for_a_second():
    ego = motion_of()
    take(ego, odometry(T0, 0))
    assert ego.problem == ''
    foreign = odometry(T0 + 1, 0)
    foreign.child_frame_id = 'trailer'
    for message, reason in (
        (odometry(T0, 0), 'stamp'),
        (odometry(T0 + 5, NAN), 'transform'),
        (foreign, 'frame'),
        (odometry(0, 0), 'stamp'),
        (odometry(T0 + 20 * MS, 0, yaw=1.0), 'implausible'),
    ):
        assert take(ego, message) == reason
        assert ego.problem.startswith(f'odometry {reason}: ')
    drive(ego, range(1, 50))
    assert ego.problem
    drive(ego, range(50, 60))
    assert ego.problem == ''


def test_one_odometry_from_the_future_is_refused_and_costs_those_that_follow_nothing():
    ego = motion_of()
    assert take(ego, odometry(T0 + 10**18, 0)) == 'stamp'
    assert take(ego, odometry(T0, 0)) == ''
    assert take(ego, odometry(T0 + 50 * MS, 1)) == ''
    assert driven(ego, 0.0, 0.05) == pytest.approx(1)


# ------------------------------------------------------------------------------------------ jumps
def test_one_pose_after_a_jump_of_100_m_is_refused_said_and_costs_only_itself(ego):
    drive(ego, range(50))
    assert take(ego, odometry(T0 + 1000 * MS, SPEED + 100)) == 'implausible'
    assert 'implausible' in ego.problem and '100.3 m in 20 ms' in ego.problem
    assert drive(ego, range(51, 60)) == [''] * 9
    for source in np.linspace(0.93, 1.17, 49):
        assert driven(ego, 0.93, source) == pytest.approx(SPEED * (source - 0.93), abs=1e-6)


def test_behind_a_jump_motion_is_known_again_but_never_across_it(ego):
    drive(ego, range(50))
    assert drive(ego, range(50, 100), start=100) == ['implausible'] * 2 + [''] * 48
    assert driven(ego, 0.90, 0.97) == pytest.approx(SPEED * 0.07)
    assert driven(ego, 1.00, 1.90) == pytest.approx(SPEED * 0.90)
    grid = np.linspace(0.5, 1.5, 41)
    for target in grid:
        for source in grid:
            moved = driven(ego, target, source)
            assert moved is None or moved == pytest.approx(SPEED * (source - target), abs=1e-6)
            assert moved is None or (target < 1.0) == (source < 1.0)
    assert ego.problem
    drive(ego, range(100, 160), start=100)
    assert ego.problem == ''


def test_a_turn_that_no_vehicle_makes_is_a_jump_too(ego):
    assert take(ego, odometry(T0 - 20 * MS, 0.0, yaw=-0.01)) == ''
    assert take(ego, odometry(T0, 0.0, yaw=0.5)) == 'implausible'
    for k in range(20):
        assert take(ego, odometry(T0 + k * 20 * MS, 0.0, yaw=0.01 * k)) == ''
    assert take(ego, odometry(T0 + 400 * MS, 0.0, yaw=0.2 + 0.5)) == 'implausible'
    assert take(ego, odometry(T0 + 420 * MS, 0.0, yaw=0.21)) == ''
    motion = ego.motion(T0 + 380 * MS, T0 + 410 * MS)
    assert math.atan2(motion[1, 0], motion[0, 0]) == pytest.approx(0.015, abs=1e-6)


@pytest.mark.parametrize('rate,sideways', [(10, 3.0), (50, 1.0), (50, 3.0), (200, 1.0)])
def test_a_jump_that_speed_alone_allows_is_refused_where_the_motion_does_not_lead(
    ego, rate, sideways
):
    for k in range(rate):
        assert take(ego, odometry(T0 + k * 1000 * MS // rate, SPEED * k / rate)) == ''
    reasons: list[str] = []
    for k in range(rate, 2 * rate):
        message = odometry(T0 + k * 1000 * MS // rate, SPEED * k / rate)
        message.pose.pose.position.y = sideways
        reasons.append(take(ego, message))
    assert reasons == ['implausible'] * 2 + [''] * (rate - 2)
    assert ego.motion(T0 + 900 * MS, T0 + 1100 * MS) is None
    motion = ego.motion(T0 + 1500 * MS, T0 + 1100 * MS)
    assert motion is not None and np.allclose(motion[:3, 3], [-SPEED * 0.4, 0, 0])


@pytest.mark.parametrize('rate', [10, 50, 200])
def test_hard_driving_with_noise_is_plausible(ego, rate):
    rng = np.random.default_rng(rate)
    x, speed, period = 0.0, 0.0, 1 / rate
    for k in range(8 * rate):
        t = k * period
        speed = max(speed + (8.0 if t % 4 < 2 else -10.0) * period, 0.0)
        x += speed * period
        yaw = 0.4 * math.sin(2.5 * t) + rng.normal(0, 0.003)  # up to 1 rad/s, changing fast
        message = odometry(T0 + round(t * 1e9), x + rng.normal(0, 0.03), yaw)
        message.pose.pose.position.y = rng.normal(0, 0.03)
        assert take(ego, message) == '', t


def test_a_second_publisher_100_m_away_is_refused_and_the_first_one_goes_on(ego):
    drive(ego, range(3))
    for k in range(3, 100):
        assert take(ego, odometry(T0 + k * 20 * MS - 7 * MS, 100 + k)) == 'implausible'
        assert take(ego, odometry(T0 + k * 20 * MS, SPEED * k * 0.02)) == ''
    assert driven(ego, 0.1, 1.9) == pytest.approx(SPEED * 1.8)


# ----------------------------------------------------------------------------------------- stamps
@pytest.mark.parametrize('ahead', [60 * MS, 500 * MS, 10**15])
def test_one_prompt_message_does_not_make_all_that_follow_old(ego, ahead):
    assert set(drive(ego, range(50))) == {''}
    take(ego, odometry(T0 + 980 * MS + ahead, SPEED * 0.98), T0 + 10**18)
    reasons = drive(ego, range(50, 100))
    assert set(reasons[2:]) == {''}
    for source in (0.98, 1.2, 1.9):
        assert driven(ego, 0.9, source) == pytest.approx(SPEED * (source - 0.9), abs=1e-6)


def test_a_prompt_message_that_comes_first_does_not_make_all_that_follow_old(ego):
    take(ego, odometry(T0 + 10**15, 5.0), T0 + 10**18)
    drive(ego, range(10))
    assert driven(ego, 0.02, 0.18) == pytest.approx(SPEED * 0.16)


@pytest.mark.parametrize('rate', [10, 50])
@pytest.mark.parametrize('back', [100 * MS, 5 * 10**9, 10**13])
def test_odometry_that_restarts_with_older_stamps_is_used_again_within_a_second(ego, back, rate):
    period = 1000 * MS // rate
    for k in range(3 * rate):
        take(ego, odometry(T0 + k * period, SPEED * k / rate))
    begin = T0 + 3000 * MS - back
    for k in range(rate):
        take(ego, odometry(begin + k * period, SPEED * k / rate))
    motion = ego.motion(begin + 600 * MS, begin + 900 * MS)
    assert motion is not None and motion[0, 3] == pytest.approx(SPEED * 0.3)


def test_repeated_and_swapped_messages_disable_nothing(ego):
    for k in range(0, 100, 2):
        for tick in (k + 1, k + 1, k, k):
            take(ego, odometry(T0 + tick * 20 * MS, SPEED * tick * 0.02))
    assert driven(ego, 0.1, 1.9) == pytest.approx(SPEED * 1.8)


def test_a_repeated_transform_is_not_refused():
    ego = OnTf()
    drive(ego, range(10))
    assert take(ego, odometry(T0 + 180 * MS, SPEED * 0.18)) == '' and ego.problem == ''


# ------------------------------------------------------------------------------------ which source
def test_odometry_goes_before_tf_and_tf_serves_where_odometry_does_not_reach():
    ego = OnTf()
    drive(ego, range(200))
    both = ego.motion_from_tf
    for k in range(50, 100):  # half as fast, to tell them apart
        both.update_odometry(odometry(T0 + k * 20 * MS, SPEED * k * 0.01), T0 + 10**12)
    assert driven(ego, 1.2, 1.8) == pytest.approx(SPEED * 0.3)
    assert driven(ego, 0.2, 0.8) == pytest.approx(SPEED * 0.6)
    assert driven(ego, 0.8, 1.8) == pytest.approx(SPEED * 1.0)
    assert driven(ego, 3.2, 3.8) == pytest.approx(SPEED * 0.6)
    both.clear()
    assert driven(ego, 1.2, 1.8) == pytest.approx(SPEED * 0.6)


def test_without_a_resting_frame_tf_is_no_source():
    tree = TfTree('base_link')
    ego = EgoMotion('base_link', '', tree)
    for k in range(10):
        tree.update(tf_message(transform('odom', 'base_link', ns=T0 + k * 20 * MS)), False)
    assert ego.motion(T0, T0 + 20 * MS) is None


def test_tf_of_several_links_is_composed_and_a_flood_of_names_costs_nothing():
    tree = TfTree('base_link', ['cam'])
    ego = EgoMotion('base_link', 'map', tree)
    quarter = (0, 0, math.sqrt(0.5), math.sqrt(0.5))
    for k in range(100):
        ns = T0 + k * 20 * MS
        unknown = [transform('map', f'unknown{100 * k + i}', ns=ns) for i in range(100)]
        links = (
            transform('map', 'odom', (7, 0, 0), quarter, ns),
            transform('odom', 'base_link', (SPEED * k * 0.02, 0, 0), ns=ns),
        )
        assert tree.update(tf_message(*unknown, *links), False) == []
    motion = ego.motion(T0 + 311 * MS, T0 + 1268 * MS)
    assert np.allclose(motion, rigid_transform(np.eye(3), (SPEED * 0.957, 0, 0)))


def test_tf_that_gives_the_resting_frame_in_the_vehicle_is_the_same_motion():
    tree = TfTree('base_link')
    ego = EgoMotion('base_link', 'odom', tree)
    for k in range(50):
        link = transform('base_link', 'odom', (-SPEED * k * 0.02, 0, 0), ns=T0 + k * 20 * MS)
        assert tree.update(tf_message(link), False) == []
    assert ego.motion(T0 + 311 * MS, T0 + 268 * MS)[0, 3] == pytest.approx(-SPEED * 0.043)


def test_poses_of_two_stamps_share_a_frame_exactly_where_the_motion_between_them_is_known(ego):
    for k in range(20):
        assert not take(ego, odometry(T0 + 20 * k * MS, SPEED * 0.02 * k))
    source = ego if isinstance(ego, EgoMotion) else ego.motion_from_tf
    early, late = source.poses(T0 + 100 * MS), source.poses(T0 + 330 * MS)
    moved = shared_motion(late, early)
    np.testing.assert_allclose(moved, source.motion(T0 + 330 * MS, T0 + 100 * MS), atol=1e-12)
    assert moved[0, 3] == pytest.approx(-SPEED * 0.23)
    assert source.poses(T0 + 900 * MS) == {} and shared_motion({}, early) is None


def test_poses_before_and_behind_a_jump_share_no_frame(ego):
    for k in range(20):
        take(ego, odometry(T0 + 20 * k * MS, SPEED * 0.02 * k))
    for k in range(20, 40):
        take(ego, odometry(T0 + 20 * k * MS, 900 + SPEED * 0.02 * k))
    source = ego if isinstance(ego, EgoMotion) else ego.motion_from_tf
    before, behind = source.poses(T0 + 100 * MS), source.poses(T0 + 700 * MS)
    assert before and behind and shared_motion(behind, before) is None


def test_poses_that_were_kept_lead_on_when_the_track_has_forgotten_them():
    """A sample may be older than what is remembered: two seconds."""
    source = motion_of()
    first = None
    for k in range(1500):
        source.update_odometry(odometry(T0 + 10 * k * MS, SPEED * 0.01 * k), T0 + 10**12)
        first = source.poses(T0 + 50 * MS) if k == 20 else first
    now = T0 + 14_900 * MS
    assert source.motion(now, T0 + 50 * MS) is None
    assert shared_motion(source.poses(now), first)[0, 3] == pytest.approx(-SPEED * 14.85)
