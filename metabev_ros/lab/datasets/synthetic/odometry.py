"""The vehicle's belief of its own motion: the truth with noise and a slow drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.geometry import inverse_rigid, rigid_transform, rotation_z
from metabev_ros.lab.datasets.synthetic.motion import EgoMotion
from metabev_ros.lab.datasets.synthetic.timing import source_rng
from metabev_ros.lab.datasets.synthetic.vehicle_config import OdometryNoise


@dataclass(frozen=True)
class Believed:
    """One measurement.

    Attributes:
        odom_from_ego: (4, 4); odom is where the drive begins, with z straight up.
        velocity: (3,) vx, vy in m/s and yaw rate in rad/s, in the ego frame.
    """

    odom_from_ego: np.ndarray
    velocity: np.ndarray


class Odometry:
    """Odometry and TF of a drive: one drift, noise of their own."""

    def __init__(self, ego: EgoMotion, noise: OdometryNoise, seed: int) -> None:
        self._ego, self._noise, self._seed = ego, noise, seed
        self._odom_from_world = inverse_rigid(_upright(ego.world_from_ego(0.0)))
        rng = source_rng(seed, 6, 'drift')
        bearing = rng.uniform(-np.pi, np.pi)
        self._drift = noise.drift * np.array([np.cos(bearing), np.sin(bearing), 0.0])
        self._yaw_drift = noise.yaw_drift * rng.choice([-1.0, 1.0])

    def true_pose(self, t: float) -> np.ndarray:
        """(4, 4) odom_from_ego without any error."""
        return self._odom_from_world @ self._ego.world_from_ego(t)

    def measure(self, source: str, index: int, t: float) -> Believed:
        """Give what `source` says at its measurement `index`, `t` seconds after the start."""
        rng, noise = source_rng(self._seed, 7, source, index), self._noise
        drifted = rigid_transform(rotation_z(self._yaw_drift * t), self._drift * t)
        x, y = rng.normal(0, noise.position, 2) if noise.position else (0.0, 0.0)
        turn = rng.normal(0, noise.yaw) if noise.yaw else 0.0
        off = rigid_transform(rotation_z(turn), (x, y, 0.0))
        velocity = self._ego.velocity(t)
        deviations = np.array([noise.velocity, noise.velocity, noise.yaw_rate])
        return Believed(
            drifted @ self.true_pose(t) @ off, velocity + rng.standard_normal(3) * deviations
        )


def _upright(pose: np.ndarray) -> np.ndarray:
    """The pose without pitch and roll."""
    yaw = float(np.arctan2(pose[1, 0], pose[0, 0]))
    return rigid_transform(rotation_z(yaw), pose[:3, 3])
