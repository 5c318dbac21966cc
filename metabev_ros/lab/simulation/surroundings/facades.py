"""Panels that facades are made of: windows with reveals, doors, shops, balconies, gates.

A panel is 1 wide (x, 0..1) and 1 high (z, 0..1) and is stretched to its place; y is metres in
front of the wall. The wall is `PRIMARY`, frames, doors and signs are `SECONDARY`.
"""

from __future__ import annotations

import functools

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import SECONDARY, Mesh
from metabev_ros.lab.simulation.surroundings.panels import (
    arcade,
    balcony,
    bay,
    corrugated,
    door,
    flat_window,
    gate,
    glazed,
    wall,
    window,
)
from metabev_ros.lab.simulation.surroundings.shapes import box, upright
from metabev_ros.lab.simulation.surroundings.shop_fronts import graffiti_wall, shop


@functools.lru_cache(maxsize=1)
def windows() -> tuple[Mesh, ...]:
    """Windows of flats and offices, tall and wide, with curtains, shutters and blinds."""
    return (
        window(0.28, 0.72, 0.3, 0.82, 0.2, (2, 1), 0.16),
        window(0.3, 0.7, 0.28, 0.85, 0.15, (2, 2), 0.0, lintel=True),
        window(0.16, 0.84, 0.32, 0.8, 0.22, (3, 1), -0.35),
        window(0.3, 0.7, 0.25, 0.84, 0.12, (2, 2), 0.2, shutters=True),
        window(0.08, 0.92, 0.36, 0.82, 0.25, (4, 1), -0.2, sill=False),
        window(0.24, 0.76, 0.12, 0.84, 0.18, (2, 1), 0.12, lintel=True),
        window(0.34, 0.66, 0.3, 0.78, 0.28, (1, 2), 0.0),
        window(0.2, 0.8, 0.3, 0.82, 0.1, (1, 1), -0.6),
    )


_SIZES = (
    (0.28, 0.72, 0.3, 0.82),
    (0.3, 0.7, 0.28, 0.85),
    (0.16, 0.84, 0.32, 0.8),
    (0.3, 0.7, 0.25, 0.84),
    (0.08, 0.92, 0.36, 0.82),
    (0.24, 0.76, 0.12, 0.84),
    (0.34, 0.66, 0.3, 0.78),
    (0.2, 0.8, 0.3, 0.82),
)


@functools.lru_cache(maxsize=1)
def flat_windows() -> tuple[Mesh, ...]:
    """For each of `windows` one of the same size with fewer triangles."""
    return tuple(flat_window(*size) for size in _SIZES)


@functools.lru_cache(maxsize=1)
def panes() -> tuple[Mesh, ...]:
    """For each of `windows` its glass alone, a little before the wall."""
    return tuple(upright(*size, 0.04, Material.WINDOW, (50, 60, 68)) for size in _SIZES)


@functools.lru_cache(maxsize=1)
def shops() -> tuple[Mesh, ...]:
    """Shop fronts, open and shut."""
    rng = np.random.default_rng(201)
    return tuple(shop(rng, k % 3 == 1, k % 5 == 4) for k in range(8))


@functools.lru_cache(maxsize=1)
def single_panels() -> dict[str, Mesh]:
    """All others by name."""
    rng = np.random.default_rng(202)
    return {
        'wall': wall(),
        'glazed': glazed(),
        'door': door(),
        'plain_door': door(canopy=False),
        'balcony': balcony(solid=False),
        'solid_balcony': balcony(solid=True, awning=True),
        'bay': bay(),
        'arcade': arcade(),
        'gate': gate(),
        'corrugated': corrugated(),
        'graffiti': graffiti_wall(rng),
        'high_window': window(0.05, 0.95, 0.72, 0.92, 0.1, (5, 1), sill=False),
    }


@functools.lru_cache(maxsize=1)
def ornaments() -> dict[str, Mesh]:
    """Things fixed to a wall, before a panel: cornices, pipes, air conditioners, lamps, signs."""
    grey, dark = (196, 196, 190), (54, 56, 60)
    blade = box((0.1, 0.1, 0.78), (0.13, 0.95, 1.0), Material.PLASTIC, slot=SECONDARY, bottom=True)
    letters = box((0.09, 0.2, 0.84), (0.14, 0.85, 0.94), Material.PLASTIC, (240,) * 3, bottom=True)
    pipe = [
        box((x, 0.02, 0), (x + 0.008, 0.12, 1), Material.STEEL, (150, 150, 146))
        for x in (0.012, 0.975)
    ]
    return {
        'band': box((0, 0, -0.05), (1, 0.1, 0.03), Material.CONCRETE, slot=SECONDARY, bottom=True),
        'pipe': Mesh.join(pipe),
        'cooler': Mesh.join(
            [
                box((0.36, 0.05, 0.08), (0.62, 0.42, 0.26), Material.PLASTIC, grey, bottom=True),
                upright(0.4, 0.52, 0.1, 0.24, 0.425, Material.STEEL, dark),
            ]
        ),
        'lamp': Mesh.join(
            [
                box((0.02, 0, 0.72), (0.04, 0.3, 0.74), Material.STEEL, dark, bottom=True),
                box(
                    (0.0, 0.2, 0.64),
                    (0.06, 0.36, 0.72),
                    Material.LAMP,
                    (244, 236, 212),
                    bottom=True,
                ),
            ]
        ),
        'blade': Mesh.join([blade, letters]),
        'dish': box((0.7, 0.05, 0.4), (0.86, 0.35, 0.6), Material.PLASTIC, grey, bottom=True),
        'boxes': box(
            (0.3, 0.0, 0.15), (0.7, 0.3, 0.26), Material.LEAF, (120, 110, 70), bottom=True
        ),
    }
