"""The world of a drive as functions of time: what stands, what moves, and how the ego goes.

A world is made once from a seed; `World.scene` gives the solids of any instant from any pose, and
the sensors are rendered from that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from metabev_ros.geometry import (
    NUSCENES_MAP_GRID,
    inverse_rigid,
    points_in_box,
    transform_points,
    wrap_angle,
)
from metabev_ros.lab.datasets.synthetic.actors import Population, part_of
from metabev_ros.lab.datasets.synthetic.camera import Light
from metabev_ros.lab.datasets.synthetic.faces import Scene, cuboid_corners
from metabev_ros.lab.datasets.synthetic.ground import Ground
from metabev_ros.lab.datasets.synthetic.models import Cuboids, build_parts
from metabev_ros.lab.datasets.synthetic.motion import EgoMotion
from metabev_ros.lab.datasets.synthetic.rig import EGO_BOX

TRUTH_RANGE = 60.0  # metres around the ego
_SIGHT = 95.0
_SCENERY_SIGHT = 140.0
_BUCKET = 0.5  # seconds
_FASTEST = 60.0  # m/s between the ego and any actor


@dataclass(frozen=True)
class World:
    """Everything that the sensors of a drive can see.

    Attributes:
        ego: where the vehicle is at a time.
        ground: painted ground; pyramid: its texture at full, half, ... size.
        scenery: solids that stand, in the world frame.
        population: actors.
        light: weather as the cameras see it.
    """

    ego: EgoMotion
    ground: Ground
    pyramid: list[np.ndarray]
    scenery: Cuboids
    population: Population
    light: Light
    _near: dict[int, tuple[np.ndarray, Population]] = field(default_factory=dict)

    def actors(self, t: float, world_from_ego: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (M, 9) in the ego frame of everybody in sight, and their track ids."""
        rows, population = self._around(round(t / _BUCKET))
        world, exists = population.at(t)
        boxes = boxes_in_ego(world, world_from_ego)
        near = np.flatnonzero(exists & (np.hypot(boxes[:, 0], boxes[:, 1]) < _SIGHT))
        keep = near[without_overlap(boxes[near])]
        return boxes[keep], rows[keep]

    def boxes_of(self, tracks: np.ndarray, t: float, world_from_ego: np.ndarray) -> np.ndarray:
        """(M, 9) boxes of these actors at a time, in the frame of a pose near them."""
        rows, population = self._around(round(t / _BUCKET))
        every = population.at(t)[0][np.searchsorted(rows, tracks)]
        return boxes_in_ego(every, world_from_ego)

    def _around(self, bucket: int) -> tuple[np.ndarray, Population]:
        """Rows of the actors that can be in sight around `bucket * _BUCKET` seconds, and they."""
        if bucket not in self._near:
            t = bucket * _BUCKET
            boxes = boxes_in_ego(self.population.at(t)[0], self.ego.world_from_ego(t))
            rows = np.flatnonzero(np.hypot(boxes[:, 0], boxes[:, 1]) < _SIGHT + _FASTEST * _BUCKET)
            self._near.clear()  # a drive goes on in time: what lies behind is not asked again
            self._near[bucket] = rows, part_of(self.population, rows)
        return self._near[bucket]

    def scene(self, boxes: np.ndarray, tracks: np.ndarray, world_from_ego: np.ndarray) -> Scene:
        """The solids of an instant in the ego frame; owner = row of `boxes`."""
        parts = build_parts(boxes, self.population.labels[tracks], self.population.colours[tracks])
        ego_from_world = inverse_rigid(world_from_ego)
        still = self.scenery
        centre = transform_points(ego_from_world, still.centre)
        near = np.flatnonzero(np.hypot(centre[:, 0], centre[:, 1]) < _SCENERY_SIGHT)
        yaw = still.yaw - np.arctan2(world_from_ego[1, 0], world_from_ego[0, 0])
        moved = Cuboids(
            centre, still.size, yaw, still.colour, still.reflectivity, still.owner, still.facade
        ).take(near)
        cuboids = Cuboids.join(parts, moved)
        return Scene(
            cuboids,
            cuboid_corners(cuboids),
            _shadow_polygons(boxes, self.light.sun, world_from_ego),
            world_from_ego,
            len(boxes),
        )

    def map_layers(self, world_from_ego: np.ndarray) -> np.ndarray:
        """(K, Y, X) bool on NUSCENES_MAP_GRID, classes MAP_CLASSES."""
        centres = NUSCENES_MAP_GRID.centres()
        world = centres @ world_from_ego[:2, :2].T + world_from_ego[:2, 3]
        return self.ground.map_layers(world)


