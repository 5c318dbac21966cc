"""The light that comes back along rays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from metabev_ros.lab.simulation.cameras.buckets import Buckets
from metabev_ros.lab.simulation.cameras.lamps import Lamps
from metabev_ros.lab.simulation.cameras.light import Light
from metabev_ros.lab.simulation.cameras.noise import hashed
from metabev_ros.lab.simulation.cameras.scene import Backdrop, Moment, Scene
from metabev_ros.lab.simulation.cameras.shadows import dimmed_by_movers, sunlit
from metabev_ros.lab.simulation.cameras.sky import sky
from metabev_ros.lab.simulation.cameras.textures import grain, paint_patterns, texture_places
from metabev_ros.lab.simulation.cameras.vectors import brightest, dot, grey, unit
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.rays import Hits, Rays

_OFF = np.float32(0.02)  # metres off a surface from which rays start
_BEHIND = np.float32(0.01)  # metres behind a pane from which a ray goes on
_PANES = 2  # panes that are looked through
_GROUND_CELL = 4.0


def _by_material(default: float, **values: float) -> np.ndarray:  # noqa: ANN003
    table = np.full(len(Material), default, np.float32)
    for name, value in values.items():
        table[Material[name]] = value
    return table


# Share of light that is mirrored straight on (as glass, paint and metal do); 0: not at all.
_MIRROR = _by_material(
    0.0, WINDOW=0.10, CAR_GLASS=0.06, CAR_PAINT=0.05, STEEL=0.25, LAMP=0.06, TAIL_LAMP=0.05
)
# How blurred highlights of the sun are: exponent of the lobe and its strength.
_SHINE = _by_material(
    0.0, CAR_PAINT=0.35, STEEL=0.25, PLASTIC=0.08, RUBBER=0.02, LEAF=0.05, TARPAULIN=0.05,
    WINDOW=0.8, CAR_GLASS=0.9, ROAD_PAINT=0.02, ASPHALT=0.015,
)  # fmt: skip
_SHARP = _by_material(18.0, CAR_PAINT=220.0, WINDOW=900.0, CAR_GLASS=900.0, STEEL=60.0)
_FACING_RETRO = _by_material(0.0, RETRO=9.0, SIGN=5.0, ROAD_PAINT=0.6, LAMP=1.0, TAIL_LAMP=1.5)
_GLOWS = _by_material(0.0, LAMP=1.0, TAIL_LAMP=0.45)
_LEAF = int(Material.LEAF)


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
        away: (K,) float32 metres along the ray.
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
    ground: np.ndarray
    wet: np.ndarray


def radiance(eye: Eye, rays: Rays, hits: Hits, angle: np.ndarray) -> np.ndarray:
    """(N, 3) float32 linear light that comes back along rays from a camera.

    Args:
        angle: (N,) float32 radians that a pixel is wide.
    """
    colour = np.empty((len(rays), 3), np.float32)
    missed = np.flatnonzero(~np.isfinite(hits.distance))
    colour[missed] = sky(rays.direction[missed], eye.light)
    rows = np.flatnonzero(np.isfinite(hits.distance))
    if not len(rows):
        return colour
    patch = look_at(eye, rays, hits, rows, angle)
    seen = _scattered(eye, rays, patch, shadows=True)
    _look_through(eye, rays, hits, patch, seen, angle)
    _mirror(eye, rays, patch, seen, angle)
    seen += _shines(eye, patch)
    colour[rows] = _in_haze(seen, patch.away, rays.direction[rows], eye.light)
    return colour


def look_at(eye: Eye, rays: Rays, hits: Hits, rows: np.ndarray, angle: np.ndarray) -> Patch:
    """The surfaces that some rays met."""
    surface = eye.scene.surface(rays, hits, eye.moment, rows)
    away = hits.distance[rows]
    direction = rays.direction[rows]
    place = rays.origin[rows] + away[:, None] * direction
    mover, triangle = hits.mover[rows], hits.triangle[rows]
    normal = _smooth(eye, surface.normal, mover, triangle, hits.weights[rows], direction)
    ground = eye.scene.is_ground(hits, rows)
    footprint = away * angle[rows] / np.sqrt(np.maximum(surface.facing, np.float32(0.02)))
    colour = surface.colour
    on_ground = np.flatnonzero(ground)
    if len(on_ground):
        colour[on_ground] = eye.scene.floor.surface.colour_at(
            place[on_ground, :2], footprint[on_ground]
        )
    colour = colour * np.float32(1 / 255)
    albedo = colour * (
        colour * (colour * np.float32(0.305306) + np.float32(0.682171)) + np.float32(0.0125)
    )
    _texture(eye, albedo, surface.material, place, surface.normal, mover, footprint)
    wet = _wetness(eye, place, surface.normal, surface.material, ground)
    albedo *= (1 - np.float32(0.45) * wet)[:, None]
    return Patch(
        rows, place, normal, surface.normal, albedo, surface.material, mover, triangle, away,
        ground, wet,
    )  # fmt: skip


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
    normal[stands] = _between(back.still_normals, triangle[stands], weights[stands])
    moves = np.flatnonzero(mover >= 0)
    if len(moves):
        movers, who = eye.moment.movers, mover[moves]
        which = back.body_first[movers.body[who]] + triangle[moves]
        inner = _between(back.body_normals, which, weights[moves])
        inverse = np.linalg.inv(movers.world_from_box[:, :3, :3]).astype(np.float32)
        normal[moves] = np.einsum('ki,kij->kj', inner, inverse[who])
    normal = unit(normal)
    side = dot(normal, flat)
    normal *= np.where(side < 0, np.float32(-1), np.float32(1))[:, None]
    # A smooth normal may look away from the eye at a rim: it is brought back to the edge.
    over = np.maximum(dot(normal, direction) + np.float32(0.01), 0)
    normal -= over[:, None] * direction
    return normal


def _between(normals: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    corners = normals[rows]
    second, third = weights[:, :1], weights[:, 1:]
    return corners[:, 0] * (1 - second - third) + corners[:, 1] * second + corners[:, 2] * third


def _texture(
    eye: Eye,
    albedo: np.ndarray,
    material: np.ndarray,
    place: np.ndarray,
    normal: np.ndarray,
    mover: np.ndarray,
    footprint: np.ndarray,
) -> None:
    """Grain and patterns at the place in the world, or on the object, in place."""
    place = place.copy()
    facing = normal.copy()
    moves = np.flatnonzero(mover >= 0)
    if len(moves):
        matrix = eye.moment.movers.world_from_box
        axes = matrix[:, :3, :3] / np.linalg.norm(matrix[:, :3, :3], axis=1)[:, None]
        axes = axes.astype(np.float32)[mover[moves]]
        centre = matrix[:, :3, 3].astype(np.float32)[mover[moves]]
        place[moves] = np.einsum('ki,kij->kj', place[moves] - centre, axes)
        place[moves] += (mover[moves, None] * np.float32(3.7)) % 50
        facing[moves] = np.einsum('ki,kij->kj', normal[moves], axes)
    u, v = texture_places(place, facing)
    albedo *= grain(material, u, v, footprint)[:, None]
    paint_patterns(albedo, material, u, v, footprint, np.abs(facing[:, 2]) < 0.5)


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


def _scattered(eye: Eye, rays: Rays, patch: Patch, shadows: bool) -> np.ndarray:
    """(K, 3) light that surfaces scatter: of the sun, the sky, the ground and lamps."""
    light, normal = eye.light, patch.normal
    height = patch.place[:, 2] - _ground_height(eye, patch)
    openness = _openness(eye, patch, height)
    if shadows:
        buckets = Buckets(patch.place[:, :2], _GROUND_CELL)
        openness *= dimmed_by_movers(eye.moment, patch.place, patch.mover, buckets)
    up = normal[:, 2] * np.float32(0.5) + np.float32(0.5)
    bounce = np.float32(0.16) * (light.ambient + light.sun_colour * max(float(light.sun[2]), 0))
    total = (up * openness)[:, None] * light.ambient
    total += ((1 - up) * (0.4 + 0.6 * openness))[:, None] * bounce
    total += _sun(eye, rays, patch, shadows)
    if eye.lamps is not None:
        total += _lamp_light(eye, eye.lamps, patch, height, openness)
    return total * patch.albedo


def _openness(eye: Eye, patch: Patch, height: np.ndarray) -> np.ndarray:
    """(K,) share of the sky that a surface sees among what stands."""
    ahead = patch.place[:, :2] + patch.flat[:, :2] * np.float32(0.8)
    share = eye.backdrop.sky_map.at(ahead)
    up = np.clip(height * np.float32(1 / 14), 0, 1)
    share = share + (np.float32(0.9) - share) * up * (share > 0.02)
    return np.maximum(share, np.float32(0.12))


def _ground_height(eye: Eye, patch: Patch) -> np.ndarray:
    """(K,) about the height of the ground under some points."""
    return eye.backdrop.sky_map.height_at(patch.place[:, :2])


def _sun(eye: Eye, rays: Rays, patch: Patch, shadows: bool) -> np.ndarray:
    light = eye.light
    if light.sun_colour.max() <= 0.005 and not shadows:
        return np.zeros((len(patch.rows), 3), np.float32)
    facing = patch.normal @ light.sun
    flat = patch.flat @ light.sun
    through = (patch.material == _LEAF) & (flat < 0)
    facing = np.where(through, -facing * np.float32(0.45), facing)
    rows = np.flatnonzero(((flat > 0) | through) & (facing > 0))
    part = np.zeros(len(patch.rows), np.float32)
    part[rows] = facing[rows]
    if shadows and len(rows) and light.sun_colour.max() > 0.02:
        side = np.where(through[rows], -_OFF, _OFF)[:, None]
        origin = patch.place[rows] + patch.flat[rows] * side
        lag = rays.lag[patch.rows[rows]]
        points = Rays(origin, origin, lag, lag.astype(np.int32))
        part[rows] *= sunlit(eye.scene, eye.moment, points, light.sun, light.softness, eye.rng)
    shine = _highlight(patch, rays, light, part > 0)
    colour = part[:, None] * light.sun_colour
    # Highlights have the colour of the sun, not of the surface: `_scattered` multiplies by that.
    colour += (shine / np.maximum(grey(patch.albedo), np.float32(0.02)))[
        :, None
    ] * light.sun_colour
    return colour


def _highlight(patch: Patch, rays: Rays, light: Light, lit: np.ndarray) -> np.ndarray:
    strength = _SHINE[patch.material] * lit
    rows = np.flatnonzero(strength > 0)
    found = np.zeros(len(strength), np.float32)
    if len(rows):
        half = light.sun - rays.direction[patch.rows[rows]]
        cosine = np.maximum(dot(unit(half), patch.normal[rows]), 0)
        found[rows] = strength[rows] * np.power(cosine, _SHARP[patch.material[rows]])
    return found


def _lamp_light(
    eye: Eye, lamps: Lamps, patch: Patch, height: np.ndarray, openness: np.ndarray
) -> np.ndarray:
    """(K, 3) light of lamps; what sends light back to its source shines in our headlights."""
    around = lamps.on(patch.place, patch.normal, height)
    around *= np.minimum(openness * 1.6, 1)[:, None]
    own = lamps.own_on(patch.place, patch.normal)
    return around + own * (1 + 4 * _FACING_RETRO[patch.material])[:, None]


def _shines(eye: Eye, patch: Patch) -> np.ndarray:
    """(K, 3) light of lamps that are on and of windows with light behind them."""
    light = eye.light
    total = np.zeros((len(patch.rows), 3), np.float32)
    glow = _GLOWS[patch.material]
    rows = np.flatnonzero(glow > 0)
    if len(rows):
        bright = 0.25 + 5.5 * light.lamps
        base = patch.albedo[rows] / np.maximum(brightest(patch.albedo[rows]), 0.05)[:, None]
        on = glow[rows] * bright * np.where(patch.mover[rows] >= 0, _on(eye, patch, rows), 1.0)
        total[rows] = base**1.5 * on[:, None]
    if light.lit > 0 and light.lamps > 0:
        rows = np.flatnonzero((patch.material == Material.WINDOW) & (patch.mover < 0))
        quad = patch.triangle[rows] // 2
        lit = hashed(quad, quad * 0 + 5) < light.lit
        tone = hashed(quad, quad * 0 + 9)[:, None]
        warm = np.array([1.0, 0.72, 0.42]) * (1 - tone) + np.array([0.85, 0.95, 1.0]) * tone
        depth = 0.35 + 0.65 * hashed(quad, quad * 0 + 11)
        total[rows] += (lit * depth * 0.5 * light.lamps)[:, None] * warm.astype(np.float32)
    return total


def _on(eye: Eye, patch: Patch, rows: np.ndarray) -> np.ndarray:
    """(R,) share of their light that lamps of objects give: those that stand are mostly dark."""
    speed = np.linalg.norm(eye.moment.movers.velocity, axis=1)
    return np.where(speed > 0.3, 1.0, 0.04)[patch.mover[rows]]


def _look_through(
    eye: Eye, rays: Rays, hits: Hits, patch: Patch, seen: np.ndarray, angle: np.ndarray
) -> None:
    """What is behind panes of vehicles, in place."""
    glass = np.flatnonzero((patch.material == Material.CAR_GLASS) & (patch.away < 60))
    seen[patch.material == Material.CAR_GLASS] *= np.float32(0.15)
    if not len(glass):
        return
    left = np.full(len(glass), np.float32(0.72))
    start = rays.origin[patch.rows[glass]]
    travelled = patch.away[glass].copy()
    rows = np.arange(len(glass))
    total = np.zeros((len(glass), 3), np.float32)
    for _ in range(_PANES):
        which = patch.rows[glass[rows]]
        onward = rays.take(which)
        travelled[rows] += _BEHIND
        onward = replace(onward, origin=start[rows] + travelled[rows, None] * onward.direction)
        behind = eye.scene.cast(onward, eye.moment)
        colour, pane = _simple(eye, onward, behind, angle[which] * 2)
        stops = ~pane
        total[rows[stops]] += left[rows[stops], None] * colour[stops]
        left[rows[pane]] *= np.float32(0.7)
        travelled[rows[pane]] += behind.distance[pane]
        rows = rows[pane]
        if not len(rows):
            break
    seen[glass] += total


def _simple(eye: Eye, rays: Rays, hits: Hits, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) light along secondary rays, without shadows; (N,) bool: another pane is there."""
    colour = sky(rays.direction, eye.light, disc=False)
    pane = np.zeros(len(rays), bool)
    rows = np.flatnonzero(np.isfinite(hits.distance))
    if len(rows):
        patch = look_at(eye, rays, hits, rows, angle)
        seen = _scattered(eye, rays, patch, shadows=False)
        inside = (patch.mover >= 0) & (patch.away < 2.5)
        seen[inside] *= np.float32(0.35)
        seen += _shines(eye, patch)
        colour[rows] = _in_haze(seen, patch.away, rays.direction[rows], eye.light)
        pane[rows] = patch.material == Material.CAR_GLASS
    return colour, pane


