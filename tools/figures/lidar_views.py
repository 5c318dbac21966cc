"""A simulated sweep beside a real one, from above."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from figures.style import SMALL, save
from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.simulation.bodies.own_vehicle import own_vehicle
from metabev_ros.lab.simulation.building import build_street
from metabev_ros.lab.simulation.lidar_models import LIDAR_MODELS
from metabev_ros.lab.simulation.rays import RayMesh
from metabev_ros.lab.simulation.scanning import Mounted, scan
from metabev_ros.lab.simulation.style import Style

_HALF = 40.0  # metres shown to each side
_OWN_BOX = (-1.0, 3.6, -0.95, 0.95, 1.7)  # x, x, y, y and height, metres
_HEIGHT = 1.84  # metres of the LiDAR of nuScenes above the road
_LOWEST, _HIGHEST = -1.0, 4.0  # metres above the road between which colours change


def draw_lidar_views(keyframe: Path, seed: int, style: Style, second: float, out: Path) -> None:
    """A key frame of nuScenes and a sweep of a LiDAR of the same kind in a street.

    Args:
        keyframe: folder with the frame's LIDAR_TOP file.
        second: of the drive.
    """
    (path,) = keyframe.glob('*LIDAR_TOP*.bin')
    real = np.fromfile(path, np.float32).reshape(-1, 5)[:, :4]
    figure, axes = plt.subplots(1, 2, figsize=(11, 5.6), layout='constrained')
    _draw(axes[0], _simulated(seed, style, second), 'simulated')
    _draw(axes[1], real, 'real: nuScenes (CC BY-NC-SA 4.0, Motional)')
    save(figure, out)


def _simulated(seed: int, style: Style, second: float) -> np.ndarray:
    """(P, 4) x, y, z, intensity in the frame of the LiDAR, which looks to the right."""
    (model,) = (model for model in LIDAR_MODELS if model.name == '32 beams, low')
    rng = np.random.default_rng([seed, 61])
    street = build_street(seed, second + 2, style)
    mounted = Mounted(
        model, rigid_transform(rotation_z(-np.pi / 2), (0.94, 0.0, _HEIGHT)), 0.0, 0.05
    )
    own = RayMesh(own_vehicle(_OWN_BOX, rng))
    found = scan(street, street.instant(second), mounted, own, 0.0, rng)
    return np.column_stack([found.xyz, found.intensity])


def _draw(axes: Axes, points: np.ndarray, title: str) -> None:
    """Points in the frame of a LiDAR whose y axis looks ahead, coloured by height."""
    near = points[(np.abs(points[:, :2]) < _HALF).all(1)]
    near = near[np.argsort(near[:, 2])]
    height = np.clip(near[:, 2] + _HEIGHT, _LOWEST, _HIGHEST)
    axes.scatter(near[:, 0], near[:, 1], s=0.6, c=height, cmap='turbo', vmin=_LOWEST, linewidths=0)
    axes.set_facecolor('#101418')
    axes.set_title(title)
    axes.set_aspect('equal')
    axes.set_xlim(-_HALF, _HALF)
    axes.set_ylim(-_HALF, _HALF)
    axes.tick_params(labelsize=SMALL)
