"""Building blocks of the bodies: grids of points, lofts, tubes, boxes, turned shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import FIXED, PRIMARY, SECONDARY, Mesh


@dataclass(frozen=True)
class Finish:
    """Material and colour of a surface (see `Mesh`)."""

    material: Material
    colour: tuple[int, int, int] = (255, 255, 255)
    slot: int = FIXED


PAINT = Finish(Material.CAR_PAINT, (255, 255, 255), PRIMARY)
TRIM = Finish(Material.CAR_PAINT, (235, 235, 235), SECONDARY)
WHITE = Finish(Material.CAR_PAINT, (226, 226, 222))
GLASS = Finish(Material.CAR_GLASS, (40, 50, 58))
TYRE = Finish(Material.RUBBER, (26, 26, 27))
RIM = Finish(Material.STEEL, (158, 160, 164))
DARK = Finish(Material.PLASTIC, (30, 30, 32))
GREY = Finish(Material.PLASTIC, (95, 97, 100))
STEEL = Finish(Material.STEEL, (120, 122, 126))
CHROME = Finish(Material.STEEL, (205, 206, 208))
LAMP = Finish(Material.LAMP, (238, 238, 228))
TAIL = Finish(Material.TAIL_LAMP, (176, 22, 24))
AMBER = Finish(Material.LAMP, (240, 150, 30))
BLUE_LAMP = Finish(Material.LAMP, (40, 90, 235))
PLATE = Finish(Material.RETRO, (232, 232, 226))
RETRO_RED = Finish(Material.RETRO, (200, 30, 30))
RETRO_WHITE = Finish(Material.RETRO, (235, 235, 230))
SEAT = Finish(Material.CLOTH, (58, 58, 62))
YELLOW = Finish(Material.CAR_PAINT, (238, 178, 28))


def grid(
    points: np.ndarray,
    finish: Finish | Sequence[Finish],
    cells: np.ndarray | int = 0,
) -> Mesh:
    """A sheet over rows and columns of points; its front faces d/drow x d/dcolumn.

    Args:
        points: (M, N, 3) metres.
        finish: of all cells, or a list that `cells` points into.
        cells: (M - 1, N - 1) rows of `finish`, or what broadcasts to it.
    """
    finishes = (finish,) if isinstance(finish, Finish) else tuple(finish)
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)[:-1, :-1].ravel()
    corners = np.array([0, columns, columns + 1, 0, columns + 1, 1], np.int32)
    triangles = (index[:, None] + corners).reshape(-1, 3)
    which = np.broadcast_to(np.asarray(cells, np.intp), (rows - 1, columns - 1)).ravel()
    which = np.repeat(which, 2)
    colours = np.array([each.colour for each in finishes], np.uint8)[which]
    return Mesh(
        points.reshape(-1, 3).astype(np.float32),
        triangles,
        np.array([each.material for each in finishes], np.uint8)[which],
        np.repeat(colours[:, None], 3, axis=1),
        np.array([each.slot for each in finishes], np.uint8)[which],
    )


def turned_round(mesh: Mesh) -> Mesh:
    """The mesh with its inside out."""
    return replace(
        mesh,
        triangles=np.ascontiguousarray(mesh.triangles[:, ::-1]),
        colour=np.ascontiguousarray(mesh.colour[:, ::-1]),
    )


def outward(mesh: Mesh) -> Mesh:
    """A closed mesh with its front outside, by the sign of its volume."""
    a, b, c = (mesh.vertices[mesh.triangles] - mesh.vertices[0]).transpose(1, 2, 0)
    volume = (
        a[0] * (b[1] * c[2] - b[2] * c[1])
        + a[1] * (b[2] * c[0] - b[0] * c[2])
        + a[2] * (b[0] * c[1] - b[1] * c[0])
    ).sum()
    return turned_round(mesh) if volume < 0 else mesh


def away_from(mesh: Mesh, centre: Sequence[float]) -> Mesh:
    """The mesh with every triangle's front turned away from a point."""
    corners = mesh.vertices[mesh.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    towards = np.einsum('ij,ij->i', normal, corners.mean(1) - np.asarray(centre)) < 0
    order = np.where(towards[:, None], [2, 1, 0], [0, 1, 2])
    return replace(
        mesh,
        triangles=np.take_along_axis(mesh.triangles, order, 1).astype(np.int32),
        colour=np.take_along_axis(mesh.colour, order[:, :, None], 1),
    )


def loft(
    rings: np.ndarray,
    finish: Finish | Sequence[Finish],
    cells: np.ndarray | int = 0,
    caps: tuple[bool, bool] = (True, True),
) -> Mesh:
    """A closed skin over rings of points, its front outside.

    Args:
        rings: (M, N, 3) metres, each ring without its first point again.
        cells: (M - 1, N) rows of `finish`, or what broadcasts to it.
        caps: close the first and the last ring with the first finish.
    """
    closed = np.concatenate([rings, rings[:, :1]], 1)
    which = np.zeros((len(rings) + 1, rings.shape[1]), np.intp)
    which[1:-1] = cells
    # A lid is a row of cells between the ring and its middle; slivers go when the body is done.
    ends = np.repeat(rings[[0, -1]].mean(1, keepdims=True), closed.shape[1], 1)
    begin, end = (0 if caps[0] else 1), (None if caps[1] else -1)
    skin = np.concatenate([ends[:1], closed, ends[1:]])[begin:end]
    return outward(grid(skin, finish, which[begin:end]))


def box(low: Sequence[float], high: Sequence[float], finish: Finish, bevel: float = 0.0) -> Mesh:
    """A cuboid between two corners, its upright edges cut by `bevel` metres."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    b = bevel
    if b > 0:
        outline = [
            (x0 + b, y0), (x1 - b, y0), (x1, y0 + b), (x1, y1 - b),
            (x1 - b, y1), (x0 + b, y1), (x0, y1 - b), (x0, y0 + b),
        ]  # fmt: skip
        levels = [(z0, 0.0), (z1 - b, 0.0), (z1, b)]
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        half = np.array([x1 - x0, y1 - y0]) / 2
        rings = [
            np.column_stack([(np.array(outline) - centre) * (1 - cut / half) + centre,
                             np.full(8, z)])
            for z, cut in levels
        ]  # fmt: skip
        return loft(np.stack(rings), finish)
    outline = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    rings = [np.column_stack([outline, np.full(4, z)]) for z in (z0, z1)]
    return loft(np.stack(rings), finish)


def prism(outline: Sequence[tuple[float, float]], y0: float, y1: float, finish: Finish) -> Mesh:
    """A star-shaped outline in x and z, drawn out from y0 to y1."""
    flat = np.array(outline, dtype=np.float64)
    rings = [np.insert(flat, 1, y, axis=1) for y in (y0, y1)]
    return loft(np.stack(rings), finish)


def turned(
    profile: Sequence[tuple[float, float]],
    sides: int,
    finish: Finish | Sequence[Finish],
    cells: Sequence[int] | int = 0,
    axis: str = 'z',
) -> Mesh:
    """A shape turned on a lathe about the z axis, or about the y axis.

    Args:
        profile: (radius, place along the axis) in metres, along the axis.
        cells: row of `finish` for each step of the profile.
    """
    angle = np.arange(sides) * (2 * np.pi / sides)
    radius, along = np.array(profile, dtype=np.float64).T
    first = radius[:, None] * np.cos(angle)
    second = radius[:, None] * np.sin(angle)
    third = np.broadcast_to(along[:, None], first.shape)
    order = (first, second, third) if axis == 'z' else (first, third, second)
    which = np.asarray(cells, np.intp)
    return loft(np.stack(order, -1), finish, which[:, None] if which.ndim else which)


def tube(
    path: np.ndarray,
    radius: float | Sequence[float] | np.ndarray,
    finish: Finish | Sequence[Finish],
    sides: int = 6,
    cells: Sequence[int] | int = 0,
) -> Mesh:
    """A round limb along a path.

    Args:
        path: (M, 3) metres.
        radius: metres, one or (M,) or (M, 2): in the plane y = const. and along y, unless the
            path itself runs along y.
        cells: row of `finish` for each step of the path.
    """
    path = np.asarray(path, dtype=np.float64)
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    helper = np.array([0.0, 1.0, 0.0]) if abs(along[0, 1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    second = np.cross(along, helper)
    second /= np.maximum(np.linalg.norm(second, axis=1, keepdims=True), 1e-9)
    first = np.cross(second, along)
    size = np.asarray(radius, dtype=np.float64)
    if size.ndim < 2:
        size = np.broadcast_to(size[..., None] if size.ndim else size, (len(path), 2))
    angle = np.arange(sides) * (2 * np.pi / sides)
    rings = (
        path[:, None]
        + size[:, None, 1:] * np.cos(angle)[:, None] * first[:, None]
        + size[:, None, :1] * np.sin(angle)[:, None] * second[:, None]
    )
    which = np.asarray(cells, np.intp)
    return loft(rings, finish, which[:, None] if which.ndim else which)


def ellipsoid(
    centre: Sequence[float] | np.ndarray,
    radii: Sequence[float] | np.ndarray,
    finish: Finish | Sequence[Finish],
    sides: int = 8,
    levels: int = 6,
    cells: np.ndarray | int = 0,
) -> Mesh:
    """A ball stretched along the axes.

    Args:
        cells: (levels, sides) rows of `finish` from below, or what broadcasts to it.
    """
    latitude = np.linspace(-np.pi / 2, np.pi / 2, levels + 1)[:, None]
    angle = np.arange(sides)[None] * (2 * np.pi / sides)
    unit = np.stack(
        np.broadcast_arrays(
            np.cos(latitude) * np.cos(angle), np.cos(latitude) * np.sin(angle), np.sin(latitude)
        ),
        -1,
    )
    return loft(unit * np.asarray(radii) + np.asarray(centre), finish, cells, (False, False))


def shifted(mesh: Mesh, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
    """The mesh moved by metres."""
    return replace(mesh, vertices=mesh.vertices + np.array([x, y, z], np.float32))


def mirrored(mesh: Mesh) -> Mesh:
    """The mesh's image on the other side of the plane y = 0."""
    return mesh.moved(np.diag([1.0, -1.0, 1.0, 1.0]))


def both_sides(mesh: Mesh) -> Mesh:
    """The mesh with its image on the other side of the plane y = 0."""
    return Mesh.join([mesh, mirrored(mesh)])


def turned_by(mesh: Mesh, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Mesh:
    """The mesh turned about the origin by radians: roll, then pitch, then yaw."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    matrix = np.eye(4)
    matrix[:3, :3] = (
        np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    )
    return mesh.moved(matrix)


def wheel(x: float, y: float, radius: float, width: float, sides: int = 14) -> Mesh:
    """A wheel on the ground whose outer face is at `y`, on either side of the vehicle."""
    inner, half = y - np.sign(y) * width, width / 2
    r, rim = radius, 0.66 * radius
    profile = [
        (0.05 * r, -half), (rim, -half), (0.95 * r, -half), (r, -0.7 * half), (r, 0.7 * half),
        (0.95 * r, half), (rim, half), (0.92 * rim, 0.72 * half), (0.25 * rim, 0.6 * half),
        (0.2 * rim, 0.9 * half), (0.0, 0.9 * half),
    ]  # fmt: skip
    finishes = (TYRE, RIM, Finish(Material.STEEL, (70, 71, 74)))
    mesh = turned(profile, sides, finishes, (2, 0, 0, 0, 0, 0, 1, 1, 2, 1), 'y')
    return shifted(mesh if y > 0 else mirrored(mesh), x, (y + inner) / 2, radius)
