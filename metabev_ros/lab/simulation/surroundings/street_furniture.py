"""Things on and behind the walkway, many of a person's size. +y faces the road."""

from __future__ import annotations

import functools

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import PRIMARY, SECONDARY, Mesh
from metabev_ros.lab.simulation.surroundings.shapes import (
    box,
    heap,
    lathe,
    scaled,
    shifted,
    tube,
    upright,
)
from metabev_ros.lab.simulation.surroundings.squares import (
    billboard,
    cafe,
    planters,
    stalls,
    statues,
)

_STEEL, _DARK = (168, 172, 174), (54, 58, 60)
WHITE = (255, 255, 255)


def bollards() -> tuple[Mesh, ...]:
    """Posts of steel, concrete and wood; balls and blocks of stone."""
    return (
        lathe([(0.06, -0.1), (0.06, 0.95), (0.03, 1.0)], 7, Material.STEEL, _DARK),
        lathe([(0.14, -0.1), (0.12, 0.8), (0.06, 0.88)], 8, Material.CONCRETE, (176, 172, 164)),
        Mesh.join(
            [
                lathe([(0.07, -0.1), (0.07, 0.7)], 7, Material.PLASTIC, (60, 62, 66)),
                lathe([(0.072, 0.7), (0.072, 0.85)], 7, Material.RETRO, (240, 240, 236)),
                lathe([(0.07, 0.85), (0.02, 1.02)], 7, Material.PLASTIC, (60, 62, 66)),
            ]
        ),
        lathe(
            [(0.1, -0.1), (0.25, 0.12), (0.3, 0.3), (0.22, 0.5), (0.06, 0.6)],
            9,
            Material.CONCRETE,
            (180, 176, 168),
        ),
        box((-0.25, -0.25, -0.1), (0.25, 0.25, 0.5), Material.CONCRETE, (170, 166, 158)),
        box((-0.08, -0.08, -0.1), (0.08, 0.08, 1.1), Material.WOOD, (120, 96, 72)),
    )


def hydrant() -> Mesh:
    """A fire hydrant."""
    body = lathe(
        [
            (0.17, -0.05),
            (0.17, 0.06),
            (0.11, 0.08),
            (0.11, 0.5),
            (0.15, 0.53),
            (0.12, 0.64),
            (0.03, 0.74),
        ],
        9,
        Material.STEEL,
        slot=PRIMARY,
    )
    return Mesh.join(
        [
            body,
            tube((-0.22, 0, 0.42), (0.22, 0, 0.42), (0.06, 0.06), 6, Material.STEEL, slot=PRIMARY),
        ]
    )


def meters() -> tuple[Mesh, ...]:
    """Parking meters and a ticket machine."""
    meter = Mesh.join(
        [
            tube((0, 0, -0.1), (0, 0, 1.05), (0.03, 0.03), 6, Material.STEEL, _STEEL),
            lathe([(0.06, 1.05), (0.1, 1.15), (0.1, 1.3), (0.05, 1.42)], 7, Material.STEEL, _DARK),
        ]
    )
    machine = Mesh.join(
        [
            box((-0.16, -0.14, -0.1), (0.16, 0.14, 1.55), Material.STEEL, slot=PRIMARY),
            upright(-0.12, 0.12, 1.0, 1.4, 0.145, Material.PLASTIC, (40, 60, 70)),
            box((-0.18, -0.18, 1.55), (0.18, 0.18, 1.66), Material.PLASTIC, (40, 70, 140)),
        ]
    )
    return meter, machine


def bins() -> tuple[Mesh, ...]:
    """Litter bins and bins on wheels, alone and in rows."""
    round_bin = lathe(
        [(0.22, 0), (0.26, 0.8), (0.27, 0.85), (0.14, 0.98)], 9, Material.STEEL, slot=PRIMARY
    )
    pole_bin = Mesh.join(
        [
            tube((0, 0, -0.1), (0, 0, 1.3), (0.04, 0.04), 6, Material.STEEL, _DARK),
            box(
                (-0.18, 0.05, 0.5), (0.18, 0.35, 1.1), Material.PLASTIC, slot=PRIMARY, bottom=True
            ),
        ]
    )
    wheeled = Mesh.join(
        [
            box(
                (-0.26, -0.3, 0.08), (0.26, 0.3, 0.95), Material.PLASTIC, slot=PRIMARY, bottom=True
            ),
            box((-0.3, -0.34, 0.95), (0.3, 0.36, 1.06), Material.PLASTIC, slot=SECONDARY),
            tube(
                (-0.28, -0.3, 0.1), (0.28, -0.3, 0.1), (0.1, 0.1), 7, Material.RUBBER, (24, 24, 24)
            ),
        ]
    )
    row = Mesh.join(
        [shifted(wheeled, x, 0.04 * k, 0, 0.1 * k) for k, x in enumerate((-0.7, 0.0, 0.75))]
    )
    large = Mesh.join(
        [
            box(
                (-0.62, -0.5, 0.2), (0.62, 0.5, 1.15), Material.PLASTIC, slot=PRIMARY, bottom=True
            ),
            lathe([(0.7, 1.15), (0.3, 1.38)], 8, Material.PLASTIC, slot=SECONDARY),
        ]
    )
    return round_bin, pole_bin, wheeled, row, large


