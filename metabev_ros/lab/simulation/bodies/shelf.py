"""The shelf of all bodies: which one an object wears, and how large objects are."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.lab.simulation.bodies.barriers import barriers, cones
from metabev_ros.lab.simulation.bodies.body import STILL, Body
from metabev_ros.lab.simulation.bodies.buses import buses
from metabev_ros.lab.simulation.bodies.cars import cars
from metabev_ros.lab.simulation.bodies.construction import construction
from metabev_ros.lab.simulation.bodies.cycles import bicycles, motorcycles
from metabev_ros.lab.simulation.bodies.pedestrians import pedestrians
from metabev_ros.lab.simulation.bodies.trailers import trailers
from metabev_ros.lab.simulation.bodies.trucks import trucks
from metabev_ros.structures import DETECTION_CLASSES

MOVES = 0.2  # m/s: faster people walk
RIDES = 0.5  # m/s: a faster cycle has a rider, whatever its size says
_CYCLES = tuple(DETECTION_CLASSES.index(name) for name in ('motorcycle', 'bicycle'))
# Natural logarithm of length, width and height: how far a box may be from the kind that it gets.
# Footprints of people say more about the annotator than about the person.
_MISFIT = {'pedestrian': (0.28, 0.35, 0.08), 'barrier': (0.4, 0.25, 0.15)}
_MISFIT |= {'bicycle': (0.15, 0.2, 0.09), 'motorcycle': (0.15, 0.2, 0.09)}
_USUAL_MISFIT = (0.11, 0.11, 0.11)
_CADENCE = (0.8, 1.05)  # cycles of two steps, or turns of the pedals, a second


@dataclass(frozen=True)
class _Kinds:
    """Facts about each kind of body, K kinds.

    Attributes:
        label: (K,) rows of `DETECTION_CLASSES`.
        log_size: (K, 3) of usual objects.
        misfit: (K, 3) how far the logarithm of a box's size may be from it.
        log_share: (K,); `spread`: (K,) of the logarithm of sizes.
        rider: (K,) whether somebody rides.
        still: (K, S) rows of the bodies at rest, of which the first `stills` count.
        moving: (K, M) rows by ascending phase, of which the first `movings` count.
    """

    label: np.ndarray
    log_size: np.ndarray
    misfit: np.ndarray
    log_share: np.ndarray
    spread: np.ndarray
    rider: np.ndarray
    still: np.ndarray
    stills: np.ndarray
    moving: np.ndarray
    movings: np.ndarray


@dataclass(frozen=True)
class BodyShelf:
    """All bodies, and the choice among them.

    Attributes:
        bodies: in a fixed order.
    """

    bodies: tuple[Body, ...]
    _kinds: _Kinds = field(init=False, repr=False)

    def __post_init__(self) -> None:
        missing = set(DETECTION_CLASSES) - {body.label for body in self.bodies}
        require(not missing, 'shelf.bodies', 'bodies of every class', sorted(missing))
        names = [body.name for body in self.bodies]
        require(len(set(names)) == len(names), 'shelf.bodies', 'names of their own', names)
        object.__setattr__(self, '_kinds', _kinds_of(self.bodies))

    def choose(
        self,
        labels: np.ndarray,
        sizes: np.ndarray,
        tracks: np.ndarray,
        speeds: np.ndarray,
        t: float,
    ) -> np.ndarray:
        """Bodies of some objects at one moment.

        The kind depends on class, size and track id only (and on whether a cycle moves), so that
        an object keeps it. People who walk and cyclists who pedal change their phase with time.

        Args:
            labels: (N,) int rows of `DETECTION_CLASSES`.
            sizes: (N, 3) metres, length, width, height.
            tracks: (N,) int ids of the objects.
            speeds: (N,) m/s.
            t: seconds.

        Returns:
            (N,) int32 rows of `bodies`.
        """
        if not len(labels):
            return np.zeros(0, np.int32)
        labels, tracks = np.asarray(labels, np.int64), np.asarray(tracks, np.int64)
        speeds = np.abs(np.asarray(speeds, np.float64))
        log_sizes = np.log(np.maximum(np.asarray(sizes, np.float64).reshape(-1, 3), 0.05))
        kind = self._fit(labels, log_sizes, tracks, speeds)
        return self._phased(kind, tracks, speeds, t).astype(np.int32)

    def _fit(
        self, labels: np.ndarray, log_sizes: np.ndarray, tracks: np.ndarray, speeds: np.ndarray
    ) -> np.ndarray:
        """(N,) kind of each object: a draw by share and fit to its size."""
        kinds = self._kinds
        misfit = (((log_sizes[:, None] - kinds.log_size) / kinds.misfit) ** 2).sum(-1)
        chance = _random(tracks[:, None], np.arange(len(kinds.label))[None])
        # The greatest of scores with Gumbel noise is a draw by the exponentials of the scores.
        score = kinds.log_share - misfit / 2 - np.log(-np.log(chance))
        rides = np.isin(labels, _CYCLES) & (speeds > RIDES)
        unfit = (labels[:, None] != kinds.label) | (rides[:, None] & ~kinds.rider)
        return np.argmax(np.where(unfit, -np.inf, score), axis=1)

    def _phased(
        self, kind: np.ndarray, tracks: np.ndarray, speeds: np.ndarray, t: float
    ) -> np.ndarray:
        """(N,) bodies of some kinds: at rest, or at the phase of the moment."""
        kinds = self._kinds
        chance, pace = (_random(tracks, np.full(len(tracks), salt)) for salt in (7001, 7002))
        phase = (t * (_CADENCE[0] + (_CADENCE[1] - _CADENCE[0]) * pace) + chance) % 1.0
        still = kinds.still[kind, (chance * kinds.stills[kind]).astype(int)]
        step = (phase * kinds.movings[kind]).astype(int) % kinds.movings[kind]
        return np.where(speeds > MOVES, kinds.moving[kind, step], still)

    def draw_size(
        self, rng: np.random.Generator, label: int, rider: bool | None = None
    ) -> np.ndarray:
        """The size of a new object of a class: (3,) float64 metres.

        Args:
            rng: draws the kind by its share and the size about that of the kind.
            label: row of `DETECTION_CLASSES`.
            rider: whether a cycle is ridden; either by share if None.
        """
        kinds = self._kinds
        mine = kinds.label == label
        if rider is not None and label in _CYCLES:
            mine &= kinds.rider == rider
        require(bool(mine.any()), 'shelf.label', f'0..{len(DETECTION_CLASSES) - 1}', label)
        share = np.where(mine, np.exp(kinds.log_share), 0.0)
        kind = int(rng.choice(len(share), p=share / share.sum()))
        # One factor for the whole and smaller ones along the axes: large is large all over.
        spread = float(kinds.spread[kind])
        factor = rng.normal(0, spread) + rng.normal(0, 0.4 * spread, 3)
        return np.exp(kinds.log_size[kind] + np.clip(factor, -2.5 * spread, 2.5 * spread))

    def draw_sizes(
        self, rng: np.random.Generator, labels: np.ndarray, riders: np.ndarray | None = None
    ) -> np.ndarray:
        """Sizes of some objects: (N, 3) float64 metres (see `draw_size`)."""
        flags = [None] * len(labels) if riders is None else [bool(rider) for rider in riders]
        sizes = [
            self.draw_size(rng, int(label), flag)
            for label, flag in zip(labels, flags, strict=True)
        ]
        return np.array(sizes, np.float64).reshape(-1, 3)


def _kinds_of(bodies: tuple[Body, ...]) -> _Kinds:
    members: dict[tuple[str, str], list[int]] = {}
    for row, body in enumerate(bodies):
        members.setdefault((body.label, body.kind), []).append(row)
    first = [bodies[rows[0]] for rows in members.values()]
    still = [[row for row in rows if bodies[row].phase == STILL] for rows in members.values()]
    moving = [
        sorted(
            (row for row in rows if bodies[row].phase != STILL), key=lambda row: bodies[row].phase
        )
        for rows in members.values()
    ]
    still, moving = (
        [rest or steps[:1] for rest, steps in zip(still, moving, strict=True)],
        [steps or rest for rest, steps in zip(still, moving, strict=True)],
    )
    return _Kinds(
        np.array([DETECTION_CLASSES.index(body.label) for body in first]),
        np.log([body.size.tolist() for body in first]),
        np.array([_MISFIT.get(body.label, _USUAL_MISFIT) for body in first]),
        np.log([body.share for body in first]),
        np.array([body.spread for body in first]),
        np.array([body.rider for body in first]),
        np.array([np.resize(rows, max(map(len, still))) for rows in still]),
        np.array([len(rows) for rows in still]),
        np.array([np.resize(rows, max(map(len, moving))) for rows in moving]),
        np.array([len(rows) for rows in moving]),
    )


def _random(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Numbers in (0, 1) that depend on two whole numbers only (splitmix64)."""
    with np.errstate(over='ignore'):
        x = first.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = x + (second.astype(np.uint64) + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return ((x >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


@cache
def shelf() -> BodyShelf:
    """All bodies, built once in a process."""
    bodies = [
        *cars(),
        *trucks(),
        *construction(),
        *buses(),
        *trailers(),
        *barriers(),
        *motorcycles(),
        *bicycles(),
        *pedestrians(),
        *cones(),
    ]
    return BodyShelf(tuple(bodies))
