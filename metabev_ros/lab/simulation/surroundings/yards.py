"""Things of yards and building sites, many of a car's size."""

from __future__ import annotations

import functools

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import PRIMARY, SECONDARY, Mesh
from metabev_ros.lab.simulation.surroundings.building_sites import heaps, site_things
from metabev_ros.lab.simulation.surroundings.shapes import (
    box,
    heap,
    lathe,
    scaled,
    sheets,
    shifted,
    tube,
    upright,
)

_STEEL, _DARK, _CONCRETE = (160, 164, 166), (56, 58, 60), (168, 164, 156)


def container(length: float) -> Mesh:
    """A freight container along x with ribbed sides."""
    half, top, wide = length / 2, 2.6, 1.22
    edge = np.linspace(-half, half, int(length / 0.55) * 2 + 1)
    depth = np.where(np.arange(len(edge)) % 2 == 0, wide, wide - 0.06)
    sides = []
    for sign in (1, -1):
        a, b = (edge[1:], edge[:-1]) if sign > 0 else (edge[:-1], edge[1:])
        da, db = (depth[1:], depth[:-1]) if sign > 0 else (depth[:-1], depth[1:])
        low, high = np.full(len(a), 0.05), np.full(len(a), top)
        sides.append(
            np.stack(
                [
                    np.stack([a, sign * da, low], 1),
                    np.stack([b, sign * db, low], 1),
                    np.stack([b, sign * db, high], 1),
                    np.stack([a, sign * da, high], 1),
                ],
                axis=1,
            )
        )
    parts = [sheets(np.concatenate(sides), Material.STEEL, slot=PRIMARY)]
    parts += [
        box((-half, -wide, top - 0.05), (half, wide, top), Material.STEEL, (230,) * 3, PRIMARY),
        box((-half, -wide, 0), (-half + 0.08, wide, top), Material.STEEL, (240,) * 3, PRIMARY),
        box((half - 0.08, -wide, 0), (half, wide, top), Material.STEEL, (240,) * 3, PRIMARY),
    ]
    for y in (-0.7, -0.25, 0.25, 0.7):
        parts.append(box((half, y, 0.15), (half + 0.05, y + 0.05, 2.45), Material.STEEL, _STEEL))
    for x in (-half / 2, half / 3):
        parts.append(upright(x, x + 0.9, 1.7, 2.2, wide + 0.01, Material.PLASTIC, (236,) * 3))
    return Mesh.join(parts)


def skip(length: float, high: float, full: bool) -> Mesh:
    """An open skip with slanted ends, empty or with rubble."""
    half, wide = length / 2, 0.9
    x0, x1 = half * 0.7, half
    outer = [
        [[x0, wide, 0], [-x0, wide, 0], [-x1, wide, high], [x1, wide, high]],
        [[-x0, -wide, 0], [x0, -wide, 0], [x1, -wide, high], [-x1, -wide, high]],
        [[x0, -wide, 0], [x0, wide, 0], [x1, wide, high], [x1, -wide, high]],
        [[-x0, wide, 0], [-x0, -wide, 0], [-x1, -wide, high], [-x1, wide, high]],
    ]
    parts = [
        sheets(np.array(outer), Material.STEEL, slot=PRIMARY),
        sheets(np.array(outer)[:, ::-1] * [0.97, 0.97, 1], Material.STEEL, (150,) * 3, PRIMARY),
    ]
    for x in np.linspace(-x0, x0, 4):
        for y in (-wide - 0.06, wide):
            parts.append(
                box((x, y, 0), (x + 0.08, y + 0.06, high), Material.STEEL, (220,) * 3, PRIMARY)
            )
    if full:
        rng, tone = np.random.default_rng(601), (150, 140, 128)
        rubble = heap(rng, 0.72 * wide, 0.55, Material.CONCRETE, tone, rough=0.1)
        stretched = scaled(rubble, 0.8 * x1 / (0.72 * wide), 1.0, 1.0)
        parts.append(shifted(stretched, 0, 0, 0.7 * high))
        parts.append(
            box(
                (-0.8 * x1, -wide, 0),
                (0.8 * x1, wide, 0.68 * high),
                Material.SOIL,
                (130, 120, 106),
            )
        )
    else:
        parts.append(box((-x0, -wide, 0.05), (x0, wide, 0.1), Material.STEEL, (110, 104, 98)))
    return Mesh.join(parts)