def boxes() -> tuple[Mesh, ...]:
    """Post boxes, switch cabinets, a phone box."""
    post = Mesh.join(
        [
            lathe(
                [(0.26, -0.05), (0.24, 0.1), (0.23, 1.35), (0.28, 1.4), (0.2, 1.55)],
                10,
                Material.STEEL,
                slot=PRIMARY,
            ),
            upright(-0.1, 0.1, 1.12, 1.18, 0.24, Material.PLASTIC, (20, 20, 20)),
        ]
    )
    legs = [
        box((x, -0.04, -0.05), (x + 0.06, 0.04, 0.6), Material.STEEL, _DARK) for x in (-0.2, 0.14)
    ]
    mail = Mesh.join(
        [
            *legs,
            box(
                (-0.28, -0.22, 0.6), (0.28, 0.22, 1.25), Material.STEEL, slot=PRIMARY, bottom=True
            ),
        ]
    )
    cabinet = Mesh.join(
        [
            box((-0.6, -0.2, -0.05), (0.6, 0.2, 1.25), Material.PLASTIC, (168, 172, 160)),
            box((-0.63, -0.23, 1.25), (0.63, 0.23, 1.3), Material.PLASTIC, (150, 154, 144)),
            upright(-0.01, 0.01, 0.1, 1.2, 0.205, Material.PLASTIC, (90, 92, 88)),
        ]
    )
    posts = [
        box((x, y, 0), (x + 0.08, y + 0.08, 2.3), Material.STEEL, slot=PRIMARY)
        for x in (-0.45, 0.37)
        for y in (-0.45, 0.37)
    ]
    panes = [
        box((-0.4, -0.42, 0.3), (-0.38, 0.42, 2.1), Material.WINDOW, (110, 130, 134)),
        box((0.38, -0.42, 0.3), (0.4, 0.42, 2.1), Material.WINDOW, (110, 130, 134)),
        box((-0.42, -0.4, 0.0), (0.42, -0.38, 2.1), Material.WINDOW, (110, 130, 134)),
    ]
    phone = Mesh.join(
        [
            *posts,
            *panes,
            box((-0.5, -0.5, 2.3), (0.5, 0.5, 2.6), Material.STEEL, slot=PRIMARY, bottom=True),
            box((-0.15, -0.36, 0.9), (0.15, -0.25, 1.6), Material.PLASTIC, _DARK),
        ]
    )
    return post, mail, cabinet, scaled(cabinet, 0.6, 1.2, 0.9), phone


def benches() -> tuple[Mesh, ...]:
    """Benches with and without a back, and bike racks without bikes."""
    slats = [
        box((-0.9, y, 0.42), (0.9, y + 0.1, 0.46), Material.WOOD, slot=PRIMARY, bottom=True)
        for y in (-0.2, -0.07, 0.06)
    ]
    feet = [
        box((x, -0.2, -0.05), (x + 0.07, 0.16, 0.42), Material.STEEL, _DARK) for x in (-0.75, 0.68)
    ]
    back = [
        box((-0.9, -0.26, z), (0.9, -0.22, z + 0.12), Material.WOOD, slot=PRIMARY, bottom=True)
        for z in (0.55, 0.72)
    ]
    plain = Mesh.join([*slats, *feet])
    block = box((-1.1, -0.25, -0.05), (1.1, 0.25, 0.45), Material.CONCRETE, (178, 174, 166))
    hoops = []
    for x in (-1.6, -0.8, 0.0, 0.8, 1.6):
        for a, b in (
            ((x, -0.35, -0.1), (x, -0.35, 0.75)),
            ((x, -0.35, 0.75), (x, 0.35, 0.75)),
            ((x, 0.35, 0.75), (x, 0.35, -0.1)),
        ):
            hoops.append(tube(a, b, (0.03, 0.03), 5, Material.STEEL, _STEEL))
    return plain, Mesh.join([plain, *back]), block, Mesh.join(hoops)


