"""Actors that may stay: none of the actors ever meets another one or the ego vehicle."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.motion import EgoMotion
from metabev_ros.lab.datasets.synthetic.world import boxes_in_ego, without_overlap
from metabev_ros.lab.simulation.cast import Actors

_SIGHT = 110.0  # metres around the ego within which it matters
_STEP = 0.125  # seconds
_LONGER = 2.0  # metres at most by which a box grows for its motion within a step
_BEFORE, _AFTER = 1.0, 0.6  # seconds before and after the drive that are asked for, too


def settle(actors: Actors, ego: EgoMotion, seconds: float) -> Actors:
    """Leave out whoever would meet one that was added before, or the ego.

    A trailer goes with its truck, and the other way round. Who never exists is left out, too.
    """
    alive = np.ones(len(actors.s), dtype=bool)
    _drop_still(alive, actors, actors.at(0.0)[0])
    # The gap between a truck and its trailer is small, and neither moves against the other.
    towed = np.isin(np.arange(len(alive)), actors.tractor) | (actors.tractor >= 0)
    seen = np.zeros(len(alive), dtype=bool)
    for t in np.arange(-_BEFORE, seconds + _AFTER, _STEP):
        world, exists = actors.at(float(t))
        seen |= exists
        growth = np.minimum(np.hypot(world[:, 7], world[:, 8]) * _STEP, _LONGER)
        world[:, 3] += np.where(towed, 0.0, growth)
        boxes = boxes_in_ego(world, ego.world_from_ego(float(t)))
        near = np.flatnonzero(alive & exists & (np.hypot(boxes[:, 0], boxes[:, 1]) < _SIGHT))
        kept = near[without_overlap(boxes[near])]
        alive[near] = False
        alive[kept] = True
        _part(alive, actors.tractor)
    alive &= seen
    _part(alive, actors.tractor)
    return actors.take(np.flatnonzero(alive))


def _drop_still(alive: np.ndarray, actors: Actors, boxes: np.ndarray) -> None:
    """Compare those that never move with each other once, wherever the ego is."""
    rows = np.flatnonzero(actors.profile == 0)
    far = boxes[rows].copy()
    far[:, 0] += 1e6  # away from the ego's box at the origin
    alive[rows] = False
    alive[rows[without_overlap(far)]] = True


def _part(alive: np.ndarray, tractor: np.ndarray) -> None:
    """Drop trailers of dropped trucks, and trucks of dropped trailers."""
    towed = np.flatnonzero(tractor >= 0)
    pairs = alive[towed] & alive[tractor[towed]]
    alive[towed] = pairs
    alive[tractor[towed]] = pairs
