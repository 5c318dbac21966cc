"""Simple solids as meshes: boxes, bodies of revolution, tubes, sheets, heaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import FIXED, Mesh

Colour = Sequence[float] | np.ndarray
_BOX_QUADS = np.array(
    [[4, 5, 7, 6], [0, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1]]
)  # top, -x, +x, -y, +y, bottom; corner k has bits x, y, z


def box(
    low: Sequence[float],
    high: Sequence[float],
    material: Material,
    colour: Colour = (255, 255, 255),
    slot: int = FIXED,
    bottom: bool = False,
) -> Mesh:
    """An upright box, without its bottom unless asked."""
    span = np.array([low, high], dtype=np.float32)
    bits = np.arange(8)
    corners = np.stack([span[bits >> axis & 1, axis] for axis in range(3)], axis=1)
    return Mesh.of(corners, halves(_BOX_QUADS[: 6 if bottom else 5]), material, colour, slot)


def halves(quads: np.ndarray) -> np.ndarray:
    """(2 Q, 3) triangles of (Q, 4) quads of vertex rows."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def sheets(
    corners: np.ndarray, material: Material, colour: Colour = (255, 255, 255), slot: int = FIXED
) -> Mesh:
    """Flat quads of (Q, 4, 3) corners, each with the colour of its row where there are rows."""
    corners = np.asarray(corners, dtype=np.float32).reshape(-1, 4, 3)
    shade = np.asarray(colour, dtype=np.float32)
    if shade.ndim == 2:
        shade = np.concatenate([shade, shade])
    rows = np.arange(4 * len(corners)).reshape(-1, 4)
    return Mesh.of(corners.reshape(-1, 3), halves(rows), material, shade, slot)


def upright(
    x0: float,
    x1: float,
    z0: float,
    z1: float,
    y: float,
    material: Material,
    colour: Colour = (255, 255, 255),
    slot: int = FIXED,
) -> Mesh:
    """An upright rectangle at one depth that faces +y."""
    return sheets(
        np.array([[[x1, y, z0], [x0, y, z0], [x0, y, z1], [x1, y, z1]]]), material, colour, slot
    )


def lathe(
    profile: Sequence[tuple[float, float]],
    sides: int,
    material: Material,
    colour: Colour = (255, 255, 255),
    slot: int = FIXED,
    cap: bool = True,
) -> Mesh:
    """A body of revolution about z: (radius, height) from the bottom to the top."""
    rows = np.array(profile, dtype=np.float32)
    angle = np.arange(sides) * (2 * np.pi / sides)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    vertices = np.concatenate(
        [
            (rows[:, None, :1] * ring[None]),
            np.broadcast_to(rows[:, None, 1:], (len(rows), sides, 1)),
        ],
        axis=2,
    ).reshape(-1, 3)
    k, nxt = np.arange(sides), (np.arange(sides) + 1) % sides
    quads = np.concatenate(
        [
            np.stack([j * sides + k, j * sides + nxt, (j + 1) * sides + nxt, (j + 1) * sides + k])
            for j in range(len(rows) - 1)
        ],
        axis=1,
    ).T
    triangles = halves(quads)
    if cap and rows[-1, 0] > 0:
        top = (len(rows) - 1) * sides
        fan = np.stack([np.full(sides - 2, top), top + k[1:-1], top + k[2:]], axis=1)
        triangles = np.concatenate([triangles, fan])
    return Mesh.of(vertices, triangles, material, colour, slot)


def tube(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    radii: tuple[float, float],
    sides: int,
    material: Material,
    colour: Colour = (255, 255, 255),
    slot: int = FIXED,
) -> Mesh:
    """An open cone frustum between two points."""
    start, end = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    axis = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
    other = np.array([1.0, 0, 0]) if abs(axis[0]) < 0.8 else np.array([0, 1.0, 0])
    u = np.cross(other, axis)
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)
    angle = np.arange(sides) * (2 * np.pi / sides)
    ring = np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v
    vertices = np.concatenate([start + radii[0] * ring, end + radii[1] * ring])
    k, nxt = np.arange(sides), (np.arange(sides) + 1) % sides
    quads = np.stack([k, nxt, nxt + sides, k + sides], axis=1)
    return Mesh.of(vertices, halves(quads), material, colour, slot)


def heap(
    rng: np.random.Generator,
    radius: float,
    top: float,
    material: Material,
    colour: Colour,
    rings: Sequence[tuple[float, float]] = ((1.0, 0.0), (0.8, 0.45), (0.45, 0.85)),
    sides: int = 11,
    rough: float = 0.18,
) -> Mesh:
    """An irregular mound or rock: (share of radius, share of height) rings and a summit."""
    profile = [(radius * r, top * z) for r, z in rings] + [(0.02 * radius, top)]
    body = lathe(profile, sides, material, colour, cap=False)
    vertices = body.vertices * (1 + rng.normal(0, rough, body.vertices.shape)).astype(np.float32)
    vertices[:sides, 2] = -0.15
    shade = np.asarray(colour, dtype=np.float32) * rng.uniform(0.8, 1.15, (len(body.triangles), 1))
    return Mesh.of(vertices, body.triangles, material, shade)


def gable(
    material: Material,
    overhang: float = 0.04,
    hip: float = 0.0,
    colour: Colour = (255, 255, 255),
    slot: int = FIXED,
) -> Mesh:
    """A roof over the unit square about the origin, ridge along x at height 1.

    Args:
        hip: how far the ends of the ridge are drawn in, 0..0.5; 0 leaves open gables.
        overhang: share of the square by which the eaves stand out.
    """
    e = 0.5 + overhang
    r = e - hip
    low = -2 * overhang
    v = [[-e, -e, low], [e, -e, low], [e, e, low], [-e, e, low], [-r, 0, 1], [r, 0, 1]]
    triangles = [[0, 1, 5], [0, 5, 4], [2, 3, 4], [2, 4, 5]]
    if hip > 0:
        triangles += [[1, 2, 5], [3, 0, 4]]
    return Mesh.of(np.array(v), np.array(triangles), material, colour, slot)


def scaled(mesh: Mesh, x: float, y: float, z: float) -> Mesh:
    """The mesh stretched along its axes."""
    return mesh.moved(np.diag([x, y, z, 1.0]))


def shifted(mesh: Mesh, x: float, y: float, z: float, yaw: float = 0.0) -> Mesh:
    """The mesh turned about z, then moved."""
    c, s = np.cos(yaw), np.sin(yaw)
    return mesh.moved(np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, z], [0, 0, 0, 1.0]]))
