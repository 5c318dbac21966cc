"""Things of squares and cafes: tables, stalls, statues, planters, boards. +y faces the road."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import PRIMARY, SECONDARY, Mesh
from metabev_ros.lab.simulation.surroundings.shapes import (
    box,
    lathe,
    scaled,
    sheets,
    shifted,
    tube,
    upright,
)
from metabev_ros.lab.simulation.surroundings.vegetation import bushes

_STEEL, _DARK = (168, 172, 174), (54, 58, 60)


def cafe() -> tuple[Mesh, ...]:
    """Tables with chairs, under parasols or not."""
    table = Mesh.join(
        [
            lathe([(0.22, 0.0), (0.04, 0.05), (0.04, 0.72)], 6, Material.STEEL, _DARK),
            lathe([(0.38, 0.72), (0.38, 0.76)], 10, Material.WOOD, slot=PRIMARY),
        ]
    )
    seat = Mesh.join(
        [
            box((-0.2, -0.2, 0.43), (0.2, 0.2, 0.47), Material.WOOD, slot=PRIMARY, bottom=True),
            box((-0.2, -0.22, 0.45), (0.2, -0.18, 0.88), Material.WOOD, slot=PRIMARY),
            *[
                box((x, y, 0), (x + 0.03, y + 0.03, 0.43), Material.STEEL, _DARK)
                for x in (-0.2, 0.17)
                for y in (-0.2, 0.17)
            ],
        ]
    )
    group = Mesh.join(
        [
            table,
            shifted(seat, 0.75, 0, 0, np.pi / 2),
            shifted(seat, -0.72, 0.05, 0, -np.pi / 2 + 0.3),
        ]
    )
    cone = lathe([(1.5, 2.1), (0.05, 2.7)], 8, Material.CLOTH, slot=SECONDARY, cap=False)
    pole = tube((0, 0, 0), (0, 0, 2.7), (0.03, 0.03), 5, Material.STEEL, _STEEL)
    under = Mesh.join([group, cone, scaled(shifted(cone, 0, 0, 0), 0.97, 0.97, 0.995), pole])
    folded = lathe(
        [(0.06, 0.0), (0.05, 0.9), (0.16, 1.1), (0.1, 2.2), (0.03, 2.6)],
        7,
        Material.CLOTH,
        slot=SECONDARY,
    )
    return group, under, folded


def stalls() -> tuple[Mesh, ...]:
    """Kiosks and market stalls: a car's size."""
    kiosk = Mesh.join(
        [
            box((-1.5, -1.1, 0), (1.5, 1.1, 1.05), Material.WOOD, slot=PRIMARY),
            box((-1.5, -1.1, 1.05), (1.5, 0.3, 2.5), Material.WOOD, slot=PRIMARY),
            upright(-1.3, 1.3, 1.05, 2.2, 0.32, Material.WINDOW, (60, 64, 66)),
            box((-1.7, -1.3, 2.5), (1.7, 1.6, 2.7), Material.ROOF, (90, 94, 96), bottom=True),
            box((-1.4, 0.9, 2.7), (1.4, 1.0, 3.2), Material.PLASTIC, slot=SECONDARY),
        ]
    )
    posts = [
        box((x, y, 0), (x + 0.05, y + 0.05, 2.4), Material.STEEL, _STEEL)
        for x in (-1.4, 1.35)
        for y in (-1.0, 0.95)
    ]
    rng = np.random.default_rng(501)
    goods = [
        box(
            (x, -0.6, 0.85),
            (x + 0.4, 0.5, 0.95 + 0.12 * rng.uniform()),
            Material.CLOTH,
            rng.uniform(60, 240, 3),
        )
        for x in np.arange(-1.3, 1.2, 0.44)
    ]
    turned = shifted(
        lathe([(2.3, 2.35), (0.05, 3.0)], 4, Material.CLOTH, slot=SECONDARY, cap=False),
        0,
        0,
        0,
        np.pi / 4,
    )
    stall = Mesh.join(
        [
            *posts,
            *goods,
            turned,
            box((-1.4, -0.7, 0), (1.4, 0.6, 0.85), Material.CLOTH, slot=PRIMARY),
        ]
    )
    return kiosk, scaled(kiosk, 0.7, 0.9, 0.95), stall