def boxes_in_ego(world: np.ndarray, world_from_ego: np.ndarray) -> np.ndarray:
    """(M, 9) boxes of the world frame in the ego frame."""
    yaw = np.arctan2(world_from_ego[1, 0], world_from_ego[0, 0])
    ego_from_world = inverse_rigid(world_from_ego)
    boxes = world.copy()
    boxes[:, :3] = transform_points(ego_from_world, world[:, :3])
    boxes[:, 6] = wrap_angle(world[:, 6] - yaw)
    boxes[:, 7:9] = world[:, 7:9] @ ego_from_world[:2, :2].T
    return boxes


def count_points(cloud: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(M,) int64 points of (P, 3) in each box; sorting by x spares most tests."""
    order = cloud[np.argsort(cloud[:, 0])]
    reach = np.hypot(boxes[:, 3], boxes[:, 4]) / 2 + 0.01
    first = np.searchsorted(order[:, 0], boxes[:, 0] - reach)
    last = np.searchsorted(order[:, 0], boxes[:, 0] + reach)
    return np.array(
        [
            int(points_in_box(order[a:b], box.astype(np.float64)).sum())
            for box, a, b in zip(boxes, first, last, strict=True)
        ],
        dtype=np.int64,
    )


def without_overlap(boxes: np.ndarray) -> np.ndarray:
    """Rows of (M, >=7) boxes to keep so that none meets another or the ego car.

    Traffic keeps apart by construction; this is the guarantee at tight bends and crossings.
    """
    x0, x1, y0, y1, _ = EGO_BOX
    ego = np.array([[(x0 + x1) / 2, (y0 + y1) / 2, 0, x1 - x0 + 1, y1 - y0 + 0.6, 2, 0]])
    every = np.concatenate([ego, boxes[:, :7]])
    reach = np.hypot(every[:, 3], every[:, 4]) / 2
    dx = every[:, None, 0] - every[None, :, 0]
    dy = every[:, None, 1] - every[None, :, 1]
    close = dx * dx + dy * dy < (reach[:, None] + reach[None]) ** 2
    first, second = np.nonzero(close)
    once = first < second
    first, second = first[once], second[once]
    meet = _meet(every[first], every[second])
    dropped = np.zeros(len(every), dtype=bool)
    for i, j in zip(first[meet].tolist(), second[meet].tolist(), strict=True):
        dropped[j] |= not dropped[i]
    return np.flatnonzero(~dropped[1:])


def _meet(a: np.ndarray, b: np.ndarray, margin: float = 0.02) -> np.ndarray:
    """(N,) bool: separating axes of (N, >=7) pairs of rectangles."""
    delta = b[:, :2] - a[:, :2]
    axes = {}
    for name, box in (('a', a), ('b', b)):
        c, s = np.cos(box[:, 6]), np.sin(box[:, 6])
        ahead, across = np.stack([c, s], axis=-1), np.stack([-s, c], axis=-1)
        axes[name] = (ahead, across, box[:, 3] / 2, box[:, 4] / 2)
    meet = np.ones(len(a), dtype=bool)
    for axis in (*axes['a'][:2], *axes['b'][:2]):
        reach = sum(
            np.abs((axis * u).sum(-1)) * p + np.abs((axis * v).sum(-1)) * q
            for u, v, p, q in axes.values()
        )
        meet &= np.abs((delta * axis).sum(-1)) <= reach + margin
    return meet


def texture_pyramid(texture: np.ndarray, levels: int = 4) -> list[np.ndarray]:
    """The texture at full, half, ... size."""
    pyramid = [texture]
    for _ in range(levels - 1):
        last = pyramid[-1]
        even = last[: last.shape[0] // 2 * 2, : last.shape[1] // 2 * 2]
        pyramid.append(cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return pyramid


def _shadow_polygons(boxes: np.ndarray, sun: np.ndarray, world_from_ego: np.ndarray) -> np.ndarray:
    """(2 M, 4, 2): under each box, and thrown by the sun (its footprint moved half its height)."""
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) / 2.0
    local = signs[None] * boxes[:, None, 3:5]
    c, s = np.cos(boxes[:, 6, None]), np.sin(boxes[:, 6, None])
    foot = (
        np.stack(
            [c * local[..., 0] - s * local[..., 1], s * local[..., 0] + c * local[..., 1]], axis=-1
        )
        + boxes[:, None, :2]
    )
    direction = -(world_from_ego[:2, :2].T @ sun[:2]) / max(sun[2], 0.35)
    thrown = foot + (boxes[:, 5] * 0.5)[:, None, None] * direction
    return np.concatenate([foot, thrown])
