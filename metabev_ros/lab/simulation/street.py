"""A world that stands and moves: what sensors cast their rays at, and the truth about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.geometry import (
    NUSCENES_MAP_GRID,
    inverse_rigid,
    rotation_z,
    transform_points,
    wrap_angle,
)
from metabev_ros.lab.datasets.synthetic.ground import Ground
from metabev_ros.lab.datasets.synthetic.world import without_overlap
from metabev_ros.lab.simulation.bodies.shelf import BodyShelf
from metabev_ros.lab.simulation.layout import Layout
from metabev_ros.lab.simulation.rays import Hits, Movers, RayMesh, Rays, cast
from metabev_ros.lab.simulation.surface import Surface as GroundSurface
from metabev_ros.lab.simulation.surfaces import Surface, Triangles, surface_at
from metabev_ros.lab.simulation.terrain import Terrain
from metabev_ros.structures import DETECTION_CLASSES

_SIGHT = 95.0  # metres around the ego in which objects are there
_AXLE_TO_MIDDLE = 1.4  # metres from the ego's origin to the middle of its wheels
_STEP = 0.02  # seconds over which turning is measured
_UPRIGHT = [DETECTION_CLASSES.index(n) for n in ('pedestrian', 'traffic_cone', 'barrier')]


@dataclass(frozen=True)
class Instant:
    """The objects in sight at one time.

    Attributes:
        time: seconds.
        world_from_ego: (4, 4).
        movers: all objects, also those that stand.
        tracks: (M,) int64 rows of the population.
        labels: (M,) int64 classes.
        boxes: (M, 9) float64 x y z l w h yaw vx vy in the ego frame.
        brightness: (M,) draws of a standard normal, one for each track.
    """

    time: float
    world_from_ego: np.ndarray
    movers: Movers
    tracks: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    brightness: np.ndarray


@dataclass(frozen=True)
class Floor:
    """The ground of a world.

    Attributes:
        ground: map labels.
        terrain: heights.
        surface: materials and colours.
        triangles: how many of the still mesh are ground; they come first.
    """

    ground: Ground
    terrain: Terrain
    surface: GroundSurface
    triangles: int


class Street:
    """A world of one seed.

    Args:
        layout: roads, traffic and the way of the ego.
        floor: the ground.
        still: everything that stands, without objects.
        shelf: bodies of the objects; ray_bodies: the same as rays see them.
    """

    def __init__(
        self,
        seed: int,
        layout: Layout,
        floor: Floor,
        still: RayMesh,
        shelf: BodyShelf,
        ray_bodies: Sequence[RayMesh],
    ) -> None:
        self.layout, self.floor, self.still, self.shelf = layout, floor, still, shelf
        self.ray_bodies = ray_bodies
        self._still_triangles = Triangles([still.mesh])
        self._body_triangles = Triangles([body.mesh for body in ray_bodies])
        count = len(layout.population.labels)
        self._brightness = np.random.default_rng([seed, 21]).standard_normal(count)

    def ego_poses(self, t: np.ndarray) -> np.ndarray:
        """(N, 4, 4) world_from_ego at (N,) seconds: on the ground, tilted with it."""
        planar = self.layout.ego.planar(np.asarray(t, dtype=np.float64))
        ahead = np.stack([np.cos(planar[:, 2]), np.sin(planar[:, 2])], axis=-1)
        middle = planar[:, :2] + _AXLE_TO_MIDDLE * ahead
        size = np.ones(len(planar))
        poses = self.floor.terrain.stand(middle, planar[:, 2], 4.6 * size, 1.9 * size)
        poses[:, :3, 3] -= _AXLE_TO_MIDDLE * poses[:, :3, 0]
        return poses

    def instant(self, t: float) -> Instant:
        """The objects around the ego at `t` seconds."""
        world_from_ego = self.ego_poses(np.array([t]))[0]
        population = self.layout.population
        world, exists = population.at(t)
        before, _ = population.at(t - _STEP)
        ego_from_world = inverse_rigid(world_from_ego)
        away = np.hypot(*(world[:, :2] - world_from_ego[:2, 3]).T)
        tracks = np.flatnonzero(exists & (away < _SIGHT))
        poses = self._poses(world[tracks], population.labels[tracks])
        boxes = _boxes_in_ego(world[tracks], poses, ego_from_world)
        keep = without_overlap(boxes)
        tracks, poses, boxes = tracks[keep], poses[keep], boxes[keep]
        world = world[tracks]
        turned = wrap_angle(world[:, 6] - before[tracks, 6])
        rate = np.where(np.abs(turned) < 0.2, turned / _STEP, 0.0)
        speed = np.hypot(world[:, 7], world[:, 8])
        labels = population.labels[tracks].astype(np.int64)
        movers = Movers(
            self.shelf.choose(labels, world[:, 3:6], tracks, speed, t),
            _boxed(poses, world[:, 3:6]),
            np.concatenate([world[:, 7:9], np.zeros((len(world), 1))], axis=1),
            np.where(np.abs(rate) > 1e-4, rate, 0.0),
            population.colours[tracks].astype(np.float32) / 255.0,
        )
        return Instant(t, world_from_ego, movers, tracks, labels, boxes, self._brightness[tracks])

    def _poses(self, world: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(M, 4, 4) world_from_object of feet or wheels."""
        stand = self.floor.terrain.stand
        poses = stand(world[:, :2], world[:, 6], world[:, 3], world[:, 4])
        rows = np.flatnonzero(np.isin(labels, _UPRIGHT))
        poses[rows] = stand(
            world[rows, :2], world[rows, 6], world[rows, 3], world[rows, 4], upright=True
        )
        return poses

    def cast(self, rays: Rays, instant: Instant) -> Hits:
        """Hits of some rays; their lags count from the instant."""
        return cast(rays, self.still, self.ray_bodies, instant.movers)

    def surface(self, rays: Rays, hits: Hits, instant: Instant, rows: np.ndarray) -> Surface:
        """The surfaces that some rays met; on the ground the exact material."""
        found = surface_at(
            rays, hits, self._still_triangles, self._body_triangles, instant.movers, rows
        )
        on_ground = np.flatnonzero(self.is_ground(hits, rows))
        place = rays.take(rows[on_ground]).at(hits.distance[rows[on_ground]])
        found.material[on_ground] = self.floor.surface.material_at(place[:, :2])
        return found

    def is_ground(self, hits: Hits, rows: np.ndarray) -> np.ndarray:
        """(K,) bool: which of some hits are on the ground."""
        return (hits.mover[rows] < 0) & (hits.triangle[rows] < self.floor.triangles)

    def map_layers(self, world_from_ego: np.ndarray) -> np.ndarray:
        """(K, Y, X) bool on NUSCENES_MAP_GRID, classes MAP_CLASSES."""
        centres = NUSCENES_MAP_GRID.centres()
        yaw = np.arctan2(world_from_ego[1, 0], world_from_ego[0, 0])
        turn = rotation_z(float(yaw))[:2, :2]
        return self.floor.ground.map_layers(centres @ turn.T + world_from_ego[:2, 3])


def _boxed(poses: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(M, 4, 4) world_from_box of unit boxes that stand at some poses."""
    boxed = poses.copy()
    boxed[:, :3, 3] += poses[:, :3, 2] * sizes[:, 2:] / 2
    boxed[:, :3, :3] *= sizes[:, None, :]
    return boxed


def _boxes_in_ego(world: np.ndarray, poses: np.ndarray, ego_from_world: np.ndarray) -> np.ndarray:
    """(M, 9) boxes in the ego frame; their slopes are not said."""
    boxes = world.copy()
    middle = poses[:, :3, 3] + poses[:, :3, 2] * world[:, 5:6] / 2
    boxes[:, :3] = transform_points(ego_from_world, middle)
    ahead = poses[:, :3, 0] @ ego_from_world[:3, :3].T
    boxes[:, 6] = np.arctan2(ahead[:, 1], ahead[:, 0])
    velocity = np.concatenate([world[:, 7:9], np.zeros((len(world), 1))], axis=1)
    boxes[:, 7:9] = (velocity @ ego_from_world[:3, :3].T)[:, :2]
    return boxes
