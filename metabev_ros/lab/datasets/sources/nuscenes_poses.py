"""The place of the vehicle: known at the stamps of the data, linear and slerp between them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import numpy as np

from metabev_ros.geometry import inverse_rigid
from metabev_ros.sensing.pose_track import Pose, interpolate

HOLE_NS = 1_000_000_000  # nothing is known between two poses farther apart


class PoseLine:
    """The poses of one drive.

    Args:
        poses: stamp in nanoseconds -> world_from_ego.
    """

    def __init__(self, poses: Mapping[int, Pose]) -> None:
        self._stamps = sorted(poses)
        self._poses = [poses[stamp] for stamp in self._stamps]

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """(4, 4) float64 world_from_ego; None before the first, after the last and in holes."""
        after = bisect_left(self._stamps, stamp_ns)
        if after == len(self._stamps):
            return None
        if self._stamps[after] == stamp_ns:
            return self._poses[after].matrix()
        if after == 0:
            return None
        begin_ns, end_ns = self._stamps[after - 1], self._stamps[after]
        if end_ns - begin_ns > HOLE_NS:
            return None
        share = (stamp_ns - begin_ns) / (end_ns - begin_ns)
        return interpolate(self._poses[after - 1], self._poses[after], share).matrix()

    def motion(self, target_ns: int, source_ns: int) -> np.ndarray | None:
        """(4, 4) float64 ego(target)_from_ego(source); None where it is not known."""
        target, source = self.at(target_ns), self.at(source_ns)
        if target is None or source is None:
            return None
        return inverse_rigid(target) @ source
