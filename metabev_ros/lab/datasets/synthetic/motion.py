"""Motion of the ego vehicle, in closed form over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.datasets.synthetic.actors import Profile
from metabev_ros.lab.datasets.synthetic.roads import Path

_FINE = 0.05  # metres between the samples of a route


class EgoMotion(Protocol):
    """Place of the vehicle; its way is one in the plane, its pose may lie on a slope."""

    def world_from_ego(self, t: float) -> np.ndarray:
        """(4, 4) pose at `t` seconds."""
        ...

    def velocity(self, t: float) -> np.ndarray:
        """(3,) vx, vy in m/s and yaw rate in rad/s, in the ego frame."""
        ...

    def planar(self, t: np.ndarray) -> np.ndarray:
        """(N, 3) x, y in metres and heading in radians (unwrapped) at (N,) seconds."""
        ...


@dataclass(frozen=True)
class LaneMotion:
    """Along one lane of a road.

    Attributes:
        path: the road; d: metres to the left of it.
        profile: way over time.
    """

    path: Path
    d: float
    profile: Profile

    def world_from_ego(self, t: float) -> np.ndarray:
        """(4, 4) pose at `t` seconds."""
        x, y, heading, _ = self.path.pose(self.profile.distance(t), self.d)
        return rigid_transform(rotation_z(float(heading)), (float(x), float(y), 0.0))

    def velocity(self, t: float) -> np.ndarray:
        """(3,) vx, vy in m/s and yaw rate in rad/s, in the ego frame."""
        curvature = self.path.pose(self.profile.distance(t), self.d)[3]
        rate = self.profile.speed(t)
        return np.array([rate * (1 - curvature * self.d), 0.0, rate * curvature])

    def planar(self, t: np.ndarray) -> np.ndarray:
        """(N, 3) x, y in metres and heading in radians (unwrapped) at (N,) seconds."""
        x, y, heading, _ = self.path.pose(np.array([self.profile.distance(v) for v in t]), self.d)
        return np.stack([x, y, heading], axis=-1)


@dataclass(frozen=True)
class Driving:
    """Manner in which a driver takes a route.

    Attributes:
        cruise: m/s where nothing is in the way.
        lateral: m/s^2 that bends are taken with.
        accelerate, brake: m/s^2.
    """

    cruise: float
    lateral: float = 2.6
    accelerate: float = 1.8
    brake: float = 2.4


class RouteMotion:
    """Along a line with a speed that bends limit: slow before a turn, faster after it.

    Args:
        knots: (N, 3) x, y and heading (unwrapped) along the way, at most a metre apart.
        lead: metres of the line that lie behind the vehicle at t = 0.
        driving: the speeds.
    """

    def __init__(self, knots: np.ndarray, lead: float, driving: Driving) -> None:
        self._line = _densify(knots)
        steps = np.hypot(*np.diff(self._line[:, :2], axis=0).T)
        self._s = np.concatenate([[0.0], np.cumsum(steps)]) - lead
        self._curvature = np.gradient(self._line[:, 2], self._s)
        self._v = _plan_speed(self._s, self._curvature, driving)
        dt = 2 * steps / (self._v[1:] + self._v[:-1])
        self._t = np.concatenate([[0.0], np.cumsum(dt)])
        self._t -= np.interp(0.0, self._s, self._t)

    @property
    def span(self) -> tuple[float, float]:
        """First and last time that the line covers, seconds."""
        return float(self._t[0]), float(self._t[-1])

    def distance(self, t: float) -> float:
        """Way made from 0 to `t` seconds, metres."""
        return float(np.interp(t, self._t, self._s))

    def speed(self, t: float) -> float:
        """Speed at `t` seconds, m/s."""
        return float(np.interp(t, self._t, self._v))

    def nearest(self, xy: np.ndarray) -> float:
        """Way at the place of the line that is nearest to a (2,) point, metres."""
        return float(self._s[np.hypot(*(self._line[:, :2] - xy).T).argmin()])

    def planar(self, t: np.ndarray) -> np.ndarray:
        """(N, 3) x, y in metres and heading in radians (unwrapped) at (N,) seconds."""
        s = np.interp(t, self._t, self._s)
        return np.stack([np.interp(s, self._s, self._line[:, k]) for k in range(3)], axis=-1)

    def world_from_ego(self, t: float) -> np.ndarray:
        """(4, 4) pose at `t` seconds."""
        x, y, heading = self.planar(np.array([t]))[0]
        return rigid_transform(rotation_z(heading), (x, y, 0.0))

    def velocity(self, t: float) -> np.ndarray:
        """(3,) vx, vy in m/s and yaw rate in rad/s, in the ego frame."""
        rate = self.speed(t)
        turn = float(np.interp(self.distance(t), self._s, self._curvature))
        return np.array([rate, 0.0, rate * turn])


def _densify(knots: np.ndarray) -> np.ndarray:
    """(M, 3): cubic Hermite curves through the knots, tangent to their headings."""
    pieces = []
    for a, b in zip(knots[:-1], knots[1:], strict=True):
        chord = np.hypot(*(b[:2] - a[:2]))
        if chord < 1e-9:
            continue
        u = np.linspace(0, 1, max(2, int(np.ceil(chord / _FINE)) + 1))[:-1, None]
        ahead = chord * np.array([np.cos(a[2]), np.sin(a[2])])
        after = chord * np.array([np.cos(b[2]), np.sin(b[2])])
        xy = (
            (2 * u**3 - 3 * u**2 + 1) * a[:2]
            + (u**3 - 2 * u**2 + u) * ahead
            + (3 * u**2 - 2 * u**3) * b[:2]
            + (u**3 - u**2) * after
        )
        pieces.append(np.concatenate([xy, a[2] + u * (b[2] - a[2])], axis=1))
    return np.concatenate([*pieces, knots[-1:]])


def _plan_speed(s: np.ndarray, curvature: np.ndarray, driving: Driving) -> np.ndarray:
    """(N,) m/s: as fast as bends, acceleration and brakes allow."""
    bend = np.sqrt(driving.lateral / np.maximum(np.abs(curvature), 1e-6))
    square = np.minimum(bend, driving.cruise) ** 2
    steps = np.diff(s)
    for k in range(len(steps)):
        square[k + 1] = min(square[k + 1], square[k] + 2 * driving.accelerate * steps[k])
    for k in reversed(range(len(steps))):
        square[k] = min(square[k], square[k + 1] + 2 * driving.brake * steps[k])
    return np.sqrt(square)
