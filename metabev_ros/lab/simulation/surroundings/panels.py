"""Shapes of panels: windows with reveals, doors, balconies, gates; in the frame of `facades`."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import FIXED, PRIMARY, SECONDARY, Mesh
from metabev_ros.lab.simulation.surroundings.shapes import box, sheets, upright

GLASS = (58, 70, 78)
_DARK = (150, 150, 150)


def wall() -> Mesh:
    """A plain panel."""
    return upright(0, 1, 0, 1, 0, Material.PLASTER, slot=PRIMARY)


def hole(x0: float, x1: float, z0: float, z1: float, depth: float) -> list[Mesh]:
    """A wall with a rectangular hole, and the reveal around it."""
    rims = [(0, x0, 0, 1), (x1, 1, 0, 1), (x0, x1, 0, z0), (x0, x1, z1, 1)]
    parts = [
        upright(*rim, 0, Material.PLASTER, slot=PRIMARY)
        for rim in rims
        if rim[1] - rim[0] > 1e-3 and rim[3] - rim[2] > 1e-3
    ]
    a, b = -depth, 0.0
    corners = np.array(
        [
            [[x0, b, z0], [x0, a, z0], [x0, a, z1], [x0, b, z1]],
            [[x1, a, z0], [x1, b, z0], [x1, b, z1], [x1, a, z1]],
            [[x0, b, z0], [x1, b, z0], [x1, a, z0], [x0, a, z0]],
            [[x0, a, z1], [x1, a, z1], [x1, b, z1], [x0, b, z1]],
        ]
    )
    return [*parts, sheets(corners, Material.PLASTER, _DARK, PRIMARY)]


def bars(x0: float, x1: float, z0: float, z1: float, y: float, across: int, up: int) -> Mesh:
    """A frame of `across` by `up` panes."""
    t = 0.035 * min(1.0, (x1 - x0) * 2)
    strips = []
    for x in np.linspace(x0, x1, across + 1):
        centre = min(max(x, x0 + t / 2), x1 - t / 2)
        strips.append(
            upright(centre - t / 2, centre + t / 2, z0, z1, y, Material.PLASTIC, slot=SECONDARY)
        )
    for z in np.linspace(z0, z1, up + 1):
        centre = min(max(z, z0 + t / 2), z1 - t / 2)
        strips.append(
            upright(x0, x1, centre - t / 2, centre + t / 2, y, Material.PLASTIC, slot=SECONDARY)
        )
    return Mesh.join(strips)


def window(
    x0: float,
    x1: float,
    z0: float,
    z1: float,
    depth: float = 0.2,
    panes: tuple[int, int] = (2, 1),
    curtain: float = 0.0,
    sill: bool = True,
    lintel: bool = False,
    shutters: bool = False,
) -> Mesh:
    """A panel with a recessed window.

    Args:
        curtain: share of its width that cloth hides on each side; negative: a blind from above.
    """
    parts = hole(x0, x1, z0, z1, depth)
    parts.append(upright(x0, x1, z0, z1, -depth, Material.WINDOW, GLASS))
    parts.append(bars(x0, x1, z0, z1, 0.02 - depth, *panes))
    cloth, behind = (206, 198, 184), -depth - 0.1
    wide = x1 - x0
    if curtain > 0:
        parts.append(upright(x0, x0 + curtain * wide, z0, z1, behind, Material.CLOTH, cloth))
        parts.append(upright(x1 - curtain * wide, x1, z0, z1, behind, Material.CLOTH, cloth))
    if curtain < 0:
        low = z1 + curtain * (z1 - z0)
        parts.append(upright(x0, x1, low, z1, behind, Material.CLOTH, (188, 186, 178)))
    if sill:
        parts.append(
            box(
                (x0 - 0.03, 0, z0 - 0.03),
                (x1 + 0.03, 0.09, z0),
                Material.CONCRETE,
                (200, 196, 188),
            )
        )
    if lintel:
        parts.append(
            box(
                (x0 - 0.06, 0, z1),
                (x1 + 0.06, 0.06, z1 + 0.06),
                Material.CONCRETE,
                (205, 198, 186),
                bottom=True,
            )
        )
    if shutters:
        for a, b in ((x0 - 0.17, x0 - 0.01), (x1 + 0.01, x1 + 0.17)):
            parts.append(box((a, 0, z0), (b, 0.05, z1), Material.WOOD, slot=SECONDARY))
    return Mesh.join(parts)


def glazed() -> Mesh:
    """A panel of a curtain wall: glass between thin posts, a spandrel below."""
    return Mesh.join(
        [
            upright(0, 1, 0, 0.22, 0, Material.STEEL, slot=PRIMARY),
            upright(0, 1, 0.22, 1, -0.03, Material.WINDOW, (66, 84, 96)),
            upright(-0.02, 0.02, 0, 1, 0.05, Material.STEEL, slot=SECONDARY),
            upright(0, 1, 0.19, 0.23, 0.03, Material.STEEL, slot=SECONDARY),
        ]
    )


def flat_window(x0: float, x1: float, z0: float, z1: float) -> Mesh:
    """A window for far away: glass on the wall, and a frame."""
    return Mesh.join(
        [
            wall(),
            upright(x0 - 0.03, x1 + 0.03, z0 - 0.03, z1 + 0.03, 0.012, Material.PLASTIC, slot=2),
            upright(x0, x1, z0, z1, 0.024, Material.WINDOW, (50, 60, 68)),
        ]
    )


def door(canopy: bool = True) -> Mesh:
    """A recessed door with a fanlight, steps and a canopy."""
    parts = hole(0.28, 0.72, 0, 0.82, 0.35)
    parts += [
        upright(0.28, 0.72, 0, 0.66, -0.35, Material.WOOD, slot=SECONDARY),
        upright(0.36, 0.64, 0.3, 0.62, -0.33, Material.WINDOW, GLASS),
        upright(0.28, 0.72, 0.66, 0.82, -0.35, Material.WINDOW, GLASS),
        box((0.2, 0, -0.3), (0.8, 0.6, 0.02), Material.CONCRETE, (170, 166, 160)),
        box((0.14, 0, -0.3), (0.86, 0.9, -0.03), Material.CONCRETE, (160, 156, 150)),
    ]
    if canopy:
        parts.append(
            box((0.2, 0, 0.86), (0.8, 0.8, 0.9), Material.CONCRETE, (150, 148, 146), bottom=True)
        )
    return Mesh.join(parts)


def balcony(solid: bool, awning: bool = False) -> Mesh:
    """A slab with a railing before a tall window; in front of it, not instead of it."""
    parts = [
        box((0.05, 0, -0.06), (0.95, 1.3, 0.0), Material.CONCRETE, (176, 172, 166), bottom=True)
    ]
    if solid:
        parts += [
            box((0.05, 1.22, 0), (0.95, 1.3, 0.34), Material.PLASTER, slot=SECONDARY),
            box((0.05, 0, 0), (0.07, 1.3, 0.34), Material.PLASTER, slot=SECONDARY),
            box((0.93, 0, 0), (0.95, 1.3, 0.34), Material.PLASTER, slot=SECONDARY),
        ]
    else:
        for x in np.linspace(0.1, 0.88, 6):
            parts.append(upright(x, x + 0.014, 0, 0.34, 1.27, Material.STEEL, (60, 62, 66)))
        parts.append(box((0.05, 1.25, 0.33), (0.95, 1.3, 0.36), Material.STEEL, (60, 62, 66)))
    if awning:
        parts.append(
            sheets(
                np.array([[[0.9, 1.2, 0.72], [0.1, 1.2, 0.72], [0.1, 0, 0.95], [0.9, 0, 0.95]]]),
                Material.CLOTH,
                slot=SECONDARY,
            )
        )
    return Mesh.join(parts)


def bay() -> Mesh:
    """A bay window: three glazed faces that stand out by 0.8 m."""
    x = np.array([0.1, 0.3, 0.7, 0.9])
    y = np.array([0.0, 0.8, 0.8, 0.0])
    parts = [wall()]
    for k in range(3):
        a, b = np.array([x[k], y[k]]), np.array([x[k + 1], y[k + 1]])
        for z0, z1, material, slot in (
            (0.0, 0.3, Material.PLASTER, PRIMARY),
            (0.3, 0.85, Material.WINDOW, FIXED),
            (0.85, 1.0, Material.PLASTER, SECONDARY),
        ):
            corners = np.array([[[*b, z0], [*a, z0], [*a, z1], [*b, z1]]])
            colour = GLASS if slot == FIXED else (255, 255, 255)
            parts.append(sheets(corners, material, colour, slot))
        parts.append(
            box(
                (a[0] - 0.012, a[1] - 0.02, 0.3),
                (a[0] + 0.012, a[1] + 0.02, 0.85),
                Material.WOOD,
                slot=2,
            )
        )
    roof = np.array([[[0.9, 0, 1], [0.7, 0.8, 1], [0.3, 0.8, 1], [0.1, 0, 1]]])
    parts += [sheets(roof, Material.ROOF, (96, 92, 90)), sheets(roof - [0, 0, 1], Material.ROOF)]
    return Mesh.join(parts)


def arcade() -> Mesh:
    """A covered walk 2.6 m deep behind pillars, with a shop window at its back."""
    parts = [
        box((-0.08, -0.5, 0), (0.08, 0, 0.8), Material.CONCRETE, slot=PRIMARY),
        upright(0, 1, 0.8, 1, 0, Material.PLASTER, slot=PRIMARY),
        upright(0, 1, 0, 0.14, -2.6, Material.PLASTER, slot=PRIMARY),
        upright(0, 1, 0.14, 0.72, -2.6, Material.WINDOW, GLASS),
        upright(0, 1, 0.72, 0.8, -2.6, Material.PLASTIC, slot=SECONDARY),
        sheets(
            np.array([[[0, -2.6, 0.8], [1, -2.6, 0.8], [1, 0, 0.8], [0, 0, 0.8]]]),
            Material.PLASTER,
            (180, 176, 170),
        ),
        box((0.2, -3.4, 0), (0.7, -3.1, 0.4), Material.WOOD, (130, 96, 70)),
    ]
    arch = np.array([[[0.2, 0, 0.8], [0.08, 0, 0.8], [0.08, 0, 0.6], [0.09, 0, 0.62]]])
    other = arch * [-1, 1, 1] + [1, 0, 0]
    parts.append(sheets(arch[:, ::-1], Material.CONCRETE, slot=PRIMARY))
    parts.append(sheets(other, Material.CONCRETE, slot=PRIMARY))
    return Mesh.join(parts)


def gate(ribs: int = 7) -> Mesh:
    """A roller or garage door of ribs, a little recessed."""
    parts = hole(0.1, 0.9, 0, 0.82, 0.15)
    step = 0.82 / ribs
    for k in range(ribs):
        shade = 255 - 22 * (k % 2)
        y = -0.15 + 0.03 * (k % 2)
        parts.append(
            upright(0.1, 0.9, k * step, (k + 1) * step, y, Material.STEEL, (shade,) * 3, SECONDARY)
        )
    return Mesh.join(parts)


def corrugated(ribs: int = 8) -> Mesh:
    """Sheet metal with upright ribs."""
    edge = np.linspace(0, 1, 2 * ribs + 1)
    depth = np.where(np.arange(2 * ribs + 1) % 2 == 0, 0.0, 0.06)
    corners = np.stack(
        [
            np.stack([edge[1:], depth[1:], 0 * edge[1:]], 1),
            np.stack([edge[:-1], depth[:-1], 0 * edge[1:]], 1),
            np.stack([edge[:-1], depth[:-1], 0 * edge[1:] + 1], 1),
            np.stack([edge[1:], depth[1:], 0 * edge[1:] + 1], 1),
        ],
        axis=1,
    )
    return sheets(corners, Material.STEEL, slot=PRIMARY)
