"""Rays against meshes that stand still and bodies that move.

A body is built once, in its unit box. For each object the rays near it are moved into its box *as
it stands at the time of each ray*: motion is exact for every ray, and nothing is built again from
one instant to the next.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from metabev_ros.errors import MissingDependencyError
from metabev_ros.lab.simulation.meshes import Mesh

try:
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene
except ImportError:  # there are wheels for x86-64 only
    TriangleMesh = EmbreeScene = typing.cast(typing.Any, None)

_NOTHING = np.float32(1e30)  # embree gives more where a ray meets nothing
_TILE = 16  # rays along each side of a tile of a grid
_PAD = 0.3  # metres around an object that are looked at too


class RayMesh:
    """A mesh that rays can be cast against.

    Raises:
        MissingDependencyError: without embreex.
    """

    def __init__(self, mesh: Mesh) -> None:
        if EmbreeScene is None:
            raise MissingDependencyError(
                'simulated streets',
                'the package embreex',
                'none',
                'pip install embreex; it has wheels for x86-64 only: elsewhere use --world boxes',
            )
        self.mesh = mesh
        self._scene = EmbreeScene()
        if len(mesh.triangles):
            TriangleMesh(self._scene, mesh.vertices, mesh.triangles)

    def cast(
        self, origins: np.ndarray, directions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Nearest triangle of each ray.

        Args:
            origins, directions: (N, 3) float32; distances are in lengths of the direction.

        Returns:
            (N,) float32 distances, inf where nothing is met; (N,) int32 triangles, -1 there;
            (N, 2) float32 weights of the triangle's second and third corner.
        """
        if not len(self.mesh.triangles) or not len(origins):
            return _no_hits(len(origins))
        found = self._scene.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(directions, np.float32),
            output=1,
        )
        distance = found['tfar']
        distance[distance > _NOTHING] = np.inf
        return distance, found['primID'], np.stack([found['u'], found['v']], axis=-1)

    def blocks(
        self, origins: np.ndarray, directions: np.ndarray, reach: np.ndarray | None = None
    ) -> np.ndarray:
        """(N,) bool: which rays meet anything, within (N,) float32 `reach` if given."""
        if not len(self.mesh.triangles) or not len(origins):
            return np.zeros(len(origins), dtype=bool)
        found = self._scene.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(directions, np.float32),
            dists=None if reach is None else np.ascontiguousarray(reach, np.float32),
            query='OCCLUDED',
        )
        return found != -1


def _no_hits(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.full(count, np.inf, np.float32),
        np.full(count, -1, np.int32),
        np.zeros((count, 2), np.float32),
    )


@dataclass(frozen=True)
class Rays:
    """Rays in the world frame, each at its own time.

    Attributes:
        origin: (N, 3) float32 metres.
        direction: (N, 3) float32 unit vectors.
        lag: (N,) float32 seconds from the instant of the objects, mostly not positive.
        tile: (N,) int32; rays of one tile start near each other and go about the same way.
    """

    origin: np.ndarray
    direction: np.ndarray
    lag: np.ndarray
    tile: np.ndarray

    @classmethod
    def grid(
        cls, origin: np.ndarray, direction: np.ndarray, lag: np.ndarray | float = 0.0
    ) -> Rays:
        """Rays of an image or a sweep, row by row.

        Args:
            origin: (3,) or (H, W, 3); direction: (H, W, 3) unit vectors; lag: broadcast to (H, W).
        """
        height, width = direction.shape[:2]
        count = height * width
        return cls(
            np.broadcast_to(np.asarray(origin, np.float32), direction.shape).reshape(count, 3),
            np.asarray(direction, np.float32).reshape(count, 3),
            np.broadcast_to(np.asarray(lag, np.float32), (height, width)).reshape(count),
            _tiles_of_grid(height, width),
        )

    @classmethod
    def join(cls, parts: Sequence[Rays]) -> Rays:
        """All rays of some grids, in order."""
        starts = np.cumsum([0, *(int(part.tile.max()) + 1 for part in parts[:-1])])
        return cls(
            np.concatenate([part.origin for part in parts]),
            np.concatenate([part.direction for part in parts]),
            np.concatenate([part.lag for part in parts]),
            np.concatenate(
                [part.tile + start for part, start in zip(parts, starts, strict=True)]
            ).astype(np.int32),
        )

    def take(self, rows: np.ndarray) -> Rays:
        """Some of the rays."""
        return Rays(self.origin[rows], self.direction[rows], self.lag[rows], self.tile[rows])

    def __len__(self) -> int:
        return len(self.origin)

    def at(self, distance: np.ndarray) -> np.ndarray:
        """(N, 3) float32 places `distance` metres along the rays."""
        return self.origin + distance[:, None].astype(np.float32) * self.direction


