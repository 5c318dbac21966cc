"""Grain, stains and patterns of surfaces, none of them finer than a pixel can show."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.cameras.noise import hashed, noise
from metabev_ros.lab.simulation.materials import Material

_LENGTHS = (0.02, 0.09, 0.4, 1.7, 7.0)  # metres between the grains of each octave
# Standard deviation of the logarithm of the brightness in each octave.
_GRAIN = {
    Material.ASPHALT: (0.14, 0.07, 0.05, 0.05, 0.05),
    Material.ROAD_PAINT: (0.08, 0.10, 0.09, 0.04, 0.02),
    Material.PAVING: (0.07, 0.06, 0.07, 0.05, 0.04),
    Material.KERB: (0.08, 0.08, 0.10, 0.06, 0.03),
    Material.GRASS: (0.30, 0.24, 0.16, 0.12, 0.10),
    Material.SOIL: (0.16, 0.15, 0.14, 0.12, 0.08),
    Material.GRAVEL: (0.30, 0.18, 0.08, 0.07, 0.06),
    Material.BRICK: (0.06, 0.07, 0.05, 0.06, 0.05),
    Material.PLASTER: (0.025, 0.03, 0.045, 0.07, 0.06),
    Material.CONCRETE: (0.04, 0.05, 0.07, 0.08, 0.05),
    Material.WINDOW: (0.0, 0.0, 0.02, 0.05, 0.08),
    Material.ROOF: (0.08, 0.10, 0.08, 0.08, 0.06),
    Material.STEEL: (0.02, 0.04, 0.05, 0.05, 0.03),
    Material.WOOD: (0.08, 0.12, 0.08, 0.06, 0.04),
    Material.LEAF: (0.20, 0.30, 0.26, 0.16, 0.06),
    Material.BARK: (0.22, 0.22, 0.10, 0.06, 0.04),
    Material.CAR_PAINT: (0.0, 0.0, 0.015, 0.02, 0.0),
    Material.CAR_GLASS: (0.0, 0.0, 0.0, 0.0, 0.0),
    Material.RUBBER: (0.06, 0.08, 0.06, 0.0, 0.0),
    Material.PLASTIC: (0.02, 0.03, 0.03, 0.0, 0.0),
    Material.CLOTH: (0.05, 0.10, 0.09, 0.03, 0.0),
    Material.SKIN: (0.02, 0.03, 0.0, 0.0, 0.0),
    Material.RETRO: (0.02, 0.02, 0.0, 0.0, 0.0),
    Material.LAMP: (0.05, 0.05, 0.0, 0.0, 0.0),
    Material.TAIL_LAMP: (0.10, 0.08, 0.0, 0.0, 0.0),
    Material.SIGN: (0.01, 0.02, 0.02, 0.0, 0.0),
    Material.TARPAULIN: (0.03, 0.06, 0.09, 0.05, 0.0),
}
_GRAINS = np.array([_GRAIN[material] for material in Material], np.float32)
_FULL, _NONE = 2.5, 1.0  # grains are whole where a pixel fits so often into them, and gone
_LEVEL = np.float32(0.75)  # what is flatter than 41 degrees has its texture from above


def texture_places(place: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two coordinates along each surface, (N,) float32 metres: on walls the second is height.

    Args:
        place: (N, 3) float32; normal: (N, 3) float32.
    """
    level = np.abs(normal[:, 2]) > _LEVEL
    flat = np.hypot(normal[:, 0], normal[:, 1])
    flat = np.maximum(flat, np.float32(1e-3))
    along = (place[:, 1] * normal[:, 0] - place[:, 0] * normal[:, 1]) / flat
    u = np.where(level, place[:, 0], along)
    v = np.where(level, place[:, 1], place[:, 2])
    return u, v


def shown(length: float, footprint: np.ndarray) -> np.ndarray:
    """(N,) float32 0..1: how much of a pattern pixels of (N,) metres can show."""
    fits = np.float32(length) / np.maximum(footprint, np.float32(1e-6))
    return np.clip((fits - np.float32(_NONE)) * np.float32(1 / (_FULL - _NONE)), 0, 1)


