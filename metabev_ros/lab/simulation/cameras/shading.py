"""Light that surfaces scatter, and light that they make."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.cameras.buckets import Buckets
from metabev_ros.lab.simulation.cameras.lamps import Lamps
from metabev_ros.lab.simulation.cameras.light import Light
from metabev_ros.lab.simulation.cameras.noise import noise
from metabev_ros.lab.simulation.cameras.patch import Eye, Patch
from metabev_ros.lab.simulation.cameras.shadows import dimmed_by_movers, sunlit
from metabev_ros.lab.simulation.cameras.vectors import brightest, dot, grey, unit
from metabev_ros.lab.simulation.materials import Material, by_material
from metabev_ros.lab.simulation.rays import Rays

_OFF = np.float32(0.02)  # metres off a surface from which rays start
_GROUND_CELL = 4.0
_FAINT = 0.04  # light of the sun below which nobody sees its shadows, as in rain
# Strength of highlights of the sun, and the exponent of their lobe.
_SHINE = by_material(
    0.0, CAR_PAINT=0.35, STEEL=0.25, PLASTIC=0.08, TARPAULIN=0.05, WINDOW=0.8, CAR_GLASS=0.9
)
_SHARP = by_material(18.0, CAR_PAINT=220.0, WINDOW=900.0, CAR_GLASS=900.0, STEEL=60.0)
_FACING_RETRO = by_material(0.0, RETRO=0.3, SIGN=0.6, ROAD_PAINT=0.12, LAMP=0.2, TAIL_LAMP=0.3)
_GLOWS = by_material(0.0, LAMP=1.0, TAIL_LAMP=0.45)
_LEAF = int(Material.LEAF)
_WARM, _COLD = np.array([[1.0, 0.66, 0.34], [0.8, 0.92, 1.0]], np.float32)[:, None]


def scattered(eye: Eye, rays: Rays, patch: Patch, shadows: bool) -> np.ndarray:
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
    if shadows and len(rows) and light.sun_colour.max() > _FAINT:
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


def shines(eye: Eye, patch: Patch) -> np.ndarray:
    """(K, 3) light of lamps that are on and of windows with light behind them."""
    light = eye.light
    total = np.zeros((len(patch.rows), 3), np.float32)
    rows = np.flatnonzero(_GLOWS[patch.material] > 0)
    if len(rows):
        base = patch.albedo[rows] / np.maximum(brightest(patch.albedo[rows]), 0.05)[:, None]
        white = np.minimum(np.minimum(base[:, 0], base[:, 1]), base[:, 2])
        strength = _GLOWS[patch.material[rows]] * (0.25 + (0.9 + 4.5 * white**2) * light.lamps)
        strength *= np.where(patch.mover[rows] >= 0, _on(eye, patch, rows), 1.0)
        total[rows] = base**2 * strength[:, None]
    if light.lit > 0 and light.lamps > 0:
        rows = np.flatnonzero((patch.material == Material.WINDOW) & (patch.mover < 0))
        total[rows] += _rooms(eye, patch, rows)
    return total


def _rooms(eye: Eye, patch: Patch, rows: np.ndarray) -> np.ndarray:
    """(R, 3) light of rooms behind windows: some are lit, each in its own tone, with curtains."""
    light = eye.light
    draw = eye.backdrop.panes[patch.triangle[rows]]
    on = np.flatnonzero(draw < light.lit)
    found = np.zeros((len(rows), 3), np.float32)
    part = draw[on] / np.float32(light.lit)
    tone = ((part * 7) % 1)[:, None]
    warm = _WARM + (_COLD - _WARM) * (tone * tone)
    strength = np.float32(0.03) + np.float32(0.22) * ((part * 31) % 1) ** 2
    place = patch.place[rows[on]]
    along = place[:, 0] * np.float32(1.3) + place[:, 1] * np.float32(1.1)
    folds = noise(along * 3 + part * 50, place[:, 2] * np.float32(0.4), 0.4)
    inside = noise(along + part * 90, place[:, 2], 0.9)
    strength *= np.clip(1 + np.float32(0.35) * inside + np.float32(0.12) * folds, 0.2, 2)
    found[on] = warm * (strength * np.float32(light.lamps))[:, None]
    return found


def _on(eye: Eye, patch: Patch, rows: np.ndarray) -> np.ndarray:
    """(R,) share of their light that lamps of objects give: those that stand are mostly dark."""
    speed = np.linalg.norm(eye.moment.movers.velocity, axis=1)
    return np.where(speed > 0.3, 1.0, 0.04)[patch.mover[rows]]


def in_haze(seen: np.ndarray, away: np.ndarray, direction: np.ndarray, light: Light) -> np.ndarray:
    """(K, 3) light of (K, 3) surfaces (K,) metres away, and of the air before them."""
    clear = np.exp(away * np.float32(-1 / light.haze))[:, None]
    towards = direction @ light.sun
    glow = (np.exp((towards - 1) * np.float32(9)) * np.float32(0.2))[:, None] * light.sun_colour
    return seen * clear + (1 - clear) * (
        light.horizon * np.float32(0.9) + glow * (1 - light.cover)
    )