def _mirror(eye: Eye, rays: Rays, patch: Patch, seen: np.ndarray, angle: np.ndarray) -> None:
    """What glass, paint, metal and water mirror, in place."""
    base = _MIRROR[patch.material]
    wet = patch.wet
    rows = np.flatnonzero((base > 0) | (wet > 0.03))
    if not len(rows):
        return
    normal = patch.normal[rows].copy()
    direction = rays.direction[patch.rows[rows]]
    if eye.light.wet > 0:
        rough = np.where(wet[rows] > 0, 0.012 + 0.05 * (1 - wet[rows]), 0)
        normal[:, :2] += eye.rng.standard_normal((len(rows), 2), np.float32) * rough[
            :, None
        ].astype(np.float32)
    cosine = np.clip(-dot(direction, normal), 0, 1)
    straight = np.where(wet[rows] > 0, 0.02, base[rows])
    share = straight + (1 - straight) * (1 - cosine) ** 5
    metal = patch.material[rows] == Material.STEEL
    share = np.where(metal, share * 0.6, share) * np.where(wet[rows] > 0, wet[rows], 1.0)
    back = unit(direction + 2 * cosine[:, None] * normal)
    origin = patch.place[rows] + patch.flat[rows] * _OFF
    which = patch.rows[rows]
    onward = Rays(origin, back.astype(np.float32), rays.lag[which], rays.tile[which])
    wide = angle[which] * 4
    if eye.light.wet > 0:
        behind = eye.scene.cast(onward, eye.moment)
    else:
        distance, triangle, weights = eye.scene.still.cast(onward.origin, onward.direction)
        nobody = np.full(len(onward), -1, np.int32)
        behind = Hits(distance, nobody, triangle, weights, np.zeros(0, np.int64))
    colour, _ = _simple(eye, onward, behind, wide.astype(np.float32))
    share = share[:, None].astype(np.float32)
    seen[rows] *= 1 - share
    seen[rows] += share * colour


def _in_haze(
    seen: np.ndarray, away: np.ndarray, direction: np.ndarray, light: Light
) -> np.ndarray:
    clear = np.exp(away * np.float32(-1 / light.haze))[:, None]
    towards = direction @ light.sun
    glow = (np.exp((towards - 1) * np.float32(9)) * np.float32(0.2))[:, None] * light.sun_colour
    return seen * clear + (1 - clear) * (
        light.horizon * np.float32(0.9) + glow * (1 - light.cover)
    )
