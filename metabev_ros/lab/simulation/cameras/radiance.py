"""The light that comes back along rays: straight, through panes and by mirrors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metabev_ros.lab.simulation.cameras.patch import Eye, Patch, look_at
from metabev_ros.lab.simulation.cameras.shading import in_haze, scattered, shines
from metabev_ros.lab.simulation.cameras.sky import sky
from metabev_ros.lab.simulation.cameras.vectors import dot, unit
from metabev_ros.lab.simulation.materials import Material, by_material
from metabev_ros.lab.simulation.rays import Hits, Rays

_OFF = np.float32(0.02)  # metres off a surface from which rays start
_BEHIND = np.float32(0.01)  # metres behind a pane from which a ray goes on
# Metres: a broader pixel shows nothing in mirrors and behind one pane, or behind more.
_FINE = by_material(0.03, CAR_PAINT=0.012)
_FINE_WATER = np.float32(0.12)
_BEHIND_PANES = (0.035, 0.012)
_LITTLE = 0.03  # share of the surface below which water is none
_LEAST = 0.05  # share of light below which a mirror is not looked into
# Share of light that is mirrored straight on; 0: not at all.
_MIRROR = by_material(
    0.0, WINDOW=0.10, CAR_GLASS=0.06, CAR_PAINT=0.05, STEEL=0.25, LAMP=0.06, TAIL_LAMP=0.05
)


def radiance(eye: Eye, rays: Rays, hits: Hits, angle: np.ndarray) -> np.ndarray:
    """(N, 3) float32 linear light that comes back along rays from a camera.

    Args:
        angle: (N,) float32 radians that a pixel is wide.
    """
    colour = np.empty((len(rays), 3), np.float32)
    met = np.isfinite(hits.distance)
    missed, rows = np.flatnonzero(~met), np.flatnonzero(met)
    colour[missed] = sky(rays.direction[missed], eye.light)
    if not len(rows):
        return colour
    patch = look_at(eye, rays, hits, rows, angle)
    seen = scattered(eye, rays, patch, shadows=True)
    _look_through(eye, rays, patch, seen, angle)
    _mirror(eye, rays, patch, seen, angle)
    seen += shines(eye, patch)
    colour[rows] = in_haze(seen, patch.away, rays.direction[rows], eye.light)
    return colour


def _look_through(eye: Eye, rays: Rays, patch: Patch, seen: np.ndarray, angle: np.ndarray) -> None:
    """Show what is behind panes of vehicles, in place; far ones are dark."""
    panes = patch.material == Material.CAR_GLASS
    seen[panes] *= np.float32(0.3)
    glass = np.flatnonzero(panes & (patch.footprint < _BEHIND_PANES[0]))
    if not len(glass):
        return
    left = np.full(len(glass), np.float32(0.6))
    start = rays.origin[patch.rows[glass]]
    travelled = patch.away[glass].copy()
    rows = np.arange(len(glass))
    for finest in _BEHIND_PANES:
        rows = rows[patch.footprint[glass[rows]] < finest]
        if not len(rows):
            break
        which = patch.rows[glass[rows]]
        onward = rays.take(which)
        travelled[rows] += _BEHIND
        onward = replace(onward, origin=start[rows] + travelled[rows, None] * onward.direction)
        behind = eye.scene.cast(onward, eye.moment)
        colour, pane = _simple(eye, onward, behind, angle[which] * 2)
        stops = ~pane
        seen[glass[rows[stops]]] += left[rows[stops], None] * colour[stops]
        left[rows[pane]] *= np.float32(0.6)
        travelled[rows[pane]] += behind.distance[pane]
        rows = rows[pane]


def _simple(eye: Eye, rays: Rays, hits: Hits, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) light along secondary rays, without shadows; (N,) bool: another pane is there."""
    colour = np.empty((len(rays), 3), np.float32)
    pane = np.zeros(len(rays), bool)
    met = np.isfinite(hits.distance)
    missed, rows = np.flatnonzero(~met), np.flatnonzero(met)
    colour[missed] = sky(rays.direction[missed], eye.light, disc=False)
    if len(rows):
        patch = look_at(eye, rays, hits, rows, angle, fine=False)
        seen = scattered(eye, rays, patch, shadows=False)
        inside = (patch.mover >= 0) & (patch.away < 2.5)
        seen[inside] *= np.float32(0.35)
        seen += shines(eye, patch)
        colour[rows] = in_haze(seen, patch.away, rays.direction[rows], eye.light)
        pane[rows] = patch.material == Material.CAR_GLASS
    return colour, pane


def _mirror(eye: Eye, rays: Rays, patch: Patch, seen: np.ndarray, angle: np.ndarray) -> None:
    """Add what glass, paint, metal and water mirror, in place."""
    rows = np.flatnonzero((_MIRROR[patch.material] > 0) | (patch.wet > _LITTLE))
    if not len(rows):
        return
    wet = patch.wet[rows]
    direction = rays.direction[patch.rows[rows]]
    normal = _rippled(eye, patch.normal[rows], wet)
    cosine = np.clip(-dot(direction, normal), 0, 1)
    share = _mirrored_share(patch.material[rows], wet, cosine)
    back = unit(direction + 2 * cosine[:, None] * normal)
    colour = sky(back, eye.light, disc=False)
    # Far ones mirror a skyline instead of what is there.
    colour *= np.clip(back[:, 2:] * 5 + np.float32(0.3), 0.25, 1)
    near = patch.footprint[rows] < np.where(
        wet > _LITTLE, _FINE_WATER, _FINE[patch.material[rows]]
    )
    near = np.flatnonzero(near & (share > _LEAST))
    which = patch.rows[rows[near]]
    origin = patch.place[rows[near]] + patch.flat[rows[near]] * _OFF
    onward = Rays(origin, back[near], rays.lag[which], rays.tile[which])
    colour[near] = _simple(eye, onward, _met(eye, onward), angle[which] * 4)[0]
    seen[rows] += share[:, None] * (colour - seen[rows])


def _rippled(eye: Eye, normal: np.ndarray, wet: np.ndarray) -> np.ndarray:
    """(K, 3) normals of water, which is not quite still, and of what is dry, as it is."""
    if eye.light.wet <= 0:
        return normal
    rough = np.where(wet > 0, 0.012 + 0.05 * (1 - wet), 0).astype(np.float32)
    normal = normal.copy()
    normal[:, :2] += eye.rng.standard_normal((len(wet), 2), np.float32) * rough[:, None]
    return unit(normal)


def _mirrored_share(material: np.ndarray, wet: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """(K,) float32 by Schlick, An Inexpensive BRDF Model (1994), equation 15."""
    straight = np.where(wet > 0, np.float32(0.02), _MIRROR[material])
    share = straight + (1 - straight) * (1 - cosine) ** 5
    share *= np.where(material == Material.STEEL, np.float32(0.6), np.float32(1))
    return share * np.where(wet > 0, wet, np.float32(1))


def _met(eye: Eye, rays: Rays) -> Hits:
    """Hits of mirrored rays; only water mirrors what moves."""
    if eye.light.wet > 0:
        return eye.scene.cast(rays, eye.moment)
    distance, triangle, weights = eye.scene.still.cast(rays.origin, rays.direction)
    nobody = np.full(len(rays), -1, np.int32)
    return Hits(distance, nobody, triangle, weights)
