"""Shop fronts, open and shut, and walls with graffiti; in the frame of `facades`."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import SECONDARY, Mesh
from metabev_ros.lab.simulation.surroundings.panels import GLASS, hole, wall
from metabev_ros.lab.simulation.surroundings.shapes import box, sheets, upright


def _letters(rng: np.random.Generator, z0: float, z1: float, y: float) -> Mesh:
    """Blocks of one height that read as writing from afar."""
    x, strips = rng.uniform(0.08, 0.3), []
    while x < 0.9:
        wide = rng.uniform(0.02, 0.05)
        cut = rng.uniform(0, 0.4) * (z1 - z0) if rng.uniform() < 0.5 else 0.0
        strips.append(upright(x, x + wide, z0, z1 - cut, y, Material.PLASTIC, (240, 238, 230)))
        if rng.uniform() < 0.5:
            strips.append(
                upright(
                    x, x + 1.6 * wide, z0, z0 + 0.2 * (z1 - z0), y, Material.PLASTIC, (240,) * 3
                )
            )
        x += wide + rng.uniform(0.015, 0.03) + (0.05 if rng.uniform() < 0.15 else 0)
    return Mesh.join(strips)


def shop(rng: np.random.Generator, awning: bool, closed: bool) -> Mesh:
    """A shop front: large glass, a door, things on display, a sign with writing, an awning."""
    parts = hole(0.06, 0.94, 0.0, 0.74, 0.25)
    split = rng.uniform(0.6, 0.72)
    y = -0.25
    parts += [
        upright(0.06, split, 0, 0.12, y, Material.WOOD, slot=SECONDARY),
        upright(split, 0.94, 0, 0.74, y - 0.02, Material.WINDOW, GLASS),
        box((split - 0.01, y, 0), (split + 0.01, y + 0.06, 0.74), Material.STEEL, slot=SECONDARY),
        box((0, 0, 0.76), (1, 0.14, 0.94), Material.PLASTIC, slot=SECONDARY, bottom=True),
        _letters(rng, 0.8, 0.9, 0.155),
    ]
    if closed:
        rows = [
            upright(
                0.06,
                split,
                z,
                z + 0.05,
                y + 0.02 * (k % 2),
                Material.STEEL,
                (150 - 14 * (k % 2),) * 3,
            )
            for k, z in enumerate(np.arange(0.12, 0.73, 0.05))
        ]
        parts += [*rows, _graffiti(rng, split, y + 0.05)]
    else:
        parts.append(upright(0.06, split, 0.12, 0.74, y, Material.WINDOW, (70, 78, 80)))
        for x in np.linspace(0.12, split - 0.1, 4):
            shade = rng.uniform(60, 230, 3)
            top = rng.uniform(0.2, 0.5)
            parts.append(box((x, -0.95, 0.1), (x + 0.09, -0.6, top), Material.CLOTH, shade))
    if awning:
        stripes = np.arange(8)
        corners = np.array(
            [
                [[a + 0.125, 1.3, 0.6], [a, 1.3, 0.6], [a, 0.0, 0.76], [a + 0.125, 0.0, 0.76]]
                for a in stripes * 0.125
            ]
        )
        lip = corners.copy()
        lip[:, 2], lip[:, 3] = corners[:, 1], corners[:, 0]
        lip[:, :2, 2] = 0.53
        pale = np.where(stripes[:, None] % 2 == 0, 255.0, 150.0) * np.ones((1, 3))
        parts.append(sheets(corners, Material.CLOTH, pale, SECONDARY))
        parts.append(sheets(lip, Material.CLOTH, pale * 0.9, SECONDARY))
    return Mesh.join(parts)


def _graffiti(rng: np.random.Generator, wide: float, y: float) -> Mesh:
    """A scrawl of bright slanted strokes."""
    number = 9
    x = rng.uniform(0.1, wide - 0.15, number)
    z = rng.uniform(0.12, 0.4, number)
    dx, dz = rng.uniform(0.02, 0.12, number), rng.uniform(0.05, 0.22, number)
    layer = np.full(number, y) + 0.002 * np.arange(number)
    corners = np.stack(
        [
            np.stack([x + 0.03, layer, z], 1),
            np.stack([x, layer, z], 1),
            np.stack([x + dx, layer, z + dz], 1),
            np.stack([x + dx + 0.03, layer, z + dz], 1),
        ],
        axis=1,
    )
    return sheets(corners, Material.PLASTER, rng.uniform(30, 250, (number, 3)))


def graffiti_wall(rng: np.random.Generator) -> Mesh:
    """A plain panel with a scrawl."""
    return Mesh.join([wall(), _graffiti(rng, 0.95, 0.01)])
