"""autoware_perception_msgs: detected and tracked objects, for Autoware's planning.

Twists are in the object's own frame, x along its heading, as Autoware's detectors give them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metabev_ros.class_errors import ClassErrors
from metabev_ros.structures import ModelInfo, PerceptionResult
from metabev_ros.tracks import Track, TrackedObjects, TrackState
from metabev_ros.wire.cdr import header, message_class
from metabev_ros.wire.definitions import AUTOWARE, AUTOWARE_TRACKS
from metabev_ros.wire.poses import (
    pose,
    pose_covariance,
    twist,
    vector,
    velocity_covariance,
    with_covariance,
)

UNKNOWN = 'UNKNOWN'  # what Autoware has no class for, also of other models
AUTOWARE_CLASSES = {  # names of ObjectClassification's constants
    'car': 'CAR',
    'truck': 'TRUCK',
    'construction_vehicle': 'TRUCK',
    'bus': 'BUS',
    'trailer': 'TRAILER',
    'motorcycle': 'MOTORCYCLE',
    'bicycle': 'BICYCLE',
    'pedestrian': 'PEDESTRIAN',
    'barrier': UNKNOWN,
    'traffic_cone': UNKNOWN,
}
# A barrier looks the same from both sides, a cone from all: what is known of their heading.
_ORIENTATIONS = {'barrier': 'SIGN_UNKNOWN', 'traffic_cone': 'UNAVAILABLE'}
STANDSTILL = 0.5  # metres a second below which a track is called stationary


def autoware_objects(result: PerceptionResult, model: ModelInfo, frame: str) -> Any:
    """DetectedObjects: a twist only where the errors of velocities were measured."""
    errors = model.errors.get(result.sample.modality, {})
    found = result.detections
    names = [model.detection_classes[int(label)] for label in found.labels]
    objects = [
        _message('DetectedObject')(
            existence_probability=float(score),
            classification=[_classification(name, 1.0)],
            kinematics=_kinematics(box, name, errors.get(name)),
            shape=_shape(box),
        )
        for box, score, name in zip(found.boxes, found.scores, names, strict=True)
    ]
    return message_class(AUTOWARE)(header=header(result.sample.stamp_ns, frame), objects=objects)


def autoware_tracks(objects: TrackedObjects, model: ModelInfo, frame: str) -> Any:
    """TrackedObjects of what a tracker believes at one stamp.

    The type has no word for a track that coasts: its existence probability falls to 0 at its
    expiry and its covariance grows. Tentative tracks would look believed, so they are left out.
    """
    return message_class(AUTOWARE_TRACKS)(
        header=header(objects.stamp_ns, frame),
        objects=[
            _track(track, model.detection_classes[track.label])
            for track in objects.tracks
            if track.state is not TrackState.TENTATIVE
        ],
    )


def track_uuid(track: Track) -> np.ndarray:
    """(16,) uint8: stamp of the first detection, then the track's number, big-endian.

    Numbers begin anew with a process; with the stamp no two tracks share an identity.
    """
    first = track.first_ns.to_bytes(8, 'big', signed=True)
    return np.frombuffer(first + track.id.to_bytes(8, 'big'), np.uint8)


def _kinematics(box: np.ndarray, name: str, errors: ClassErrors | None) -> Any:
    kind = _message('DetectedObjectKinematics')
    known = errors is not None and errors.velocity is not None
    along, across = _in_own_frame(box) if known else (0.0, 0.0)
    place = with_covariance(_pose(box, name), pose_covariance(errors))
    return kind(
        pose_with_covariance=place,
        has_position_covariance=errors is not None,
        orientation_availability=_orientation(kind, name),
        twist_with_covariance=twist(along, across, velocity_covariance(errors)),
        has_twist=known,
        has_twist_covariance=known,
    )


def _track(track: Track, name: str) -> Any:
    kind = _message('TrackedObjectKinematics')
    place = np.zeros((6, 6))
    place[:3, :3], place[5, 5] = track.covariance[:3, :3], track.yaw_variance
    own_from_ego = _turn(float(track.box[6]))
    moving = np.zeros((6, 6))
    moving[:2, :2] = own_from_ego @ track.covariance[3:, 3:] @ own_from_ego.T
    kinematics = kind(
        pose_with_covariance=with_covariance(_pose(track.box, name), place),
        twist_with_covariance=twist(*_in_own_frame(track.box), moving),
        acceleration_with_covariance=_no_acceleration(),
        orientation_availability=_orientation(kind, name),
        is_stationary=bool(np.hypot(track.box[7], track.box[8]) < STANDSTILL),
    )
    return _message('TrackedObject')(
        object_id=message_class('unique_identifier_msgs/msg/UUID')(uuid=track_uuid(track)),
        existence_probability=float(track.score),
        classification=[_classification(name, track.share)],
        kinematics=kinematics,
        shape=_shape(track.box),
    )


def _classification(name: str, probability: float) -> Any:
    kind = _message('ObjectClassification')
    label = getattr(kind, AUTOWARE_CLASSES.get(name, UNKNOWN))
    return kind(label=label, probability=float(probability))


def _orientation(kind: Any, name: str) -> int:
    return int(getattr(kind, _ORIENTATIONS.get(name, 'AVAILABLE')))


def _pose(box: np.ndarray, name: str) -> Any:
    known = _ORIENTATIONS.get(name) != 'UNAVAILABLE'
    return pose(*box[:3], yaw=float(box[6]) if known else 0.0)


def _shape(box: np.ndarray) -> Any:
    kind = _message('Shape')
    footprint = message_class('geometry_msgs/msg/Polygon')(points=[])
    return kind(type=kind.BOUNDING_BOX, footprint=footprint, dimensions=vector(*box[3:6]))


def _turn(yaw: float) -> np.ndarray:
    """(2, 2) own_from_ego of a heading."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, s], [-s, c]])


def _in_own_frame(box: np.ndarray) -> tuple[float, float]:
    """Metres a second along and across (to the left of) a box's heading."""
    along, across = _turn(float(box[6])) @ box[7:9]
    return float(along), float(across)


def _no_acceleration() -> Any:
    none = message_class('geometry_msgs/msg/Accel')(
        linear=vector(0, 0, 0), angular=vector(0, 0, 0)
    )
    return message_class('geometry_msgs/msg/AccelWithCovariance')(
        accel=none, covariance=np.zeros(36)
    )


def _message(name: str) -> Any:
    return message_class(f'autoware_perception_msgs/msg/{name}')
