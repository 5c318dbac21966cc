"""What the ground is made of and how it looks, at any point and any size of pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import (
    CARPARK,
    DRIVABLE,
    PARKING,
    WALKWAY,
    Ground,
)
from metabev_ros.lab.simulation.detail_tiles import (
    CRACKS,
    GRASS_TILE,
    TILE,
    detail_tiles,
    periodic_noise,
)
from metabev_ros.lab.simulation.edges import node_distance
from metabev_ros.lab.simulation.markings import (
    Markings,
    Networks,
    draw_style,
    markings_of_ground,
    paint_markings,
)
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.node_grid import NodeGrid
from metabev_ros.lab.simulation.rasters import RasterPyramid
from metabev_ros.lab.simulation.road_frame import RoadFrame, road_frame
from metabev_ros.lab.simulation.road_wear import wear_roads
from metabev_ros.lab.simulation.surface_look import SurfaceLook, draw_look
from metabev_ros.lab.simulation.terrain import COARSE, FAR, FINE, Terrain

_NEAR = 0.12  # metres: a larger pixel shows no grain, no joints
_MACRO_CELL, _MACRO_SIZE = 0.25, 512  # metres and pixels of the slow noise, which repeats
_ROAD, _KERB, _PAVED, _GRASS, _PARK = range(5)
_KINDS = np.array(
    [Material.ASPHALT, Material.KERB, Material.PAVING, Material.GRASS, Material.ASPHALT], np.uint8
)


@dataclass(frozen=True)
class Surface:
    """Materials and colours of the ground; the same in every view.

    Attributes:
        look: colours and style of this world.
        zones: fine nodes (R, C, 3) float32: metres behind the kerb, metres beyond what is paved,
            metres inside a car park; each above 0 there.
        markings: what is painted.
        wear: factor of the road's colour, 128 for 1.
        frame: along and across the roads.
        macro: (M, M, 3) float32 of mean 0 and deviation 1 that repeats: blotches, dryness, water.
    """

    look: SurfaceLook
    zones: NodeGrid
    markings: Markings
    wear: RasterPyramid
    frame: RoadFrame
    macro: np.ndarray

    def material_at(self, xy: np.ndarray) -> np.ndarray:
        """(N,) uint8 values of `Material` at (N, 2) world points."""
        xy = np.asarray(xy, dtype=np.float64)
        kind = self._shares(xy, np.full(len(xy), 0.01, np.float32)).argmax(axis=1)
        material = _KINDS[kind]
        blotch, dry, _ = self._macro_at(xy).T
        material[(kind == _GRASS) & (dry + 0.4 * blotch > self.look.bare)] = Material.SOIL
        material[(kind == _PARK) & self.look.paved_parks] = Material.PAVING
        drivable = (kind == _ROAD) | (kind == _PARK)
        material[drivable & (self._paint(xy, 0.03) > 0.5)] = Material.ROAD_PAINT
        return material

    def wetness_at(self, xy: np.ndarray) -> np.ndarray:
        """(N,) float32: how deep water stands after rain, 0 none to 1 a puddle."""
        xy = np.asarray(xy, dtype=np.float64)
        blotch, _, water = self._macro_at(xy).T
        zone = self.zones.at(xy)
        gutter = np.clip(1 - np.abs(zone[:, 0] + 0.3) / 0.35, 0, 1)
        level = np.clip((water + 0.5 * blotch + 0.9 * gutter - 1.1) * 1.6, 0, 1)
        return np.where(zone[:, 1] > 0.1, 0.3 * level, level).astype(np.float32)

    def colour_at(self, xy: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """(N, 3) float32 RGB 0..255 without light at (N, 2) world points.

        Args:
            footprint: (N,) or () metres that a pixel covers on the ground; for a slanting view
                the geometric mean of both directions.
        """
        xy = np.asarray(xy, dtype=np.float64)
        footprint = np.broadcast_to(np.asarray(footprint, dtype=np.float32), (len(xy),))
        share = self._shares(xy, footprint)
        macro = self._macro_at(xy)
        colour = self._tones(macro, share)
        along, across, lane = self.frame.at(xy)
        driven = share[:, _ROAD] + share[:, _PARK]
        self._wear(colour, xy, footprint, driven, across, lane, macro)
        near = np.flatnonzero(footprint < _NEAR)
        self._close_up(colour, near, xy, footprint, share.argmax(axis=1), along, across, macro)
        self._lay_paint(colour, xy, footprint, driven, macro)
        return np.clip(colour, 0, 255)

    def _macro_at(self, xy: np.ndarray) -> np.ndarray:
        place = np.floor(xy * (1 / _MACRO_CELL)).astype(np.int32) & (_MACRO_SIZE - 1)
        return np.take(self.macro.reshape(-1, 3), place[:, 1] * _MACRO_SIZE + place[:, 0], axis=0)

    def _shares(self, xy: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """(N, 5) float32 shares of road, kerb, pavement, grass and car park in each pixel."""
        zone = self.zones.at(xy)
        soft = 1 / np.maximum(footprint, np.float32(0.004))

        def beyond(metres: np.ndarray) -> np.ndarray:
            return np.clip(0.5 + metres * soft, 0, 1)

        # The face of a kerb, at a distance of 0, belongs to the kerb.
        behind, inside = beyond(zone[:, 0] + 0.002), beyond(zone[:, 0] - self.look.kerb_width)
        share = np.empty((len(xy), 5), dtype=np.float32)
        unpaved = beyond(zone[:, 1])
        park = beyond(zone[:, 2])
        share[:, _PARK] = park
        share[:, _ROAD] = (1 - behind) * (1 - park)
        share[:, _GRASS] = np.minimum(unpaved, inside) * (1 - park)
        share[:, _KERB] = (behind - inside) * (1 - park)
        share[:, _PAVED] = np.maximum(1 - share[:, [0, 1, 3, 4]].sum(axis=1), 0)
        return share

    def _tones(self, macro: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Colour of each pixel's mixture, before wear and detail."""
        look = self.look
        tone = share @ look.colours
        rows = np.flatnonzero(share[:, _GRASS] > 0)
        blotch, dry, _ = macro[rows].T[..., None]
        dryness = np.clip(look.dryness + np.float32(0.28) * dry, 0, 1)
        grass = look.colours[_GRASS] + dryness * (look.dry_grass - look.colours[_GRASS])
        bare = np.clip((dry + np.float32(0.4) * blotch - look.bare) * np.float32(2.5), 0, 1)
        grass += bare * (look.soil - grass)
        tone[rows] += share[rows, _GRASS, None] * (grass - look.colours[_GRASS])
        tone *= 1 + np.float32(0.045) * macro[:, :1]
        return tone

    def _wear(
        self,
        colour: np.ndarray,
        xy: np.ndarray,
        footprint: np.ndarray,
        driven: np.ndarray,
        across: np.ndarray,
        lane: np.ndarray,
        macro: np.ndarray,
    ) -> None:
        """Multiply what is driven on by wear, ruts, and the dark line of dripped oil."""
        rows = np.flatnonzero(driven > 0.02)
        factor = self.wear.at(xy[rows], footprint[rows]) * np.float32(1 / 128)
        width = np.maximum(lane[rows], 1.0)
        place = np.abs(across[rows] / width)
        place = (place - np.floor(place) - 0.5) * width
        strength = np.where(lane[rows] > 0, self.look.ruts * (1 + 0.4 * macro[rows, 0]), 0.0)
        rut = np.exp(-(((np.abs(place) - 0.78) / 0.32) ** 2))
        oil = np.exp(-((place / 0.28) ** 2))
        factor *= 1 + strength * (rut * self.look.rut_tone - 0.8 * oil)
        colour[rows] *= (1 + driven[rows] * (factor - 1))[:, None].astype(np.float32)

    def _close_up(
        self,
        colour: np.ndarray,
        near: np.ndarray,
        xy: np.ndarray,
        footprint: np.ndarray,
        kind: np.ndarray,
        along: np.ndarray,
        across: np.ndarray,
        macro: np.ndarray,
    ) -> None:
        """Multiply what is near by its structure."""
        tiles, look = detail_tiles(), self.look
        local = (xy[near] - self.zones.origin).astype(np.float32)
        kinds = kind[near]
        for number, tile, strength in (
            (_ROAD, TILE, look.grain),
            (_PARK, TILE, look.grain),
            (_KERB, TILE, 0.25),
            (_PAVED, TILE, 0.55),
            (_GRASS, GRASS_TILE, 1.0),
        ):
            rows = np.flatnonzero(kinds == number)
            detail = tiles.at(tile, local[rows], footprint[near[rows]])
            colour[near[rows]] *= 1 + np.float32(strength) * (detail - 1)
        rows = near[(kinds == _ROAD) | (kinds == _PARK)]
        zone = np.clip(0.5 + 0.9 * macro[rows, 1] + look.cracked, 0, 1)[:, None]
        place = np.stack([along[rows], across[rows]], axis=-1)
        colour[rows] *= 1 + zone * (tiles.at(CRACKS, place, footprint[rows]) - 1)
        rows = near[kinds == _KERB]
        colour[rows] *= look.stones(along[rows], footprint[rows])[:, None]
        rows = near[kinds == _PAVED]
        colour[rows] *= look.slabs(along[rows], across[rows], footprint[rows])[:, None]

    def _paint(self, xy: np.ndarray, footprint: np.ndarray | float) -> np.ndarray:
        """(N,) float32 share of each pixel that is painted, with edges as sharp as it can see."""
        footprint = np.broadcast_to(np.asarray(footprint, np.float32), (len(xy),))
        cover = self.markings.paint.at(xy, footprint) * np.float32(1 / 255)
        sharp = np.clip(self.markings.paint.cell / np.maximum(footprint, 0.01), 1.0, 3.0)
        return np.clip(0.5 + (cover - 0.5) * sharp, 0, 1)

    def _lay_paint(
        self,
        colour: np.ndarray,
        xy: np.ndarray,
        footprint: np.ndarray,
        driven: np.ndarray,
        macro: np.ndarray,
    ) -> None:
        """Cover with paint that is worn off the tops of the stones."""
        cover = self._paint(xy, footprint) * driven
        rows = np.flatnonzero(cover > 0.01)
        local = (xy[rows] - self.zones.origin).astype(np.float32) * np.float32(0.37)
        stones = detail_tiles().at(TILE, local, footprint[rows] * np.float32(0.37))[:, 0]
        hold = 1.3 - 1.2 * self.look.paint_wear + 0.25 * macro[rows, 0] + 1.1 * (stones - 1)
        cover = (cover[rows] * np.clip(hold, 0.15, 0.96)).astype(np.float32)[:, None]
        yellow = self.markings.is_yellow(xy[rows])[:, None]
        paint = np.where(yellow, self.look.yellow, self.look.white).astype(np.float32)
        under = colour[rows]
        shade = np.clip(
            under.mean(axis=1, keepdims=True) / self.look.colours[_ROAD].mean(), 0.6, 1.2
        )
        colour[rows] = under + cover * (paint * (0.55 + 0.45 * shade) - under)


