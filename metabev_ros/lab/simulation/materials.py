"""Materials of surfaces: how a LiDAR and a camera see them.

The LiDAR figures are on the scale 0..255 of nuScenes and Argoverse 2, where the median of what
comes back from cars is about 4, from roads about 8 and from signs more than 100.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np


class Material(enum.IntEnum):
    """Substance of a triangle; the value is its row in `MATERIALS`."""

    ASPHALT = 0
    ROAD_PAINT = 1
    PAVING = 2
    KERB = 3
    GRASS = 4
    SOIL = 5
    GRAVEL = 6
    BRICK = 7
    PLASTER = 8
    CONCRETE = 9
    WINDOW = 10
    ROOF = 11
    STEEL = 12
    WOOD = 13
    LEAF = 14
    BARK = 15
    CAR_PAINT = 16
    CAR_GLASS = 17
    RUBBER = 18
    PLASTIC = 19
    CLOTH = 20
    SKIN = 21
    RETRO = 22
    LAMP = 23
    TAIL_LAMP = 24
    SIGN = 25
    TARPAULIN = 26


@dataclass(frozen=True)
class Optics:
    """Optical properties of a material.

    Attributes:
        intensity: median LiDAR intensity at right angles and short range, 0..255.
        spread: standard deviation of the logarithm of the intensity from object to object.
        gloss: share of the light that is mirrored rather than scattered, 0..1; a glossy surface
            gives a LiDAR little at a slant, and a camera highlights.
        transmission: share of the LiDAR's rays that go through, 0..1.
        retro: sends light back to where it came from.
        glows: shines at night.
    """

    intensity: float
    spread: float = 0.3
    gloss: float = 0.0
    transmission: float = 0.0
    retro: bool = False
    glows: bool = False


_OPTICS = {
    Material.ASPHALT: Optics(8, 0.35),
    Material.ROAD_PAINT: Optics(30, 0.5),
    Material.PAVING: Optics(14, 0.35),
    Material.KERB: Optics(16, 0.3),
    Material.GRASS: Optics(16, 0.4),
    Material.SOIL: Optics(14, 0.35),
    Material.GRAVEL: Optics(12, 0.35),
    Material.BRICK: Optics(16, 0.4),
    Material.PLASTER: Optics(26, 0.5),
    Material.CONCRETE: Optics(20, 0.4),
    Material.WINDOW: Optics(3, 0.5, 0.8, 0.55),
    Material.ROOF: Optics(12, 0.4),
    Material.STEEL: Optics(12, 0.6, 0.4),
    Material.WOOD: Optics(20, 0.4),
    Material.LEAF: Optics(16, 0.5),
    Material.BARK: Optics(14, 0.4),
    Material.CAR_PAINT: Optics(9, 1.2, 0.4),
    Material.CAR_GLASS: Optics(2, 0.5, 0.85, 0.6),
    Material.RUBBER: Optics(3, 0.3),
    Material.PLASTIC: Optics(6, 0.6, 0.2),
    Material.CLOTH: Optics(14, 0.7),
    Material.SKIN: Optics(20, 0.2),
    Material.RETRO: Optics(200, 0.3, retro=True),
    Material.LAMP: Optics(60, 0.6, 0.3, retro=True, glows=True),
    Material.TAIL_LAMP: Optics(80, 0.6, 0.3, retro=True, glows=True),
    Material.SIGN: Optics(160, 0.4, retro=True),
    Material.TARPAULIN: Optics(18, 0.6),
}
MATERIALS: tuple[Optics, ...] = tuple(_OPTICS[material] for material in Material)


def column(name: str) -> np.ndarray:
    """One attribute of all materials by row: (materials,) float32."""
    return np.array([getattr(optics, name) for optics in MATERIALS], dtype=np.float32)


def by_material(default: float, **values: float) -> np.ndarray:
    """(materials,) float32 by row: some values by the names of their materials, else a default."""
    table = np.full(len(Material), default, np.float32)
    for name, value in values.items():
        table[Material[name]] = value
    return table
