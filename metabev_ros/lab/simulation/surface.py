"""Materials and looks of the ground, at any point and any size of pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import (
    DRIVABLE,
    PARKING,
    Ground,
)
from metabev_ros.lab.simulation.detail_tiles import periodic_noise
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
from metabev_ros.lab.simulation.road_frame import RoadFrame, road_frame
from metabev_ros.lab.simulation.road_wear import RoadWear, wear_roads
from metabev_ros.lab.simulation.surface_layers import (
    GRASS,
    PARK,
    ROAD,
    Pixels,
    base_colours,
    come_close,
    lay_paint,
    roadside,
    shares,
    wear_down,
)
from metabev_ros.lab.simulation.surface_look import SurfaceLook, draw_look
from metabev_ros.lab.simulation.terrain import COARSE, FAR, FINE, Terrain, kerbed, unpaved

_MACRO_CELL, _MACRO_SIZE = 0.25, 512  # metres and pixels of the slow noise, which repeats
_THINNEST_STRIP = 0.4  # metres
_LEAST_STRIP = 5.0  # square metres of grass in one piece
_KINDS = np.array(
    [Material.ASPHALT, Material.KERB, Material.PAVING, Material.GRASS, Material.ASPHALT], np.uint8
)


@dataclass(frozen=True)
class Surface:
    """Materials and colours of the ground; the same in every view.

    Attributes:
        look: colours and style of this world.
        zones: fine nodes (R, C, 5) float32: metres behind the kerb, metres beyond what is paved,
            metres inside a car park, metres inside a strip of grass along the walkway, each above
            0 there; and the width of the kerb's stone.
        markings: what is painted.
        wear: what years left on the roads.
        frame: along and across the roads.
        macro: (M, M, 3) float32 of mean 0 and deviation 1 that repeats: blotches, dryness, water.
    """

    look: SurfaceLook
    zones: NodeGrid
    markings: Markings
    wear: RoadWear
    frame: RoadFrame
    macro: np.ndarray

    def material_at(self, xy: np.ndarray) -> np.ndarray:
        """(N,) uint8 values of `Material` at (N, 2) world points."""
        xy = np.asarray(xy, dtype=np.float64)
        fine = np.full(len(xy), 0.01, dtype=np.float32)
        zone = self.zones.at(xy)
        kind = shares(zone, fine).argmax(axis=1)
        material = _KINDS[kind]
        blotch, dry, _ = self._macro_at(xy).T
        bare = dry + 0.4 * blotch + roadside(self.look, zone) > self.look.bare
        material[(kind == GRASS) & bare] = Material.SOIL
        material[(kind == PARK) & self.look.paved_parks] = Material.PAVING
        drivable = np.flatnonzero((kind == ROAD) | (kind == PARK))
        painted = self._paint(xy[drivable], 3 * fine[drivable]) > 0.5
        material[drivable[painted]] = Material.ROAD_PAINT
        return material

    def wetness_at(self, xy: np.ndarray) -> np.ndarray:
        """(N,) float32: how deep water stands after rain, 0 none to 1 a puddle."""
        xy = np.asarray(xy, dtype=np.float64)
        blotch, _, water = self._macro_at(xy).T
        zone = self.zones.at(xy)
        gutter = np.clip(1 - np.abs(zone[:, 0] + 0.3) / 0.35, 0, 1)
        level = np.clip((water + 0.5 * blotch + 0.9 * gutter - 1.1) * 1.6, 0, 1)
        return np.where(zone[:, 1] > 0.1, 0.3 * level, level).astype(np.float32)

    def colour_at(self, xy: np.ndarray, footprint: np.ndarray | float) -> np.ndarray:
        """(N, 3) float32 RGB 0..255 without light at (N, 2) world points.

        Args:
            footprint: (N,) or () metres that a pixel covers on the ground; for a slanting view
                the geometric mean of both directions.
        """
        pixels = self._pixels(np.asarray(xy, dtype=np.float64), footprint)
        colour = base_colours(self.look, pixels)
        wear_down(self.look, self.wear, colour, pixels)
        come_close(self.look, self.wear, colour, pixels)
        cover = self._paint(pixels.xy, pixels.footprint) * pixels.driven
        lay_paint(self.look, cover, self.markings.is_yellow(pixels.xy), colour, pixels)
        return np.clip(colour, 0, 255)

    def _pixels(self, xy: np.ndarray, footprint: np.ndarray | float) -> Pixels:
        footprint = np.broadcast_to(np.asarray(footprint, dtype=np.float32), (len(xy),))
        zone = self.zones.at(xy)
        local = (xy - self.zones.origin).astype(np.float32)
        share = shares(zone, footprint)
        return Pixels(xy, local, footprint, zone, share, self._macro_at(xy), *self.frame.at(xy))

    def _macro_at(self, xy: np.ndarray) -> np.ndarray:
        place = np.floor(xy * (1 / _MACRO_CELL)).astype(np.int32) & (_MACRO_SIZE - 1)
        index = place[:, 1] * _MACRO_SIZE + place[:, 0]
        return np.take(self.macro.reshape(-1, 3), index, axis=0)

    def _paint(self, xy: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """(N,) float32 share of each pixel that is painted, with edges as sharp as it can see."""
        cover = self.markings.paint.at(xy, footprint) * np.float32(1 / 255)
        cell = np.float32(self.markings.paint.cell)
        sharp = np.clip(cell / np.maximum(footprint, np.float32(0.01)), 1.0, 3.0)
        return np.clip(0.5 + (cover - 0.5) * sharp, 0, 1)


def draw_surface(
    rng: np.random.Generator, terrain: Terrain, ground: Ground, networks: Networks = ()
) -> Surface:
    """The surface of one world.

    Args:
        networks: what the ground was painted from; without it there are the ground's own
            markings, at its resolution, and no wear.
    """
    high = ground.origin + ground.cell * np.array(ground.labels.shape[::-1])
    look = draw_look(rng)
    if networks:
        markings = paint_markings(draw_style(rng), ground, networks)
    else:
        markings = markings_of_ground(ground)
    return Surface(
        look,
        _zones(terrain, ground, look, networks),
        markings,
        wear_roads(rng, ground, networks),
        road_frame(ground.origin, high, [roads for roads, _ in networks]),
        _macro(rng),
    )


def _zones(terrain: Terrain, ground: Ground, look: SurfaceLook, networks: Networks) -> NodeGrid:
    multiple = FINE * COARSE * FAR
    kerb = terrain.kerb.values[..., 0]
    # A centimetre of the kerb is left around a car park.
    park = node_distance(ground.material == PARKING, ground.cell, FINE, multiple) - 0.01
    if not terrain.profile.raised_parks:
        # A kerb stands between a car park on the road's level and the walkway: as at the road.
        park = np.minimum(park, -kerb - 0.01)
    strip = np.full(kerb.shape, -1.0)
    # Two people must pass beside it, on side streets' walkways of 2.6 metres too.
    wide = min([roads.walkway for roads, _ in networks if roads.walkway > 0], default=2.6) - 1.2
    if min(look.strip, wide) > _THINNEST_STRIP:
        strip = _strip(terrain, ground, look, min(look.strip, wide))
    beyond = node_distance(unpaved(ground), ground.cell, FINE, multiple)
    stone = look.kerb_width * kerbed(ground, kerb.shape)
    zones = [kerb, beyond, park, strip, stone]
    return NodeGrid(ground.origin, ground.cell * FINE, np.stack(zones, axis=-1).astype(np.float32))


def _strip(terrain: Terrain, ground: Ground, look: SurfaceLook, width: float) -> np.ndarray:
    """(R, C) metres inside the strip of grass between a carriageway and its walkway."""
    multiple, cell = FINE * COARSE * FAR, ground.cell * FINE
    away = node_distance(ground.labels & DRIVABLE == 0, ground.cell, FINE, multiple, reach=3.0)
    # Paved where the kerb is lowered: people cross there.
    lowered = (terrain.kerb.values[..., 1] / terrain.profile.kerb - 0.9) * 8.0
    end = look.kerb_width + width
    strip = np.minimum(np.minimum(away - look.kerb_width, end - away), lowered)
    _, part, figures, _ = cv2.connectedComponentsWithStats((strip > 0).view(np.uint8))
    small = np.flatnonzero(figures[:, cv2.CC_STAT_AREA] * cell * cell < _LEAST_STRIP)
    return np.where(np.isin(part, small), -1.0, strip)


def _macro(rng: np.random.Generator) -> np.ndarray:
    layers = []
    for softness in ((3.0, 14.0), (6.0, 30.0), (5.0, 16.0)):
        small = [cv2.resize(periodic_noise(rng, 128, k / 4), None, fx=4, fy=4) for k in softness]
        layers.append((0.6 * small[0] + 0.8 * small[1]).astype(np.float32))
    return np.stack(layers, axis=-1)
