"""Actors of the world in closed form over time: no frame needs another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from metabev_ros.lab.datasets.synthetic.models import CLASS_INDEX, draw_colours, draw_size
from metabev_ros.lab.datasets.synthetic.roads import Path

Mix: TypeAlias = tuple[tuple[str, float], ...]  # name, share


class Profile(Protocol):
    """Distance over time."""

    def distance(self, t: float) -> float:
        """Way made from 0 to `t` seconds, metres."""
        ...

    def speed(self, t: float) -> float:
        """Speed at `t` seconds, m/s."""
        ...


@dataclass(frozen=True)
class SpeedProfile:
    """Distance over time, shared by all actors of one lane: they keep their gaps for ever.

    speed(t) = mean * (1 + swing * sin(rate * t + phase)); with mean 0 it is `sway` metres to
    and fro, with speed sway * rate * cos(...), for people who cross a street.
    """

    mean: float
    swing: float = 0.0
    rate: float = 0.2
    phase: float = 0.0
    sway: float = 0.0

    def distance(self, t: float) -> float:
        """Way made from 0 to `t` seconds, metres."""
        angle = self.rate * t + self.phase
        drift = self.mean * (t - self.swing / self.rate * (np.cos(angle) - np.cos(self.phase)))
        return drift + self.sway * np.sin(angle)

    def speed(self, t: float) -> float:
        """Speed at `t` seconds, m/s."""
        angle = self.rate * t + self.phase
        return self.mean * (1 + self.swing * np.sin(angle)) + self.sway * self.rate * np.cos(angle)


STANDING = SpeedProfile(0.0)


@dataclass(frozen=True)
class Population:
    """All actors; row = track id.

    Attributes:
        labels: (N,) class indices.
        sizes: (N, 3) metres.
        colours: (N, 2, 3) float32.
        path: (N,) index into `paths`; s, d: (N,) place on it at t = 0.
        turn: (N,) radians added to the path's heading.
        profile: (N,) index into `profiles`; direction: (N,) sign of the motion along the path.
        window: (N, 2) the actor exists while its arc length lies between these.
    """

    paths: tuple[Path, ...]
    profiles: tuple[Profile, ...]
    labels: np.ndarray
    sizes: np.ndarray
    colours: np.ndarray
    path: np.ndarray
    s: np.ndarray
    d: np.ndarray
    turn: np.ndarray
    profile: np.ndarray
    direction: np.ndarray
    window: np.ndarray

    def at(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """World boxes at time t, seconds after frame 0.

        Returns:
            (N, 9) float64 `x y z l w h yaw vx vy` in the world, and (N,) bool who exists.
        """
        moved = np.array([profile.distance(t) for profile in self.profiles])[self.profile]
        rate = np.array([profile.speed(t) for profile in self.profiles])[self.profile]
        s = self.s + self.direction * moved
        boxes = np.zeros((len(s), 9))
        for index, path in enumerate(self.paths):
            rows = np.flatnonzero(self.path == index)
            x, y, heading, curvature = path.pose(s[rows], self.d[rows])
            speed = self.direction[rows] * rate[rows] * (1 - curvature * self.d[rows])
            # Actors that sway turn round with their motion.
            back = np.where((speed * np.cos(self.turn[rows]) < 0), np.pi, 0.0)
            boxes[rows, 0], boxes[rows, 1] = x, y
            boxes[rows, 6] = heading + self.turn[rows] + back
            boxes[rows, 7] = speed * np.cos(heading)
            boxes[rows, 8] = speed * np.sin(heading)
        boxes[:, 2] = self.sizes[:, 2] / 2
        boxes[:, 3:6] = self.sizes
        return boxes, (s >= self.window[:, 0]) & (s <= self.window[:, 1])


def part_of(population: Population, rows: np.ndarray) -> Population:
    """The chosen actors alone, with the paths and profiles that they use."""
    paths, path = np.unique(population.path[rows], return_inverse=True)
    profiles, profile = np.unique(population.profile[rows], return_inverse=True)
    return Population(
        tuple(population.paths[k] for k in paths),
        tuple(population.profiles[k] for k in profiles),
        population.labels[rows],
        population.sizes[rows],
        population.colours[rows],
        path,
        population.s[rows],
        population.d[rows],
        population.turn[rows],
        profile,
        population.direction[rows],
        population.window[rows],
    )


class Crowd:
    """Actors collected one by one, with all that is random about them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.paths: list[Path] = []
        self.profiles: list[Profile] = [STANDING]
        self.rows: list[tuple] = []

    def add_path(self, path: Path) -> int:
        """Take in a path; return its index."""
        self.paths.append(path)
        return len(self.paths) - 1

    def add_profile(self, profile: Profile) -> int:
        """Take in a profile; return its index."""
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def size(self, name: str) -> np.ndarray:
        """Draw a size of this class: (3,) metres."""
        return draw_size(self.rng, CLASS_INDEX[name])

    def add(
        self,
        name: str,
        path: int,
        s: float,
        d: float,
        turn: float = 0.0,
        profile: int = 0,
        direction: int = 1,
        window: tuple[float, float] = (-np.inf, np.inf),
        size: np.ndarray | None = None,
    ) -> None:
        """Add an actor; the arguments are the columns of `Population`."""
        label = CLASS_INDEX[name]
        size = self.size(name) if size is None else size
        self.rows.append(
            (
                label,
                size,
                draw_colours(self.rng, label),
                path,
                s,
                d,
                turn,
                profile,
                direction,
                window,
            )
        )

    def population(self) -> Population:
        """Return all that were added, in order."""
        columns = [np.array(column) for column in zip(*self.rows, strict=True)]
        return Population(tuple(self.paths), tuple(self.profiles), *columns)

    def choose(self, mix: Mix) -> str:
        """Draw a name by its share."""
        names, shares = zip(*mix, strict=True)
        drawn = self.rng.uniform(0, sum(shares) - 1e-9)
        return names[int(np.searchsorted(np.cumsum(shares), drawn))]
