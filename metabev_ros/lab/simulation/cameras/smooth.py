"""Normals of corners: round things look round although they are made of flat triangles."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.meshes import Mesh

_CREASE = np.float32(np.cos(np.deg2rad(40.0)))  # a sharper edge stays an edge
_NEIGHBOURS = 12  # corners at one place that are looked at
_WELD = 1e-4  # share of the extent within which corners are at one place


def corner_normals(mesh: Mesh) -> np.ndarray:
    """(T, 3, 3) float32 unit normals of the corners of all triangles."""
    count = len(mesh.triangles)
    if not count:
        return np.zeros((0, 3, 3), np.float32)
    corners = mesh.vertices[mesh.triangles]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(cross, axis=1, keepdims=True)
    flat = (cross / np.maximum(size, 1e-20)).astype(np.float32)
    place = _places(mesh)[mesh.triangles.reshape(-1)]
    order = np.argsort(place, kind='stable')
    place = place[order]
    normal = np.repeat(flat, 3, axis=0)[order]
    weighted = np.repeat(cross.astype(np.float32), 3, axis=0)[order]
    total = weighted.copy()
    for step in range(1, _NEIGHBOURS):
        near = np.flatnonzero(place[step:] == place[:-step])
        if not len(near):
            break
        alike = np.einsum('ij,ij->i', normal[near], normal[near + step]) > _CREASE
        near = near[alike]
        total[near] += weighted[near + step]
        total[near + step] += weighted[near]
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)
    found = np.empty_like(total)
    found[order] = total
    return found.reshape(count, 3, 3)


def _places(mesh: Mesh) -> np.ndarray:
    """(V,) int64 numbers of the vertices; equal where they lie at one place."""
    low, high = mesh.bounds
    step = max(float((high - low).max()) * _WELD / 10, 1e-6)
    cells = np.rint((mesh.vertices - low) / step).astype(np.int64)
    key = (cells[:, 0] * 73_856_093) ^ (cells[:, 1] * 19_349_663) ^ (cells[:, 2] * 83_492_791)
    return key
