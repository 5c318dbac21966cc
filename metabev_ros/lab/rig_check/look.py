"""Facts of a bag that the checks look at, without judging them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from metabev_ros.sensing.calibration import Intrinsics
from metabev_ros.sensing.messages import CameraInfo, TransformStamped
from metabev_ros.sensing.pose_track import Pose


@dataclass
class TopicLook:
    """All messages of one topic, in the order of the bag.

    Attributes:
        qos: profiles that its publishers offered (YAML), '' for none.
        seen: messages, those too whose bytes are none.
        logs: log times; stamps: those of the headers, 0 for a zero one; nanoseconds. Both of
            the messages whose header could be read.
        frames: frame_id without a leading slash -> messages.
        refused: why -> messages that could not be read.
        longest_repeat: most frames in a row with the content of the one before.
    """

    topic: str
    msgtype: str
    qos: str = ''
    seen: int = 0
    logs: list[int] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    frames: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    longest_repeat: int = 0

    @property
    def frame(self) -> str:
        """The frame_id that most messages bear; '' for none."""
        return self.frames.most_common(1)[0][0] if self.frames else ''

    @property
    def rate_hz(self) -> float:
        """Measured from the middle period of the stamps, of the log times where there are none.

        0 where there are fewer than three.
        """
        for times in (self.stamps, self.logs):
            steps = np.diff(np.array(sorted({time for time in times if time > 0}), np.int64))
            if len(steps) > 1:
                return float(1e9 / np.median(steps))
        return 0.0


@dataclass(frozen=True)
class Shot:
    """One decoded picture, made smaller.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        scale: w as a share of the camera's width.
    """

    stamp_ns: int
    pixels: np.ndarray
    scale: float


@dataclass
class CameraLook(TopicLook):
    """Images of one topic.

    Attributes:
        sizes: (width, height) -> messages.
        encodings: of raw images -> messages.
        faults: name of a check of content, in words -> pictures that it found.
        looked_at: pictures that were decoded.
        shots: some of them.
    """

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    encodings: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    looked_at: int = 0
    shots: list[Shot] = field(default_factory=list)

    @property
    def is_readable(self) -> bool:
        """Tell whether at least one picture could be decoded."""
        return self.looked_at > 0


@dataclass(frozen=True)
class SweepLook:
    """One decoded cloud.

    Attributes:
        points: (P, 5) float32 in the LiDAR frame, intensities as they were sent.
        raw_range: median distance of all finite points as they were sent; 0 for none.
        fields: all names; others: field -> its values as they were sent, of all that are neither
            place nor intensity; (P,) unless what was left out of `points` is not known.
        offset_ns: what was added to the stamp of the message; the points' own times are as sent.
    """

    stamp_ns: int
    points: np.ndarray
    raw_range: float
    fields: tuple[str, ...]
    others: dict[str, np.ndarray]
    offset_ns: int = 0


@dataclass
class CloudLook(TopicLook):
    """Clouds of one topic.

    Attributes:
        sweeps: some of them, decoded.
        most_points: of a message.
    """

    sweeps: list[SweepLook] = field(default_factory=list)
    most_points: int = 0


@dataclass
class InfoLook(TopicLook):
    """CameraInfo of one topic.

    Attributes:
        last: the newest message; None before the first.
    """

    last: CameraInfo | None = None


@dataclass
class OdometryLook(TopicLook):
    """Odometry of one topic.

    Attributes:
        children: child_frame_id -> messages.
        poses: (stamp, pose in the frame of the header).
    """

    children: Counter[str] = field(default_factory=Counter)
    poses: list[tuple[int, Pose]] = field(default_factory=list)


@dataclass(frozen=True)
class Link:
    """A transform of TF.

    Attributes:
        transform: the newest message.
        is_static: it came on /tf_static.
        poses: (stamp, pose) of a dynamic one.
    """

    transform: TransformStamped
    is_static: bool
    poses: list[tuple[int, Pose]] = field(default_factory=list)

    @property
    def parent(self) -> str:
        """The frame that it is told in."""
        return str(self.transform.header.frame_id).lstrip('/')


@dataclass
class BagLook:
    """Everything of a bag that the checks need.

    Attributes:
        path: as it was given.
        types: topic -> message type, of all topics.
        cameras, clouds, infos, odometry: by topic.
        tf_static: the topic's messages; None where the bag has none.
        links: child frame -> its transform.
        losses: what of the bag could not be read, '' for nothing.
        first_ns, last_ns: log times.
    """

    path: str
    types: dict[str, str] = field(default_factory=dict)
    cameras: dict[str, CameraLook] = field(default_factory=dict)
    clouds: dict[str, CloudLook] = field(default_factory=dict)
    infos: dict[str, InfoLook] = field(default_factory=dict)
    odometry: dict[str, OdometryLook] = field(default_factory=dict)
    tf_static: TopicLook | None = None
    links: dict[str, Link] = field(default_factory=dict)
    losses: str = ''
    first_ns: int = 0
    last_ns: int = 0

    @property
    def seconds(self) -> float:
        """Length."""
        return (self.last_ns - self.first_ns) * 1e-9


@dataclass(frozen=True)
class Placed:
    """A sensor with what is known of its place.

    Attributes:
        ego_from_sensor: (4, 4); None where it is not known, and `why` says why.
        intrinsics: of a camera, where they are usable.
    """

    ego_from_sensor: np.ndarray | None
    why: str = ''
    intrinsics: Intrinsics | None = None