def draw_surface(
    rng: np.random.Generator, terrain: Terrain, ground: Ground, networks: Networks = ()
) -> Surface:
    """The surface of one world.

    Args:
        networks: what the ground was painted from; without it there are the ground's own
            markings, at its resolution, and no wear.
    """
    multiple = FINE * COARSE * FAR
    paved = ground.labels & (DRIVABLE | CARPARK | WALKWAY) > 0
    zones = [
        terrain.kerb.values[..., 0],
        node_distance(~paved, ground.cell, FINE, multiple),
        # A centimetre of the kerb is left around.
        node_distance(ground.material == PARKING, ground.cell, FINE, multiple) - 0.01,
    ]
    if not terrain.profile.raised_parks:
        # A kerb stands between a car park on the road's level and the walkway: as at the road.
        zones[2] = np.minimum(zones[2], -zones[0] - 0.01)
    high = ground.origin + ground.cell * np.array(ground.labels.shape[::-1])
    look = draw_look(rng)
    if networks:
        markings = paint_markings(draw_style(rng), ground, networks)
    else:
        markings = markings_of_ground(ground)
    return Surface(
        look,
        NodeGrid(ground.origin, ground.cell * FINE, np.stack(zones, -1).astype(np.float32)),
        markings,
        wear_roads(rng, ground, networks),
        road_frame(ground.origin, high, [roads for roads, _ in networks]),
        _macro(rng),
    )


def _macro(rng: np.random.Generator) -> np.ndarray:
    layers = []
    for softness in ((3.0, 14.0), (6.0, 30.0), (5.0, 16.0)):
        small = [cv2.resize(periodic_noise(rng, 128, k / 4), None, fx=4, fy=4) for k in softness]
        layers.append((0.6 * small[0] + 0.8 * small[1]).astype(np.float32))
    return np.stack(layers, axis=-1)