def statues() -> tuple[Mesh, ...]:
    """Figures of stone and bronze on plinths, a column, a fountain, standing boards."""
    figure = Mesh.join(
        [
            lathe(
                [(0.24, 0), (0.2, 0.5), (0.22, 0.9), (0.27, 1.3), (0.1, 1.5)],
                8,
                Material.CONCRETE,
                slot=PRIMARY,
            ),
            shifted(
                lathe(
                    [(0.06, 0), (0.12, 0.1), (0.11, 0.22), (0.03, 0.3)],
                    8,
                    Material.CONCRETE,
                    slot=PRIMARY,
                ),
                0,
                0,
                1.48,
            ),
            tube(
                (0.24, 0, 1.3), (0.42, 0.3, 0.95), (0.07, 0.05), 5, Material.CONCRETE, slot=PRIMARY
            ),
            tube(
                (-0.24, 0, 1.3),
                (-0.4, 0.05, 0.8),
                (0.07, 0.05),
                5,
                Material.CONCRETE,
                slot=PRIMARY,
            ),
        ]
    )
    plinth = box((-0.5, -0.5, -0.1), (0.5, 0.5, 1.1), Material.CONCRETE, (172, 168, 160))
    column = lathe(
        [(0.62, -0.05), (0.6, 0.2), (0.55, 0.3), (0.55, 2.5), (0.66, 2.6), (0.3, 3.0)],
        12,
        Material.PLASTER,
        slot=SECONDARY,
    )
    board = Mesh.join(
        [
            sheets(
                np.array([[[0.3, 0.25, 0], [-0.3, 0.25, 0], [-0.3, 0.02, 1.0], [0.3, 0.02, 1.0]]]),
                Material.WOOD,
                slot=SECONDARY,
            ),
            sheets(
                np.array(
                    [[[-0.3, -0.25, 0], [0.3, -0.25, 0], [0.3, -0.02, 1.0], [-0.3, -0.02, 1.0]]]
                ),
                Material.WOOD,
                slot=SECONDARY,
            ),
        ]
    )
    fountain = Mesh.join(
        [
            lathe(
                [(1.5, -0.1), (1.5, 0.5), (1.3, 0.5), (1.3, 0.3)],
                12,
                Material.CONCRETE,
                (180, 176, 168),
            ),
            lathe(
                [(0.25, 0), (0.2, 1.2), (0.6, 1.4), (0.55, 1.5)],
                9,
                Material.CONCRETE,
                (170, 166, 158),
            ),
        ]
    )
    return Mesh.join([plinth, shifted(figure, 0, 0, 1.1)]), figure, column, board, fountain


def planters() -> tuple[Mesh, ...]:
    """Tubs and long boxes with bushes."""
    tub = lathe(
        [(0.35, 0), (0.5, 0.55), (0.44, 0.55), (0.4, 0.45)], 9, Material.CONCRETE, (176, 168, 156)
    )
    bed = box((-0.9, -0.3, -0.05), (0.9, 0.3, 0.5), Material.WOOD, (126, 100, 76))
    green = bushes()
    return (
        Mesh.join([tub, shifted(scaled(green[2], 0.6, 0.6, 0.9), 0, 0, 0.4)]),
        Mesh.join(
            [
                bed,
                shifted(scaled(green[0], 1.0, 0.5, 1.0), -0.4, 0, 0.4),
                shifted(scaled(green[1], 0.8, 0.5, 0.9), 0.4, 0, 0.4),
            ]
        ),
        Mesh.join([tub, shifted(scaled(green[6], 0.25, 0.25, 0.7), 0, 0, 0.4)]),
    )


def billboard(wide: float, high: float, low: float) -> Mesh:
    """A poster board on posts, both sides."""
    posts = [
        box((x, -0.1, -0.2), (x + 0.2, 0.1, low + 0.2), Material.STEEL, _DARK)
        for x in (-0.3 * wide, 0.3 * wide - 0.2)
    ]
    frame = box(
        (-wide / 2, -0.12, low),
        (wide / 2, 0.12, low + high),
        Material.STEEL,
        (96, 98, 100),
        bottom=True,
    )
    pictures = []
    for y, flip in ((0.13, 1), (-0.13, -1)):
        a, b = -0.46 * wide * flip, 0.46 * wide * flip
        pictures.append(
            upright(a, b, low + 0.1 * high, low + 0.9 * high, y, Material.PLASTIC, slot=PRIMARY)
        )
        pictures.append(
            upright(
                a,
                0.2 * b,
                low + 0.1 * high,
                low + 0.45 * high,
                1.03 * y,
                Material.PLASTIC,
                slot=SECONDARY,
            )
        )
        pictures.append(
            upright(
                0.3 * b,
                0.9 * b,
                low + 0.55 * high,
                low + 0.7 * high,
                1.03 * y,
                Material.PLASTIC,
                (240,) * 3,
            )
        )
    return Mesh.join([*posts, frame, *pictures])
