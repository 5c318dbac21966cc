"""The vehicle that carries a rig, as its LiDARs see it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from metabev_ros.config import EgoBox
from metabev_ros.lab.simulation.bodies.own_vehicle import own_vehicle
from metabev_ros.lab.simulation.meshes import Mesh

_CLEAR = 0.1  # metres between a LiDAR and the vehicle that carries it


def carrier_mesh(
    box: EgoBox | None, poses: Mapping[str, np.ndarray], rng: np.random.Generator
) -> Mesh:
    """Our own vehicle in the ego frame; nothing where the rig does not say how large it is.

    Args:
        poses: name -> (4, 4) ego_from_lidar.
        rng: draws what vehicle it is.
    """
    if box is None:
        return Mesh.join([])
    low = np.array([box.x_min, box.y_min, 0.0])
    high = np.array([box.x_max, box.y_max, box.z_max])
    for pose in poses.values():
        low, high = _beside(low, high, pose[:3, 3])
    return own_vehicle((low[0], high[0], low[1], high[1], high[2]), rng)


def _beside(low: np.ndarray, high: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The box, cut back at the side (not below) that is nearest to a LiDAR within it.

    A LiDAR is on the vehicle: it looks at the body from outside, whatever the box says.
    """
    depth = np.concatenate([place - low, high - place])
    depth[2] = np.inf
    if (depth[[0, 1, 3, 4, 5]] <= 0).any():
        return low, high
    side = int(depth.argmin())
    low, high = low.copy(), high.copy()
    if side < 3:
        low[side] = place[side] + _CLEAR
    else:
        high[side - 3] = place[side - 3] - _CLEAR
    return low, high
