"""Follows objects from sample to sample, through the death and return of sensors.

Tracks live in a frame at rest that begins where the vehicle is at the first sample; from then on
the vehicle's own motion is taken out. Where it is not known nothing is followed: a track that
coasts over an unknown motion of the vehicle would lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice

import numpy as np

from metabev_ros.config.tracking import TrackingConfig
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import inverse_rigid, shared_motion, transform_points, wrap_angle
from metabev_ros.structures import Detections, Modality, PerceptionResult
from metabev_ros.tracking.association import OTHER_CLASS, greedy_pairs, pair_costs
from metabev_ros.tracking.bank import Seen, TrackBank, begun, empty_bank
from metabev_ros.tracking.motion import MotionTable
from metabev_ros.tracking.noise import BOX_NOISE
from metabev_ros.tracks import Track, TrackedObjects, TrackState

LOOK_PERIOD = (
    0.5  # seconds between samples; what is longer was a time without any (nuScenes: 2 Hz)
)
TENTATIVE_WEAR = 3.0  # times as fast as a believed one, a tentative track ends
ENDED = 1 - 1e-9  # of `worn`: shares of a second do not add up to it exactly
MOST_TRACKS = 500
MOST_BOXES = 500  # of one sample: the best
FARTHEST = 10_000.0  # metres; no sensor sees an object there, and squares stay small

Poses = Mapping[str, np.ndarray]  # frame at rest -> (4, 4) rest_from_ego


@dataclass(frozen=True, eq=False)
class _State:
    """All that is known at one stamp; never changed, so that another thread may read it.

    Attributes:
        poses: of the vehicle, as in `Sample.ego_poses`.
        rest_from_ego: (4, 4) in the frame of the tracks.
    """

    stamp_ns: int
    epoch: int
    poses: Poses
    rest_from_ego: np.ndarray
    bank: TrackBank
    told: TrackedObjects


class Tracker:
    """Identity, velocity and uncertainty of what the pipeline finds.

    `update` and `look` are for one thread, `coast` for another. Equal looks give equal tracks,
    whatever `coast` was asked in between.

    Args:
        classes: names of the model's classes.
        ids: gives numbers that nothing else bears; default: from 1 on.
    """

    def __init__(
        self, config: TrackingConfig, classes: Sequence[str], ids: Iterator[int] | None = None
    ) -> None:
        self._config, self._motion = config, MotionTable.of(classes)
        self._ids = count(1) if ids is None else ids
        self._state: _State | None = None
        self._coasted: tuple[int, int] = (-1, -1)  # (epoch, stamp) of the newest heartbeat
        self._ended: _State | None = None  # of which a heartbeat has said that all tracks ended

    # --------------------------------------------------------------------------------- samples
    def update(self, result: PerceptionResult) -> TrackedObjects:
        """Take an output of the pipeline, see `look`.

        Raises:
            ConfigError: for the modality NONE.
        """
        sample = result.sample
        return self.look(
            sample.stamp_ns, result.detections, sample.modality, sample.ego_poses, sample.epoch
        )

    def look(
        self,
        stamp_ns: int,
        found: Detections,
        modality: Modality,
        poses: Poses,
        epoch: int = 0,
    ) -> TrackedObjects:
        """Take what was found in a sample.

        An earlier stamp than the last one, or another epoch, begins anew with new tracks; the same
        stamp again changes nothing.

        Args:
            found: valid boxes in the ego frame, best first.
            modality: not NONE: then nothing was looked at.
            poses: of the vehicle at the stamp; empty: its motion is not known.

        Raises:
            ConfigError: for the modality NONE.
        """
        if modality not in BOX_NOISE:
            raise ConfigError('Tracker.look', 'an output of a sample', modality.name)
        last = self._state
        if last is not None and (epoch != last.epoch or stamp_ns < last.stamp_ns):
            last = self._state = None
        if last is not None and stamp_ns == last.stamp_ns:
            return last.told
        if not poses:
            return TrackedObjects(stamp_ns, epoch, modality, is_motion_known=False)
        rest_from_ego, bank, seconds = np.eye(4), empty_bank(self._motion), 0.0
        motion = None if last is None else shared_motion(poses, last.poses)
        if last is not None and motion is not None:
            rest_from_ego = last.rest_from_ego @ inverse_rigid(motion)
            seconds = (stamp_ns - last.stamp_ns) * 1e-9
            bank = self._awaited(last.bank, seconds)
        seen = self._seen(stamp_ns, found, modality, rest_from_ego)
        bank = self._followed(bank, seen, min(seconds, LOOK_PERIOD))
        is_known = last is None or motion is not None
        tracks = _tracks(bank, stamp_ns, rest_from_ego)
        told = TrackedObjects(stamp_ns, epoch, modality, tracks, is_motion_known=is_known)
        self._state = _State(stamp_ns, epoch, poses, rest_from_ego, bank, told)
        return told

    def _awaited(self, bank: TrackBank, seconds: float) -> TrackBank:
        """The tracks that go on until a sample; in a long time without one some end."""
        blind = max(0.0, seconds - LOOK_PERIOD) / self._config.coast_blind
        bank = _worn(bank, blind)
        return bank.take(bank.worn < ENDED).moved(seconds, self._motion)

    def _seen(
        self, stamp_ns: int, found: Detections, modality: Modality, rest_from_ego: np.ndarray
    ) -> Seen:
        """The detections that may go on with a track, in the frame at rest."""
        is_near = (np.abs(found.boxes[:, :3]) < FARTHEST).all(axis=1)
        is_sure = found.scores >= self._config.least_score
        kept = np.flatnonzero(is_near & is_sure)[:MOST_BOXES]
        boxes = found.boxes[kept].astype(np.float64)
        turn, noise = rest_from_ego[:3, :3], BOX_NOISE[modality]
        covariances = turn @ noise.covariances(boxes[:, :3]) @ turn.T
        boxes[:, :3] = transform_points(rest_from_ego, boxes[:, :3])
        boxes[:, 6] = wrap_angle(boxes[:, 6] + np.arctan2(turn[1, 0], turn[0, 0]))
        boxes[:, 7:9] = boxes[:, 7:9] @ turn[:2, :2].T
        return Seen(
            boxes,
            covariances,
            noise.yaw**2,
            found.scores[kept].astype(np.float64),
            found.labels[kept],
            stamp_ns,
            modality,
        )

    def _followed(self, bank: TrackBank, seen: Seen, seconds: float) -> TrackBank:
        """The tracks after a look: seen ones, those that coast, and new ones."""
        rows, columns = greedy_pairs(self._costs(bank, seen))
        matched = bank.take(rows).seen_as(seen.take(columns), self._config.confirm_hits)
        has_lidar = seen.modality.has_lidar
        limit = self._config.coast_lidar if has_lidar else self._config.coast_camera
        missed = _worn(bank.take(_others(rows, len(bank))), seconds / limit)
        kept = matched.joined(missed.take(missed.worn < ENDED))
        free = seen.take(_others(columns, len(seen.scores)))
        new = self._starts(free, matched)[: max(0, MOST_TRACKS - len(kept))]
        ids = np.fromiter(islice(self._ids, len(new)), np.int64, len(new))
        bank = kept.joined(begun(free.take(new), ids, self._motion, self._config.confirm_hits))
        return bank.take(np.argsort(bank.ids)).trailed(seen.stamp_ns)

    def _costs(self, bank: TrackBank, seen: Seen) -> np.ndarray:
        """(N, M) cost of each pair, inf where a pair cannot be."""
        labels, group = bank.labels, self._motion.group
        costs = pair_costs(
            bank.mean[:, :2],
            bank.covariance[:, :2, :2],
            seen.boxes[:, :2],
            seen.noise[:, :2, :2],
            self._motion.gate[labels],
        )
        costs += np.where(labels[:, None] == seen.labels[None], 0.0, OTHER_CLASS)
        return np.where(group[labels][:, None] == group[seen.labels][None], costs, np.inf)

    def _starts(self, free: Seen, matched: TrackBank) -> np.ndarray:
        """Detections that begin a track.

        Not those that are a second box of the same object: two of one kind cannot be closer than
        half their widths together.
        """
        group = self._motion.group
        places = np.concatenate([matched.mean[:, :2], free.boxes[:, :2]])
        widths = np.concatenate([matched.size[:, 1], free.boxes[:, 4]])
        groups = np.concatenate([group[matched.labels], group[free.labels]])
        taken = np.arange(len(places)) < len(matched)
        starts: list[int] = []
        for index in np.flatnonzero(free.scores >= self._config.start_score).tolist():
            own = len(matched) + index
            apart = np.hypot(*(places - places[own]).T)
            is_same = (groups == groups[own]) & (apart < (widths + widths[own]) / 2)
            if not (is_same & taken).any():
                taken[own] = True
                starts.append(index)
        return np.array(starts, np.int64)

    # -------------------------------------------------------------------------------- heartbeats
    def coast(self, stamp_ns: int, poses: Poses, epoch: int) -> TrackedObjects | None:
        """Say where believed tracks are while nothing can be looked at; changes none of them.

        Args:
            stamp_ns: now.
            poses: of the vehicle then.

        Returns:
            None where there is nothing to say: nothing was ever followed in this epoch, the time
            has not gone on, or it was said already that all tracks have ended.
        """
        state = self._state
        if state is None or epoch != state.epoch or stamp_ns <= state.stamp_ns:
            return None
        if (epoch, stamp_ns) <= self._coasted or self._ended is state:
            return None
        self._coasted = (epoch, stamp_ns)
        seconds = (stamp_ns - state.stamp_ns) * 1e-9
        bank = state.bank.take(state.bank.is_believed)
        bank = _worn(bank, seconds / self._config.coast_blind)
        bank = bank.take(bank.worn < ENDED)
        if not len(bank):
            self._ended = state
        motion = shared_motion(poses, state.poses)
        tracks: tuple[Track, ...] = ()
        if motion is not None:
            rest_from_ego = state.rest_from_ego @ inverse_rigid(motion)
            tracks = _tracks(bank.moved(seconds, self._motion), stamp_ns, rest_from_ego)
        return TrackedObjects(stamp_ns, epoch, Modality.NONE, tracks, True, motion is not None)


def _others(index: np.ndarray, length: int) -> np.ndarray:
    """The places below `length` that an index lacks."""
    return np.delete(np.arange(length), index)


def _worn(bank: TrackBank, share: float) -> TrackBank:
    """The tracks nearer to their end by a share of what a believed one may coast."""
    wear = np.where(bank.is_believed, share, TENTATIVE_WEAR * share)
    return replace(bank, worn=bank.worn + wear)


def _tracks(bank: TrackBank, stamp_ns: int, rest_from_ego: np.ndarray) -> tuple[Track, ...]:
    """The tracks as they are published, in the ego frame; a tentative one only while seen."""
    bank = bank.take(bank.is_believed | (bank.seen_ns == stamp_ns))
    ego_from_rest = inverse_rigid(rest_from_ego)
    turn = ego_from_rest[:3, :3]
    boxes = np.zeros((len(bank), 9))
    boxes[:, :3] = transform_points(ego_from_rest, bank.mean[:, :3])
    boxes[:, 3:6] = bank.size
    boxes[:, 6] = wrap_angle(bank.yaw + np.arctan2(turn[1, 0], turn[0, 0]))
    boxes[:, 7:9] = bank.mean[:, 3:] @ turn[:2, :2].T
    whole = np.zeros((5, 5))
    whole[:3, :3], whole[3:, 3:] = turn, turn[:2, :2]
    covariances = whole @ bank.covariance @ whole.T
    tails = transform_points(ego_from_rest, bank.tail)
    return tuple(
        _track(bank, row, stamp_ns, boxes[row], covariances[row], tails[row])
        for row in range(len(bank))
    )


def _track(
    bank: TrackBank,
    row: int,
    stamp_ns: int,
    box: np.ndarray,
    covariance: np.ndarray,
    tail: np.ndarray,
) -> Track:
    votes, unseen_ns = bank.votes[row], stamp_ns - int(bank.seen_ns[row])
    label, total = int(votes.argmax()), float(votes.sum())
    state = TrackState.TENTATIVE
    if bank.is_believed[row]:
        state = TrackState.COASTING if unseen_ns else TrackState.CONFIRMED
    hits = int(bank.hits[row])
    return Track(
        id=int(bank.ids[row]),
        state=state,
        label=label,
        share=float(votes[label]) / total,
        score=min(total / hits, 1.0) * max(0.0, 1 - float(bank.worn[row])),
        hits=hits,
        first_ns=int(bank.first_ns[row]),
        age_s=(stamp_ns - int(bank.first_ns[row])) * 1e-9,
        unseen_s=unseen_ns * 1e-9,
        seen_modality=Modality(int(bank.seen_modality[row])),
        box=box,
        yaw_variance=float(bank.yaw_variance[row]),
        covariance=covariance,
        tail=tail[~np.isnan(tail[:, 0])],
    )