def shelters() -> tuple[Mesh, ...]:
    """Bus shelters of glass with a poster and a bench, and one of wood."""
    posts = [
        box((x, -0.7, -0.05), (x + 0.08, -0.62, 2.45), Material.STEEL, _DARK)
        for x in (-1.9, -0.65, 0.6, 1.82)
    ]
    roof = box((-2.1, -0.85, 2.45), (2.1, 0.75, 2.55), Material.STEEL, (86, 92, 96), bottom=True)
    back = box((-1.85, -0.68, 0.25), (1.85, -0.66, 2.2), Material.WINDOW, (120, 140, 144))
    side = box((-1.9, -0.66, 0.25), (-1.88, 0.5, 2.2), Material.WINDOW, (120, 140, 144))
    poster = box((1.8, -0.62, 0.3), (1.95, 0.6, 2.15), Material.PLASTIC, slot=PRIMARY)
    seat = box((-1.4, -0.55, 0.45), (1.2, -0.2, 0.5), Material.WOOD, (140, 110, 80), bottom=True)
    glass = Mesh.join([*posts, roof, back, side, poster, seat])
    wood = Mesh.join(
        [
            box((-1.8, -0.9, 0), (1.8, -0.8, 2.2), Material.WOOD, (120, 92, 68)),
            box((-1.8, -0.8, 0), (-1.7, 0.5, 2.2), Material.WOOD, (112, 86, 64)),
            box((1.7, -0.8, 0), (1.8, 0.5, 2.2), Material.WOOD, (112, 86, 64)),
            box((-2.0, -1.0, 2.2), (2.0, 0.8, 2.4), Material.ROOF, (96, 70, 58), bottom=True),
        ]
    )
    return glass, wood


@functools.lru_cache(maxsize=1)
def rocks() -> tuple[Mesh, ...]:
    """Rocks and boulders of 0.3 to 1.6 m."""
    rng = np.random.default_rng(502)
    rings = ((1.0, 0.0), (0.95, 0.4), (0.65, 0.85))
    return tuple(
        heap(rng, r, 0.9 * r, Material.CONCRETE, (146, 140, 130), rings, 8, 0.12)
        for r in (0.3, 0.45, 0.6, 0.8, 1.1, 1.6)
    )


@functools.lru_cache(maxsize=1)
def furniture() -> dict[str, tuple[Mesh, ...]]:
    """Variants by kind."""
    return {
        'bollard': bollards(),
        'hydrant': (hydrant(),),
        'meter': meters(),
        'bin': bins(),
        'box': boxes(),
        'bench': benches(),
        'shelter': shelters(),
        'cafe': cafe(),
        'stall': stalls(),
        'statue': statues(),
        'planter': planters(),
        'poster': (billboard(1.4, 1.9, 0.5), billboard(0.9, 1.6, 0.4)),
        'billboard': (billboard(4.0, 2.8, 2.4), billboard(7.0, 3.2, 4.5)),
        'rock': rocks(),
    }


PAINTS = {
    'hydrant': ((200, 40, 34), (226, 180, 40), (60, 90, 160), (190, 190, 190)),
    'meter': ((90, 96, 100), (50, 80, 70)),
    'bin': ((60, 62, 66), (40, 90, 60), (40, 70, 130), (120, 84, 50), (206, 130, 30)),
    'box': ((190, 30, 36), (30, 60, 130), (232, 190, 40), (60, 96, 80)),
    'bench': ((140, 104, 72), (104, 80, 60), (70, 96, 76)),
    'shelter': ((220, 90, 60), (60, 130, 190), (230, 220, 200)),
    'cafe': ((150, 116, 84), (60, 60, 64), (200, 196, 186)),
    'stall': ((60, 100, 80), (150, 60, 50), (190, 180, 160), (50, 70, 110)),
    'statue': ((150, 146, 136), (70, 80, 70), (110, 80, 56), (206, 202, 196)),
    'poster': ((230, 80, 90), (60, 120, 200), (240, 220, 120), (90, 170, 120)),
    'billboard': ((220, 120, 60), (70, 110, 180), (236, 226, 206), (120, 60, 120)),
    'planter': ((92, 122, 58), (110, 132, 66), (150, 90, 110)),
    'bollard': (WHITE,),
    'rock': (WHITE,),
}
