"""Machines of construction sites."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.body import Body
from metabev_ros.lab.simulation.bodies.coachwork import Coach, coach, wheels
from metabev_ros.lab.simulation.bodies.people import bust
from metabev_ros.lab.simulation.bodies.solids import (
    AMBER,
    CHROME,
    DARK,
    GREY,
    SEAT,
    STEEL,
    TYRE,
    WHITE,
    YELLOW,
    Finish,
)
from metabev_ros.lab.simulation.bodies.trucks import cab, chassis
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh

ORANGE = Finish(Material.CAR_PAINT, (236, 112, 24))
GREEN = Finish(Material.CAR_PAINT, (70, 130, 60))

# Boxes of annotators are wider than what the rules of the road allow.
_FIT = (1.0, 1.1, 1.03)


def _cabin(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float],
           finish: Finish) -> list[Mesh]:  # fmt: skip
    """A glazed cabin with a driver and a beacon."""
    width, middle = y[1] - y[0], (y[0] + y[1]) / 2
    shape = Coach(x, width, (z[0], z[0] + 0.35 * (z[1] - z[0]), z[1] - 0.15, z[1]),
                  ((x[0] + 0.12, x[1] - 0.1),), (), 0.1, lamps=(False, False), bulge=0.05,
                  lean=0.05, finish=finish, band=finish)  # fmt: skip
    centre = (x[0] + x[1]) / 2
    return [
        solids.shifted(coach(shape), y=middle),
        solids.shifted(bust(), centre - 0.1, middle, z[0] + 0.45),
        solids.box((centre - 0.4, middle - 0.25, z[0]), (centre - 0.2, middle + 0.25, z[0] + 1.0),
                   SEAT),
        solids.shifted(solids.turned([(0.08, 0.0), (0.08, 0.12), (0.05, 0.16)], 7, AMBER),
                       x[0] + 0.2, middle, z[1]),
    ]  # fmt: skip


def _track(x0: float, x1: float, outer: float, width: float, height: float) -> Mesh:
    """One crawler track with its rollers."""
    angle = np.linspace(np.pi / 2, 3 * np.pi / 2, 7)
    r = height / 2
    rear = np.column_stack([x0 + r + r * np.cos(angle), r + r * np.sin(angle)])
    front = np.column_stack([x1 - r - r * np.cos(angle), r - r * np.sin(angle)])
    outline = [tuple(point) for point in np.concatenate([rear, front])]
    belt = solids.prism(outline, outer - width, outer, TYRE)  # pyright: ignore[reportArgumentType]
    disc = [(0.0, 0.0), (0.6 * r, 0.0), (0.6 * r, 0.03), (0.0, 0.03)]
    rollers = [
        solids.shifted(solids.turned(disc, 9, STEEL, axis='y'), x, outer - 0.005, r)
        for x in np.linspace(x0 + r, x1 - r, 4)
    ]
    return Mesh.join([belt, *rollers])


def _beam(
    path: list[tuple[float, float]], depth: list[float], half: float, y: float, finish: Finish
) -> Mesh:
    """A flat beam along a path in x and z; depth across the path at each point."""
    points = np.array([(x, y, z) for x, z in path])
    size = np.column_stack([np.array(depth) * 0.5 * 2**0.5, np.full(len(path), half * 2**0.5)])
    angle = np.pi / 4 + np.arange(4) * np.pi / 2
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    first = np.column_stack([-along[:, 2], 0 * along[:, 0], along[:, 0]])
    second = np.array([0.0, 1.0, 0.0])
    rings = (points[:, None] + size[:, None, :1] * np.cos(angle)[:, None] * first[:, None]
             + size[:, None, 1:] * np.sin(angle)[:, None] * second)  # fmt: skip
    return solids.loft(rings, finish)


def _bucket(x: float, z: float, half: float, size: float, y: float = 0.0) -> Mesh:
    """A digging bucket with teeth, its open side towards -x."""
    angle = np.linspace(-0.6, np.pi * 0.75, 7)
    outline = np.column_stack([x + size * np.cos(angle), z + size * np.sin(angle)])
    points = [tuple(point) for point in outline] + [(x - 0.4 * size, z + 0.2 * size)]
    skin = solids.prism(points, y - half, y + half, STEEL)  # pyright: ignore[reportArgumentType]
    teeth = [
        solids.box((x + 0.6 * size, y + t - 0.04, z - 0.75 * size), (x + 0.8 * size, y + t + 0.04,
                   z - 0.5 * size), CHROME)
        for t in np.linspace(-half + 0.05, half - 0.05, 4)
    ]  # fmt: skip
    return Mesh.join([skin, *teeth])


def _excavator(finish: Finish, raised: bool) -> Mesh:
    engine = [(-2.2, 1.0), (0.9, 1.0), (0.9, 1.5), (-0.3, 2.0), (-2.0, 2.1), (-2.35, 1.8)]
    elbow = (2.9, 4.1) if raised else (3.0, 3.2)
    wrist = (4.6, 2.9) if raised else (4.4, 1.2)
    parts = [
        solids.both_sides(_track(-1.9, 1.9, 1.4, 0.55, 0.85)),
        solids.box((-1.0, -0.9, 0.3), (1.0, 0.9, 0.75), DARK),
        solids.turned([(0.7, 0.7), (0.7, 1.0)], 12, DARK),
        solids.prism(engine, -1.35, 1.35, finish),
        solids.box((-2.4, -1.3, 1.05), (-1.6, 1.3, 1.95), GREY, 0.2),
        *_cabin((-0.2, 1.25), (0.35, 1.3), (1.25, 2.95), finish),
        _beam([(0.8, 1.5), (1.6, 2.9), elbow], [0.4, 0.6, 0.35], 0.17, -0.25, finish),
        _beam([(elbow[0] - 0.4, elbow[1] + 0.3), elbow, wrist], [0.25, 0.45, 0.25], 0.14, -0.25,
              finish),
        _beam([(1.2, 1.6), (1.9, 2.75)], [0.14, 0.1], 0.06, -0.05, CHROME),
        _beam([(1.9, 3.2), (elbow[0] - 0.3, elbow[1] + 0.25)], [0.12, 0.1], 0.05, -0.25, CHROME),
        _bucket(wrist[0] - 0.1, wrist[1] - 0.4, 0.5, 0.5, -0.25),
        solids.box((-1.5, -0.9, 2.0), (-1.38, -0.78, 2.5), DARK),
    ]  # fmt: skip
    return Mesh.join(parts)


def _wheel_loader(finish: Finish) -> Mesh:
    rear = [(-3.2, 0.9), (0.1, 0.9), (0.2, 1.5), (-0.9, 2.0), (-3.0, 1.9), (-3.3, 1.5)]
    front = [(0.3, 0.7), (1.9, 0.7), (1.7, 1.3), (0.6, 1.8), (0.3, 1.5)]
    shovel = [(2.9, 0.1), (3.9, 0.05), (3.2, 0.3), (3.0, 0.9), (3.3, 1.3), (2.9, 1.2), (2.7, 0.6)]
    return Mesh.join(
        [
            *wheels((-1.8, 1.2), 1.32, 0.75, 0.6),
            solids.prism(rear, -0.85, 0.85, finish),
            solids.prism(front, -0.6, 0.6, finish),
            *_cabin((-1.0, 0.35), (-0.7, 0.7), (1.5, 3.25), finish),
            solids.both_sides(_beam([(0.9, 1.6), (2.1, 1.3), (2.9, 0.6)], [0.25, 0.35, 0.2], 0.09,
                                    0.5, finish)),
            _beam([(0.7, 1.7), (2.4, 1.5)], [0.12, 0.12], 0.06, 0.0, CHROME),
            solids.prism(shovel, -1.38, 1.38, STEEL),
            solids.box((-2.2, 0.4, 1.9), (-2.08, 0.52, 2.4), DARK),
            solids.both_sides(solids.box((-3.25, 0.5, 1.3), (-3.2, 0.75, 1.5), solids.TAIL)),
        ]
    )  # fmt: skip


def _roller() -> Mesh:
    drum = solids.turned([(0.0, -1.0), (0.72, -1.0), (0.72, 1.0), (0.0, 1.0)], 18, STEEL, axis='y')
    body = [(-2.3, 0.7), (0.2, 0.7), (0.4, 1.5), (-2.2, 1.65), (-2.5, 1.2)]
    frame = solids.both_sides(solids.box((0.2, 1.0, 0.55), (2.5, 1.1, 0.95), ORANGE))
    return Mesh.join([
        solids.shifted(drum, 1.6, 0, 0.72), frame,
        solids.box((0.2, -1.0, 0.6), (0.5, 1.0, 1.0), ORANGE),
        solids.box((2.4, -1.1, 0.55), (2.55, 1.1, 0.95), ORANGE),
        *(solids.wheel(-1.4, side * 1.02, 0.68, 0.5, 14) for side in (-1, 1)),
        solids.prism(body, -0.8, 0.8, ORANGE),
        *_cabin((-0.9, 0.3), (-0.65, 0.65), (1.45, 2.9), ORANGE),
    ])  # fmt: skip


def _tandem_roller() -> Mesh:
    drum = solids.turned([(0.0, -0.6), (0.42, -0.6), (0.42, 0.6), (0.0, 0.6)], 16, STEEL, axis='y')
    body = [(-1.0, 0.5), (0.9, 0.5), (0.9, 1.1), (0.3, 1.2), (-1.0, 1.2)]
    roof = [solids.both_sides(solids.box((x, 0.5, 1.1), (x + 0.06, 0.56, 2.35), DARK))
            for x in (-0.6, 0.3)]  # fmt: skip
    return Mesh.join([
        solids.shifted(drum, -0.9, 0, 0.42), solids.shifted(drum, 0.95, 0, 0.42),
        solids.prism(body, -0.5, 0.5, YELLOW), *roof,
        solids.box((-0.8, -0.62, 2.33), (0.5, 0.62, 2.4), YELLOW),
        solids.shifted(bust(), -0.2, 0, 1.2),
        solids.box((-0.5, -0.25, 1.1), (-0.35, 0.25, 1.7), SEAT),
    ])  # fmt: skip


def _forklift() -> Mesh:
    body = [(-1.3, 0.25), (0.4, 0.25), (0.4, 0.75), (-0.3, 0.8), (-0.5, 1.15), (-1.35, 1.1)]
    mast = solids.both_sides(solids.box((0.55, 0.28, 0.1), (0.7, 0.38, 2.2), DARK))
    forks = solids.both_sides(solids.box((0.72, 0.2, 0.08), (1.8, 0.32, 0.14), STEEL))
    guard = [solids.both_sides(solids.tube(np.array([(x, 0.45, 0.8), (x - 0.1, 0.42, 2.1)]), 0.03,
                                           DARK, 4)) for x in (0.4, -0.7)]  # fmt: skip
    pallet = Finish(Material.WOOD, (170, 130, 85))
    return Mesh.join([
        solids.prism(body, -0.52, 0.52, YELLOW), mast, forks, *guard,
        solids.box((-0.85, -0.5, 2.08), (0.4, 0.5, 2.14), DARK),
        *(solids.wheel(x, side * 0.58, 0.3, 0.2, 10) for x in (0.25, -0.95) for side in (-1, 1)),
        solids.shifted(bust(), -0.35, 0, 0.95),
        solids.box((0.8, -0.5, 0.14), (1.75, 0.5, 0.28), pallet),
        solids.box((0.85, -0.45, 0.28), (1.7, 0.45, 1.1), Finish(Material.WOOD, (190, 165, 130))),
    ])  # fmt: skip


def _backhoe() -> Mesh:
    """A loader with a digging arm folded behind."""
    body = [(-1.4, 0.8), (2.2, 0.75), (2.3, 1.35), (0.4, 1.5), (-1.4, 1.4)]
    shovel = [(2.9, 0.1), (3.7, 0.08), (3.2, 0.3), (3.1, 0.9), (2.9, 0.95), (2.7, 0.5)]
    arm = [(-1.5, 0.9), (-2.3, 2.6), (-1.9, 3.2)]
    return Mesh.join([
        solids.prism(body, -0.55, 0.55, YELLOW),
        *_cabin((-1.3, 0.5), (-0.65, 0.65), (1.3, 2.9), YELLOW),
        *(solids.wheel(-0.8, side * 1.1, 0.72, 0.45, 14) for side in (-1, 1)),
        *(solids.wheel(1.6, side * 1.0, 0.5, 0.32, 12) for side in (-1, 1)),
        solids.both_sides(_beam([(0.8, 1.4), (2.2, 1.2), (2.9, 0.5)], [0.2, 0.25, 0.2], 0.07, 0.7,
                                YELLOW)),
        solids.prism(shovel, -1.12, 1.12, STEEL),
        _beam(arm, [0.3, 0.35, 0.25], 0.13, 0.0, YELLOW),
        _beam([(-1.9, 3.2), (-2.5, 1.5)], [0.28, 0.2], 0.11, 0.0, YELLOW),
        _bucket(-2.5, 1.1, 0.35, 0.38),
        solids.both_sides(solids.box((-1.6, 0.6, 0.1), (-1.4, 0.75, 1.1), STEEL)),
    ])  # fmt: skip


def _crane() -> Mesh:
    """A mobile crane with its boom laid forward."""
    boom = [solids.box((-1.0, -0.28 + 0.03 * i, 3.0 + 0.03 * i), (6.5 + 1.2 * i, 0.28 - 0.03 * i,
            3.65 - 0.03 * i), YELLOW) for i in range(3)]  # fmt: skip
    upper = [(-0.8, 1.4), (3.0, 1.4), (3.0, 2.6), (1.0, 3.3), (-0.8, 3.0)]
    legs = solids.both_sides(solids.box((0.4, 1.0, 0.5), (0.7, 1.3, 1.2), YELLOW))
    return Mesh.join([
        *cab(8.6, 1.9, 2.5, 2.6, YELLOW), *chassis(0.0, 6.8, (0.9, 2.2, 5.2)),
        solids.box((0.1, -1.2, 0.95), (6.7, 1.2, 1.35), YELLOW),
        solids.prism(upper, -0.6, 0.3, YELLOW),
        *_cabin((2.6, 3.9), (0.4, 1.15), (1.4, 3.0), WHITE), *boom, legs,
        solids.box((8.6, -0.15, 2.3), (8.9, 0.15, 3.2), DARK),
    ])  # fmt: skip


def construction() -> list[Body]:
    """All bodies of machines."""
    rows = [
        ('excavator', _excavator(YELLOW, False), 2.0),
        ('excavator with raised arm', _excavator(ORANGE, True), 1.5),
        ('wheel loader', _wheel_loader(YELLOW), 2.0),
        ('green wheel loader', _wheel_loader(GREEN), 0.6),
        ('roller', _roller(), 1.0),
        ('tandem roller', _tandem_roller(), 0.8),
        ('forklift', _forklift(), 0.8),
        ('backhoe loader', _backhoe(), 1.2),
        ('mobile crane', _crane(), 0.8),
    ]
    label = 'construction_vehicle'
    return [Body.of(kind, label, mesh, share, 0.08, fit=_FIT) for kind, mesh, share in rows]
