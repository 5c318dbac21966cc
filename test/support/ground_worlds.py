"""Small worlds whose ground is drawn, and rays that look down at it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pytest

from metabev_ros.lab.datasets.synthetic.ground import CarPark, Ground, paint_ground
from metabev_ros.lab.datasets.synthetic.roads import RoadNetwork, build_roads
from metabev_ros.lab.simulation.ground_mesh import ground_mesh
from metabev_ros.lab.simulation.meshes import Mesh
from metabev_ros.lab.simulation.surface import Surface, draw_surface
from metabev_ros.lab.simulation.terrain import Terrain, draw_terrain


@dataclass(frozen=True)
class GroundWorld:
    """The ground of one seed; everything but its first two members is made from them."""

    roads: RoadNetwork
    parks: tuple[CarPark, ...]
    ground: Ground
    terrain: Terrain
    mesh: Mesh

    def points(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(count, 2) world points anywhere on the painted ground."""
        size = self.ground.cell * np.array(self.ground.labels.shape[::-1])
        return self.ground.origin + rng.uniform(0.02, 0.98, (count, 2)) * size

    def road_points(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(count, 2) world points around the main road: walkways, kerbs and verges too."""
        main = self.roads.main
        s, d = rng.uniform(main.start, main.end, count), rng.uniform(-20, 20, count)
        return np.stack(main.pose(s, d)[:2], axis=-1)


@functools.cache
def ground_world(seed: int) -> GroundWorld:
    """A road of 60 metres with one car park."""
    rng = np.random.default_rng([seed, 1])
    roads = build_roads(rng, 60.0)
    parks = (CarPark(10.0, 40.0, 1, 17.0),)
    ground = paint_ground(rng, roads, parks)
    terrain = draw_terrain(np.random.default_rng([seed, 2]), ground)
    return GroundWorld(roads, parks, ground, terrain, ground_mesh(terrain, ground))


@functools.cache
def ground_surface(seed: int) -> Surface:
    """What that world's ground looks like."""
    world = ground_world(seed)
    rng = np.random.default_rng([seed, 3])
    networks = ((world.roads, world.parks),)
    return draw_surface(rng, world.terrain, world.ground, networks)


def look_down(mesh: Mesh, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Height of a mesh below (N, 2) points, and the triangles there; NaN and -1 where none is."""
    scenes = pytest.importorskip('embreex.rtcore_scene')
    meshes = pytest.importorskip('embreex.mesh_construction')
    scene = scenes.EmbreeScene()
    meshes.TriangleMesh(scene, mesh.vertices, mesh.triangles)
    top = 100.0
    origins = np.concatenate([xy, np.full((len(xy), 1), top)], axis=1).astype(np.float32)
    down = np.tile(np.array([0, 0, -1], dtype=np.float32), (len(xy), 1))
    found = scene.run(origins, down, output=1)
    hit = found['geomID'] >= 0
    return np.where(hit, top - found['tfar'], np.nan), np.where(hit, found['primID'], -1)