def dumpster() -> Mesh:
    """A dumpster with slanted lids."""
    return Mesh.join(
        [
            box((-1.0, -0.7, 0.12), (1.0, 0.6, 1.2), Material.STEEL, slot=PRIMARY, bottom=True),
            sheets(
                np.array(
                    [
                        [
                            [-1.02, 0.62, 1.2],
                            [0, 0.62, 1.2],
                            [0, -0.72, 1.55],
                            [-1.02, -0.72, 1.55],
                        ],
                        [
                            [0.02, 0.62, 1.2],
                            [1.02, 0.62, 1.2],
                            [1.02, -0.72, 1.55],
                            [0.02, -0.72, 1.55],
                        ],
                    ]
                ),
                Material.PLASTIC,
                _DARK,
            ),
            box((-1.0, -0.7, 1.2), (1.0, -0.66, 1.54), Material.STEEL, slot=PRIMARY),
            box((-1.15, -0.2, 0.7), (1.15, 0.1, 0.9), Material.STEEL, _DARK, bottom=True),
        ]
    )


def tanks() -> tuple[Mesh, ...]:
    """Upright silos, a lying tank, an oil tank."""
    silo = Mesh.join(
        [
            lathe([(1.4, 1.8), (1.4, 8.0), (0.2, 9.0)], 12, Material.STEEL, slot=PRIMARY),
            lathe([(0.3, 0.8), (1.4, 1.8)], 12, Material.STEEL, slot=PRIMARY, cap=False),
            *[
                tube((x, y, 0), (x, y, 2.0), (0.1, 0.1), 5, Material.STEEL, _STEEL)
                for x in (-1, 1)
                for y in (-1, 1)
            ],
        ]
    )
    body = lathe(
        [(0.2, -2.0), (0.85, -1.8), (0.85, 1.8), (0.2, 2.0)], 12, Material.STEEL, slot=PRIMARY
    )
    turn = np.eye(4)
    turn[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    turn[2, 3] = 1.15
    feet = [
        box((x, -0.6, -0.1), (x + 0.3, 0.6, 0.5), Material.CONCRETE, _CONCRETE)
        for x in (-1.2, 0.9)
    ]
    large = lathe([(4.0, -0.2), (4.0, 6.0), (0.3, 6.8)], 20, Material.STEEL, slot=PRIMARY)
    return silo, Mesh.join([body.moved(turn), *feet]), large


def pallets() -> tuple[Mesh, ...]:
    """Stacks of pallets, of crates, sacks under tarpaulin, drums."""
    one = Mesh.join(
        [
            *[
                box(
                    (x, -0.4, 0.1), (x + 0.12, 0.4, 0.14), Material.WOOD, slot=PRIMARY, bottom=True
                )
                for x in np.linspace(-0.6, 0.48, 6)
            ],
            *[
                box((-0.6, y, 0), (0.6, y + 0.08, 0.1), Material.WOOD, slot=PRIMARY)
                for y in (-0.4, -0.04, 0.32)
            ],
        ]
    )
    stack = Mesh.join(
        [shifted(one, 0.02 * (k % 3), 0, 0.145 * k, 0.02 * (k % 4)) for k in range(7)]
    )
    crate = box((-0.55, -0.38, 0.15), (0.55, 0.38, 1.15), Material.WOOD, (230,) * 3, SECONDARY)
    goods = Mesh.join([one, crate, shifted(scaled(crate, 0.9, 0.9, 0.7), 0.03, 0, 1.06)])
    cover = lathe([(0.85, 0.0), (0.8, 0.9), (0.5, 1.25)], 9, Material.TARPAULIN, slot=SECONDARY)
    drum = lathe([(0.29, 0), (0.29, 0.88)], 9, Material.STEEL, slot=SECONDARY)
    drums = Mesh.join(
        [shifted(drum, x, y, 0) for x, y in ((0, 0), (0.6, 0.05), (0.28, 0.52), (-0.4, 0.5))]
    )
    tyres = Mesh.join(
        [
            lathe(
                [(0.3, 0.22 * k), (0.38, 0.22 * k + 0.11), (0.3, 0.22 * k + 0.21)],
                9,
                Material.RUBBER,
                (34,) * 3,
            )
            for k in range(5)
        ]
    )
    return stack, goods, cover, drums, tyres


def transformer() -> Mesh:
    """A transformer box with vents."""
    vents = [
        upright(x, x + 0.5, 0.9, 1.3, 0.86, Material.STEEL, (90, 98, 90)) for x in (-0.9, 0.35)
    ]
    return Mesh.join(
        [
            box((-1.25, -0.85, -0.2), (1.25, 0.85, 1.75), Material.STEEL, slot=PRIMARY),
            box(
                (-1.35, -0.95, 1.75),
                (1.35, 0.95, 1.88),
                Material.CONCRETE,
                (150, 148, 142),
                bottom=True,
            ),
            *vents,
            upright(-0.15, 0.15, 1.0, 1.3, 0.86, Material.SIGN, (240, 200, 40)),
        ]
    )


def sheds() -> tuple[Mesh, ...]:
    """Garden sheds, a boat under a cover, a stack of firewood, a glasshouse, a swing."""
    body = box((-1.3, -1.0, -0.1), (1.3, 1.0, 1.9), Material.WOOD, slot=PRIMARY)
    roof = np.array(
        [
            [[-1.45, 1.15, 1.85], [1.45, 1.15, 1.85], [1.45, 0, 2.5], [-1.45, 0, 2.5]],
            [[1.45, -1.15, 1.85], [-1.45, -1.15, 1.85], [-1.45, 0, 2.5], [1.45, 0, 2.5]],
        ]
    )
    door = upright(-0.4, 0.4, 0, 1.75, 1.01, Material.WOOD, slot=SECONDARY)
    shed = Mesh.join([body, door, sheets(roof, Material.ROOF, (84, 78, 74))])
    hull = lathe(
        [(0.9, 0.55), (1.0, 1.0), (0.5, 1.5), (0.1, 1.75)], 12, Material.TARPAULIN, slot=SECONDARY
    )
    keel = lathe([(0.2, 0.25), (0.9, 0.56)], 12, Material.PLASTIC, (230, 230, 226), cap=False)
    blocks = [
        box((x, -0.4, 0), (x + 0.2, 0.4, 0.5), Material.WOOD, (120, 100, 80)) for x in (-1.4, 1.2)
    ]
    boat = Mesh.join([scaled(hull, 2.5, 1.0, 1.0), scaled(keel, 2.5, 1.0, 1.0), *blocks])
    rng = np.random.default_rng(602)
    logs = [
        box(
            (x, -0.25, z),
            (x + 0.17, 0.25 + rng.uniform(-0.05, 0.05), z + 0.15),
            Material.WOOD,
            rng.uniform(110, 190) * np.array([1, 0.82, 0.6]),
        )
        for x in np.arange(-0.9, 0.9, 0.19)
        for z in np.arange(0, 1.0, 0.17)
    ]
    panes = [
        box((-1.4, -1.0, 0), (1.4, 1.0, 1.7), Material.WINDOW, (150, 170, 166)),
        sheets(roof * [0.97, 0.9, 0.98], Material.WINDOW, (160, 180, 176)),
        *[
            box((x, y, 0), (x + 0.05, y + 0.05, 1.75), Material.STEEL, (230,) * 3)
            for x in (-1.42, 0, 1.38)
            for y in (-1.02, 0.98)
        ],
    ]
    legs = [
        tube((x, y, -0.1), (x, 0, 2.2), (0.05, 0.05), 5, Material.WOOD, slot=PRIMARY)
        for x in (-1.4, 1.4)
        for y in (-0.8, 0.8)
    ]
    bar = tube((-1.5, 0, 2.2), (1.5, 0, 2.2), (0.06, 0.06), 5, Material.WOOD, slot=PRIMARY)
    seats = [
        box((x, -0.1, 0.5), (x + 0.4, 0.1, 0.54), Material.PLASTIC, (40, 90, 160))
        for x in (-0.8, 0.3)
    ]
    return (
        shed,
        scaled(shed, 0.75, 0.8, 0.95),
        boat,
        Mesh.join(logs),
        Mesh.join(panes),
        Mesh.join([*legs, bar, *seats]),
    )


@functools.lru_cache(maxsize=1)
def yard() -> dict[str, tuple[Mesh, ...]]:
    """Variants by kind."""
    return {
        'container': (container(6.06), container(6.06), container(12.2), container(3.0)),
        'skip': (
            skip(3.4, 1.3, True),
            skip(3.6, 1.5, False),
            skip(5.5, 2.2, True),
            dumpster(),
            dumpster(),
        ),
        'tank': tanks(),
        'pallet': pallets(),
        'transformer': (transformer(), scaled(transformer(), 0.6, 0.7, 0.8)),
        'shed': sheds(),
        'site': site_things(),
        'heap': heaps(),
    }


PAINTS = {
    'container': ((160, 60, 44), (40, 80, 140), (70, 110, 80), (190, 186, 176), (196, 130, 40)),
    'skip': ((206, 160, 30), (60, 100, 70), (50, 80, 130), (130, 60, 50), (90, 94, 96)),
    'tank': ((206, 206, 200), (170, 176, 170), (120, 132, 120)),
    'pallet': ((170, 138, 96), (140, 112, 80), (60, 96, 160)),
    'transformer': ((96, 120, 96), (150, 154, 146), (110, 120, 116)),
    'shed': ((130, 100, 72), (90, 110, 90), (160, 130, 100), (120, 60, 48)),
    'site': ((230, 226, 214), (60, 110, 170), (210, 170, 50)),
    'heap': ((255, 255, 255),),
}
