"""Places where the sun does not come, and where objects take the light of the sky."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.cameras.buckets import Buckets
from metabev_ros.lab.simulation.cameras.scene import Moment, Scene
from metabev_ros.lab.simulation.rays import Rays, blocked

_FURTHEST = 260.0  # metres: what stands further away throws no shadow


def sunlit(
    scene: Scene,
    moment: Moment,
    points: Rays,
    sun: np.ndarray,
    softness: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """(N,) float32: share of the sun that reaches some points.

    Args:
        points: rays whose origins are the points, a little off their surface; their direction is
            not used.
        softness: radians that the sun is wide.
    """
    count = len(points)
    along = _jittered(sun, softness, count, rng)
    rays = Rays(points.origin, along, points.lag, points.tile)
    hidden = blocked(rays, scene.still, scene.ray_bodies, moment.movers, _FURTHEST)
    return 1.0 - hidden.astype(np.float32)


def _jittered(
    sun: np.ndarray, softness: float, count: int, rng: np.random.Generator
) -> np.ndarray:
    """(N, 3) directions into the sun's disc."""
    a, b = _across(sun)
    turn = rng.random(count, dtype=np.float32) * np.float32(2 * np.pi)
    radius = np.sqrt(rng.random(count, dtype=np.float32)) * np.float32(softness)
    return (
        sun + (np.cos(turn) * radius)[:, None] * a + (np.sin(turn) * radius)[:, None] * b
    ).astype(np.float32)


def _across(sun: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors at right angles to the sun's."""
    side = np.array([0.0, 0.0, 1.0]) if abs(sun[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    a = np.cross(sun, side)
    a /= np.linalg.norm(a)
    return a.astype(np.float32), np.cross(sun, a).astype(np.float32)


def dimmed_by_movers(
    moment: Moment, place: np.ndarray, own: np.ndarray, buckets: Buckets
) -> np.ndarray:
    """(N,) float32: share of the sky's light that objects nearby leave to some points.

    Under a car it is dark, and beside it the ground darkens towards it.

    Args:
        place: (N, 3) float32.
        own: (N,) row of the object that each point is on, -1 elsewhere.
        buckets: the points by their x and y.
    """
    left = np.ones(len(place), np.float32)
    movers = moment.movers
    scale = np.linalg.norm(movers.world_from_box[:, :3, :3], axis=1)  # l, w, h
    axes = movers.world_from_box[:, :3, :3] / np.maximum(scale[:, None], 1e-6)
    spreads = 0.35 * np.minimum(scale[:, 1:].min(1), 2.0)
    reach = np.hypot(scale[:, 0], scale[:, 1]) / 2 + 3 * spreads
    for k, near in buckets.each_near(movers.world_from_box[:, :2, 3], reach):
        length, width, height = scale[k]
        spread = np.float32(spreads[k])
        centre = movers.world_from_box[k, :3, 3].astype(np.float32)
        rows = near[(own[near] != k) & (place[near, 2] < centre[2] + height / 2)]
        if not len(rows):
            continue
        local = (place[rows] - centre) @ axes[k].astype(np.float32)
        aside_x = np.abs(local[:, 0]) - np.float32(length / 2)
        aside_y = np.abs(local[:, 1]) - np.float32(width / 2)
        away = np.hypot(np.maximum(aside_x, 0), np.maximum(aside_y, 0))
        inside = np.minimum(np.maximum(aside_x, aside_y), 0)
        dark = np.float32(0.62) * np.exp(-away / spread)
        dark += np.float32(0.33) * (1 - np.exp(inside / (0.5 * spread)))
        left[rows] *= 1 - dark
    return left