def grain(material: np.ndarray, u: np.ndarray, v: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """(N,) float32 factor on the colour."""
    strength = _GRAINS[material]
    total = np.zeros(len(u), np.float32)
    for octave, length in enumerate(_LENGTHS):
        weight = strength[:, octave] * shown(length, footprint)
        rows = np.flatnonzero(weight)
        if len(rows) < len(weight) // 2:
            total[rows] += weight[rows] * noise(u[rows], v[rows], length)
        else:
            total += weight * noise(u, v, length)
    return np.exp(total)


def paint_patterns(
    colour: np.ndarray,
    material: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    footprint: np.ndarray,
    upright: np.ndarray,
) -> None:
    """Bricks, joints, planks and tiles, in place.

    Args:
        colour: (N, 3) float32, any scale; upright: (N,) bool: surfaces of walls.
    """
    for kind, paint in _PATTERNS.items():
        rows = np.flatnonzero(material == kind)
        if len(rows):
            factor = paint(u[rows], v[rows], footprint[rows], upright[rows])
            colour[rows] *= factor


def _bricks(
    u: np.ndarray, v: np.ndarray, footprint: np.ndarray, upright: np.ndarray
) -> np.ndarray:
    course = np.floor(v / 0.075)
    shifted = u / 0.25 + 0.5 * (course % 2)
    brick = np.floor(shifted)
    shade = hashed(brick, course)
    seen = shown(0.075, footprint)
    tone = 1 + seen * (shade - 0.5) * 0.5
    near = np.minimum(
        np.abs(shifted - brick - 0.5) * -0.25 + 0.125, 0.0375 - np.abs(v - (course + 0.5) * 0.075)
    )
    mortar = np.clip(1 - (near - 0.004) / np.maximum(footprint * 0.7, 0.004), 0, 1)
    mortar = np.where(seen > 0, mortar * seen, 0) + (1 - seen) * 0.18
    factor = tone[:, None] * np.array([1.0, 1.0, 1.0], np.float32)
    grey = np.array([1.15, 1.35, 1.5], np.float32)
    return np.where(
        upright[:, None], factor + (grey - factor) * (mortar * 0.7)[:, None], tone[:, None]
    )


def _joints(along: float, up: float, wide: float, depth: float, tones: float):  # noqa: ANN202
    """Slabs or panels with dark joints."""

    def paint(
        u: np.ndarray, v: np.ndarray, footprint: np.ndarray, upright: np.ndarray
    ) -> np.ndarray:
        column, row = np.floor(u / along), np.floor(v / up)
        gap = np.minimum(
            along / 2 - np.abs(u - (column + 0.5) * along),
            up / 2 - np.abs(v - (row + 0.5) * up),
        )
        blur = np.maximum(footprint * 0.7, 0.003)
        seen = shown(min(along, up), footprint)
        line = np.clip(1 - (gap - wide / 2) / blur, 0, 1) * np.minimum(wide / blur, 1) * seen
        tone = 1 + seen * (hashed(column, row) - 0.5) * tones
        return (tone * (1 - depth * line))[:, None]

    return paint


def _stains(
    u: np.ndarray, v: np.ndarray, footprint: np.ndarray, upright: np.ndarray
) -> np.ndarray:
    """Water runs down walls: streaks that are narrow and long."""
    streak = noise(u * 6.0, v * 0.35, 1.7) * shown(0.3, footprint)
    broad = noise(u * 0.7, v * 0.3, 1.7)
    dark = np.clip(streak * 0.05 + broad * 0.04, -0.2, 0.2)
    return np.where(upright, 1 - dark, 1 - 0.5 * dark)[:, None]


def _planks(
    u: np.ndarray, v: np.ndarray, footprint: np.ndarray, upright: np.ndarray
) -> np.ndarray:
    plank = np.floor(u / 0.13)
    seen = shown(0.13, footprint)
    tone = 1 + seen * (hashed(plank, plank * 0) - 0.5) * 0.35
    fibre = noise(u * 8 + plank * 3.3, v * 0.6, 0.4) * shown(0.05, footprint) * 0.10
    gap = 0.065 - np.abs(u - (plank + 0.5) * 0.13)
    line = np.clip(1 - (gap - 0.003) / np.maximum(footprint * 0.7, 0.003), 0, 1) * seen
    return (tone * (1 + fibre) * (1 - 0.55 * line))[:, None]


def _tiles(u: np.ndarray, v: np.ndarray, footprint: np.ndarray, upright: np.ndarray) -> np.ndarray:
    row, column = np.floor(v / 0.33), np.floor(u / 0.22)
    seen = shown(0.22, footprint)
    down = v / 0.33 - row
    tone = 1 + seen * ((hashed(column, row) - 0.5) * 0.3 + (down - 0.5) * 0.35)
    return tone[:, None]


_PATTERNS = {
    Material.BRICK: _bricks,
    Material.CONCRETE: _joints(2.4, 1.2, 0.012, 0.35, 0.05),
    Material.PAVING: _joints(0.4, 0.4, 0.010, 0.45, 0.14),
    Material.KERB: _joints(1.0, 5.0, 0.012, 0.45, 0.10),
    Material.PLASTER: _stains,
    Material.WOOD: _planks,
    Material.ROOF: _tiles,
}
