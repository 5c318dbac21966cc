"""Tracks as TrackArray, as CDR bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from metabev_ros.errors import BackendError
from metabev_ros.structures import ModelInfo
from metabev_ros.tracks import Track, TrackedObjects
from metabev_ros.wire.cdr import PACKAGE, header, message_class
from metabev_ros.wire.outputs import (
    HASH_DIGITS,
    OUTPUT_TYPES,
    TRACKS,
    OutMessage,
    out_message,
    point,
    vector,
)


def encode_tracks(objects: TrackedObjects, model: ModelInfo, frame: str) -> OutMessage:
    """TrackArray of one stamp. The bytes are a pure function of the arguments.

    Raises:
        BackendError: if a track is not finite (invariant "Possible outputs").
    """
    return out_message(
        TRACKS,
        message_class(OUTPUT_TYPES[TRACKS])(
            header=header(objects.stamp_ns, frame),
            is_heartbeat=objects.is_heartbeat,
            modality=int(objects.modality),
            is_motion_known=objects.is_motion_known,
            epoch=objects.epoch,
            model_hash=model.hash[:HASH_DIGITS],
            tracks=[_track(track, model.detection_classes) for track in objects.tracks],
        ),
    )


def _track(track: Track, classes: tuple[str, ...]) -> Any:
    box, covariance = track.box, track.covariance
    if not (np.isfinite(box).all() and np.isfinite(covariance).all()):
        raise BackendError(
            f'track {track.id}', 'finite numbers', 'others', 'the tracks are not published'
        )
    speeds = np.zeros((3, 3))
    speeds[:2, :2] = covariance[3:, 3:]
    return message_class(f'{PACKAGE}/msg/Track')(
        id=track.id,
        state=int(track.state),
        class_name=classes[track.label],
        class_id=track.label,
        class_share=track.share,
        score=track.score,
        hits=track.hits,
        age=track.age_s,
        since_seen=track.unseen_s,
        seen_modality=int(track.seen_modality),
        center=point(*box[:3]),
        size=vector(*box[3:6]),
        yaw=float(box[6]),
        yaw_variance=track.yaw_variance,
        velocity=vector(box[7], box[8], 0.0),
        position_covariance=np.ascontiguousarray(covariance[:3, :3]).reshape(9),
        velocity_covariance=speeds.reshape(9),
    )
