"""Trailers: semi-trailers of several kinds, drawbar and car trailers."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.body import Body
from metabev_ros.lab.simulation.bodies.coachwork import wheels
from metabev_ros.lab.simulation.bodies.solids import (
    DARK,
    GREY,
    PAINT,
    PLATE,
    RETRO_RED,
    RETRO_WHITE,
    STEEL,
    TAIL,
    TRIM,
    WHITE,
    Finish,
)
from metabev_ros.lab.simulation.bodies.trucks import cargo_box, tank, tub
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import SECONDARY, Mesh

_CURTAIN = Finish(Material.TARPAULIN, (240, 240, 240), SECONDARY)
_WOOD = Finish(Material.WOOD, (150, 116, 78))

# Boxes of annotators are wider than what the rules of the road allow.
_FIT = (1.0, 1.1, 1.03)


def _frame(length: float, axles: tuple[float, ...], half: float, z: float = 1.0) -> list[Mesh]:
    """Beams, wheels, landing legs, side guards, lamps and retro-reflective strips."""
    strips = [
        solids.box((x, half - 0.01, z + 0.02), (x + 0.3, half + 0.012, z + 0.09),
                   RETRO_RED if index % 2 else RETRO_WHITE)
        for index, x in enumerate(np.arange(0.4, length - 0.5, 1.5))
    ]  # fmt: skip
    lamps = solids.box((0.0, half - 0.5, z - 0.2), (0.05, half - 0.1, z - 0.06), TAIL)
    leg = solids.box((length - 2.9, 0.6, 0.06), (length - 2.75, 0.75, z), STEEL)
    beam = solids.box((0.1, 0.35, z - 0.25), (length - 0.2, 0.5, z), DARK)
    guard = solids.box((3.8, half - 0.12, 0.5), (length - 3.3, half - 0.06, 0.85), STEEL)
    return [
        solids.both_sides(Mesh.join([*strips, lamps, leg, beam, guard])),
        solids.box((0.0, -half + 0.1, 0.4), (0.1, half - 0.1, 0.55), STEEL),
        solids.box((-0.015, -0.26, z - 0.22), (0.01, 0.26, z - 0.11), PLATE),
        *wheels(axles, half - 0.03, 0.5, 0.5),
    ]


def _curtain_sider() -> Mesh:
    straps = [
        solids.box((x, 1.25, 1.1), (x + 0.05, 1.275, 3.9), GREY) for x in np.arange(0.8, 12.8, 1.0)
    ]
    return Mesh.join([*_frame(13.4, (1.6, 2.9, 4.2), 1.26), solids.both_sides(Mesh.join(straps)),
                      cargo_box(0.02, 13.4, 1.25, 1.1, 3.95, _CURTAIN)])  # fmt: skip


def _container() -> Mesh:
    """A skeletal trailer with a corrugated sea container."""
    x = np.arange(0.0, 12.01, 0.2)
    dent = np.where(np.arange(len(x)) % 2, 1.2, 1.17)
    rings = np.stack(
        [np.column_stack([x, sign * dent, np.full_like(x, z)])
         for sign, z in ((1, 1.15), (1, 3.7), (-1, 3.7), (-1, 1.15))], 1
    )  # fmt: skip
    posts = solids.both_sides(
        Mesh.join([solids.box((a, 1.12, 1.1), (a + 0.14, 1.22, 3.75), PAINT) for a in (0, 11.9)])
    )
    skin = solids.loft(rings, PAINT)
    return Mesh.join([*_frame(12.3, (1.4, 2.7), 1.2, 1.1), skin, posts])


def _flatbed() -> Mesh:
    bed = solids.box((0.02, -1.25, 1.0), (12.2, 1.25, 1.2), _WOOD)
    wall = solids.box((12.1, -1.25, 1.0), (12.2, 1.25, 2.6), STEEL)
    pipes = [
        solids.tube(np.array([(1.0, y, z), (6, y, z), (11.0, y, z)]), 0.28,
                    Finish(Material.CONCRETE, (160, 158, 152)), 9)
        for y, z in ((-0.8, 1.5), (-0.2, 1.5), (0.4, 1.5), (1.0, 1.5), (-0.5, 2.0), (0.1, 2.0),
                     (0.7, 2.0), (-0.2, 2.5), (0.4, 2.5))
    ]  # fmt: skip
    return Mesh.join([*_frame(12.2, (1.4, 2.7), 1.25, 1.0), bed, wall, *pipes])


def _drawbar() -> Mesh:
    bar = solids.prism([(5.0, 0.7), (6.6, 0.6), (6.6, 0.72), (5.0, 0.86)], -0.12, 0.12, STEEL)
    return Mesh.join([*_frame(5.1, (1.7, 3.0), 1.2), bar,
                      cargo_box(0.02, 5.1, 1.22, 1.0, 3.4, _CURTAIN)])  # fmt: skip


def _small(cover: bool) -> Mesh:
    """A trailer for a car, open or with a cover."""
    parts = [
        solids.box((0.0, -0.7, 0.5), (2.1, 0.7, 0.58), STEEL),
        solids.both_sides(solids.box((0.0, 0.68, 0.5), (2.1, 0.72, 0.95), STEEL)),
        solids.box((0.0, -0.7, 0.5), (0.04, 0.7, 0.95), STEEL),
        solids.box((2.06, -0.7, 0.5), (2.1, 0.7, 0.95), STEEL),
        solids.prism([(2.0, 0.45), (3.3, 0.45), (3.3, 0.53), (2.0, 0.55)], -0.05, 0.05, STEEL),
        solids.box((3.1, -0.03, 0.0), (3.16, 0.03, 0.5), STEEL),
        solids.both_sides(solids.box((-0.03, 0.5, 0.42), (0.02, 0.72, 0.52), TAIL)),
        solids.box((-0.03, -0.24, 0.5), (0.0, 0.24, 0.62), PLATE),
        *wheels((1.0,), 0.92, 0.29, 0.18),
    ]
    if cover:
        parts.append(solids.box((0.02, -0.7, 0.9), (2.08, 0.7, 1.75), _CURTAIN, 0.1))
    else:
        parts.append(solids.box((0.3, -0.5, 0.55), (1.6, 0.4, 1.15), _WOOD))
    return Mesh.join(parts)


def _caravan() -> Mesh:
    outline = [(0.1, 0.4), (4.7, 0.4), (5.0, 1.0), (4.7, 2.3), (4.3, 2.55), (0.6, 2.55), (0, 1.6)]
    pane = Finish(Material.CAR_GLASS, (52, 60, 68))
    side = Mesh.join(
        [
            solids.box((0.9, 1.1, 1.3), (2.1, 1.115, 2.0), pane),
            solids.box((3.0, 1.1, 1.3), (4.0, 1.115, 2.0), pane),
            solids.box((0.1, 1.1, 0.8), (4.8, 1.112, 0.95), TRIM),
        ]
    )
    return Mesh.join([solids.prism(outline, -1.1, 1.1, WHITE), solids.both_sides(side),
                      solids.both_sides(solids.box((-0.02, 0.7, 0.7), (0.12, 1.0, 0.9), TAIL)),
                      solids.prism([(4.8, 0.5), (6.2, 0.45), (6.2, 0.53), (4.8, 0.6)], -0.08, 0.08,
                      STEEL), solids.box((5.9, -0.04, 0.0), (5.98, 0.04, 0.5), STEEL),
                      *wheels((2.2,), 1.14, 0.33, 0.22)])  # fmt: skip


def trailers() -> list[Body]:
    """All bodies of trailers."""
    rows = [
        ('box trailer', Mesh.join([*_frame(13.0, (1.6, 2.9), 1.26),
         cargo_box(0.02, 13.0, 1.25, 1.1, 3.95, WHITE)]), 3.0),
        ('painted box trailer', Mesh.join([*_frame(12.0, (1.4, 2.7), 1.26),
         cargo_box(0.02, 12.0, 1.25, 1.1, 3.95, PAINT)]), 1.5),
        ('curtain trailer', _curtain_sider(), 2.5),
        ('container trailer', _container(), 1.5),
        ('flatbed trailer', _flatbed(), 1.0),
        ('tank trailer', Mesh.join([*_frame(11.5, (1.4, 2.7, 4.0), 1.2),
         tank(0.1, 11.5, (1.2, 1.05), 2.25, Finish(Material.STEEL, (184, 186, 190)))]), 0.8),
        ('tipper trailer', Mesh.join([*_frame(8.8, (1.4, 2.7), 1.22),
         tub(0.1, 8.6, 1.2, 1.05, 2.7, TRIM)]), 0.7),
        ('drawbar trailer', _drawbar(), 0.7),
        ('small trailer', _small(False), 0.5),
        ('covered small trailer', _small(True), 0.5),
        ('caravan', _caravan(), 0.2),
    ]  # fmt: skip
    return [Body.of(kind, 'trailer', mesh, share, 0.05, fit=_FIT) for kind, mesh, share in rows]
