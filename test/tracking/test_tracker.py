"""Identity, velocity, class and state of tracks. Invariant "Identity is kept"."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from support.tracked_worlds import (
    BICYCLE,
    CAR,
    PERSON,
    TRUCK,
    boxes,
    follow,
    found,
    from_vehicle,
    ids,
    ns,
    pose,
    tracker,
)

from metabev_ros.config import TrackingConfig
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import transform_points
from metabev_ros.structures import DETECTION_CLASSES, Modality
from metabev_ros.tracking import Tracker
from metabev_ros.tracking.bank import TAIL
from metabev_ros.tracks import TrackState


def test_an_object_of_constant_velocity_keeps_its_identity_and_its_velocity_is_found():
    def path(t):
        return found(boxes((5 + 8 * t, -3 + 2 * t)))  # the network says that it stands

    (track,) = follow(tracker(), path, 3.0).tracks
    assert (track.id, track.state, track.hits) == (1, TrackState.CONFIRMED, 30)
    assert track.box[:2] == pytest.approx([5 + 8 * 2.9, -3 + 2 * 2.9], abs=0.05)
    assert track.box[7:9] == pytest.approx([8, 2], abs=0.1)
    assert track.age_s == pytest.approx(2.9) and track.unseen_s == 0


def test_the_velocity_is_over_ground_when_the_vehicle_drives_and_turns():
    following = tracker()
    for step in range(40):
        t = step * 0.1
        poses = pose(12 * t, 0.4 * t * t, 0.2 * t)
        seen = from_vehicle(boxes((20 + 6 * t, 4.0), (15.0, -5.0)), poses)
        told = following.look(ns(t), found(seen), Modality.LIDAR, poses)
    assert ids(told) == [1, 2]
    yaw = 0.2 * t
    moving, parked = (track.box for track in told.tracks)
    assert moving[7:9] == pytest.approx([6 * np.cos(yaw), -6 * np.sin(yaw)], abs=0.15)
    assert parked[7:9] == pytest.approx([0, 0], abs=0.05)
    assert moving[:7] == pytest.approx(seen[0, :7], abs=0.1)


def test_without_taking_out_the_vehicles_motion_the_same_drive_would_be_wrong():
    """The one above holds because of the poses, not in spite of them."""
    following = tracker()
    for step in range(40):
        seen = from_vehicle(boxes((15.0, -5.0)), pose(1.2 * step))
        told = following.look(ns(step * 0.1), found(seen), Modality.LIDAR, pose())
    assert told.tracks[-1].box[7] < -8


def test_two_that_cross_keep_their_identities():
    def path(t):
        return found(boxes((10 + 6 * t, -6 + 6 * t), (10 + 6 * t, 6 - 6 * t)))

    following = tracker()
    first = follow(following, path, 0.8)
    last = follow(following, path, 2.0, since=0.8)
    side = {track.id: np.sign(track.box[1]) for track in first.tracks}
    assert {track.id: -np.sign(track.box[1]) for track in last.tracks} == side


def test_an_occluded_object_comes_back_with_its_identity():
    def path(t):
        cars = boxes((8 + 5 * t, 4.0), (30.0, -8.0))
        return found(cars[1:] if 1.0 <= t < 1.7 else cars)

    following = tracker()
    follow(following, path, 1.0)
    hidden = follow(following, path, 1.7, since=1.0)
    assert ids(hidden, TrackState.COASTING) == [1] and ids(hidden, TrackState.CONFIRMED) == [2]
    assert hidden.tracks[0].box[0] == pytest.approx(8 + 5 * 1.6, abs=0.3)
    assert ids(follow(following, path, 2.2, since=1.7), TrackState.CONFIRMED) == [1, 2]


@pytest.mark.parametrize(('modality', 'limit'), [(2, 1.0), (3, 1.0), (1, 2.5)])
def test_a_track_ends_after_it_was_looked_for_in_vain(modality, limit):
    following, t = tracker(), 0.0
    follow(following, lambda t: found(boxes((10.0, 0.0))), 1.0)
    seen = 0.9
    while True:
        t += 0.1
        told = following.look(ns(seen + t), found(), Modality(modality), pose())
        if not told.tracks:
            break
        (track,) = told.tracks
        assert track.state is TrackState.COASTING and track.unseen_s == pytest.approx(t)
        assert track.score == pytest.approx(0.8 * (1 - t / limit), abs=1e-6)
    assert t == pytest.approx(limit)


def test_a_track_is_believed_after_three_detections_and_a_lone_one_is_soon_gone():
    following = tracker()
    states = [
        following.look(ns(t), found(boxes((10.0, 0.0))), Modality.LIDAR, pose()).tracks[0].state
        for t in (0.0, 0.1, 0.2)
    ]
    assert states == [TrackState.TENTATIVE, TrackState.TENTATIVE, TrackState.CONFIRMED]
    following.look(ns(0.3), found(boxes((10.0, 0.0), (20.0, 0.0))), Modality.LIDAR, pose())
    gone = follow(following, lambda t: found(boxes((10.0, 0.0))), 0.8, since=0.4)
    again = following.look(ns(0.8), found(boxes((10.0, 0.0), (20.0, 0.0))), Modality.LIDAR, pose())
    assert ids(gone) == [1] and ids(again) == [1, 3]


def test_identities_live_through_the_death_and_the_return_of_the_lidar():
    """Cameras err by metres along the ray, and see only every second object."""
    rng = np.random.default_rng(3)
    places = np.array([(12 + 6 * k, 7.0 * (-1) ** k) for k in range(6)], float)
    following = tracker()
    for step in range(60):
        t = step * 0.1
        is_dead = 2.0 <= t < 4.0
        now = places + [3.0 * t, 0.0]
        if is_dead:
            reach = np.linalg.norm(now, axis=1, keepdims=True)
            now = now * (1 + 0.05 * rng.standard_normal(reach.shape))
            now = now[rng.random(len(now)) < 0.5]
        cars = found(boxes(*map(tuple, now)))
        modality = Modality.CAMERA if is_dead else Modality.LIDAR
        told = following.look(ns(t), cars, modality, pose())
        if step == 19:
            before = ids(told)
        if step == 39:
            widest = max(track.covariance[0, 0] for track in told.tracks)
    assert ids(told, TrackState.CONFIRMED)[:6] == before == [1, 2, 3, 4, 5, 6]
    assert widest > 4 * max(track.covariance[0, 0] for track in told.tracks[:6])


def test_a_box_of_cameras_moves_a_track_less_along_the_ray_than_one_of_a_lidar():
    def step(modality):
        following = tracker()
        follow(following, lambda t: found(boxes((30.0, 0.0))), 1.0)
        (track,) = following.look(ns(1.0), found(boxes((31.0, 0.0))), modality, pose()).tracks
        return track.box[0] - 30

    assert 0 < step(Modality.CAMERA) < step(Modality.LIDAR) / 3


def test_a_class_is_what_most_of_the_scores_voted_for():
    following = tracker()
    kinds = [TRUCK, CAR, CAR, TRUCK, CAR]
    for step, kind in enumerate(kinds):
        told = following.look(
            ns(step * 0.1), found(boxes((10.0, 0.0)), labels=[kind]), Modality.LIDAR, pose()
        )
    (track,) = told.tracks
    assert (track.id, track.label, track.share) == (1, CAR, pytest.approx(0.6))


def test_a_pedestrian_never_becomes_a_car():
    following = tracker()
    person = boxes((10.0, 0.0), label=PERSON)
    follow(following, lambda t: found(person, labels=[PERSON]), 0.5)
    told = following.look(ns(0.5), found(boxes((10.0, 0.0))), Modality.LIDAR, pose())
    assert [(track.id, track.label) for track in told.tracks] == [(1, PERSON), (2, CAR)]


def test_a_second_box_of_one_object_begins_no_second_track_but_a_neighbour_does():
    twice = found(
        boxes((10.0, 0.0)), boxes((10.4, 0.1)), boxes((10.0, 2.3)), labels=[CAR, TRUCK, CAR]
    )
    told = follow(tracker(), lambda t: twice, 0.5)
    assert [track.box[1] for track in told.tracks] == pytest.approx([0.0, 2.3], abs=0.1)


def test_a_weak_detection_goes_on_with_a_track_but_begins_none():
    following = tracker()
    follow(following, lambda t: found(boxes((10.0, 0.0))), 0.5)
    weak = found(boxes((10.0, 0.0), (20.0, 0.0)), scores=[0.15, 0.15])
    told = following.look(ns(0.5), weak, Modality.LIDAR, pose())
    assert ids(told) == [1] and told.tracks[0].hits == 6
    passed_over = found(boxes((10.0, 0.0)), scores=[0.05])
    told = following.look(ns(0.6), passed_over, Modality.LIDAR, pose())
    assert told.tracks[0].state is TrackState.COASTING


def test_a_heading_that_flips_is_turned_back_and_a_wrong_first_one_is_outvoted():
    following = tracker()
    yaws = [np.pi - 0.1, 0.0, 0.05, -0.05, np.pi, 0.0, 0.0, -0.03]
    for step, yaw in enumerate(yaws):
        told = following.look(
            ns(step * 0.1), found(boxes((10.0, 0.0), yaw=yaw)), Modality.LIDAR, pose()
        )
        if step == 0:
            assert told.tracks[0].box[6] == pytest.approx(np.pi - 0.1, abs=1e-6)
    assert told.tracks[0].box[6] == pytest.approx(0.0, abs=0.1)


def test_the_size_is_the_mean_of_what_was_seen():
    following = tracker()
    rng = np.random.default_rng(0)
    for step in range(40):
        box = boxes((10.0, 0.0))
        box[:, 3] += rng.normal(0, 0.5)
        told = following.look(ns(step * 0.1), found(box), Modality.LIDAR, pose())
    assert told.tracks[0].box[3:6] == pytest.approx([4.5, 1.9, 1.6], abs=0.25)


# --------------------------------------------------------------------------- time and the motion
@pytest.mark.parametrize(('stamp', 'epoch'), [(ns(0.05), 0), (ns(0.05), 1), (ns(9.0), 1)])
def test_a_clock_that_begins_anew_begins_new_tracks_with_new_identities(stamp, epoch):
    following = tracker()
    follow(following, lambda t: found(boxes((10.0, 0.0))), 1.0)
    told = following.look(stamp, found(boxes((10.0, 0.0))), Modality.LIDAR, pose(), epoch)
    assert [(track.id, track.hits) for track in told.tracks] == [(2, 1)]
    assert told.tracks[0].state is TrackState.TENTATIVE


def test_the_same_stamp_again_changes_nothing():
    following = tracker()
    first = follow(following, lambda t: found(boxes((10.0, 0.0))), 0.5)
    assert following.look(first.stamp_ns, found(), Modality.LIDAR, pose()) is first
    told = following.look(ns(0.5), found(boxes((10.0, 0.0))), Modality.LIDAR, pose())
    assert told.tracks[0].hits == 6


def test_where_the_motion_is_not_known_nothing_is_followed_and_identities_wait():
    following = tracker()
    follow(following, lambda t: found(boxes((10.0, 0.0))), 0.5)
    told = following.look(ns(0.5), found(boxes((9.0, 0.0))), Modality.LIDAR, {})
    assert not told.is_motion_known and not told.tracks
    known = pose(2.0)
    told = following.look(ns(0.6), found(boxes((8.0, 0.0))), Modality.LIDAR, known)
    assert told.is_motion_known and ids(told, TrackState.CONFIRMED) == [1]


def test_behind_a_jump_of_the_odometry_tracks_begin_anew_and_the_array_says_so():
    following = tracker()
    follow(following, lambda t: found(boxes((10.0, 0.0))), 0.5)
    elsewhere = pose(500.0, frame='odometry 1')
    told = following.look(ns(0.5), found(boxes((10.0, 0.0))), Modality.LIDAR, elsewhere)
    assert not told.is_motion_known and ids(told) == [2]
    told = following.look(ns(0.6), found(boxes((10.0, 0.0))), Modality.LIDAR, elsewhere)
    assert told.is_motion_known and ids(told) == [2]


def test_a_second_source_carries_the_tracks_over_a_jump_of_the_first():
    following = tracker()
    both = pose() | pose(frame='tf (0,)')
    follow(following, lambda t: found(boxes((10.0, 0.0))), 0.5, poses=both)
    other = pose(500.0, frame='odometry 1') | pose(1.0, frame='tf (0,)')
    told = following.look(ns(0.5), found(boxes((9.0, 0.0))), Modality.LIDAR, other)
    assert ids(told, TrackState.CONFIRMED) == [1]


def test_a_long_time_without_any_sample_ends_all_tracks():
    following = tracker()
    follow(following, lambda t: found(boxes((10.0, 0.0))), 1.0)
    told = following.look(ns(4.0), found(boxes((10.0, 0.0))), Modality.LIDAR, pose())
    assert ids(told) == [2]


def test_identities_are_never_used_again_by_another_tracker_of_the_same_process():
    numbers = count(1)
    made = [Tracker(TrackingConfig(), DETECTION_CLASSES, numbers) for _ in range(2)]
    seen = [
        ids(follow(one, lambda t: found(boxes((10.0, 0.0), (20.0, 0.0))), 0.3)) for one in made
    ]
    assert seen == [[1, 2], [3, 4]]


def test_an_output_that_was_made_from_nothing_is_refused():
    with pytest.raises(ConfigError, match='NONE'):
        tracker().look(ns(0), found(), Modality.NONE, pose())


def test_classes_of_another_model_are_groups_of_their_own():
    following = Tracker(TrackingConfig(), ('sheep', 'cow'))
    for step in range(4):
        seen = found(boxes((10.0, 0.0), (10.1, 0.0)), labels=[0, 1])
        told = following.look(ns(step * 0.1), seen, Modality.LIDAR, pose())
    assert [track.label for track in told.tracks] == [0, 1]


# --------------------------------------------------------------------------------- robustness
def test_whatever_comes_tracks_are_possible_and_the_same_again():
    """A thousand random samples: crowds, nothing, jumps of time, of the vehicle and of boxes."""

    def run(seed):
        rng = np.random.default_rng(seed)
        following, now, epoch, highest, told = tracker(), 0.0, 0, 0, []
        for _ in range(250):
            now += rng.choice([0.05, 0.1, 0.5, 3.0, 0.0, -1.0], p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05])
            epoch += rng.random() < 0.02
            number = int(rng.choice([0, 1, 5, 80]))
            made = np.zeros((number, 9), np.float32)
            made[:, :3] = rng.normal(0, rng.choice([1.0, 30.0, 1e6]), (number, 3))
            made[:, 3:6] = rng.uniform(0.01, 20, (number, 3))
            made[:, 6] = rng.uniform(-np.pi, np.pi, number)
            made[:, 7:9] = rng.normal(0, rng.choice([1.0, 100.0]), (number, 2))
            scores = np.sort(rng.uniform(0, 1, number))[::-1]
            kinds = rng.integers(0, len(DETECTION_CLASSES), number)
            place = pose(*rng.normal(0, 50, 2), rng.uniform(-3, 3), f'tf {rng.integers(0, 2)}')
            poses = {} if rng.random() < 0.1 else place
            seen = found(made, labels=kinds, scores=scores) if number else found()
            objects = following.look(
                ns(now), seen, Modality(int(rng.integers(1, 4))), poses, epoch
            )
            for later in (0.1, 0.4):
                following.coast(ns(now + later), poses, epoch)
            for track in objects.tracks:
                assert np.isfinite(track.box).all() and (track.box[3:6] > 0).all()
                assert (np.linalg.eigvalsh(track.covariance) > 0).all()
                assert 0 <= track.score <= 1 and 0 < track.share <= 1
                assert -np.pi <= track.box[6] < np.pi
            new = [track.id for track in objects.tracks if track.hits == 1]
            assert all(number > highest for number in new) or not new or objects in told
            highest = max([highest, *new])
            told.append(objects)
        return [(track.id, track.box.tobytes()) for objects in told for track in objects.tracks]

    for seed in range(4):
        assert run(seed) == run(seed)


def test_a_box_that_no_sensor_can_see_begins_no_track():
    far = boxes((10.0, 0.0), (3e38, -3e38), (0.0, 20_000.0))
    assert len(follow(tracker(), lambda t: found(far), 0.5).tracks) == 1


def test_a_crowd_is_bounded():
    rng = np.random.default_rng(0)
    following = tracker()
    for step in range(4):
        crowd = boxes(*map(tuple, rng.uniform(-500, 500, (2000, 2))), label=BICYCLE)
        told = following.look(
            ns(step * 0.1), found(crowd, labels=[BICYCLE] * 2000), Modality.LIDAR, pose()
        )
    assert 400 <= len(following._state.bank) <= 500 and len(told.tracks) <= 500


def test_a_tail_is_where_the_object_was_seen_from_where_the_vehicle_is_now():
    following = tracker()
    for step in range(80):
        t = step * 0.1
        poses = pose(12 * t, 0.0, 0.05 * t)
        told = following.look(
            ns(t), found(from_vehicle(boxes((20 + 6 * t, 4.0)), poses)), Modality.LIDAR, poses
        )
    (track,) = told.tracks
    assert track.first_ns == ns(0) and len(track.tail) == TAIL
    (rest_from_ego,) = poses.values()
    in_rest = transform_points(rest_from_ego, track.tail)
    assert in_rest[:, 1] == pytest.approx(4.0, abs=0.05)
    assert np.diff(in_rest[:, 0]) == pytest.approx(6 * 0.2, abs=0.1)  # a place every 0.2 s
    assert 0 <= 20 + 6 * t - in_rest[-1, 0] <= 6 * 0.2 + 0.1


def test_a_tail_stays_where_it_was_while_its_track_coasts_and_in_a_heartbeat():
    following = tracker()
    told = follow(following, lambda t: found(boxes((10 + 5 * t, 2.0))), 1.0)
    beat = following.coast(ns(1.5), pose(), 0)
    assert np.array_equal(beat.tracks[0].tail, told.tracks[0].tail)
    assert beat.tracks[0].box[0] > told.tracks[0].box[0] + 2
    later = following.look(ns(1.6), found(), Modality.LIDAR, pose())
    assert later.tracks[0].state is TrackState.COASTING
    assert np.array_equal(later.tracks[0].tail[:-1], told.tracks[0].tail)
