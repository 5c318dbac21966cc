"""The shelf of all bodies: which one an object wears, and how large objects are."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.lab.simulation.bodies.assets import asset_bodies
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
_MISFIT = 0.10  # natural logarithm of sizes: how far a box may be from the kind that it gets
_CADENCE = (0.8, 1.05)  # cycles of two steps, or turns of the pedals, a second


@dataclass(frozen=True)
class _Kind:
    """Rows of the bodies of one kind: at rest and at ascending phases."""

    label: int
    log_size: np.ndarray
    log_share: float
    spread: float
    rider: bool
    still: tuple[int, ...]
    moving: tuple[int, ...]


@dataclass(frozen=True)
class BodyShelf:
    """All bodies, and the choice among them.

    Attributes:
        bodies: in a fixed order.
    """

    bodies: tuple[Body, ...]
    _kinds: tuple[_Kind, ...] = field(init=False, repr=False)

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
        labels, tracks = np.asarray(labels, np.int64), np.asarray(tracks, np.int64)
        speeds = np.abs(np.asarray(speeds, np.float64))
        log_sizes = np.log(np.maximum(np.asarray(sizes, np.float64).reshape(-1, 3), 0.05))
        chosen = np.zeros(len(labels), np.int32)
        for label in np.unique(labels):
            rows = np.nonzero(labels == label)[0]
            kinds = [kind for kind in self._kinds if kind.label == label]
            which = _fit(
                kinds, log_sizes[rows], tracks[rows], _must_ride(int(label), speeds[rows])
            )
            for index in np.unique(which):
                mine = rows[which == index]
                chosen[mine] = _phased(kinds[index], tracks[mine], speeds[mine], t)
        return chosen

    def draw_size(
        self, rng: np.random.Generator, label: int, rider: bool | None = None
    ) -> np.ndarray:
        """The size of a new object of a class: (3,) float64 metres.

        Args:
            rng: draws the kind by its share and the size about that of the kind.
            label: row of `DETECTION_CLASSES`.
            rider: whether a cycle is ridden; either by share if None.
        """
        kinds = [
            kind
            for kind in self._kinds
            if kind.label == label
            and (rider is None or label not in _CYCLES or kind.rider == rider)
        ]
        require(bool(kinds), 'shelf.label', f'0..{len(DETECTION_CLASSES) - 1}', label)
        share = np.exp([kind.log_share for kind in kinds])
        kind = kinds[rng.choice(len(kinds), p=share / share.sum())]
        # One factor for the whole and smaller ones along the axes: large is large all over.
        common = rng.normal(0, kind.spread)
        own = rng.normal(0, 0.4 * kind.spread, 3)
        return np.exp(kind.log_size + np.clip(common + own, -2.5 * kind.spread, 2.5 * kind.spread))

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


def _kinds_of(bodies: tuple[Body, ...]) -> tuple[_Kind, ...]:
    rows: dict[tuple[str, str], list[int]] = {}
    for index, body in enumerate(bodies):
        rows.setdefault((body.label, body.kind), []).append(index)
    kinds = []
    for (label, _), members in rows.items():
        first = bodies[members[0]]
        still = tuple(row for row in members if bodies[row].phase == STILL)
        moving = tuple(
            sorted(
                (row for row in members if bodies[row].phase != STILL),
                key=lambda row: bodies[row].phase,
            )
        )
        kinds.append(
            _Kind(
                DETECTION_CLASSES.index(label),
                np.log(first.size),
                float(np.log(first.share)),
                first.spread,
                first.rider,
                still or moving[:1],
                moving or still,
            )
        )
    return tuple(kinds)


def _must_ride(label: int, speeds: np.ndarray) -> np.ndarray:
    """(N,) whether an object moves so that it must have a rider."""
    return (speeds > RIDES) if label in _CYCLES else np.zeros(len(speeds), bool)


def _fit(
    kinds: list[_Kind], log_sizes: np.ndarray, tracks: np.ndarray, rides: np.ndarray
) -> np.ndarray:
    """(N,) kind of each object: a draw by share and fit that depends on track and size only."""
    sizes = np.stack([kind.log_size for kind in kinds])
    misfit = ((log_sizes[:, None] - sizes) ** 2).sum(-1)
    score = np.array([kind.log_share for kind in kinds]) - misfit / (2 * _MISFIT**2)
    chance = _random(tracks[:, None], np.arange(len(kinds))[None])
    score = score - np.log(-np.log(chance))
    unfit = rides[:, None] & ~np.array([kind.rider for kind in kinds])
    return np.argmax(np.where(unfit, -np.inf, score), axis=1)


def _phased(kind: _Kind, tracks: np.ndarray, speeds: np.ndarray, t: float) -> np.ndarray:
    """(N,) rows of the bodies of one kind: at rest, or at the phase of the moment."""
    chance = _random(tracks, np.full(len(tracks), 7001))
    cadence = _CADENCE[0] + (_CADENCE[1] - _CADENCE[0]) * _random(
        tracks, np.full(len(tracks), 7002)
    )
    phase = (t * cadence + chance) % 1.0
    still = np.array(kind.still)[(chance * len(kind.still)).astype(int)]
    moving = np.array(kind.moving)[(phase * len(kind.moving)).astype(int) % len(kind.moving)]
    return np.where(speeds > MOVES, moving, still)


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
def shelf(assets: Path | None = None) -> BodyShelf:
    """All bodies, built once in a process.

    Args:
        assets: wheel of metadrive-simulator 0.2.6.0 or an unpacked folder of it, three of whose
            vehicles come in addition; only the parametric bodies without.

    Raises:
        ConfigError: `assets` is not what it should be.
    """
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
    if assets is not None:
        bodies += asset_bodies(assets)
    return BodyShelf(tuple(bodies))
