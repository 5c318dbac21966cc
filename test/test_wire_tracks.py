"""Tracks as bytes, read back by rosbags' parser. Invariant "Possible outputs"."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from support.made_model import MODEL
from support.tracked_worlds import PERSON, boxes, follow, found, ns, pose, tracker

from metabev_ros import wire
from metabev_ros.errors import BackendError
from metabev_ros.structures import Modality
from metabev_ros.tracks import TrackedObjects

NAMES = ('id', 'state', 'hits', 'age', 'since_seen', 'seen_modality', 'score', 'class_share')


def read(objects: TrackedObjects):
    message = wire.encode_tracks(objects, MODEL, 'base_link')
    assert (message.topic, message.msgtype) == ('tracks', 'metabev_ros/msg/TrackArray')
    return wire.deserialize(message.cdr, message.msgtype)


def two_tracks():
    """A car that moves and a pedestrian who is new."""
    following = tracker()
    follow(following, lambda t: found(boxes((10 + 5 * t, 2.0))), 1.0)
    both = found(boxes((15.0, 2.0)), boxes((8.0, -3.0), label=PERSON, yaw=0.5), labels=[0, PERSON])
    return following, following.look(ns(1.0), both, Modality.FUSED, pose(), epoch=0)


def test_an_array_says_what_it_was_made_from_and_every_track_who_it_is():
    _, objects = two_tracks()
    message = read(objects)
    assert (message.header.stamp.sec, message.header.frame_id) == (1_700_000_001, 'base_link')
    assert message.modality == message.MODALITY_FUSED and not message.is_heartbeat
    assert message.is_motion_known and message.model_hash == '0123456789abcdef'
    car, person = message.tracks
    assert [(t.id, t.state, t.class_name) for t in (car, person)] == [
        (1, car.STATE_CONFIRMED, 'car'),
        (2, car.STATE_TENTATIVE, 'pedestrian'),
    ]
    assert (car.hits, car.age, car.since_seen) == (11, pytest.approx(1.0), 0.0)
    assert car.class_share == 1.0 and car.score == pytest.approx(0.8)


def test_places_velocities_and_covariances_are_those_of_the_tracks():
    _, objects = two_tracks()
    message = read(objects)
    for track, sent in zip(objects.tracks, message.tracks, strict=True):
        box = track.box
        assert (sent.center.x, sent.center.y, sent.center.z) == tuple(box[:3])
        assert (sent.size.x, sent.size.y, sent.size.z) == tuple(box[3:6])
        assert (sent.velocity.x, sent.velocity.y, sent.velocity.z) == (box[7], box[8], 0)
        assert sent.yaw == pytest.approx(box[6])
        position = sent.position_covariance.reshape(3, 3)
        assert np.array_equal(position, track.covariance[:3, :3])
        speed = sent.velocity_covariance.reshape(3, 3)
        assert np.array_equal(speed[:2, :2], track.covariance[3:, 3:])
        assert not speed[2].any() and not speed[:, 2].any()
        assert (np.linalg.eigvalsh(position) > 0).all()


def test_a_heartbeat_says_that_it_coasts_and_since_when():
    following, _ = two_tracks()
    message = read(following.coast(ns(1.5), pose(), 0))
    assert message.is_heartbeat and message.modality == message.MODALITY_NONE
    (car,) = message.tracks
    assert car.state == car.STATE_COASTING and car.since_seen == pytest.approx(0.5)
    assert car.seen_modality == message.MODALITY_FUSED


def test_an_unknown_motion_is_said():
    following, _ = two_tracks()
    message = read(following.coast(ns(1.5), {}, 0))
    assert not message.is_motion_known and message.tracks == []


def test_bytes_end_on_a_multiple_of_four_so_that_the_middleware_pads_none():
    following, objects = two_tracks()
    for each in (objects, following.coast(ns(1.5), pose(), 0), following.coast(ns(2), {}, 0)):
        assert len(wire.encode_tracks(each, MODEL, 'base_link').cdr) % 4 == 0


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_impossible_tracks_never_leave_the_process(value):
    _, objects = two_tracks()
    for field in ('box', 'covariance'):
        array = getattr(objects.tracks[0], field).copy()
        array.reshape(-1)[0] = value
        spoilt = dataclasses.replace(objects.tracks[0], **{field: array})
        with pytest.raises(BackendError, match='track 1'):
            wire.encode_tracks(dataclasses.replace(objects, tracks=(spoilt,)), MODEL, 'b')


@pytest.mark.ros
def test_rclpy_reads_the_same_tracks_from_the_bytes():
    from rclpy.serialization import deserialize_message

    from metabev_ros.node.ros_support import message_type

    _, objects = two_tracks()
    message = wire.encode_tracks(objects, MODEL, 'base_link')
    ours = wire.deserialize(message.cdr, message.msgtype)
    theirs = deserialize_message(message.cdr, message_type(message.msgtype))
    for one, other in zip(ours.tracks, theirs.tracks, strict=True):
        assert [getattr(one, name) for name in NAMES] == [getattr(other, name) for name in NAMES]
        assert list(one.position_covariance) == list(other.position_covariance)
        assert one.class_name == other.class_name and one.center.x == other.center.x
