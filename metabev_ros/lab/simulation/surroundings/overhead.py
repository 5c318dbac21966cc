"""Things that span a road: cables, gantries, footbridges, bridges with an underpass."""

from __future__ import annotations

import functools

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh
from metabev_ros.lab.simulation.surroundings.poles import cable
from metabev_ros.lab.simulation.surroundings.shapes import box, scaled, shifted
from metabev_ros.lab.simulation.surroundings.stage import Stage


def hang_cables(
    stage: Stage, starts: np.ndarray, ends: np.ndarray, sag: np.ndarray | float = 0.6
) -> None:
    """Hang cables between (N, 3) world points."""
    along = ends - starts
    flat = np.linalg.norm(along[:, :2], axis=1, keepdims=True)
    unit = along[:, :2] / np.maximum(flat, 1e-6)
    maps = np.zeros((len(starts), 3, 4))
    maps[:, :, 0] = along
    maps[:, :2, 1] = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    maps[:, 2, 2] = sag
    maps[:, :, 3] = starts
    stage.add(cable(), maps)


@functools.lru_cache(maxsize=64)
def gantry(left: int, right: int, seed: int) -> Mesh:
    """A gantry across the road from y = -right to y = left; its signs face -x."""
    rng = np.random.default_rng([701, seed])
    steel = (140, 146, 148)
    parts = [
        box((-0.2, y - 0.2, -0.3), (0.2, y + 0.2, 6.8), Material.STEEL, steel)
        for y in (-right, left)
    ]
    for z in (5.9, 6.7):
        parts.append(
            box((-0.1, -right, z), (0.1, left, z + 0.14), Material.STEEL, steel, bottom=True)
        )
    for y in np.arange(-right + 0.6, left, 1.2):
        parts.append(
            box((-0.05, y, 6.0), (0.05, y + 0.08, 6.7), Material.STEEL, steel, bottom=True)
        )
    y = -right + 1.5
    while y < -1.5:
        wide = min(rng.uniform(2.4, 4.0), -1.0 - y)
        if wide < 1.0:
            break
        colour = ((20, 100, 64), (24, 70, 150), (30, 32, 34))[int(rng.integers(3))]
        board = box((-0.25, y, 5.3), (-0.2, y + wide, 7.3), Material.SIGN, colour, bottom=True)
        parts.append(board)
        for z in (5.6, 6.2, 6.75):
            long = rng.uniform(0.4, 0.85) * wide
            parts.append(
                box(
                    (-0.26, y + 0.15, z),
                    (-0.25, y + 0.15 + long, z + 0.3),
                    Material.SIGN,
                    (246,) * 3,
                )
            )
        y += wide + rng.uniform(0.4, 1.5)
    return Mesh.join(parts)


@functools.lru_cache(maxsize=64)
def bridge(left: int, right: int, deep: int, seed: int) -> Mesh:
    """A bridge over the road; abutments beyond y = -right and y = left, the deck along y.

    Args:
        deep: metres along the road; 3 is a footbridge, 20 an underpass.
    """
    rng = np.random.default_rng([702, seed])
    tone = np.array([170.0, 166, 158]) * rng.uniform(0.75, 1.1)
    half, low = deep / 2, rng.uniform(4.9, 5.6)
    beyond = 4 if deep < 6 else 14
    parts = [
        box(
            (-half, -right - beyond, low),
            (half, left + beyond, low + 0.7),
            Material.CONCRETE,
            tone,
            bottom=True,
        )
    ]
    for x in (-half, half - 0.15):
        if deep < 6:
            for y in np.arange(-right - beyond, left + beyond, 0.6):
                parts.append(
                    box(
                        (x, y, low + 0.7),
                        (x + 0.06, y + 0.06, low + 1.8),
                        Material.STEEL,
                        (90, 110, 130),
                    )
                )
            parts.append(
                box(
                    (x, -right - beyond, low + 1.75),
                    (x + 0.1, left + beyond, low + 1.85),
                    Material.STEEL,
                    (90, 110, 130),
                    bottom=True,
                )
            )
        else:
            parts.append(
                box(
                    (x, -right - beyond, low + 0.6),
                    (x + 0.15, left + beyond, low + 1.7),
                    Material.CONCRETE,
                    tone * 0.9,
                )
            )
    for sign, edge in ((1, left), (-1, right)):
        y0, y1 = sorted((sign * edge, sign * (edge + (0.8 if deep < 6 else beyond))))
        parts.append(box((-half, y0, -1.5), (half, y1, low), Material.CONCRETE, tone * 0.85))
        if deep < 6:
            step = box((0, -0.8, -0.3), (0.5, 0.8, 0.3), Material.CONCRETE, tone)
            stairs = [
                shifted(
                    scaled(step, 1, 1, 1 + 0.55 * k),
                    half + 9 - 0.5 * k,
                    sign * (edge + 2),
                    0.3 * k - 0.2,
                )
                for k in range(18)
            ]
            parts += stairs
        else:
            paint = rng.uniform(40, 240, 3)
            y = sign * edge - sign * 0.01
            a = box(
                (-0.3 * half, min(y, y - 0.01 * sign), 0.6),
                (0.4 * half, max(y, y - 0.01 * sign), 2.2),
                Material.PLASTER,
                paint,
            )
            parts.append(a)
    return Mesh.join(parts)
