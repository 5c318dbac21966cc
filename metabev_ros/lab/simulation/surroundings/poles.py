"""Poles and what they carry: lamps, signals, signs, cables.

+y faces the road, traffic comes from -x.
"""

from __future__ import annotations

import functools

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import PRIMARY, Mesh
from metabev_ros.lab.simulation.surroundings.shapes import (
    box,
    lathe,
    scaled,
    sheets,
    shifted,
    tube,
)

_GREY, _DARK = (150, 154, 156), (52, 56, 60)


def _shaft(top: float, low: float, high: float, colour: tuple[int, int, int] = _GREY) -> Mesh:
    return lathe(
        [(1.6 * low, -0.2), (1.6 * low, 0.25), (low, 0.3), (high, top)], 7, Material.STEEL, colour
    )


def lamp(top: float, reach: float, double: bool = False) -> Mesh:
    """A street lamp with an arm of `reach` metres over the road."""
    parts = [_shaft(top, 0.09, 0.05)]
    for sign in (1, -1) if double else (1,):
        tip = (0, sign * reach, top + 0.35)
        parts.append(tube((0, 0, top - 0.05), tip, (0.045, 0.035), 5, Material.STEEL, _GREY))
        head = box((-0.16, -0.35, -0.07), (0.16, 0.4, 0.06), Material.STEEL, _DARK, bottom=True)
        glow = box(
            (-0.12, -0.3, -0.09), (0.12, 0.34, -0.07), Material.LAMP, (250, 244, 220), bottom=True
        )
        parts += [shifted(head, *tip), shifted(glow, *tip)]
    return Mesh.join(parts)


def lantern(top: float) -> Mesh:
    """An old lantern on a cast post."""
    return Mesh.join(
        [
            lathe(
                [(0.2, -0.1), (0.2, 0.2), (0.1, 0.5), (0.06, 0.9), (0.05, top)],
                7,
                Material.STEEL,
                (40, 48, 44),
            ),
            lathe([(0.12, top), (0.22, top + 0.45)], 6, Material.LAMP, (246, 238, 214), cap=False),
            lathe([(0.28, top + 0.45), (0.05, top + 0.7)], 6, Material.STEEL, (40, 48, 44)),
        ]
    )


def _signal_head(lit: int) -> Mesh:
    """Three lights that face -x."""
    parts = [
        box((-0.12, -0.17, 0), (0.12, 0.17, 1.0), Material.PLASTIC, (30, 32, 34), bottom=True)
    ]
    colours = ((40, 190, 110), (230, 170, 40), (226, 44, 40))
    for k, bright in enumerate(colours):
        shade = np.array(bright) * (1.0 if k == lit else 0.25)
        y = 0.11 * np.cos(np.arange(8) * np.pi / 4)
        z = 0.17 + 0.33 * k + 0.11 * np.sin(np.arange(8) * np.pi / 4)
        vertices = np.column_stack([np.full(8, -0.125), y, z])
        fan = np.array([[0, j + 1, j] for j in range(1, 7)])
        material = Material.LAMP if k == lit else Material.PLASTIC
        parts.append(Mesh.of(vertices, fan, material, shade))
        hood = sheets(
            np.array(
                [
                    [
                        [-0.3, -0.12, z.max()],
                        [-0.12, -0.12, z.max()],
                        [-0.12, 0.12, z.max()],
                        [-0.3, 0.12, z.max()],
                    ]
                ]
            ),
            Material.PLASTIC,
            (30, 32, 34),
        )
        parts.append(hood)
    return Mesh.join(parts)


def signal(lit: int, reach: float = 0.0) -> Mesh:
    """Traffic lights on a post, with another head on an arm where it has one."""
    parts = [
        _shaft(3.4 if reach == 0 else 6.0, 0.08, 0.06, _DARK),
        shifted(_signal_head(lit), -0.2, 0, 2.4),
    ]
    parts.append(shifted(scaled(_signal_head(lit), 0.7, 0.7, 0.7), 0, 0.22, 2.2, np.pi / 2))
    if reach:
        parts.append(tube((0, 0, 5.8), (0, reach, 6.1), (0.07, 0.05), 6, Material.STEEL, _DARK))
        parts += [shifted(_signal_head(lit), -0.2, y, 5.3) for y in (reach, 0.55 * reach)]
    parts.append(box((-0.08, -0.14, 0.95), (0.08, -0.04, 1.25), Material.PLASTIC, (210, 180, 50)))
    return Mesh.join(parts)


