"""Looks of buildings: walls, trims, roofs, what stands in their ground floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.surroundings import facades

_WALLS = {
    Material.BRICK: (
        (158, 92, 74),
        (176, 112, 86),
        (132, 82, 70),
        (190, 140, 104),
        (120, 96, 84),
        (104, 66, 58),
        (198, 170, 132),
    ),
    Material.PLASTER: (
        (226, 216, 196),
        (232, 226, 214),
        (214, 190, 150),
        (222, 176, 140),
        (190, 200, 196),
        (206, 150, 120),
        (236, 220, 168),
        (172, 182, 196),
        (240, 238, 232),
        (200, 206, 176),
    ),
    Material.CONCRETE: (
        (168, 166, 160),
        (190, 186, 176),
        (140, 140, 138),
        (206, 200, 188),
        (120, 122, 124),
    ),
    Material.WOOD: (
        (226, 222, 212),
        (150, 112, 80),
        (124, 146, 150),
        (176, 162, 136),
        (92, 72, 58),
    ),
    Material.STEEL: (
        (176, 182, 188),
        (120, 134, 148),
        (206, 206, 202),
        (96, 112, 104),
        (150, 118, 96),
    ),
}


TRIMS = (
    (240, 240, 236),
    (90, 84, 80),
    (70, 50, 40),
    (60, 80, 70),
    (150, 40, 36),
    (44, 60, 96),
    (220, 214, 200),
    (40, 42, 46),
    (176, 136, 40),
    (24, 98, 88),
    (120, 30, 70),
)


_ROOFS = ((128, 70, 54), (96, 60, 50), (84, 84, 88), (110, 104, 98), (64, 62, 66), (140, 92, 68))


@dataclass(frozen=True)
class Look:
    """Cladding of a building.

    Attributes:
        wall, trim, roof: RGB.
        window: row of `facades.windows`; -1 glass between posts.
        ground: names of ground floor panels: 'shop', or keys of `facades.single_panels`.
        balcony: key of `facades.single_panels`, or nothing.
        bay: metres of a panel, storey: metres of a floor.
    """

    material: Material
    wall: np.ndarray
    trim: np.ndarray
    roof: np.ndarray
    window: int
    ground: Sequence[str]
    balcony: str
    bay: float
    storey: float


def draw_look(rng: np.random.Generator, materials: Sequence[Material], shops: bool) -> Look:
    """A look with one of these walls."""
    material = materials[int(rng.integers(len(materials)))]
    palette = _WALLS[material]
    wall = np.array(palette[int(rng.integers(len(palette)))]) + rng.normal(0, 9, 3)
    ground: tuple[str, ...] = ('window', 'window', 'window', 'wall')
    if shops:
        ground = ('shop', 'shop', 'shop', 'shop', 'wall')
        if rng.uniform() < 0.15:
            ground = ('arcade',)
    elif rng.uniform() < 0.3:
        ground = ('window', 'gate', 'door', 'graffiti')
    balcony = ('', '', 'balcony', 'solid_balcony')[int(rng.integers(4))]
    return Look(
        material,
        np.clip(wall, 20, 250),
        np.array(TRIMS[int(rng.integers(len(TRIMS)))], dtype=float),
        np.array(_ROOFS[int(rng.integers(len(_ROOFS)))]) * rng.uniform(0.85, 1.15),
        int(rng.integers(len(facades.windows()))),
        ground,
        balcony,
        rng.uniform(2.3, 3.8),
        rng.uniform(2.8, 3.6),
    )
