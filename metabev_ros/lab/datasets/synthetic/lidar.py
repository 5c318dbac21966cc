"""A 32-beam spinning LiDAR: rays against the ground plane and the cuboids."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.faces import Scene
from metabev_ros.lab.datasets.synthetic.ground import MATERIAL_REFLECTIVITY, Ground
from metabev_ros.lab.datasets.synthetic.rig import EGO_BOX, LIDAR_ELEVATIONS, LIDAR_POSITION

_MAX_RANGE, _MIN_RANGE, RANGE_NOISE = 80.0, 1.5, 0.02


def scan(scene: Scene, ground: Ground, azimuths: int, rng: np.random.Generator) -> np.ndarray:
    """One sweep.

    Returns:
        (P, 5) float32 POINT_COLUMNS in the LiDAR frame; time lag 0.
    """
    step = 2 * np.pi / azimuths
    azimuth = -np.pi + step * (np.arange(azimuths) + rng.uniform())
    tangent = np.tan(LIDAR_ELEVATIONS)[:, None]
    cosine = np.cos(LIDAR_ELEVATIONS)[:, None]
    # `flat` is the horizontal distance of the nearest hit, `hit` its cuboid (-1: the ground).
    flat = np.full((len(LIDAR_ELEVATIONS), azimuths), np.inf)
    flat[:] = np.where(tangent < 0, LIDAR_POSITION[2] / np.maximum(-tangent, 1e-9), np.inf)
    hit = np.full(flat.shape, -1, dtype=np.int32)
    _cast(scene, azimuth, step, tangent, flat, hit)
    beam, column = np.nonzero(flat / cosine < _MAX_RANGE)
    distance = flat[beam, column] / cosine[beam, 0]
    elevation, azimuth = LIDAR_ELEVATIONS[beam], azimuth[column]
    is_ground = hit[beam, column] < 0
    level = np.cos(elevation)
    direction = np.stack(
        [level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=-1
    )
    point = direction * distance[:, None] + LIDAR_POSITION
    world = point[:, :2] @ scene.world_from_ego[:2, :2].T + scene.world_from_ego[:2, 3]
    base = np.where(
        is_ground,
        MATERIAL_REFLECTIVITY[ground.sample(ground.material, world)],
        np.append(scene.cuboids.reflectivity, 0)[hit[beam, column]],
    )
    slant = np.where(is_ground, np.abs(direction[:, 2]), 0.8)
    keep = rng.uniform(size=len(distance)) < returned(distance, base, slant)
    keep &= (distance > _MIN_RANGE) & ~in_ego(point)
    noisy = distance + rng.normal(0, RANGE_NOISE, len(distance))
    point = direction * noisy[:, None]
    intensity = np.clip(
        base * rng.normal(1.0, 0.12, len(base)) + rng.normal(0, 1.5, len(base)), 0, 255
    )
    # LiDAR axes: x to the right (ego -y), y forward (ego x).
    cloud = np.stack(
        [-point[:, 1], point[:, 0], point[:, 2], intensity, np.zeros(len(intensity))], axis=-1
    )
    return cloud[keep].astype(np.float32)


def _cast(
    scene: Scene,
    azimuth: np.ndarray,
    step: float,
    tangent: np.ndarray,
    flat: np.ndarray,
    hit: np.ndarray,
) -> None:
    """Slab tests, each cuboid only over the columns it can meet."""
    count = len(azimuth)
    cuboids = scene.cuboids
    centre = cuboids.centre - LIDAR_POSITION
    half = cuboids.size / 2
    away = np.hypot(centre[:, 0], centre[:, 1])
    radius = np.hypot(half[:, 0], half[:, 1])
    bearing = np.arctan2(centre[:, 1], centre[:, 0])
    corners = scene.corners[:, :4, :2] - LIDAR_POSITION[:2]
    angle = np.arctan2(corners[..., 1], corners[..., 0]) - bearing[:, None]
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    first, last = angle.min(1) + bearing, angle.max(1) + bearing
    low = np.ceil((first - azimuth[0]) / step).astype(int)
    high = np.floor((last - azimuth[0]) / step).astype(int)
    # Beams that can meet it at all: its top and bottom seen from its nearest and farthest place.
    near = np.maximum(away - radius, 0.05)
    top, bottom = centre[:, 2] + half[:, 2], centre[:, 2] - half[:, 2]
    far = away + radius
    first_beam = np.searchsorted(tangent[:, 0], np.minimum(bottom / near, bottom / far))
    last_beam = np.searchsorted(tangent[:, 0], np.maximum(top / near, top / far))
    with np.errstate(divide='ignore', invalid='ignore'):
        for k in np.flatnonzero(away - radius < _MAX_RANGE):
            columns = np.arange(low[k], high[k] + 1) if away[k] > radius[k] else np.arange(count)
            beams = slice(first_beam[k], last_beam[k])
            if not len(columns) or first_beam[k] >= last_beam[k]:
                continue
            columns = columns % count
            begin, end = _slabs(
                centre[k], half[k], cuboids.yaw[k], azimuth[columns], tangent[beams]
            )
            old = flat[beams, columns]
            better = (begin <= end) & (begin > 0) & (begin < old)
            if better.any():
                flat[beams, columns] = np.where(better, begin, old)
                hit[beams, columns] = np.where(better, k, hit[beams, columns])


def _slabs(
    centre: np.ndarray,
    half: np.ndarray,
    yaw: float,
    azimuth: np.ndarray,
    tangent: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Horizontal distances at which the beams enter and leave a cuboid; enter > leave: a miss.

    Args:
        centre, half: (3,) metres, seen from the LiDAR.
        azimuth: (C,) radians.
        tangent: (B, 1) of the elevations.

    Returns:
        (B, C) each.
    """
    relative = azimuth - yaw
    c, s = np.cos(-yaw), np.sin(-yaw)
    ox = -(c * centre[0] - s * centre[1])
    oy = -(s * centre[0] + c * centre[1])
    ux, uy = 1 / np.cos(relative), 1 / np.sin(relative)
    x0, x1 = (-half[0] - ox) * ux, (half[0] - ox) * ux
    y0, y1 = (-half[1] - oy) * uy, (half[1] - oy) * uy
    enter = np.maximum(np.minimum(x0, x1), np.minimum(y0, y1))
    leave = np.minimum(np.maximum(x0, x1), np.maximum(y0, y1))
    z0, z1 = (centre[2] - half[2]) / tangent, (centre[2] + half[2]) / tangent
    begin = np.maximum(enter[None], np.minimum(z0, z1))
    end = np.minimum(leave[None], np.maximum(z0, z1))
    return begin, end


def returned(distance: np.ndarray, base: np.ndarray, slant: np.ndarray) -> np.ndarray:
    """Chance that a ray comes back: falls with range, with dark and with grazing surfaces."""
    strength = np.sqrt(np.maximum(base, 4.0) / 40.0) * np.sqrt(slant / 0.5)
    reach = 55.0 * np.clip(strength, 0.45, 1.8)
    return 0.985 / (1 + (distance / reach) ** 6)


def in_ego(point: np.ndarray) -> np.ndarray:
    """(P,) bool: which of (P, 3) points in the ego frame are on the ego car itself."""
    x0, x1, y0, y1, top = EGO_BOX
    return (
        (point[:, 0] > x0)
        & (point[:, 0] < x1)
        & (point[:, 1] > y0)
        & (point[:, 1] < y1)
        & (point[:, 2] < top)
    )