@lru_cache(maxsize=64)
def _tiles_of_grid(height: int, width: int) -> np.ndarray:
    across = -(-width // _TILE)
    rows, columns = np.arange(height) // _TILE, np.arange(width) // _TILE
    tiles = (rows[:, None] * across + columns).reshape(-1).astype(np.int32)
    tiles.setflags(write=False)
    return tiles


class RayTiles:
    """Rays sorted by tile, with the cone that holds each tile's rays."""

    def __init__(self, rays: Rays) -> None:
        # NumPy sorts whole numbers of 16 bits several times faster than longer ones.
        few = len(rays) > 0 and int(rays.tile.max()) < 1 << 16
        tile = rays.tile.astype(np.uint16) if few else rays.tile
        self._order = np.argsort(tile, kind='stable')
        sorted_tiles = tile[self._order]
        first = np.flatnonzero(np.append(True, sorted_tiles[1:] != sorted_tiles[:-1]))
        self._first, self._last = first, np.append(first[1:], len(sorted_tiles))
        count = (self._last - self._first)[:, None]
        direction = rays.direction[self._order]
        axis = np.add.reduceat(direction, first, axis=0) / count
        self._axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
        cosine = np.einsum('ij,ij->i', direction, np.repeat(self._axis, count[:, 0], axis=0))
        self._half = np.arccos(np.clip(np.minimum.reduceat(cosine, first), -1, 1))
        origin = rays.origin[self._order]
        self._apex = np.add.reduceat(origin, first, axis=0) / count
        apart = origin - np.repeat(self._apex, count[:, 0], axis=0)
        square = np.einsum('ij,ij->i', apart, apart)
        self._spread = np.sqrt(np.maximum.reduceat(square, first))

    def near(self, centre: np.ndarray, radius: np.ndarray) -> list[np.ndarray]:
        """Rows of the rays that may meet each of (M, 3) spheres of (M,) metres."""
        delta = centre[:, None] - self._apex  # (M, tiles, 3)
        away = np.linalg.norm(delta, axis=2)
        reach = radius[:, None] + self._spread
        cosine = (delta * self._axis).sum(2) / np.maximum(away, 1e-9)
        aside = np.arccos(np.clip(cosine, -1, 1))
        wide = self._half + np.arcsin(np.clip(reach / np.maximum(away, 1e-9), 0, 1))
        chosen = (away <= reach) | (aside <= wide)
        rows = []
        for tiles in chosen:
            parts = [
                self._order[a:b]
                for a, b in zip(self._first[tiles], self._last[tiles], strict=True)
            ]
            rows.append(np.concatenate(parts) if parts else self._order[:0])
        return rows


@dataclass(frozen=True)
class Movers:
    """Objects of one instant.

    Attributes:
        body: (M,) int32 rows of the shelf.
        world_from_box: (M, 4, 4) float64 of their unit boxes at the instant.
        velocity: (M, 3) m/s in the world; yaw_rate: (M,) rad/s about the middle of the box.
        colours: (M, 2, 3) float32 RGB 0..1 of the primary and the secondary colour.
    """

    body: np.ndarray
    world_from_box: np.ndarray
    velocity: np.ndarray
    yaw_rate: np.ndarray
    colours: np.ndarray

    def __len__(self) -> int:
        return len(self.body)

    @property
    def radius(self) -> np.ndarray:
        """(M,) metres of the sphere around each box."""
        return np.linalg.norm(self.world_from_box[:, :3, :3], axis=(1, 2)) / 2


@dataclass(frozen=True)
class Hits:
    """Hits of some rays.

    Attributes:
        distance: (N,) float32 metres, inf where nothing.
        mover: (N,) int32 row of `Movers`; -1 for what stands still and for nothing.
        triangle: (N,) int32 of the body's or the still mesh, -1 for nothing.
        weights: (N, 2) float32 of the second and third corner.
        alone: (M,) int64 rays that would meet each object if it were alone.
    """

    distance: np.ndarray
    mover: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray
    alone: np.ndarray


def cast(rays: Rays, still: RayMesh, bodies: Sequence[RayMesh], movers: Movers) -> Hits:
    """Nearest hits of rays among what stands and what moves."""
    distance, triangle, weights = still.cast(rays.origin, rays.direction)
    mover = np.full(len(rays), -1, np.int32)
    alone = np.zeros(len(movers), np.int64)
    if not len(movers) or not len(rays):
        return Hits(distance, mover, triangle, weights, alone)
    longest = float(np.abs(rays.lag).max())
    radius = movers.radius + _PAD + np.linalg.norm(movers.velocity, axis=1) * longest
    centre = movers.world_from_box[:, :3, 3]
    box_from_world = np.linalg.inv(movers.world_from_box[:, :3, :3])
    for k, rows in enumerate(RayTiles(rays).near(centre, radius)):
        if not len(rows):
            continue
        origin, direction = into_box(rays.take(rows), movers, k, box_from_world[k])
        far, which, corners = bodies[movers.body[k]].cast(origin, direction)
        alone[k] = int(np.isfinite(far).sum())
        nearer = far < distance[rows]
        rows = rows[nearer]
        distance[rows], mover[rows] = far[nearer], k
        triangle[rows], weights[rows] = which[nearer], corners[nearer]
    return Hits(distance, mover, triangle, weights, alone)


def into_box(
    rays: Rays, movers: Movers, k: int, box_from_world: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rays in the unit box of an object as it stands at the time of each ray."""
    origin = rays.origin - movers.world_from_box[k, :3, 3].astype(np.float32)
    direction, rate = rays.direction, float(movers.yaw_rate[k])
    if movers.velocity[k].any():
        origin = origin - rays.lag[:, None] * movers.velocity[k].astype(np.float32)
    if rate:
        origin = turned(origin, -rate * rays.lag)
        direction = turned(direction, -rate * rays.lag)
    matrix = box_from_world.T.astype(np.float32)
    return origin @ matrix, direction @ matrix


def turned(vectors: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(N, 3) vectors turned about z by (N,) radians."""
    c, s = np.cos(angle), np.sin(angle)
    x, y = vectors[:, 0], vectors[:, 1]
    return np.stack([c * x - s * y, s * x + c * y, vectors[:, 2]], axis=-1)
