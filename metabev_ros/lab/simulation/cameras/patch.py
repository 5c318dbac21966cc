"""Surfaces that rays met, with their texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.simulation.cameras.lamps import Lamps
from metabev_ros.lab.simulation.cameras.light import Light
from metabev_ros.lab.simulation.cameras.scene import Backdrop, Moment, Scene
from metabev_ros.lab.simulation.cameras.textures import grain, paint_patterns, texture_places
from metabev_ros.lab.simulation.cameras.vectors import dot, unit
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.rays import Hits, Rays


@dataclass(frozen=True)
class Eye:
    """Everything that shading asks for, at one instant.

    Attributes:
        lamps: None by day.
    """

    scene: Scene
    moment: Moment
    backdrop: Backdrop
    light: Light
    lamps: Lamps | None
    rng: np.random.Generator


@dataclass(frozen=True)
class Patch:
    """Surfaces that some rays met, with their texture.

    Attributes:
        rows: (K,) of the rays.
        place, normal: (K, 3) float32 world.
        flat: (K, 3) float32 normals of the triangles.
        albedo: (K, 3) float32 share of light that is scattered, linear.
        material: (K,) uint8; mover: (K,) int32; triangle: (K,) int32.
        away: (K,) float32 metres along the ray; footprint: (K,) float32 metres of a pixel.
        ground: (K,) bool.
        wet: (K,) float32 0..1.
    """

    rows: np.ndarray
    place: np.ndarray
    normal: np.ndarray
    flat: np.ndarray
    albedo: np.ndarray
    material: np.ndarray
    mover: np.ndarray
    triangle: np.ndarray
    away: np.ndarray
    footprint: np.ndarray
    ground: np.ndarray
    wet: np.ndarray


def look_at(
    eye: Eye, rays: Rays, hits: Hits, rows: np.ndarray, angle: np.ndarray, fine: bool = True
) -> Patch:
    """The surfaces that some rays met.

    Args:
        rows: (K,) of the rays; angle: (N,) float32 radians that a pixel is wide.
        fine: with texture, and round where they are.
    """
    surface = eye.scene.surface(rays, hits, eye.moment, rows)
    away = hits.distance[rows]
    direction = rays.direction[rows]
    place = rays.origin[rows] + away[:, None] * direction
    mover, triangle = hits.mover[rows], hits.triangle[rows]
    normal, material = surface.normal, surface.material
    ground = eye.scene.is_ground(hits, rows)
    footprint = away * angle[rows] / np.sqrt(np.maximum(surface.facing, np.float32(0.02)))
    colour = surface.colour
    on = np.flatnonzero(ground)
    colour[on] = eye.scene.floor.surface.colour_at(place[on, :2], footprint[on])
    albedo = _linear(colour)
    if fine:
        normal = _smooth(eye, normal, mover, triangle, hits.weights[rows], direction)
        above = np.flatnonzero(~ground)  # the ground brings its own texture
        albedo[above] *= _texture(
            eye, material[above], place[above], surface.normal[above], mover[above],
            footprint[above],
        )  # fmt: skip
    wet = _wetness(eye, place, surface.normal, material, ground)
    if eye.light.wet > 0:
        albedo *= (1 - np.float32(0.45) * wet)[:, None]
    return Patch(
        rows, place, normal, surface.normal, albedo, material, mover, triangle, away, footprint,
        ground, wet,
    )  # fmt: skip


def _linear(colour: np.ndarray) -> np.ndarray:
    """sRGB 0..255 without its gamma, 0..1, by a cubic that differs by less than .002."""
    share = colour * np.float32(1 / 255)
    cubic = share * np.float32(0.305306) + np.float32(0.682171)
    return share * (share * cubic + np.float32(0.012522))


def _smooth(
    eye: Eye,
    flat: np.ndarray,
    mover: np.ndarray,
    triangle: np.ndarray,
    weights: np.ndarray,
    direction: np.ndarray,
) -> np.ndarray:
    """(K, 3) normals between those of the corners, turned towards the eye."""
    normal = flat.copy()
    back = eye.backdrop
    stands = np.flatnonzero(mover < 0)
    bent, found = back.still.at(triangle[stands], weights[stands])
    changed = stands[bent]
    normal[changed] = found
    moves = np.flatnonzero(mover >= 0)
    if len(moves):
        movers, who = eye.moment.movers, mover[moves]
        which = back.body_first[movers.body[who]] + triangle[moves]
        bent, found = back.bodies.at(which, weights[moves])
        inverse = np.linalg.inv(movers.world_from_box[:, :3, :3]).astype(np.float32)
        normal[moves[bent]] = np.einsum('ki,kij->kj', found, inverse[who[bent]])
        changed = np.concatenate([changed, moves[bent]])
    some = unit(normal[changed])
    some[dot(some, flat[changed]) < 0] *= -1
    # A smooth normal may look away from the eye at a rim: it is brought back to the edge.
    over = np.maximum(dot(some, direction[changed]) + np.float32(0.01), 0)
    normal[changed] = some - over[:, None] * direction[changed]
    return normal


def _texture(
    eye: Eye,
    material: np.ndarray,
    place: np.ndarray,
    facing: np.ndarray,
    mover: np.ndarray,
    footprint: np.ndarray,
) -> np.ndarray:
    """(K, 3) factors of grain and patterns at the place in the world, or on the object.

    Args:
        place, facing: points and normals, which are changed.
    """
    moves = np.flatnonzero(mover >= 0)
    if len(moves):
        matrix = eye.moment.movers.world_from_box
        axes = matrix[:, :3, :3] / np.linalg.norm(matrix[:, :3, :3], axis=1)[:, None]
        axes = axes.astype(np.float32)[mover[moves]]
        centre = matrix[:, :3, 3].astype(np.float32)[mover[moves]]
        place[moves] = np.einsum('ki,kij->kj', place[moves] - centre, axes)
        facing[moves] = np.einsum('ki,kij->kj', facing[moves], axes)
    u, v = texture_places(place, facing)
    factor = np.repeat(grain(material, u, v, footprint)[:, None], 3, axis=1)
    paint_patterns(factor, material, u, v, footprint, np.abs(facing[:, 2]) < 0.5)
    return factor


def _wetness(
    eye: Eye, place: np.ndarray, normal: np.ndarray, material: np.ndarray, ground: np.ndarray
) -> np.ndarray:
    """(K,) share of the surface under water: puddles where the ground dips."""
    wet = np.zeros(len(place), np.float32)
    if eye.light.wet <= 0:
        return wet
    smooth = (material != Material.GRASS) & (material != Material.SOIL)
    rows = np.flatnonzero(ground & smooth & (normal[:, 2] > 0.9))
    water = eye.scene.floor.surface.wetness_at(place[rows, :2])
    amount = np.float32(eye.light.wet)
    wet[rows] = amount * np.clip(0.4 * amount + water * (0.3 + amount), 0, 1)
    return wet
