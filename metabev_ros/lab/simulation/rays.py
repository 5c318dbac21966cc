"""Rays against meshes that stand still and bodies that move.

A body is built once, in its unit box. All objects of an instant are placed beside what stands, each
with its motion, so that every ray meets each of them *as it stands at the time of the ray*.
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
_PAD = 0.3  # metres around an object that are looked at too
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
    """What stands and what moves, for the lags of some rays; kept from call to call."""
    known = _known.get(movers)
    first = np.floor(min(float(rays.lag.min()), 0.0) / _SPAN) * _SPAN
    last = np.ceil(max(float(rays.lag.max()), 0.0) / _SPAN) * _SPAN
    if known is not None and known.still is still:
        if known.first <= first and last <= known.last:
            return known
        first, last = min(first, known.first), max(last, known.last)
    matrices = [
        matrices_of(movers.world_from_box[k], movers.velocity[k], movers.yaw_rate[k], first, last)
        for k in range(len(movers))
    ]
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


def count_alone(rays: Rays, hits: Hits, bodies: Sequence[RayMesh], movers: Movers) -> np.ndarray:
    """(M,) int64 rays that would meet each object if it were alone."""
    count = np.bincount(hits.mover[hits.mover >= 0], minlength=len(movers)).astype(np.int64)
    if not len(movers) or not len(rays):
        return count
    longest = float(np.abs(rays.lag).max())
    radius = movers.radius + _PAD + np.linalg.norm(movers.velocity, axis=1) * longest
    centre = movers.world_from_box[:, :3, 3]
    for k, rows in enumerate(RayTiles(rays).near(centre, radius)):
        # What was met beyond an object, or on it, says already whether the ray meets it.
        apart = rays.origin[rows[:1]].astype(np.float64) - centre[k]
        beyond = np.linalg.norm(apart, axis=1) + radius[k] + _PAD
        hidden = (hits.mover[rows] != k) & (hits.distance[rows] < beyond)
        rows = rows[hidden]
        if len(rows):
            count[k] += int(_meets(rays.take(rows), bodies, movers, k).sum())
    return count


def _meets(rays: Rays, bodies: Sequence[RayMesh], movers: Movers, k: int) -> np.ndarray:
    """(N,) bool: which rays meet an object that is alone."""
    origin, direction = into_box(rays, movers, k)
    return bodies[movers.body[k]].blocks(origin, direction)


def into_box(rays: Rays, movers: Movers, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rays in the unit box of an object as it stands at the time of each ray."""
    origin = rays.origin - movers.world_from_box[k, :3, 3].astype(np.float32)
    direction, rate = rays.direction, float(movers.yaw_rate[k])
    if movers.velocity[k].any():
        origin = origin - rays.lag[:, None] * movers.velocity[k].astype(np.float32)
    if rate:
        origin = turned(origin, -rate * rays.lag)
        direction = turned(direction, -rate * rays.lag)
    matrix = np.linalg.inv(movers.world_from_box[k, :3, :3]).T.astype(np.float32)
    return origin @ matrix, direction @ matrix


def turned(vectors: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(N, 3) vectors turned about z by (N,) radians."""
    c, s = np.cos(angle), np.sin(angle)
    x, y = vectors[:, 0], vectors[:, 1]
    return np.stack([c * x - s * y, s * x + c * y, vectors[:, 2]], axis=-1)
