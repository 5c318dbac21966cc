"""Barriers and cones of road works."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.body import Body
from metabev_ros.lab.simulation.bodies.solids import (
    AMBER,
    DARK,
    RETRO_RED,
    RETRO_WHITE,
    STEEL,
    Finish,
)
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh

CONCRETE = Finish(Material.CONCRETE, (176, 172, 164))
RED_PLASTIC = Finish(Material.PLASTIC, (206, 48, 34))
WHITE_PLASTIC = Finish(Material.PLASTIC, (228, 228, 224))
ORANGE_PLASTIC = Finish(Material.PLASTIC, (240, 98, 22))
ORANGE_BAND = Finish(Material.RETRO, (245, 110, 30))
GREEN_PLASTIC = Finish(Material.PLASTIC, (60, 140, 80))
# Outline of half a New Jersey barrier: y (here along x: barriers run across) and height.
_JERSEY = [(0.3, 0.0), (0.3, 0.08), (0.17, 0.34), (0.09, 0.82), (0.08, 0.86)]


def _profile(scale: float, height: float) -> list[tuple[float, float]]:
    half = [(x * scale, z * height / 0.86) for x, z in _JERSEY]
    return half + [(-x, z) for x, z in reversed(half)]


def _wall(width: float, height: float, finish: Finish, scale: float = 1.0) -> Mesh:
    """A barrier of the New Jersey profile, `width` metres across the way."""
    joint = solids.box((-0.05, width / 2, 0.1), (0.05, width / 2 + 0.03, 0.7 * height), DARK)
    body = solids.prism(_profile(scale, height), -width / 2, width / 2, finish)
    return Mesh.join([body, joint])


def _water_filled(width: float, finish: Finish) -> Mesh:
    """A hollow plastic barrier with fork holes and ribs."""
    body = solids.prism(_profile(0.85, 0.95), -width / 2, width / 2, finish)
    holes = [solids.box((-0.262, y - 0.16, 0.02), (0.262, y + 0.16, 0.1), DARK)
             for y in (-0.25 * width, 0.25 * width)]  # fmt: skip
    ribs = [solids.box((-0.1, y - 0.05, 0.45), (0.1, y + 0.05, 0.9), finish)
            for y in np.linspace(-0.4 * width, 0.4 * width, 4)]  # fmt: skip
    cap = solids.turned([(0.07, 0.93), (0.07, 0.99), (0.0, 0.99)], 8, DARK)
    return Mesh.join([body, *holes, *ribs, cap])


def _board(width: float, z0: float, z1: float, x: float, red: Finish = RETRO_RED) -> list[Mesh]:
    """A board with slanting stripes on both faces."""
    half, parts = width / 2, []
    parts.append(solids.box((x - 0.012, -half, z0), (x + 0.012, half, z1), WHITE_PLASTIC))
    rise = z1 - z0
    for front, finish_x in ((1, x + 0.014), (-1, x - 0.014)):
        steps = max(int(round(width / 0.2)), 2)
        y = np.linspace(-half, half, steps + 1)
        low, high = y.copy(), np.clip(y + 0.6 * rise, -half, half)
        points = np.stack(
            [np.column_stack([np.full_like(y, finish_x), low, np.full_like(y, z0)]),
             np.column_stack([np.full_like(y, finish_x), high, np.full_like(y, z1)])], 1
        )  # fmt: skip
        sheet = solids.grid(points, (red, RETRO_WHITE), (np.arange(steps) % 2)[:, None])
        parts.append(solids.away_from(sheet, (x - front, 0.0, (z0 + z1) / 2)))
    return parts


def _stand(width: float, height: float, count: int, red: Finish = RETRO_RED) -> Mesh:
    """Striped boards on A-shaped feet, with a lamp."""
    parts: list[Mesh] = []
    for index in range(count):
        top = height - index * 0.42
        parts += _board(width, top - 0.25, top, 0.04, red)
    for y in (-0.42 * width, 0.42 * width):
        for x in (0.28, -0.28):
            path = np.array([(x, y, 0.0), (0.0, y, height - 0.02)])
            parts.append(solids.tube(path, 0.02, STEEL, 4))
        parts.append(solids.box((-0.3, y - 0.03, 0.0), (0.3, y + 0.03, 0.04), DARK))
    lamp = solids.turned([(0.08, 0.0), (0.09, 0.1), (0.07, 0.2), (0.0, 0.2)], 8, AMBER)
    parts.append(solids.shifted(lamp, 0.0, 0.42 * width, height))
    return Mesh.join(parts)


def _fence(width: float, height: float = 1.1, pitch: float = 0.14) -> Mesh:
    """A crowd-control fence: a frame of tubes with bars."""
    half = width / 2
    bars = [
        solids.tube(np.array([(0.0, y, 0.16), (0.0, y, height)]), 0.008, STEEL, 4)
        for y in np.arange(-half + pitch, half - 0.05, pitch)
    ]
    frame = [
        solids.tube(np.array([(0, -half, z), (0, half, z)]), 0.02, STEEL, 6)
        for z in (0.15, height)
    ]
    frame += [
        solids.tube(np.array([(0, y, 0.03), (0, y, height)]), 0.02, STEEL, 6)
        for y in (-half, half)
    ]
    feet = [
        solids.tube(np.array([(-0.28, y, 0.02), (0.28, y, 0.02)]), 0.018, STEEL, 5)
        for y in (-0.8 * half, 0.8 * half)
    ]
    return Mesh.join([*bars, *frame, *feet])


def _pedestrian_barrier() -> Mesh:
    """A plastic barrier with two boards, as beside trenches."""
    parts = [*_board(2.0, 0.75, 1.0, 0.0), *_board(2.0, 0.2, 0.4, 0.0)]
    for y in (-0.98, 0.0, 0.95):
        parts.append(solids.box((-0.03, y, 0.0), (0.03, y + 0.05, 1.0), RED_PLASTIC))
    for y in (-0.95, 0.9):
        parts.append(solids.box((-0.3, y, 0.0), (0.3, y + 0.08, 0.08), DARK))
    return Mesh.join(parts)


def barriers() -> list[Body]:
    """All bodies of barriers; they run across: length is their thickness."""
    rows = [
        ('concrete barrier', _wall(3.0, 0.85, CONCRETE), 1.5),
        ('short concrete barrier', _wall(2.0, 0.9, CONCRETE, 1.05), 1.0),
        ('red plastic barrier', _water_filled(2.0, RED_PLASTIC), 1.5),
        ('white plastic barrier', _water_filled(2.0, WHITE_PLASTIC), 1.2),
        ('orange plastic barrier', _water_filled(1.7, ORANGE_PLASTIC), 1.0),
        ('striped board', _stand(2.3, 1.1, 1), 1.2),
        ('three striped boards', _stand(2.6, 1.55, 3), 0.7),
        ('orange striped board', _stand(1.9, 1.0, 2, ORANGE_BAND), 1.0),
        ('crowd fence', _fence(2.3), 1.2),
        ('wide crowd fence', _fence(3.3, 1.15), 0.6),
        ('trench barrier', _pedestrian_barrier(), 0.8),
    ]
    return [Body.of(kind, 'barrier', mesh, share, 0.07) for kind, mesh, share in rows]


def _cone(height: float, bands: int, base: float, finish: Finish = ORANGE_PLASTIC) -> Mesh:
    """A traffic cone with white retro-reflective bands on a square base."""
    foot, top = 0.36 * base, 0.025 + 0.01 * height
    places, cells = [0.03], []
    edges = {1: (0.5, 0.75), 2: (0.42, 0.58, 0.68, 0.84)}.get(bands, ())
    for index, part in enumerate(edges):
        places.append(part * height)
        cells.append(index % 2)
    places.append(height)
    cells.append(0)
    profile = [(foot + (top - foot) * z / height, z) for z in places]
    lips = [(foot * 1.15, 0.0), (foot * 1.15, 0.03)]
    skin = solids.turned([*lips, *profile], 12, (finish, RETRO_WHITE), [0, 0, *cells])
    half = base / 2
    return Mesh.join([skin, solids.box((-half, -half, 0.0), (half, half, 0.035), DARK, 0.02)])


def _post(height: float, base: float) -> Mesh:
    """A delineator: a thin cylinder with bands on a round foot."""
    z = [0.06, 0.45, 0.6, 0.68, 0.83, 0.92]
    profile = [(base / 2, 0.0), (base / 2, 0.04), (0.06, 0.06)]
    profile += [(0.055, part * height) for part in z[1:]] + [(0.03, height)]
    cells = [2, 2, 0, 1, 0, 1, 0, 0]
    return solids.turned(profile, 12, (ORANGE_PLASTIC, RETRO_WHITE, DARK), cells)


def _drum() -> Mesh:
    z = [0.0, 0.08, 0.09, 0.28, 0.3, 0.48, 0.5, 0.68, 0.7, 0.9, 1.0]
    radius = [0.33, 0.33, 0.29, 0.28, 0.275, 0.27, 0.265, 0.26, 0.25, 0.24, 0.2]
    cells = [2, 2, 0, 0, 1, 1, 0, 0, 1, 0]
    handle = solids.box((-0.1, -0.02, 0.98), (0.1, 0.02, 1.07), DARK)
    skin = solids.turned(list(zip(radius, z, strict=True)), 14,
                         (ORANGE_PLASTIC, RETRO_WHITE, DARK), cells)  # fmt: skip
    return Mesh.join([skin, handle])


def _beacon() -> Mesh:
    """A striped guide beacon on a rubber foot."""
    foot = solids.box((-0.4, -0.2, 0.0), (0.4, 0.2, 0.12), DARK, 0.03)
    pole = solids.box((-0.02, -0.02, 0.1), (0.02, 0.02, 0.3), STEEL)
    return Mesh.join([foot, pole, *_beacon_board()])


def _beacon_board() -> list[Mesh]:
    """Slanting stripes on a narrow upright board."""
    parts = [solids.box((-0.012, -0.125, 0.25), (0.012, 0.125, 1.2), WHITE_PLASTIC)]
    z = np.linspace(0.25, 1.1, 7)
    for front in (1, -1):
        x = np.full(7, 0.014 * front)
        sides = [np.column_stack([x, 0 * x + y, z + dz]) for y, dz in ((-0.125, 0), (0.125, 0.1))]
        sheet = solids.grid(
            np.stack(sides, 1), (RETRO_RED, RETRO_WHITE), (np.arange(6) % 2)[:, None]
        )
        parts.append(solids.away_from(sheet, (-front, 0.0, 0.7)))
    return parts


def cones() -> list[Body]:
    """All bodies of traffic cones and their like."""
    rows = [
        ('cone', _cone(0.75, 1, 0.38), 2.0),
        ('large cone', _cone(1.0, 2, 0.45), 1.5),
        ('tall cone', _cone(1.12, 2, 0.4), 1.0),
        ('small cone', _cone(0.5, 1, 0.3), 0.7),
        ('plain cone', _cone(0.72, 0, 0.36), 0.5),
        ('green cone', _cone(0.75, 1, 0.38, GREEN_PLASTIC), 0.2),
        ('post', _post(1.1, 0.36), 1.2),
        ('short post', _post(0.8, 0.28), 0.7),
        ('drum', _drum(), 0.8),
        ('guide beacon', _beacon(), 0.6),
    ]
    return [Body.of(kind, 'traffic_cone', mesh, share, 0.07) for kind, mesh, share in rows]
