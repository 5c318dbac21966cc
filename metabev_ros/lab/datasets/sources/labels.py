"""Labels of one instant, as a message gives them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.geometry import quaternion_to_rotation, rotation_z
from metabev_ros.sensing.messages import Quaternion

MOST_BOXES = 5000  # of one instant; more is no road
MAX_SIZE = 100.0  # metres
MAX_SPEED = 100.0  # metres a second
MAX_PLACE = 1e8  # metres from the origin of a frame; maps may lie far away
MAX_NAME = 256  # characters of a class or an id
_UNIT_TOLERANCE = 0.99e-2  # a little less than tf2 allows


@dataclass(frozen=True, eq=False)
class Labels:
    """Boxes of one instant: M boxes, each in a frame that is somewhere at a stamp.

    Attributes:
        stamp_ns: of the instant.
        boxes: (M, 9) float64 as in `GroundTruth`, in the frame of each; NaN velocities are not
            known.
        rotations: (M, 3, 3) float64 frame_from_box.
        frames: their frames.
        placed_ns: (M,) int64 stamp at which the frame of each is meant.
        names: classes as the labels call them.
        tracks: (M,) int64; -1 where nobody said.
        num_lidar_pts: (M,) int64; -1 where nobody said.
        visibility: (M,) float32; NaN where nobody said.
    """

    stamp_ns: int
    boxes: np.ndarray
    rotations: np.ndarray
    frames: tuple[str, ...]
    placed_ns: np.ndarray
    names: tuple[str, ...]
    tracks: np.ndarray
    num_lidar_pts: np.ndarray
    visibility: np.ndarray


class TrackNumbers:
    """Numbers for the ids of a drive, in the order in which they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, name: str) -> int:
        """The number of an id; -1 for none."""
        name = name[:MAX_NAME]
        return self._numbers.setdefault(name, len(self._numbers)) if name else -1


class LabelList:
    """Collects the boxes of one instant; those that cannot be are counted and left out.

    Args:
        dropped: why -> boxes left out, of the drive; is added to.
    """

    def __init__(self, dropped: Counter[str]) -> None:
        self._dropped = dropped
        self._boxes: list[list[float]] = []
        self._rotations: list[np.ndarray] = []
        self._frames: list[str] = []
        self._placed: list[int] = []
        self._names: list[str] = []
        self._tracks: list[int] = []

    def __len__(self) -> int:
        return len(self._boxes)

    def add(
        self,
        name: str,
        track: int,
        frame: str,
        placed_ns: int,
        centre: Sequence[float],
        size: Sequence[float],
        turn: Quaternion | float,
        velocity: Sequence[float] = (np.nan, np.nan),
    ) -> bool:
        """Take a box, if it can be one.

        Args:
            turn: of the box in its frame; a number is a yaw.
            velocity: along the axes of the frame.
        """
        problem = self._problem(name, frame, centre, size)
        rotation = None if problem else _rotation(turn)
        if rotation is None:
            problem = problem or 'a turn that is none'
        elif rotation[2, 2] < 0.5:
            problem = 'more than 60 degrees from upright'
        if problem or rotation is None:
            self._dropped[problem] += 1
            return False
        vx, vy = velocity
        if not np.hypot(vx, vy) <= MAX_SPEED:
            vx = vy = np.nan
        yaw = turn if isinstance(turn, float) else np.arctan2(rotation[1, 0], rotation[0, 0])
        self._boxes.append([*centre, *size, float(yaw), vx, vy])
        self._rotations.append(rotation)
        self._frames.append(frame)
        self._placed.append(placed_ns)
        self._names.append(name)
        self._tracks.append(track)
        return True

    @staticmethod
    def _problem(name: str, frame: str, centre: Sequence[float], size: Sequence[float]) -> str:
        """Say why a box cannot be; '' where it can."""
        if not name:
            return 'without a class'
        if len(name) > MAX_NAME or not 0 < len(frame) <= MAX_NAME:
            return 'without a class or frame of a sane length'
        if not all(abs(value) <= MAX_PLACE for value in centre):
            return 'a place that is none'
        if not all(0 < value <= MAX_SIZE for value in size):
            return f'a size outside of 0..{MAX_SIZE:g} m'
        return ''

    def done(
        self,
        stamp_ns: int,
        num_lidar_pts: np.ndarray | None = None,
        visibility: np.ndarray | None = None,
    ) -> Labels:
        """The labels.

        Args:
            num_lidar_pts, visibility: of the boxes that were taken, where somebody said.
        """
        count = len(self)
        return Labels(
            stamp_ns,
            np.array(self._boxes, np.float64).reshape(-1, 9),
            np.array(self._rotations, np.float64).reshape(-1, 3, 3),
            tuple(self._frames),
            np.array(self._placed, np.int64),
            tuple(self._names),
            np.array(self._tracks, np.int64),
            np.full(count, -1, np.int64) if num_lidar_pts is None else num_lidar_pts,
            np.full(count, np.nan, np.float32) if visibility is None else visibility,
        )


def _rotation(turn: Quaternion | float) -> np.ndarray | None:
    """(3, 3) float64 of a turn; None where it is none."""
    if isinstance(turn, (int, float)):
        return rotation_z(turn) if np.isfinite(turn) else None
    parts = [float(value) for value in (turn.x, turn.y, turn.z, turn.w)]
    if not abs(math.hypot(*parts) - 1) <= _UNIT_TOLERANCE:
        return None
    return quaternion_to_rotation(*parts)
