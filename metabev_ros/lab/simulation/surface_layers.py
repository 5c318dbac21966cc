"""The layers from which the ground's colour is made, from the base to what is seen close up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.simulation.detail_tiles import CRACKS, GRASS_TILE, TILE, detail_tiles
from metabev_ros.lab.simulation.road_wear import RoadWear
from metabev_ros.lab.simulation.surface_look import SurfaceLook

ROAD, KERB, PAVED, GRASS, PARK = range(5)  # columns of `Pixels.share`
_NEAR = 0.12  # metres: a larger pixel shows no grain, no joints
_GUTTER = 0.45  # metres of road beside a kerb where dirt gathers


@dataclass(frozen=True)
class Pixels:
    """Points of the ground and what is known of them.

    Attributes:
        xy: (N, 2) float64 world metres.
        local: (N, 2) float32 metres from the world's corner, for tiles.
        footprint: (N,) float32 metres that a pixel covers.
        zone: (N, 5) float32 as `Surface.zones`.
        share: (N, 5) float32 shares of road, kerb, pavement, grass and car park.
        macro: (N, 3) float32 slow noise.
        along, across, lane: (N,) float32 metres as `RoadFrame.at`.
    """

    xy: np.ndarray
    local: np.ndarray
    footprint: np.ndarray
    zone: np.ndarray
    share: np.ndarray
    macro: np.ndarray
    along: np.ndarray
    across: np.ndarray
    lane: np.ndarray

    @property
    def driven(self) -> np.ndarray:
        """(N,) float32 share of what vehicles drive on."""
        return self.share[:, ROAD] + self.share[:, PARK]


def shares(zone: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """(N, 5) float32 shares of road, kerb, pavement, grass and car park in each pixel."""
    soft = 1 / np.maximum(footprint, np.float32(0.004))

    def beyond(metres: np.ndarray) -> np.ndarray:
        return np.clip(0.5 + metres * soft, 0, 1)

    # The face of a kerb, at a distance of 0, belongs to the kerb.
    behind, inside = beyond(zone[:, 0] + 0.002), beyond(zone[:, 0] - zone[:, 4] + 0.002)
    share = np.empty((len(zone), 5), dtype=np.float32)
    green = np.maximum(beyond(zone[:, 1]), beyond(zone[:, 3]))
    share[:, PARK] = beyond(zone[:, 2])
    free = 1 - share[:, PARK]
    share[:, ROAD] = (1 - behind) * free
    share[:, GRASS] = np.minimum(green, inside) * free
    share[:, KERB] = (behind - inside) * free
    share[:, PAVED] = np.maximum(inside * free - share[:, GRASS], 0)
    return share


def roadside(look: SurfaceLook, zone: np.ndarray) -> np.ndarray:
    """(N,) float32 by how much more bare the ground is beside a road without a kerb."""
    open_edge = 1 - zone[:, 4] * np.float32(1 / look.kerb_width)
    return open_edge * np.clip(3 - 4 * zone[:, 0], 0, 3)


def base_colours(look: SurfaceLook, pixels: Pixels) -> np.ndarray:
    """(N, 3) float32 colour of each pixel's mixture, before wear and detail."""
    share, macro = pixels.share, pixels.macro
    colour = share @ look.colours
    rows = np.flatnonzero(share[:, GRASS] > 0)
    blotch, dry, _ = macro[rows].T[..., None]
    dryness = np.clip(look.dryness + np.float32(0.28) * dry, 0, 1)
    grass = look.colours[GRASS] + dryness * (look.dry_grass - look.colours[GRASS])
    worn = roadside(look, pixels.zone[rows])[:, None] - np.float32(look.bare)
    bare = np.clip((dry + np.float32(0.4) * blotch + worn) * np.float32(2.5), 0, 1)
    grass += bare * (look.soil - grass)
    colour[rows] += share[rows, GRASS, None] * (grass - look.colours[GRASS])
    rows = np.flatnonzero(share[:, KERB] > 0)
    stone = look.stones(pixels.along[rows], pixels.footprint[rows])
    colour[rows] += share[rows, KERB, None] * (stone - look.colours[KERB])
    colour *= 1 + np.float32(0.045) * macro[:, :1]
    return colour


