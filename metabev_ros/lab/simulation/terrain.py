"""The ground's height: hills, crowned roads, kerbs and walkways, verges, ditches, banks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.lab.datasets.synthetic.ground import (
    CARPARK,
    CROSSING,
    DRIVABLE,
    KERB,
    PAVING,
    WALKWAY,
    Ground,
)
from metabev_ros.lab.simulation.cameras.vectors import crossed
from metabev_ros.lab.simulation.edges import node_distance
from metabev_ros.lab.simulation.node_grid import NodeGrid, straightened
from metabev_ros.lab.simulation.relief import Relief, draw_relief

FINE = 4  # pixels of the ground's rasters in a cell of the fine nodes
COARSE = 4  # fine cells in a cell of the coarse nodes
FAR = 4  # coarse cells in a cell where nothing is near
_THINNEST = 7  # pixels of a strip of grass
_FAR_FROM = 14.0  # metres from what is paved
_CROWN = 2.0  # metres from the edge over which a carriageway becomes level
_WHEELBASE, _TRACK = 0.6, 0.85  # shares of a vehicle's length and width


@dataclass(frozen=True)
class Profile:
    """Raised parts of the ground of one world.

    Attributes:
        kerb: metres of a walkway above the carriageway.
        lip: metres that are left where the kerb is lowered.
        crown: slope of a carriageway at its edge.
        raised_parks: car parks are level with the walkway, else with the road.
        bumps: metres by which grass is uneven.
        ditch: metres of depth beside the pavement, 0 for none.
        bank: metres by which the land may rise or fall beyond.
    """

    kerb: float = 0.12
    lip: float = 0.01
    crown: float = 0.02
    raised_parks: bool = False
    bumps: float = 0.08
    ditch: float = 0.0
    bank: float = 0.0

    def __post_init__(self) -> None:
        require(0.0 < self.kerb <= 0.3, 'Profile.kerb', 'more than 0, at most 0.3 m', self.kerb)
        require(0.0 <= self.lip <= self.kerb, 'Profile.lip', 'between 0 and the kerb', self.lip)


def draw_profile(rng: np.random.Generator) -> Profile:
    """The profile of one world."""
    ditch, bank = rng.uniform(size=2)
    return Profile(
        kerb=rng.uniform(0.06, 0.18),
        lip=rng.uniform(0.0, 0.02),
        crown=rng.uniform(0.008, 0.025),
        raised_parks=bool(rng.uniform() < 0.5),
        bumps=rng.uniform(0.03, 0.15),
        ditch=rng.uniform(0.15, 0.5) if ditch < 0.3 else 0.0,
        bank=rng.uniform(0.4, 1.3) if bank < 0.4 else 0.0,
    )


@dataclass(frozen=True)
class Terrain:
    """The height of the ground everywhere.

    Attributes:
        relief: the hills alone.
        profile: how the ground is raised.
        base: coarse nodes, float64 metres: hills, crowns and verges, without kerbs.
        kerb: fine nodes (R, C, 2) float64: metres from the kerb (above 0 on the raised side), and
            metres by which the raised side is raised.
        slopes: coarse nodes (R, C, 2) float64: rise of `base` along x and y.
    """

    relief: Relief
    profile: Profile
    base: NodeGrid
    kerb: NodeGrid
    slopes: NodeGrid

    def height(self, xy: np.ndarray) -> np.ndarray:
        """Metres where feet stand at (..., 2) world points, (...) float64."""
        xy = np.asarray(xy, dtype=np.float64)
        kerb = self.kerb.at(xy)
        return self.base.at(xy) + np.where(kerb[..., 0] >= 0, kerb[..., 1], 0.0)

    def relief_height(self, xy: np.ndarray) -> np.ndarray:
        """Metres of the hills alone at (..., 2) world points, (...) float64."""
        return self.relief.height(xy)

    def slope(self, xy: np.ndarray) -> np.ndarray:
        """Rise along x and y of what lies under the kerbs, (..., 2) float64, without a bend."""
        return self.slopes.at(np.asarray(xy, dtype=np.float64))

    def stand(
        self,
        xy: np.ndarray,
        yaw: np.ndarray,
        length: np.ndarray,
        width: np.ndarray,
        upright: bool = False,
    ) -> np.ndarray:
        """Poses of things that stand on the ground, their origin on it.

        Args:
            xy: (N, 2) world metres of the middle.
            yaw: (N,) radians.
            length, width: (N,) metres; four wheels stand inside of them.
            upright: without pitch and roll, as people and cones stand.

        Returns:
            (N, 4, 4) float64 world_from_object.
        """
        xy, yaw = np.asarray(xy, dtype=np.float64), np.asarray(yaw, dtype=np.float64)
        ahead = np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)
        left = np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1)
        poses = np.tile(np.eye(4), (len(xy), 1, 1))
        poses[:, :2, 3] = xy
        if upright:
            poses[:, :2, 0], poses[:, :2, 1] = ahead, left
            poses[:, 2, 3] = self.height(xy)
            return poses
        half = np.asarray(length, dtype=np.float64) * (_WHEELBASE / 2)
        side = np.asarray(width, dtype=np.float64) * (_TRACK / 2)
        signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
        wheels = xy[:, None] + (
            signs[:, :1] * half[:, None, None] * ahead[:, None]
            + signs[:, 1:] * side[:, None, None] * left[:, None]
        )
        z = self.height(wheels)
        pitch = (z @ signs[:, 0]) / (4 * half)
        roll = (z @ signs[:, 1]) / (4 * side)
        forward = np.concatenate([ahead, pitch[:, None]], axis=-1)
        sideways = np.concatenate([left, roll[:, None]], axis=-1)
        up = crossed(forward, sideways)
        poses[:, :3, 0] = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
        poses[:, :3, 2] = up / np.linalg.norm(up, axis=-1, keepdims=True)
        poses[:, :3, 1] = crossed(poses[:, :3, 2], poses[:, :3, 0])
        poses[:, 2, 3] = z.mean(axis=-1)
        return poses


def draw_terrain(rng: np.random.Generator, ground: Ground, strength: float = 1.0) -> Terrain:
    """Hills and profile of one world over its painted ground.

    Args:
        strength: factor of the hills' slopes, 0..1.
    """
    high = ground.origin + ground.cell * np.array(ground.labels.shape[::-1])
    relief = draw_relief(rng, ground.origin, high, strength)
    return build_terrain(rng, ground, relief, draw_profile(rng))


def build_terrain(
    rng: np.random.Generator, ground: Ground, relief: Relief, profile: Profile
) -> Terrain:
    """The terrain of a ground with these hills and this profile."""
    low_bits = DRIVABLE if profile.raised_parks else DRIVABLE | CARPARK
    step = FINE * COARSE * FAR
    kerb = node_distance((ground.labels & low_bits) == 0, ground.cell, FINE, step)
    paved = node_distance(unpaved(ground), ground.cell, FINE, step)
    cell = ground.cell * FINE
    rise = _rise(ground, profile, kerb)
    outward = _metres((paved > 0).astype(np.uint8), cell)
    inward = _metres((kerb < 0).astype(np.uint8), cell)
    every = slice(None, None, COARSE)
    coarse = NodeGrid(ground.origin, cell * COARSE, outward[every, every])
    points = coarse.points()
    # Round on top: a ridge between nodes would be a saw.
    base = relief.height(points)
    base += profile.crown * _CROWN * -np.expm1(-inward[every, every] / _CROWN)
    base += _verge(rng, profile, points, outward[every, every])
    base = straightened(base, FAR, _far_blocks(outward, COARSE * FAR))
    north, east = np.gradient(base, cell * COARSE)
    return Terrain(
        relief,
        profile,
        NodeGrid(ground.origin, cell * COARSE, base),
        NodeGrid(ground.origin, cell, np.stack([kerb, rise], axis=-1)),
        NodeGrid(ground.origin, cell * COARSE, np.stack([east, north], axis=-1)),
    )


def unpaved(ground: Ground) -> np.ndarray:
    """(H, W) bool: pixels of grass and soil; strips too thin for the fine nodes are left out."""
    paved = ground.labels & (DRIVABLE | CARPARK | WALKWAY) > 0
    free = ~(paved | (ground.material == PAVING))  # driveways have no label
    brush = np.ones((_THINNEST, _THINNEST), dtype=np.uint8)
    return cv2.morphologyEx(free.view(np.uint8), cv2.MORPH_OPEN, brush).view(bool)


def _far_blocks(outward: np.ndarray, step: int) -> np.ndarray:
    """Blocks of `step` fine cells that are far from all that is paved."""
    near = (outward < _FAR_FROM).astype(np.uint8)
    grown = cv2.dilate(near, np.ones((2 * step + 1, 2 * step + 1), np.uint8))
    return grown[step // 2 :: step, step // 2 :: step] == 0


def _metres(mask: np.ndarray, cell: float) -> np.ndarray:
    """Metres from each node where the mask holds to the nearest where it does not."""
    # A world with nothing paved has no nearest node: everything is far.
    return np.minimum(cv2.distanceTransform(mask, cv2.DIST_L2, 5) * cell, 1e3).astype(np.float64)


def _rise(ground: Ground, profile: Profile, kerb: np.ndarray) -> np.ndarray:
    """Metres by which the raised side is raised.

    Less where people cross, at the gates of car parks and at driveways; nothing along a road
    without walkways and islands.
    """
    labels, material = (
        _at_nodes(raster, kerb.shape) for raster in (ground.labels, ground.material)
    )
    cell = ground.cell * FINE
    near = cv2.dilate((labels & CARPARK) // CARPARK, _disc(1.5 / cell))
    lowered = (labels & CROSSING > 0) | ((labels & DRIVABLE > 0) & (near > 0))
    driveway = ((material == PAVING) & (labels == 0)).astype(np.uint8)
    lowered |= (cv2.dilate(driveway, _disc(3.0 / cell)) > 0) & (np.abs(kerb) < 0.6)
    reach = cv2.dilate(lowered.astype(np.float32), _disc(1.2 / cell))
    # Up again over a metre and a half, as wheelchairs need.
    ramp = cv2.blur(reach, (int(1.5 / cell) | 1, int(1.5 / cell) | 1))
    rise = profile.kerb + (profile.lip - profile.kerb) * ramp.astype(np.float64)
    return rise * kerbed(ground, kerb.shape)


def kerbed(ground: Ground, shape: tuple[int, ...]) -> np.ndarray:
    """(R, C) shares 0..1 at the fine nodes: 1 near walkways and islands, 0 where no kerb is."""
    cell = ground.cell * FINE
    sides = (ground.labels & (WALKWAY | CARPARK) > 0) | (ground.material == KERB)
    close = cv2.dilate(_at_nodes(sides.view(np.uint8), shape), _disc(2.0 / cell))
    soft = cv2.blur(close.astype(np.float32), (int(1.5 / cell) | 1, int(1.5 / cell) | 1))
    return soft.astype(np.float64)


def _at_nodes(raster: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A raster's pixels at the fine nodes, 0 where those go on beyond it."""
    nodes = np.zeros(shape, dtype=np.uint8)
    known = raster[::FINE, ::FINE]
    nodes[: known.shape[0], : known.shape[1]] = known
    return nodes


