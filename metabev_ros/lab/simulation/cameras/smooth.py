"""Normals of corners: round things look round although they are made of flat triangles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.simulation.cameras.vectors import crossed, dot, unit
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh

_CREASE = np.float32(np.cos(np.deg2rad(40.0)))  # a sharper edge stays an edge
_NEIGHBOURS = 12  # corners at one place that are looked at
_BENT = np.float32(0.9995)  # cosine above which a corner is as good as flat
_FLAT = [Material.LEAF, Material.GRASS, Material.ASPHALT, Material.SOIL, Material.ROAD_PAINT]
_WELD = 1e-4  # share of the extent within which corners are at one place


@dataclass(frozen=True)
class Roundness:
    """Triangles that are parts of something round, and the normals of their corners.

    Attributes:
        row: (T,) int32 of `normals`, -1 for a triangle that is flat.
        normals: (R, 3, 3) float32 unit vectors.
    """

    row: np.ndarray
    normals: np.ndarray

    @classmethod
    def join(cls, parts: Sequence[Roundness]) -> Roundness:
        """Several meshes, one after the other."""
        rows, first = [np.zeros(0, np.int32)], 0
        for part in parts:
            rows.append(np.where(part.row >= 0, part.row + first, -1).astype(np.int32))
            first += len(part.normals)
        normals = [np.zeros((0, 3, 3), np.float32), *(part.normals for part in parts)]
        return cls(np.concatenate(rows), np.concatenate(normals))

    def at(self, triangles: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normals at some hits, not of length 1.

        Returns:
            which of the hits are on something round, (R,), and (R, 3) float32 normals there.
        """
        rows = self.row[triangles]
        bent = np.flatnonzero(rows >= 0)
        corners = self.normals[rows[bent]]
        second, third = weights[bent, :1], weights[bent, 1:]
        first = 1 - second - third
        return bent, corners[:, 0] * first + corners[:, 1] * second + corners[:, 2] * third


def roundness(mesh: Mesh) -> Roundness:
    """The round parts of a mesh; leaves and the ground are none."""
    flat_kinds = np.isin(mesh.material, _FLAT)
    chosen = np.flatnonzero(~flat_kinds)
    part = mesh.triangles[chosen]
    corners = mesh.vertices[part]
    cross = crossed(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    smooth, bends = _smoothed(cross, _places(mesh)[part.reshape(-1)])
    row = np.full(len(mesh.triangles), -1, np.int32)
    row[chosen[bends]] = np.arange(int(bends.sum()))
    return Roundness(row, smooth[bends])


def _smoothed(cross: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T, 3, 3) normals of corners, and (T,) bool where they differ from the triangle's."""
    if not len(cross):
        return np.zeros((0, 3, 3), np.float32), np.zeros(0, bool)
    flat = unit(cross)
    order = np.argsort(place, kind='stable')
    place = place.take(order)
    normal = flat.take(order // 3, axis=0)
    weighted = cross.take(order // 3, axis=0)
    total = weighted.copy()
    near = np.arange(len(place))
    for step in range(1, _NEIGHBOURS):
        near = near[: np.searchsorted(near, len(place) - step)]
        near = near[place.take(near) == place.take(near + step)]
        if not len(near):
            break
        alike = near[dot(normal.take(near, axis=0), normal.take(near + step, axis=0)) > _CREASE]
        total[alike] += weighted.take(alike + step, axis=0)
        total[alike + step] += weighted.take(alike, axis=0)
    found = np.empty_like(total)
    found[order] = unit(total)
    found = found.reshape(-1, 3, 3)
    bends = (np.einsum('tci,ti->tc', found, flat) < _BENT).any(1)
    return found, bends


def _places(mesh: Mesh) -> np.ndarray:
    """(V,) int64 numbers of the vertices; equal where they lie at one place."""
    if not len(mesh.vertices):
        return np.zeros(0, np.int64)
    low, high = mesh.bounds
    step = max(float((high - low).max()) * _WELD / 10, 1e-6)
    cells = np.rint((mesh.vertices - low) / step).astype(np.int64)
    key = (cells[:, 0] * 73_856_093) ^ (cells[:, 1] * 19_349_663) ^ (cells[:, 2] * 83_492_791)
    return key