def wear_down(look: SurfaceLook, wear: RoadWear, colour: np.ndarray, pixels: Pixels) -> None:
    """Multiply what is driven on by wear, ruts, dripped oil and the dirt of gutters."""
    driven = pixels.driven
    rows = np.flatnonzero(driven > 0.02)
    factor = wear.factors.at(pixels.xy[rows], pixels.footprint[rows]) * np.float32(1 / 128)
    lane, blotch = pixels.lane[rows], pixels.macro[rows, 0]
    width = np.maximum(lane, np.float32(1.0))
    place = np.abs(pixels.across[rows] / width)
    place = (place - np.floor(place) - np.float32(0.5)) * width
    strength = np.where(lane > 0, look.ruts * (1 + 0.4 * blotch), 0.0).astype(np.float32)
    strength *= pixels.share[rows, ROAD]
    rut = np.exp(-(((np.abs(place) - np.float32(0.78)) * np.float32(3.1)) ** 2))
    oil = np.exp(-((place * np.float32(3.6)) ** 2))
    factor *= 1 + strength * (rut * np.float32(look.rut_tone) - np.float32(0.8) * oil)
    beside = np.clip(1 + pixels.zone[rows, 0] * np.float32(1 / _GUTTER), 0, 1)
    factor *= 1 - np.float32(look.dirt) * beside * np.clip(np.float32(0.7) + 0.5 * blotch, 0, 1)
    colour[rows] *= (1 + driven[rows] * (factor - 1))[:, None]


def come_close(look: SurfaceLook, wear: RoadWear, colour: np.ndarray, pixels: Pixels) -> None:
    """Multiply what is near by its structure: grain, blades, cracks, joints, lids."""
    tiles = detail_tiles()
    near = np.flatnonzero(pixels.footprint < _NEAR)
    kinds = pixels.share[near].argmax(axis=1)
    for number, tile, strength in (
        (ROAD, TILE, look.grain),
        (PARK, TILE, look.grain),
        (KERB, TILE, 0.25),
        (PAVED, TILE, 0.55),
        (GRASS, GRASS_TILE, 1.0),
    ):
        rows = near[kinds == number]
        detail = tiles.at(tile, pixels.local[rows], pixels.footprint[rows])
        colour[rows] *= 1 + np.float32(strength) * (detail - 1)
    rows = near[(kinds == ROAD) | (kinds == PARK)]
    cracked = np.clip(0.5 + 0.9 * pixels.macro[rows, 1] + look.cracked, 0, 1)[:, None]
    place = np.stack([pixels.along[rows], pixels.across[rows]], axis=-1)
    cracks = tiles.at(CRACKS, place, pixels.footprint[rows])
    colour[rows] *= (1 + cracked * (cracks - 1)).astype(np.float32)
    wear.engrave(colour, rows, pixels.xy[rows], pixels.footprint[rows])
    rows = near[kinds == PAVED]
    slabs = look.slabs(pixels.along[rows], pixels.across[rows], pixels.footprint[rows])
    colour[rows] *= slabs[:, None]


def lay_paint(
    look: SurfaceLook, cover: np.ndarray, yellow: np.ndarray, colour: np.ndarray, pixels: Pixels
) -> None:
    """Cover with paint, which is worn off the tops of the stones.

    Args:
        cover: (N,) share of each pixel that was painted.
        yellow: (N,) bool: with yellow paint.
    """
    rows = np.flatnonzero(cover > 0.01)
    scale = np.float32(0.37)  # paint goes in flakes of several stones
    stones = detail_tiles().at(TILE, pixels.local[rows] * scale, pixels.footprint[rows] * scale)
    hold = 1.3 - 1.2 * look.paint_wear + 0.25 * pixels.macro[rows, 0] + 1.1 * (stones[:, 0] - 1)
    hidden = (cover[rows] * np.clip(hold, 0.15, 0.96)).astype(np.float32)[:, None]
    paint = np.where(yellow[rows, None], look.yellow, look.white)
    under = colour[rows]
    shade = under.mean(axis=1, keepdims=True) / look.colours[ROAD].mean()
    paint = paint * (np.float32(0.55) + np.float32(0.45) * np.clip(shade, 0.6, 1.2))
    colour[rows] = under + hidden * (paint - under)
