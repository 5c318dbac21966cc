"""Actors of a world: boxes over time in closed form, and what each of them is doing."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from metabev_ros.lab.datasets.synthetic.actors import STANDING, Mix, Population, Profile
from metabev_ros.lab.datasets.synthetic.models import CLASS_INDEX, draw_colours, draw_size
from metabev_ros.lab.datasets.synthetic.roads import STEP, Path

EVER = (-np.inf, np.inf)
_PEDESTRIAN = CLASS_INDEX['pedestrian']


class Role(enum.IntEnum):
    """Doings of somebody or something."""

    THING = 0  # barriers, cones
    PARKED = 1  # a vehicle without a driver, a cycle without a rider
    WAITING = 2  # a vehicle that stands in the traffic, or is about to start or stop
    DRIVING = 3
    RIDING = 4  # a cycle with its rider
    STANDING = 5
    WALKING = 6
    SITTING = 7
    WORKING = 8


@dataclass(frozen=True)
class Actors(Population):
    """A population that says more; any curve over any parameter can be a path.

    `s` counts `Path.start + STEP * sample`, which is arc length for most paths; the velocity is
    right for all of them. Only people turn round when they walk backwards.

    Attributes:
        roles: (N,) uint8 values of `Role`.
        tractor: (N,) int64 row of the truck that draws a trailer, -1 for all others.
    """

    roles: np.ndarray
    tractor: np.ndarray

    @cached_property
    def _samples(self) -> tuple[np.ndarray, ...]:
        """Points and headings of all paths in a row; first sample, last cell, start of each."""
        counts = np.array([len(path.xy) for path in self.paths])
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        xy = np.concatenate([path.xy for path in self.paths])
        heading = np.concatenate([path.heading for path in self.paths])
        starts = np.array([path.start for path in self.paths])
        return xy, heading, first[self.path], counts[self.path] - 2, starts[self.path]

    def ways(self, t: float) -> np.ndarray:
        """Metres that each went from 0 to `t` seconds, (N,): the phase of a gait or a wheel."""
        return np.array([profile.distance(t) for profile in self.profiles])[self.profile]

    def at(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """World boxes at time t, as `Population.at` gives them."""
        if not len(self.s):
            return np.zeros((0, 9)), np.zeros(0, dtype=bool)
        xy, headings, first, last, start = self._samples
        rate = np.array([profile.speed(t) for profile in self.profiles])[self.profile]
        rate = rate * self.direction
        s = self.s + self.direction * self.ways(t)
        place = (s - start) / STEP
        index = np.clip(place.astype(np.int64), 0, last)
        part = np.clip(place - index, 0.0, 1.0)
        beyond = (place - index - part) * STEP
        row = first + index
        step, turn = xy[row + 1] - xy[row], headings[row + 1] - headings[row]
        heading = headings[row] + part * turn
        ahead = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
        left = np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1)
        on = (beyond == 0)[:, None]
        slope = np.where(on, step - (turn * self.d)[:, None] * ahead, STEP * ahead) / STEP
        boxes = np.zeros((len(s), 9))
        boxes[:, :2] = xy[row] + part[:, None] * step + beyond[:, None] * ahead
        boxes[:, :2] += self.d[:, None] * left
        boxes[:, 2] = self.sizes[:, 2] / 2
        boxes[:, 3:6] = self.sizes
        back = (rate * np.cos(self.turn) < 0) & (self.labels == _PEDESTRIAN)
        boxes[:, 6] = heading + self.turn + np.where(back, np.pi, 0.0)
        boxes[:, 7:9] = rate[:, None] * slope
        return boxes, (s >= self.window[:, 0]) & (s <= self.window[:, 1])

    def take(self, rows: np.ndarray) -> Actors:
        """The chosen actors alone, with the paths and profiles that they use."""
        paths, path = np.unique(self.path[rows], return_inverse=True)
        profiles, profile = np.unique(self.profile[rows], return_inverse=True)
        place = np.full(len(self.s) + 1, -1)
        place[rows] = np.arange(len(rows))
        columns = {
            field.name: getattr(self, field.name)[rows]
            for field in fields(self)
            if field.name not in ('paths', 'profiles')
        }
        columns.update(path=path, profile=profile, tractor=place[columns['tractor']])
        return Actors(
            paths=tuple(self.paths[k] for k in paths),
            profiles=tuple(self.profiles[k] for k in profiles),
            **columns,
        )


# Any standing pose: arc length is x, the offset is y, and the turn is the yaw.
_ANYWHERE = Path(0.0, np.array([[0.0, 0.0], [STEP, 0.0]]), np.zeros(2))


class Cast:
    """Actors collected one by one, with all that is random about them.

    Args:
        rng: draws sizes, colours and whatever the crowds ask.
        rare: how many times as frequent as in real traffic the rare classes are.
    """

    def __init__(self, rng: np.random.Generator, rare: float = 1.0) -> None:
        self.rng = rng
        self.rare = rare
        self.paths: list[Path] = [_ANYWHERE]
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

    def choose(self, mix: Mix) -> str:
        """Draw a name by its share."""
        names, shares = zip(*mix, strict=True)
        drawn = self.rng.uniform(0, sum(shares) - 1e-9)
        return names[int(np.searchsorted(np.cumsum(shares), drawn))]

    def chance(self, share: float) -> bool:
        """Tell whether something of this probability happens."""
        return bool(self.rng.uniform() < share)

    def seldom(self, share: float) -> bool:
        """The same for a rare class: more often where these are to be frequent."""
        return self.chance(min(share * self.rare, 0.9))

    def stand(
        self,
        name: str,
        xy: Sequence[float] | np.ndarray,
        yaw: float,
        role: Role,
        size: np.ndarray | None = None,
    ) -> int:
        """Add somebody who stays at a place of the world; return the row."""
        return self.move(name, 0, float(xy[0]), float(xy[1]), yaw, role=role, size=size)

    def move(
        self,
        name: str,
        path: int,
        s: float,
        d: float = 0.0,
        turn: float = 0.0,
        profile: int = 0,
        direction: int = 1,
        window: tuple[float, float] = EVER,
        role: Role = Role.DRIVING,
        size: np.ndarray | None = None,
        tractor: int = -1,
    ) -> int:
        """Add somebody on a path; the arguments are the columns of `Actors`. Return the row."""
        label = CLASS_INDEX[name]
        size = self.size(name) if size is None else size
        colours = draw_colours(self.rng, label)
        self.rows.append(
            (label, size, colours, path, s, d, turn, profile, direction, window, role, tractor)
        )
        return len(self.rows) - 1

    def actors(self) -> Actors:
        """All that were added, in order."""
        if not self.rows:
            self.stand('car', (1e4, 1e4), 0.0, Role.PARKED)
        columns = [np.array(column) for column in zip(*self.rows, strict=True)]
        columns[-2] = columns[-2].astype(np.uint8)
        return Actors(tuple(self.paths), tuple(self.profiles), *columns)
