"""Speeds over time: of those who brake, start, wait, reverse or walk across once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.lab.datasets.synthetic.actors import Profile


@dataclass(frozen=True)
class SpeedPlan:
    """Speed that changes steadily from one time to the next; before and after them it stays.

    Attributes:
        times: seconds, rising.
        speeds: m/s at these times; below 0 backwards.
    """

    times: tuple[float, ...]
    speeds: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.times[:-1], self.times[1:], strict=True))
        fits = len(self.times) == len(self.speeds) > 0
        require(rising and fits, 'speed plan', 'rising times, a speed for each', self.times)

    @classmethod
    def steady(cls, speed: float) -> SpeedPlan:
        """One speed for ever."""
        return cls((0.0,), (float(speed),))

    @classmethod
    def stop(cls, speed: float, brake: float, begin: float = 0.0) -> SpeedPlan:
        """Brake from `speed` to a stand, from `begin` seconds on, with `brake` m/s^2."""
        return cls((begin, begin + max(speed, 0.01) / brake), (speed, 0.0))

    @classmethod
    def start(cls, speed: float, accelerate: float, begin: float) -> SpeedPlan:
        """Stand until `begin` seconds, then reach `speed` with `accelerate` m/s^2."""
        return cls((begin, begin + max(speed, 0.01) / accelerate), (0.0, speed))

    @classmethod
    def walk(cls, speed: float, length: float, begin: float) -> SpeedPlan:
        """Stand until `begin` seconds, walk `length` metres, and stand again."""
        ease = min(0.4, length / speed / 2)
        end = begin + length / speed + ease
        return cls((begin, begin + ease, end - ease, end), (0.0, speed, speed, 0.0))

    @cached_property
    def _ways(self) -> tuple[float, ...]:
        """Way made at each of the times, 0 at t = 0."""
        t, v = np.array(self.times), np.array(self.speeds)
        way = np.concatenate([[0.0], np.cumsum((v[1:] + v[:-1]) / 2 * np.diff(t))])
        return tuple((way - self._from(tuple(way.tolist()), 0.0)).tolist())

    def _from(self, ways: tuple[float, ...], t: float) -> float:
        """Way at a time, by the way at the times."""
        k = max(bisect_right(self.times, t) - 1, 0)
        return ways[k] + (t - self.times[k]) * (self.speeds[k] + self.speed(t)) / 2

    def distance(self, t: float) -> float:
        """Way made from 0 to `t` seconds, metres."""
        return self._from(self._ways, t)

    def speed(self, t: float) -> float:
        """Speed at `t` seconds, m/s."""
        k = bisect_right(self.times, t)
        if k in (0, len(self.times)):
            return self.speeds[max(k - 1, 0)]
        (t0, t1), (v0, v1) = self.times[k - 1 : k + 1], self.speeds[k - 1 : k + 1]
        return v0 + (v1 - v0) * (t - t0) / (t1 - t0)


def distances(profile: Profile, times: Sequence[float] | np.ndarray) -> np.ndarray:
    """Way of a profile at several times, metres."""
    return np.array([profile.distance(float(t)) for t in times])
