"""The painted ground of a layout: roads as before, and the areas that no network describes."""

from __future__ import annotations

import cv2
import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import (
    ASPHALT,
    CARPARK,
    DRIVABLE,
    GRASS,
    KERB,
    PARKING,
    PAVING,
    WALKWAY,
    Ground,
    paint_networks,
)
from metabev_ros.lab.simulation.areas import Area, Surface
from metabev_ros.lab.simulation.layout import Layout

# Material and labels of a surface.
_LOOKS = {
    Surface.ROAD: (ASPHALT, DRIVABLE),
    Surface.ISLAND: (GRASS, 0),
    Surface.VERGE: (GRASS, 0),
    Surface.WALKWAY: (PAVING, WALKWAY),
    Surface.DRIVEWAY: (PAVING, 0),
    Surface.SITE: (GRASS, 0),
    Surface.LOT: (PARKING, CARPARK),
}


def paint_layout(rng: np.random.Generator, layout: Layout) -> Ground:
    """Picture, materials and map labels of a layout; those of a real map are there already."""
    if layout.ground is not None:
        return layout.ground
    networks = list(zip(layout.networks, layout.car_parks, strict=True))
    ground = paint_networks(rng, networks)
    for area in layout.areas:
        _paint(ground, area)
    return ground


def _paint(ground: Ground, area: Area) -> None:
    """Fill a polygon of the three rasters, with a kerb around islands."""
    material, label = _LOOKS[area.surface]
    points = np.rint((area.polygon - ground.origin) / ground.cell * 16).astype(np.int32)
    low = np.maximum(points.min(axis=0) // 16 - 2, 0)
    high = points.max(axis=0) // 16 + 3
    window = slice(low[1], high[1]), slice(low[0], high[0])
    shape = ground.material[window].shape
    if 0 in shape:
        return
    mask = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(mask, [points - low * 16], 1, shift=4)
    inside = mask > 0
    if area.surface in (Surface.DRIVEWAY, Surface.SITE):  # the walkway goes on across it
        inside &= ground.labels[window] == 0
    _fill(ground, window, inside, material, label)
    if area.surface is Surface.ISLAND:
        width = max(1, round(0.25 / ground.cell))
        inner = cv2.erode(mask, np.ones((2 * width + 1, 2 * width + 1), np.uint8))
        _fill(ground, window, inside & (inner == 0), KERB, 0)


def _fill(
    ground: Ground, window: tuple[slice, slice], inside: np.ndarray, material: int, label: int
) -> None:
    """Give some pixels a material and labels; the picture keeps its grain."""
    shift = TEXTURE_COLOURS[material].astype(np.int16)
    old = TEXTURE_COLOURS[ground.material[window][inside]].astype(np.int16)
    grain = ground.texture[window][inside].astype(np.int16) - old
    ground.texture[window][inside] = np.clip(shift + grain, 0, 255).astype(np.uint8)
    ground.material[window][inside] = material
    ground.labels[window][inside] = label


# Colours of the materials, as `paint_networks` has them.
TEXTURE_COLOURS = np.array(
    [
        [78, 98, 52],
        [86, 86, 90],
        [152, 146, 138],
        [226, 226, 220],
        [178, 176, 172],
        [104, 100, 98],
    ],
    dtype=np.uint8,
)
