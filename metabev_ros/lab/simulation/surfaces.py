"""Surfaces that rays met: material, colour and slant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.simulation.cameras.vectors import dot, unit
from metabev_ros.lab.simulation.meshes import FIXED, PRIMARY, Mesh
from metabev_ros.lab.simulation.rays import Hits, Movers, Rays


@dataclass(frozen=True)
class Surface:
    """Surface at each of some hits.

    Attributes:
        material: (K,) uint8 values of `Material`.
        colour: (K, 3) float32 RGB 0..255 without light.
        normal: (K, 3) float32 unit vectors in the world, turned towards the ray's origin.
        facing: (K,) float32 cosine between the ray and the normal, 0..1.
    """

    material: np.ndarray
    colour: np.ndarray
    normal: np.ndarray
    facing: np.ndarray


class Triangles:
    """Attributes of the triangles of several meshes, one after the other.

    Attributes:
        first: (meshes,) int64 row of the first triangle of each.
    """

    def __init__(self, meshes: Sequence[Mesh]) -> None:
        self.first = np.cumsum([0, *(len(mesh.triangles) for mesh in meshes)])[:-1]
        self.normal = np.concatenate([_normals(mesh) for mesh in meshes])
        self.material = np.concatenate([mesh.material for mesh in meshes])
        self.colour = np.concatenate([mesh.colour for mesh in meshes])
        self.slot = np.concatenate([mesh.slot for mesh in meshes])

    def colours(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(K, 3) float32 colours between the corners of some triangles."""
        corners = self.colour.take(rows, axis=0).astype(np.float32)
        first = corners[:, 0]
        found = corners[:, 1]
        found -= first
        found *= weights[:, :1]
        found += first
        corners[:, 2] -= first
        corners[:, 2] *= weights[:, 1:]
        found += corners[:, 2]
        return found


def _normals(mesh: Mesh) -> np.ndarray:
    a, b, c = (mesh.vertices.take(mesh.triangles[:, k], axis=0).T for k in range(3))
    normal = np.empty((3, len(mesh.triangles)), np.float32)
    u, v = b - a, c - a
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        normal[k] = u[i] * v[j] - u[j] * v[i]
    normal /= np.maximum(np.sqrt((normal * normal).sum(0)), np.float32(1e-20))
    return np.ascontiguousarray(normal.T)


def surface_at(
    rays: Rays, hits: Hits, still: Triangles, bodies: Triangles, movers: Movers, rows: np.ndarray
) -> Surface:
    """The surfaces that some of the rays met.

    Args:
        rows: (K,) rays that met something.
    """
    mover, triangle = hits.mover.take(rows), hits.triangle.take(rows)
    weights = hits.weights.take(rows, axis=0)
    # Rows of bodies' triangles are made to fit the table of what stands, and set after it.
    moving = np.flatnonzero(mover >= 0)
    who = mover[moving]
    which = bodies.first[movers.body[who]] + triangle[moving]
    triangle[moving] = 0
    if len(moving) < len(rows):
        material = still.material.take(triangle)
        colour = still.colours(triangle, weights)
        normal = still.normal.take(triangle, axis=0)
    else:
        material = np.empty(len(rows), np.uint8)
        colour = np.empty((len(rows), 3), np.float32)
        normal = np.empty((len(rows), 3), np.float32)
    if len(moving):
        material[moving] = bodies.material[which]
        colour[moving] = bodies.colours(which, weights[moving]) * _paint(
            bodies, movers, which, who
        )
        normal[moving] = _into_world(bodies.normal[which], movers, who)
    facing = -dot(rays.direction.take(rows, axis=0), normal)
    normal *= np.copysign(np.float32(1), facing)[:, None]
    return Surface(material, colour, normal, np.minimum(np.abs(facing), 1.0))


def _paint(bodies: Triangles, movers: Movers, which: np.ndarray, who: np.ndarray) -> np.ndarray:
    """(K, 3) factors of the objects' own colours; 1 where the body's colour is fixed."""
    slot = bodies.slot[which]
    own = movers.colours[who, np.where(slot == PRIMARY, 0, 1)]
    return np.where((slot == FIXED)[:, None], np.float32(1), own)


def _into_world(normal: np.ndarray, movers: Movers, who: np.ndarray) -> np.ndarray:
    """Unit normals of boxes in the world; a stretched box bends them by its inverse."""
    inverse = np.linalg.inv(movers.world_from_box[:, :3, :3]).astype(np.float32)
    return unit(np.einsum('ki,kij->kj', normal, inverse[who]))