def _plate(outline: np.ndarray, face: tuple[int, int, int], rim: tuple[int, int, int]) -> Mesh:
    """A sign that faces -x: (N, 2) outline (y, z) about 0, a rim, and a grey back."""
    count = len(outline)
    fan = np.array([[0, j, j + 1] for j in range(1, count - 1)])
    layers = ((0.0, 1.0, Material.STEEL, (120, 124, 126), fan[:, ::1]),)
    front = fan[:, ::-1]
    parts = []
    for x, scale, material, colour, order in (
        *layers,
        (-0.012, 1.0, Material.SIGN, rim, front),
        (-0.02, 0.8, Material.SIGN, face, front),
    ):
        vertices = np.column_stack([np.full(count, x), outline * scale])
        parts.append(Mesh.of(vertices, order, material, colour))
    return Mesh.join(parts)


def plates() -> tuple[Mesh, ...]:
    """Faces of signs: round, triangle, octagon, square, rectangle, arrow."""

    def ring(n: int, turn: float, r: float) -> np.ndarray:
        angle = np.arange(n) * 2 * np.pi / n + turn
        return r * np.column_stack([np.cos(angle), np.sin(angle)])

    square = np.array([[-0.3, -0.3], [0.3, -0.3], [0.3, 0.3], [-0.3, 0.3]])
    white, red, blue, yellow = (244, 244, 240), (196, 30, 36), (24, 78, 160), (240, 196, 30)
    mark = box(
        (-0.03, -0.05, -0.14), (-0.02, 0.05, 0.14), Material.SIGN, (24, 24, 26), bottom=True
    )
    bar = box((-0.03, -0.22, -0.06), (-0.02, 0.22, 0.06), Material.SIGN, white, bottom=True)
    return (
        Mesh.join([_plate(ring(14, 0.2, 0.32), white, red), mark]),
        Mesh.join([_plate(ring(3, np.pi / 2, 0.45), white, red), mark]),
        Mesh.join([_plate(ring(8, np.pi / 8, 0.38), red, white), bar]),
        _plate(square, blue, white),
        Mesh.join([_plate(square * [0.9, 1.4], white, (30, 30, 30)), mark]),
        Mesh.join([_plate(ring(4, 0.0, 0.45), yellow, (30, 30, 30)), mark]),
        Mesh.join([_plate(ring(14, 0.2, 0.32), red, red), bar]),
        _plate(square * [1.6, 0.5], (20, 110, 70), white),
        Mesh.join([_plate(ring(14, 0.2, 0.32), blue, blue), scaled(mark, 1, 0.7, 1.4)]),
    )


def sign(plate: Mesh, top: float, extra: Mesh | None = None) -> Mesh:
    """One or two plates on a thin pole."""
    parts = [tube((0.05, 0, -0.2), (0.05, 0, top + 0.3), (0.035, 0.035), 6, Material.STEEL, _GREY)]
    parts.append(shifted(plate, 0, 0, top))
    if extra is not None:
        parts.append(shifted(scaled(extra, 1, 0.8, 0.8), 0, 0, top - 0.75))
    return Mesh.join(parts)


def direction_sign(wide: float, high: float, low: float, colour: tuple[int, int, int]) -> Mesh:
    """A large board on two posts that faces -x, with lines of writing."""
    rng = np.random.default_rng(int(100 * wide + high))
    parts = [
        box((0.05, y - 0.06, -0.2), (0.15, y + 0.06, low + high), Material.STEEL, _GREY)
        for y in (-0.32 * wide, 0.32 * wide)
    ]
    parts.append(
        box((0, -wide / 2, low), (0.05, wide / 2, low + high), Material.SIGN, colour, bottom=True)
    )
    for row in range(int(high / 0.45)):
        y = -0.42 * wide
        while y < 0.3 * wide:
            long = rng.uniform(0.15, 0.5)
            z = low + high - 0.4 - 0.45 * row
            parts.append(
                box(
                    (-0.01, y, z),
                    (0, min(y + long, 0.45 * wide), z + 0.2),
                    Material.SIGN,
                    (246,) * 3,
                )
            )
            y += long + 0.1
    return Mesh.join(parts)


