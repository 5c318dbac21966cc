"""Surfaces that rays met: material, colour and slant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
        corners = self.colour[rows].astype(np.float32)
        second, third = weights[:, :1], weights[:, 1:]
        return (
            corners[:, 0] * (1 - second - third) + corners[:, 1] * second + corners[:, 2] * third
        )


def _normals(mesh: Mesh) -> np.ndarray:
    a, b, c = (mesh.vertices[mesh.triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    return (normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-20)).astype(
        np.float32
    )


def surface_at(
    rays: Rays, hits: Hits, still: Triangles, bodies: Triangles, movers: Movers, rows: np.ndarray
) -> Surface:
    """The surfaces that some of the rays met.

    Args:
        rows: (K,) rays that met something.
    """
    mover, triangle = hits.mover[rows], hits.triangle[rows]
    weights = hits.weights[rows]
    moves = mover >= 0
    material = np.empty(len(rows), np.uint8)
    colour = np.empty((len(rows), 3), np.float32)
    normal = np.empty((len(rows), 3), np.float32)
    stands = np.flatnonzero(~moves)
    material[stands] = still.material[triangle[stands]]
    colour[stands] = still.colours(triangle[stands], weights[stands])
    normal[stands] = still.normal[triangle[stands]]
    moving = np.flatnonzero(moves)
    if len(moving):
        who = mover[moving]
        which = bodies.first[movers.body[who]] + triangle[moving]
        material[moving] = bodies.material[which]
        colour[moving] = bodies.colours(which, weights[moving]) * _paint(
            bodies, movers, which, who
        )
        normal[moving] = _into_world(bodies.normal[which], movers, who)
    facing = -np.einsum('ij,ij->i', rays.direction[rows], normal)
    normal[facing < 0] *= -1
    return Surface(material, colour, normal, np.minimum(np.abs(facing), 1.0))


def _paint(bodies: Triangles, movers: Movers, which: np.ndarray, who: np.ndarray) -> np.ndarray:
    """(K, 3) factors of the objects' own colours; 1 where the body's colour is fixed."""
    slot = bodies.slot[which]
    own = movers.colours[who, np.where(slot == PRIMARY, 0, 1)]
    return np.where((slot == FIXED)[:, None], np.float32(1), own)


def _into_world(normal: np.ndarray, movers: Movers, who: np.ndarray) -> np.ndarray:
    """Unit normals of boxes in the world; a stretched box bends them by its inverse."""
    inverse = np.linalg.inv(movers.world_from_box[:, :3, :3]).astype(np.float32)
    bent = np.einsum('ki,kij->kj', normal, inverse[who])
    return bent / np.maximum(np.linalg.norm(bent, axis=1, keepdims=True), 1e-20)
