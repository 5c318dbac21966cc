"""Objects followed through time, as they cross layers: from `tracking` to `wire`."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from metabev_ros.structures import Modality


class TrackState(enum.IntEnum):
    """Degree to which a track is believed; the values are those of Track.msg."""

    TENTATIVE = 1  # seen too seldom to be believed yet
    CONFIRMED = 2  # believed, and seen in this sample
    COASTING = 3  # believed, not seen: where it is if it went on as before


@dataclass(frozen=True, eq=False)
class Track:
    """One object at one stamp, in the ego frame.

    Attributes:
        id: of one object; never used again.
        label: index into the class names, for which its detections voted.
        share: of the votes, in (0, 1].
        score: mean of its detections; unseen it falls to 0 at its expiry.
        hits: detections so far.
        first_ns: stamp of the first one.
        age_s: seconds since it was first seen.
        unseen_s: seconds since its newest detection.
        seen_modality: what that was made from.
        box: (9,) float64 as in `Detections`; the velocity is over ground, along the ego's axes.
        yaw_variance: square radians.
        covariance: (5, 5) float64 of x, y, z, vx, vy; metres and metres a second, squared.
        tail: (T, 3) float64 places where it was, oldest first, in the ego frame of this stamp.
    """

    id: int
    state: TrackState
    label: int
    share: float
    score: float
    hits: int
    first_ns: int
    age_s: float
    unseen_s: float
    seen_modality: Modality
    box: np.ndarray
    yaw_variance: float
    covariance: np.ndarray
    tail: np.ndarray


@dataclass(frozen=True)
class TrackedObjects:
    """All tracks at one stamp, by id.

    Attributes:
        modality: of the sample; NONE where nothing could be looked at.
        is_heartbeat: belongs to no sample: believed tracks that coast.
        is_motion_known: whether the vehicle's motion since the last stamp is; where it is not,
            nothing was followed to here.
    """

    stamp_ns: int
    epoch: int
    modality: Modality
    tracks: tuple[Track, ...] = ()
    is_heartbeat: bool = False
    is_motion_known: bool = True
