"""Places of the frames on and around the vehicle, from /tf and /tf_static."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.geometry import inverse_rigid
from metabev_ros.sensing.messages import TFMessage, TransformStamped
from metabev_ros.sensing.pose_track import Pose, PoseTrack, read_pose
from metabev_ros.sensing.untrusted import header_stamp_ns

MAX_FRAMES = 1000
MAX_LEVER = 20.0  # metres from the ego origin to a sensor; more is a mistake
_MAX_NAME = 256  # characters; names are kept
_MAX_CHAIN = 32  # links from a frame to its root; what lies on a chain is never evicted
_DYNAMIC_AGE_NS = 500_000_000
_DYNAMIC_AHEAD_NS = 2_000_000_000  # a link stamped years ahead would never become too old


@dataclass(frozen=True)
class _Link:
    """A frame's parent and its pose in it: fixed, or a track where it is dynamic."""

    parent: str
    fixed: np.ndarray | None
    track: PoseTrack


class TfTree:
    """The transform of every frame to its parent; of dynamic ones the last two seconds.

    What the vehicle needs is kept: where more frames are named than may be known, those on no
    chain of a needed frame are forgotten first, the oldest of them before the others.

    Args:
        frames: the frames that are needed: of the sensors, and others of interest.
    """

    def __init__(self, ego_frame: str, frames: Sequence[str] = ()) -> None:
        self._ego = ego_frame.lstrip('/')
        self._needed = (self._ego, *(frame.lstrip('/') for frame in frames))
        self._motion_frame = ''
        self._links: dict[str, _Link] = {}  # the one updated last stands last
        self._find_chains()

    def follow(self, motion_frame: str) -> None:
        """Judge the links between this frame and the ego frame as motion of the vehicle."""
        self._motion_frame = motion_frame.lstrip('/')
        self._needed = (*self._needed, self._motion_frame)
        self._find_chains()

    @property
    def motion_problem(self) -> str:
        """Say what was refused lately of the links that `follow` named, '' for nothing."""
        problems = (
            f'/tf {clean_text(child)}: {link.track.problem}'
            for child, link in self._links.items()
            if child in self._motion_links and link.track.problem
        )
        return next(problems, '')

    # --------------------------------------------------------------------------------- updating
    def update(self, message: TFMessage, static: bool) -> list[tuple[str, SensorDataError]]:
        """Take a tf2_msgs/TFMessage; a link that cannot be used keeps its last good value.

        Returns:
            (child frame, error) of every refused link.

        Raises:
            SensorDataError: 'transform' for more links at once than frames may be known.
        """
        if len(message.transforms) > MAX_FRAMES:
            raise SensorDataError(
                'transform',
                '/tf',
                f'at most {MAX_FRAMES} transforms',
                str(len(message.transforms)),
            )
        refused: list[tuple[str, SensorDataError]] = []
        for transform in message.transforms:
            child = str(transform.child_frame_id).lstrip('/')
            try:
                self._update_link(child, transform, static)
            except SensorDataError as error:
                refused.append((child, error))
        return refused

    def _update_link(self, child: str, transform: TransformStamped, static: bool) -> None:
        parent = str(transform.header.frame_id).lstrip('/')
        where = f'/tf {clean_text(parent)} -> {clean_text(child)}'
        if not child or not parent or child == parent:
            raise SensorDataError('transform', 'TransformStamped', 'two different frames', where)
        if max(len(child), len(parent)) > _MAX_NAME:
            raise SensorDataError(
                'transform', where, f'names of at most {_MAX_NAME} characters', 'longer ones'
            )
        pose = read_pose(transform.transform.translation, transform.transform.rotation, where)
        stamp_ns = 0 if static else header_stamp_ns(transform.header)
        known = self._links.get(child)
        if known is not None and known.parent == parent and not static and known.fixed is None:
            link = known
        else:
            link = _Link(parent, pose.matrix() if static else None, PoseTrack())
        self._links.pop(child, None)
        self._make_room()
        self._links[child] = link
        if child in self._on_chain and (known is None or known.parent != parent):
            self._find_chains()
        if not static:
            self._move(child, stamp_ns, pose, where)

    def _move(self, child: str, stamp_ns: int, pose: Pose, where: str) -> None:
        link = self._links[child]
        if child in self._motion_links:
            if stamp_ns != link.track.newest_ns:  # publishers of TF repeat themselves
                link.track.add(stamp_ns, pose, where)
        else:
            link.track.replace(stamp_ns, pose, remember=child in self._on_chain)

    def _make_room(self) -> None:
        """Forget frames that nothing needs; many at once, since a search has its cost."""
        if len(self._links) < MAX_FRAMES:
            return
        idle = [child for child in self._links if child not in self._on_chain]
        # A dynamic link comes again; a static one may be sent once, before what it leads to.
        idle.sort(key=lambda child: self._links[child].fixed is not None)
        for child in idle[: MAX_FRAMES // 10]:
            del self._links[child]

    def clear_dynamic(self) -> None:
        """Forget /tf, keep /tf_static (a new epoch)."""
        self._links = {
            child: link for child, link in self._links.items() if link.fixed is not None
        }
        self._find_chains()

    def _find_chains(self) -> None:
        """Note which frames lie on the chains of needed ones, and which between motion and ego."""
        self._on_chain = {name for frame in self._needed for name in self._chain(frame)}
        self._motion_links: set[str] = set()
        if self._motion_frame and (paths := self._paths(self._motion_frame)):
            self._motion_links.update(*paths)

    # ----------------------------------------------------------------------------------- asking
    def ego_from(self, frame: str, stamp_ns: int) -> np.ndarray:
        """(4, 4) float64 ego_from_frame; dynamic links are interpolated, or held at their ends.

        Raises:
            SensorDataError: 'transform' if there is no chain, a dynamic link on it is 0.5 s
                older or 2 s newer than `stamp_ns`, or the sensor would be absurdly far away.
        """
        paths = self._paths(frame)
        if paths is None:
            raise SensorDataError(
                'transform', '/tf', f'a chain {self._ego} -> {clean_text(frame)}', 'none'
            )
        common_from_frame, common_from_ego = (self._compose(path, stamp_ns) for path in paths)
        pose = inverse_rigid(common_from_ego) @ common_from_frame
        if np.linalg.norm(pose[:3, 3]) > MAX_LEVER:
            raise SensorDataError(
                'transform',
                f'/tf {self._ego} -> {clean_text(frame)}',
                f'at most {MAX_LEVER:.0f} m',
                f'{np.linalg.norm(pose[:3, 3]):.1f} m',
            )
        return pose

    def motion_from_ego(self, stamp_ns: int) -> tuple[np.ndarray, tuple[int, ...]] | None:
        """(4, 4) float64 pose of the ego frame in the frame that `follow` named.

        Returns:
            The pose and the stretches of its links: the motion between two stamps is known where
            they are the same. None where the pose is not known.
        """
        paths = self._paths(self._motion_frame) if self._motion_frame else None
        if paths is None:
            return None
        stretches: list[int] = []
        poses = [np.eye(4), np.eye(4)]
        for side, path in enumerate(paths):
            for child in path:
                link = self._links[child]
                parent_from_child = link.fixed
                if parent_from_child is None:
                    found = link.track.moving(stamp_ns)
                    if found is None:
                        return None
                    parent_from_child = found[0].matrix()
                    stretches.append(found[1])
                poses[side] = parent_from_child @ poses[side]
        return inverse_rigid(poses[0]) @ poses[1], tuple(stretches)

    def _paths(self, frame: str) -> tuple[list[str], list[str]] | None:
        """The links from a frame, and from the ego frame, up to where their chains meet."""
        to_frame, to_ego = self._chain(frame), self._chain(self._ego)
        # The ego frame itself first: a wrong link above it must not lead around the right ones.
        common = next(
            (name for name in (self._ego, *to_frame) if name in to_ego and name in to_frame), None
        )
        if common is None:
            return None
        return to_frame[: to_frame.index(common)], to_ego[: to_ego.index(common)]

    def _chain(self, frame: str) -> list[str]:
        """The frame and its ancestors, root last; stops where a cycle closes."""
        chain = [frame]
        while (link := self._links.get(chain[-1])) and link.parent not in chain:
            chain.append(link.parent)
            if len(chain) > _MAX_CHAIN:
                break
        return chain

    def _compose(self, path: Iterable[str], stamp_ns: int) -> np.ndarray:
        """common_from_frame of the links from a frame up to a common ancestor."""
        pose = np.eye(4)
        for child in path:
            pose = self._held(child, stamp_ns) @ pose
        return pose

    def _held(self, child: str, stamp_ns: int) -> np.ndarray:
        link = self._links[child]
        if link.fixed is not None:
            return link.fixed
        pose, age = link.track.held(stamp_ns)
        if not -_DYNAMIC_AHEAD_NS <= age <= _DYNAMIC_AGE_NS:
            raise SensorDataError(
                'transform',
                f'/tf {clean_text(child)}',
                'a transform newer than 0.5 s',
                f'{age / 1e9:.1f} s',
            )
        return pose.matrix()
