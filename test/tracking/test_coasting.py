"""What the heartbeat says of tracks while nothing can be looked at."""

from __future__ import annotations

import numpy as np
import pytest
from support.tracked_worlds import CAR, boxes, follow, found, ids, ns, pose, tracker

from metabev_ros.structures import Modality
from metabev_ros.tracks import TrackState


def moving(t):
    return found(boxes((10 + 5 * t, 2.0)))


def test_believed_tracks_coast_until_their_stated_expiry_and_an_empty_array_says_the_end():
    following = tracker(coast_blind=2.0)
    last = follow(following, moving, 1.0)
    told = [following.coast(ns(0.9 + k * 0.1), pose(), 0) for k in range(1, 30)]
    alive = [objects for objects in told if objects is not None]
    assert len(alive) == 20 and [len(objects.tracks) for objects in alive] == [1] * 19 + [0]
    for k, objects in enumerate(alive[:-1], 1):
        (track,) = objects.tracks
        assert objects.is_heartbeat and objects.modality is Modality.NONE
        assert (track.id, track.state, track.label) == (1, TrackState.COASTING, CAR)
        assert track.unseen_s == pytest.approx(k * 0.1)
        assert track.seen_modality is Modality.LIDAR
        assert track.box[0] == pytest.approx(10 + 5 * (0.9 + k * 0.1), abs=0.2)
        assert track.score == pytest.approx(last.tracks[0].score * (1 - k * 0.1 / 2), abs=1e-6)


def test_the_covariance_grows_with_the_time_that_nothing_was_seen():
    following = tracker()
    seen = follow(following, moving, 1.0)
    spreads = [np.linalg.eigvalsh(seen.tracks[0].covariance[:2, :2])[0]]
    for k in range(1, 19):
        (track,) = following.coast(ns(0.9 + k * 0.1), pose(), 0).tracks
        spreads.append(np.linalg.eigvalsh(track.covariance[:2, :2])[0])
    assert (np.diff(spreads) > 0).all() and spreads[-1] > 50 * spreads[0]


def test_coasting_changes_no_track():
    plain, asked = tracker(), tracker()
    for following in (plain, asked):
        follow(following, moving, 1.0)
    for k in range(10):
        asked.coast(ns(0.95 + k * 0.05), pose(), 0)
    one, other = (follow(each, moving, 2.0, since=1.5) for each in (plain, asked))
    assert ids(one) == ids(other) == [1]
    assert np.array_equal(one.tracks[0].box, other.tracks[0].box)
    assert np.array_equal(one.tracks[0].covariance, other.tracks[0].covariance)


def test_the_vehicle_drives_on_while_its_tracks_coast():
    following = tracker()
    follow(following, lambda t: found(boxes((20.0, 0.0))), 1.0)
    (track,) = following.coast(ns(1.4), pose(5.0, 0.0, np.pi / 2), 0).tracks
    assert track.box[:2] == pytest.approx([0.0, -15.0], abs=0.05)
    assert track.box[6] == pytest.approx(-np.pi / 2, abs=1e-6)


def test_nothing_coasts_where_the_vehicles_motion_is_not_known_and_the_array_says_so():
    following = tracker()
    follow(following, moving, 1.0)
    for poses in ({}, pose(frame='odometry 1')):
        following.coast(ns(1.0), pose(), 0)
        told = following.coast(ns(1.1 + len(poses)), poses, 0)
        assert told is not None and not told.is_motion_known and not told.tracks


def test_tracks_that_are_not_believed_do_not_coast():
    following = tracker()
    following.look(ns(0), moving(0), Modality.LIDAR, pose())
    told = following.coast(ns(0.1), pose(), 0)
    assert told is not None and not told.tracks
    assert following.coast(ns(0.2), pose(), 0) is None


def test_there_is_nothing_to_say_before_the_first_sample_in_a_new_epoch_and_of_old_times():
    following = tracker()
    assert following.coast(ns(0), pose(), 0) is None
    follow(following, moving, 1.0)
    assert following.coast(ns(1.2), pose(), 1) is None
    assert following.coast(ns(0.9), pose(), 0) is None
    assert following.coast(ns(1.2), pose(), 0) is not None
    assert following.coast(ns(1.2), pose(), 0) is None, 'a clock that stands still'


def test_a_new_end_is_told_after_each_time_of_looking():
    following = tracker()
    for since in (0.0, 5.0):
        follow(following, moving, since + 1.0, since=since)
        told = [following.coast(ns(since + 1.0 + k), pose(), 0) for k in range(4)]
        assert [objects is None or len(objects.tracks) for objects in told] == [1, 1, 0, True]
