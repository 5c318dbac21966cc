"""Rays against meshes that stand still and bodies that move.

A body is built once, in its unit box. All objects of an instant are placed beside what stands,
each with its motion, so that every ray meets each of them *as it stands at the time of the ray*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np

from metabev_ros.lab.simulation.embree import EmbreeScene, matrices_of
from metabev_ros.lab.simulation.meshes import Mesh

_TILE = 16  # rays along each side of a tile of a grid
_SPAN = 0.1  # seconds: what moves is placed for the lags between two multiples of it


class RayMesh:
    """A mesh that rays can be cast against.

    Raises:
        MissingDependencyError: without embreex.
    """

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.scene = EmbreeScene.triangles(mesh.vertices, mesh.triangles)

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
        distance, triangle, _, weights = self.scene.nearest(origins, directions)
        return distance, triangle, weights

    def blocks(
        self, origins: np.ndarray, directions: np.ndarray, reach: np.ndarray | float = np.inf
    ) -> np.ndarray:
        """(N,) bool: which rays meet anything, within `reach` metres, (N,) or of all."""
        return self.scene.blocks(origins, directions, reach=reach)


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
            tiles_of_grid(height, width),
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
def tiles_of_grid(height: int, width: int) -> np.ndarray:
    """(height * width,) int32 tile of each ray of a grid, row by row."""
    across = -(-width // _TILE)
    rows, columns = np.arange(height) // _TILE, np.arange(width) // _TILE
    tiles = (rows[:, None] * across + columns).reshape(-1).astype(np.int32)
    tiles.setflags(write=False)
    return tiles


@dataclass(frozen=True, eq=False)
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

    def matrices(self, k: int, first: float, last: float) -> np.ndarray:
        """(steps, 3, 4) world_from_box of one between two times in seconds from the instant."""
        return matrices_of(
            self.world_from_box[k], self.velocity[k], float(self.yaw_rate[k]), first, last
        )


@dataclass(frozen=True)
class Hits:
    """Hits of some rays.

    Attributes:
        distance: (N,) float32 metres, inf where nothing.
        mover: (N,) int32 row of `Movers`; -1 for what stands still and for nothing.
        triangle: (N,) int32 of the body's or the still mesh, -1 for nothing.
        weights: (N, 2) float32 of the second and third corner.
    """

    distance: np.ndarray
    mover: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class _Placed:
    """Objects of an instant, placed for the rays between two lags.

    Attributes:
        scene: what stands, and after it the objects.
        first, last: seconds.
        still: as it was given.
    """

    scene: EmbreeScene
    first: float
    last: float
    still: RayMesh

    def times(self, lag: np.ndarray) -> np.ndarray | None:
        """(N,) lags as Embree counts them, 0..1."""
        if self.first >= self.last:
            return None
        return (lag - np.float32(self.first)) * np.float32(1 / (self.last - self.first))


_known: WeakKeyDictionary[Movers, _Placed] = WeakKeyDictionary()
_UNMOVED = np.eye(4, dtype=np.float32)[None, :3]


def _placed(rays: Rays, still: RayMesh, bodies: Sequence[RayMesh], movers: Movers) -> _Placed:
    """Still and moving things for the lags of some rays; kept from call to call."""
    known = _known.get(movers)
    first = np.floor(min(float(rays.lag.min()), 0.0) / _SPAN) * _SPAN
    last = np.ceil(max(float(rays.lag.max()), 0.0) / _SPAN) * _SPAN
    if known is not None and known.still is still:
        if known.first <= first and last <= known.last:
            return known
        first, last = min(first, known.first), max(last, known.last)
    matrices = [movers.matrices(k, first, last) for k in range(len(movers))]
    scenes = [still.scene, *(bodies[k].scene for k in movers.body)]
    whole = EmbreeScene.instances(scenes, [_UNMOVED, *matrices])
    _known[movers] = _Placed(whole, first, last, still)
    return _known[movers]


def cast(rays: Rays, still: RayMesh, bodies: Sequence[RayMesh], movers: Movers) -> Hits:
    """Nearest hits of rays among what stands and what moves."""
    if not len(rays):
        nothing = np.zeros(0, np.int32)
        return Hits(np.zeros(0, np.float32), nothing, nothing, np.zeros((0, 2), np.float32))
    placed = _placed(rays, still, bodies, movers)
    distance, triangle, which, weights = placed.scene.nearest(
        rays.origin, rays.direction, placed.times(rays.lag)
    )
    return Hits(distance, np.maximum(which - 1, -1), triangle, weights)


def blocked(
    rays: Rays, still: RayMesh, bodies: Sequence[RayMesh], movers: Movers, reach: float
) -> np.ndarray:
    """(N,) bool: which rays meet anything that stands or moves within `reach` metres."""
    if not len(rays):
        return np.zeros(0, bool)
    placed = _placed(rays, still, bodies, movers)
    return placed.scene.blocks(rays.origin, rays.direction, placed.times(rays.lag), reach)