def _disc(radius: float) -> np.ndarray:
    size = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def _verge(
    rng: np.random.Generator, profile: Profile, points: np.ndarray, outward: np.ndarray
) -> np.ndarray:
    """Metres that unpaved ground differs from a plane: bumps, ditches, banks."""
    away = np.clip(outward / 3.0, 0, 1)
    away = away * away * (3 - 2 * away)
    verge = profile.bumps * away * _waves_of(rng, points, (7.0, 18.0), 8)
    along = _waves_of(rng, points, (60.0, 140.0), 4)
    if profile.ditch > 0:
        form = np.clip(1 - np.abs(outward - 3.0) / 2.2, 0, 1)
        verge -= profile.ditch * form * np.clip(0.5 + 1.5 * along, 0, 1)
    if profile.bank > 0:
        beyond = np.clip((outward - 2.5) / 6.0, 0, 1)
        form = beyond * beyond * (3 - 2 * beyond)
        verge += profile.bank * form * np.clip(2 * _waves_of(rng, points, (60.0, 140.0), 4), -1, 1)
    return verge


def _waves_of(
    rng: np.random.Generator, points: np.ndarray, lengths: tuple[float, float], count: int
) -> np.ndarray:
    """Sum of waves over (..., 2) points, about -1..1."""
    total = np.zeros(points.shape[:-1])
    for _ in range(count):
        turn, phase = rng.uniform(-np.pi, np.pi, 2)
        k = 2 * np.pi / np.exp(rng.uniform(np.log(lengths[0]), np.log(lengths[1])))
        total += np.sin(
            k * (np.cos(turn) * points[..., 0] + np.sin(turn) * points[..., 1]) + phase
        )
    return total / np.sqrt(2.0 * count)