def utility_pole(top: float) -> Mesh:
    """A wooden pole with cross-arms along y, insulators and now and then a transformer."""
    parts = [lathe([(0.17, -0.3), (0.11, top)], 8, Material.WOOD, (112, 92, 72))]
    for z in (top - 0.4, top - 1.3):
        parts.append(
            box((-0.06, -1.0, z), (0.06, 1.0, z + 0.12), Material.WOOD, (104, 86, 68), bottom=True)
        )
        for y in (-0.9, -0.45, 0.45, 0.9):
            parts.append(
                box(
                    (-0.04, y - 0.04, z + 0.12),
                    (0.04, y + 0.04, z + 0.3),
                    Material.PLASTIC,
                    (190, 190, 180),
                )
            )
    drum = lathe([(0.28, 0), (0.28, 0.85), (0.1, 0.95)], 8, Material.STEEL, (140, 144, 146))
    parts.append(shifted(drum, 0.4, 0, top - 2.9))
    return Mesh.join(parts)


@functools.lru_cache(maxsize=1)
def cable() -> Mesh:
    """A cable from x 0 to 1 that sags by 1: a strip of three sides."""
    x = np.linspace(0, 1, 7)
    z = -4 * x * (1 - x)
    parts = [
        tube(
            (x[k], 0, z[k]),
            (x[k + 1], 0, z[k + 1]),
            (0.02, 0.02),
            3,
            Material.RUBBER,
            (34, 34, 36),
        )
        for k in range(6)
    ]
    joined = Mesh.join(parts)
    vertices = joined.vertices.copy()
    ring = np.tile(np.repeat([0, 1], 3), 6) + np.repeat(np.arange(6), 6)
    angle = np.tile(np.arange(3) * 2 * np.pi / 3, 12)
    vertices[:, 0] = x[ring]
    vertices[:, 1] = 0.02 * np.cos(angle)
    vertices[:, 2] = z[ring]
    return Mesh(vertices, joined.triangles, joined.material, joined.colour, joined.slot)


@functools.lru_cache(maxsize=1)
def lamps() -> tuple[Mesh, ...]:
    """Street lamps with arms."""
    return lamp(7.0, 1.6), lamp(8.5, 2.4), lamp(6.0, 0.6), lamp(10.0, 2.6)


@functools.lru_cache(maxsize=1)
def tall_lamps() -> tuple[Mesh, ...]:
    """Lamps of large roads and squares."""
    return lamp(11.0, 2.8), lamp(12.0, 2.2, double=True)


@functools.lru_cache(maxsize=1)
def lanterns() -> tuple[Mesh, ...]:
    """Lanterns of old streets and gardens."""
    return lantern(3.2), lantern(3.9), lamp(4.6, 0.3)


@functools.lru_cache(maxsize=1)
def signals() -> tuple[Mesh, ...]:
    """Traffic lights in each state, with and without an arm."""
    return tuple(signal(lit, reach) for lit in (0, 2) for reach in (0.0, 3.6))


@functools.lru_cache(maxsize=1)
def signs() -> tuple[Mesh, ...]:
    """Road signs on poles of 1.6 to 2.6 m."""
    faces = plates()
    rng = np.random.default_rng(401)
    single = [sign(face, rng.uniform(1.7, 2.6)) for face in faces]
    double = [sign(faces[k], 2.5, faces[4]) for k in (0, 1, 3, 5)]
    return (*single, *double)


@functools.lru_cache(maxsize=1)
def boards() -> tuple[Mesh, ...]:
    """Direction boards beside the road."""
    return (
        direction_sign(2.4, 1.4, 2.2, (20, 100, 64)),
        direction_sign(3.0, 1.8, 2.3, (24, 70, 150)),
        direction_sign(1.8, 0.9, 1.4, (242, 240, 236)),
    )


@functools.lru_cache(maxsize=1)
def utility_poles() -> tuple[Mesh, ...]:
    """Poles that carry cables; all are 9 m high."""
    return (utility_pole(9.0),)


@functools.lru_cache(maxsize=1)
def masts() -> tuple[Mesh, ...]:
    """Flag poles, a mobile mast, bare posts."""
    flag = Mesh.join(
        [
            _shaft(7.5, 0.07, 0.04),
            sheets(
                np.array([[[0, 0.05, 6.2], [0.1, 1.5, 6.0], [0, 1.5, 7.0], [0, 0.05, 7.4]]]),
                Material.CLOTH,
                slot=PRIMARY,
            ),
        ]
    )
    return (
        flag,
        _shaft(4.0, 0.06, 0.05),
        lathe([(0.12, -0.2), (0.1, 3.2)], 7, Material.WOOD, (110, 92, 74)),
    )
