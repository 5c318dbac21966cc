"""Rays that would meet each object if nothing else were there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metabev_ros.lab.simulation.cameras.vectors import dot
from metabev_ros.lab.simulation.embree import MOST_MASKS, EmbreeScene
from metabev_ros.lab.simulation.rays import Hits, Movers, RayMesh, Rays

_PAD = 0.3  # metres around an object that are looked at too


class RayTiles:
    """Rays by tile, with the cone that holds each tile's rays.

    Args:
        origin, direction: (N, 3); tile: (N,) int32, as in `Rays`.
    """

    def __init__(self, origin: np.ndarray, direction: np.ndarray, tile: np.ndarray) -> None:
        # NumPy sorts whole numbers of 16 bits several times faster than longer ones.
        few = len(tile) > 0 and int(tile.max()) < 1 << 16
        tile = tile.astype(np.uint16) if few else tile
        order = np.argsort(tile, kind='stable')
        sorted_tiles = tile[order]
        first = np.flatnonzero(np.append(True, sorted_tiles[1:] != sorted_tiles[:-1]))
        count = np.diff(np.append(first, len(order)))
        which = np.repeat(np.arange(len(first)), count)
        self._rows = np.full((len(first), int(count.max(initial=0))), -1, np.int32)
        self._rows[which, np.arange(len(order)) - first[which]] = order
        direction = direction[order].astype(np.float64)
        axis = np.add.reduceat(direction, first, axis=0) / count[:, None]
        self._axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
        cosine = np.einsum('ij,ij->i', direction, self._axis[which])
        self._half = np.arccos(np.clip(np.minimum.reduceat(cosine, first), -1, 1))
        self._apex = np.add.reduceat(origin[order].astype(np.float64), first, axis=0)
        self._apex /= count[:, None]
        apart = origin[order] - self._apex[which]
        square = np.einsum('ij,ij->i', apart, apart)
        self._spread = np.sqrt(np.maximum.reduceat(square, first))

    def near(self, centre: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rays that may meet each of (M, 3) spheres of (M,) metres.

        Returns:
            (P,) number of the sphere, rising, and (P,) row of the ray.
        """
        delta = centre[:, None] - self._apex  # (M, tiles, 3)
        away = np.sqrt(np.einsum('mti,mti->mt', delta, delta))
        reach = radius[:, None] + self._spread
        cosine = np.einsum('mti,ti->mt', delta, self._axis) / np.maximum(away, 1e-9)
        aside = np.arccos(np.clip(cosine, -1, 1))
        wide = self._half + np.arcsin(np.clip(reach / np.maximum(away, 1e-9), 0, 1))
        sphere, tile = np.nonzero((away <= reach) | (aside <= wide))
        rows = self._rows[tile]
        some = rows >= 0
        return np.repeat(sphere, some.sum(1)), rows[some]


def count_alone(
    rays: Rays,
    hits: Hits,
    bodies: Sequence[RayMesh],
    movers: Movers,
    tiles: RayTiles | None = None,
    world_from_tiles: np.ndarray | None = None,
) -> np.ndarray:
    """(M,) int64 rays that would meet each object if it were alone.

    Args:
        hits: of the rays.
        tiles: of the same rays, if they are known already.
        world_from_tiles: (4, 4) from the frame of the tiles; the world's if None.
    """
    count = np.bincount(hits.mover[hits.mover >= 0], minlength=len(movers)).astype(np.int64)
    if not len(movers) or not len(rays):
        return count
    longest = float(np.abs(rays.lag).max())
    radius = movers.radius + _PAD + np.linalg.norm(movers.velocity, axis=1) * longest
    centre = movers.world_from_box[:, :3, 3]
    place = centre
    if world_from_tiles is not None:
        place = (centre - world_from_tiles[:3, 3]) @ world_from_tiles[:3, :3]
    tiles = RayTiles(rays.origin, rays.direction, rays.tile) if tiles is None else tiles
    which, rows = tiles.near(place, radius)
    # What was met beyond an object, or on it, says already whether the ray meets it.
    hidden = np.flatnonzero(hits.mover.take(rows) != which)
    which, rows = which[hidden], rows[hidden]
    delta = centre.astype(np.float32)[which] - rays.origin.take(rows, axis=0)
    along = dot(delta, rays.direction.take(rows, axis=0))
    square = dot(delta, delta) - along * along
    wide = radius.astype(np.float32)[which]
    before = hits.distance.take(rows) < along + wide
    asked = np.flatnonzero(before & (square < wide * wide) & (along > -wide))
    which, rows = which[asked], rows[asked]
    met = _meets(rays.take(rows), which, bodies, movers)
    return count + np.bincount(which[met], minlength=len(movers))


def _meets(rays: Rays, which: np.ndarray, bodies: Sequence[RayMesh], movers: Movers) -> np.ndarray:
    """(N,) bool: which rays meet the object (N,) `which` that is asked for, whatever is before."""
    found = np.zeros(len(rays), bool)
    if not len(rays):
        return found
    first, last = min(float(rays.lag.min()), 0.0), max(float(rays.lag.max()), 0.0)
    times = (rays.lag - np.float32(first)) * np.float32(1 / max(last - first, 1e-9))
    asked = np.unique(which)
    for start in range(0, len(asked), MOST_MASKS):
        group = asked[start : start + MOST_MASKS]
        scenes = [bodies[int(movers.body[k])].scene for k in group]
        matrices = [movers.matrices(int(k), first, last) for k in group]
        scene = EmbreeScene.instances(scenes, matrices, masked=True)
        rows = np.flatnonzero((which >= group[0]) & (which <= group[-1]))
        masks = np.left_shift(np.uint32(1), np.searchsorted(group, which[rows]).astype(np.uint32))
        part = rays.take(rows)
        found[rows] = scene.blocks(part.origin, part.direction, times[rows], masks=masks)
    return found
