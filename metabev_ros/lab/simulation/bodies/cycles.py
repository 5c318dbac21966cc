"""Bicycles, motorcycles and scooters, parked and ridden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.body import STILL, Body, steps
from metabev_ros.lab.simulation.bodies.people import Look, Pose, person
from metabev_ros.lab.simulation.bodies.solids import (
    CHROME,
    DARK,
    GLASS,
    LAMP,
    PAINT,
    PLATE,
    STEEL,
    TAIL,
    TYRE,
    Finish,
)
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh

_PEDALS = 8  # phases of one turn of the pedals
_BAG = Finish(Material.CLOTH, (30, 120, 110))


@dataclass(frozen=True)
class Cycle:
    """Metres of a bicycle's frame.

    Attributes:
        radius: of the wheels.
        base: distance of the axles.
        saddle: height of the saddle; `bars`: height of the handlebars.
        low_frame: without a top tube.
    """

    radius: float = 0.34
    base: float = 1.05
    saddle: float = 0.95
    bars: float = 1.02
    low_frame: bool = False
    basket: bool = False


def _rod(start: tuple[float, ...], end: tuple[float, ...], radius: float, finish: Finish) -> Mesh:
    return solids.tube(np.array([start, end]), radius, finish, 5)


def _tyre(x: float, radius: float, thick: float, spokes: bool) -> Mesh:
    """A wheel in the plane y = 0: a thin ring and spokes, or a ring and a disc."""
    angle = np.linspace(0, 2 * np.pi, 19)
    ring = np.column_stack([np.cos(angle), 0 * angle, np.sin(angle)]) * (radius - thick)
    centre = np.array([x, 0.0, radius])
    parts = [solids.tube(ring + centre, thick, TYRE, 5)]
    if spokes:
        for turn in np.arange(5) * np.pi / 5:
            way = np.array([np.cos(turn), 0, np.sin(turn)]) * (radius - thick)
            parts.append(solids.tube(np.stack([centre - way, centre + way]), 0.004, STEEL, 3))
    else:
        disc = [(0.0, -0.05), (0.62 * radius, -0.04), (0.62 * radius, 0.04), (0.0, 0.05)]
        parts.append(solids.shifted(solids.turned(disc, 10, STEEL, axis='y'), *centre))
    return Mesh.join(parts)


def bicycle(shape: Cycle, pedal: float = 0.12) -> Mesh:
    """A bicycle whose bottom bracket is at x = 0, upright on z = 0."""
    r, rear, front = shape.radius, -0.42 * shape.base, 0.58 * shape.base
    crank, seat, head = (0.0, 0.0, 0.28), (-0.2, 0.0, shape.saddle - 0.1), (0.4, 0.0, 0.78)
    grip, b = (0.34, 0.0, shape.bars), 0.017
    parts = [
        _tyre(rear, r, 0.02, True), _tyre(front, r, 0.02, True),
        _rod(crank, seat, b, PAINT), _rod(crank, head, b, PAINT),
        _rod((-0.15, 0, 0.45) if shape.low_frame else (-0.17, 0, 0.78), head, b, PAINT),
        _rod((rear, 0.05, r), crank, 0.01, PAINT), _rod((rear, -0.05, r), crank, 0.01, PAINT),
        _rod((rear, 0.05, r), seat, 0.01, PAINT), _rod((rear, -0.05, r), seat, 0.01, PAINT),
        _rod((front, 0.05, r), head, 0.013, STEEL), _rod((front, -0.05, r), head, 0.013, STEEL),
        _rod(head, grip, 0.014, STEEL),
        _rod((0.3, -0.29, shape.bars), (0.3, 0.29, shape.bars), 0.013, DARK),
        solids.box((-0.36, -0.07, shape.saddle - 0.06), (-0.08, 0.07, shape.saddle), DARK, 0.02),
        solids.box((rear - 0.06, -0.03, 0.68), (rear - 0.03, 0.03, 0.74), TAIL),
        solids.box((0.44, -0.03, 0.82), (0.49, 0.03, 0.88), LAMP),
        solids.shifted(solids.turned([(0.0, -0.06), (0.09, -0.05), (0.09, -0.04), (0, -0.04)], 8,
                                     STEEL, axis='y'), z=0.28),
        *_pedals(pedal),
    ]  # fmt: skip
    if shape.basket:
        parts.append(solids.box((0.4, -0.17, 0.85), (0.68, 0.17, 1.08), STEEL))
    return Mesh.join(parts)


def _pedals(phase: float) -> list[Mesh]:
    parts = []
    for side, turn in ((1, phase), (-1, phase + 0.5)):
        x, z = 0.17 * np.cos(2 * np.pi * turn), 0.28 - 0.17 * np.sin(2 * np.pi * turn)
        parts.append(_rod((0, side * 0.08, 0.28), (x, side * 0.1, z), 0.01, STEEL))
        parts.append(solids.box((x - 0.04, side * 0.14 - 0.04, z - 0.01),
                                (x + 0.04, side * 0.14 + 0.04, z + 0.01), DARK))  # fmt: skip
    return parts


def _reach(hip: np.ndarray, foot: np.ndarray, height: float) -> tuple[float, float]:
    """Angles of thigh and knee that put the ankle of somebody at a place."""
    limb = 0.235 * height
    way = foot - hip
    distance = float(np.clip(np.linalg.norm(way), 0.2 * limb, 1.98 * limb))
    bend = 2 * np.arccos(distance / (2 * limb))
    line = float(np.arctan2(way[0], -way[1]))
    return line + bend / 2, bend


def _on_bicycle(shape: Cycle, look: Look, phase: float, still: bool = False) -> Mesh:
    """A rider with the feet on the pedals, or one foot on the ground."""
    hip = np.array([-0.22, shape.saddle + 0.06])
    angles = []
    for turn in (phase, phase + 0.5):
        foot = [0.17 * np.cos(2 * np.pi * turn) - 0.05, 0.36 - 0.17 * np.sin(2 * np.pi * turn)]
        angles.append(_reach(hip, np.array(foot), look.height))
    if still:
        angles[0] = _reach(hip, np.array([0.05, 0.08]), look.height)
    sporty = shape.saddle > shape.bars - 0.04
    arm = 0.8 if sporty else 1.0
    pose = Pose(
        (angles[0][0], angles[1][0]),
        (angles[0][1], angles[1][1]),
        (arm, arm),
        (0.3, 0.3),
        0.75 if sporty else 0.35,
        0.16,
        0.06,
    )
    rider = solids.shifted(person(look, pose, grounded=False), hip[0], 0, hip[1])
    mesh = Mesh.join([bicycle(shape, phase), rider])
    return solids.shifted(mesh, z=-float(mesh.bounds[0][2]))


def _cyclist(
    kind: str, shape: Cycle, look: Look, share: float, load: Mesh | None = None
) -> list[Body]:
    phases = [index / _PEDALS for index in range(_PEDALS)]
    extra = [] if load is None else [load]
    meshes = [Mesh.join([_on_bicycle(shape, look, phase), *extra]) for phase in phases]
    meshes.append(Mesh.join([_on_bicycle(shape, look, 0.25, still=True), *extra]))
    return steps(kind, 'bicycle', meshes, [*phases, STILL], share, 0.05, rider=True)


def bicycles() -> list[Body]:
    """All bodies of bicycles."""
    city = Cycle(bars=1.08, low_frame=True, basket=True)
    trek, race = Cycle(), Cycle(base=1.0, saddle=0.98, bars=0.96)
    child = Cycle(0.25, 0.8, 0.66, 0.82)
    woman = Look(1.66, 0.95, skin=1, long_hair=True)
    parcel = solids.box((-0.75, -0.25, 1.1), (-0.3, 0.25, 1.6), _BAG)
    return [
        *_cyclist('cyclist', trek, Look(1.76, skin=0, hat='helmet'), 1.5),
        *_cyclist('cyclist on a city bicycle', city, woman, 1.2),
        *_cyclist('racing cyclist', race, Look(1.8, 0.9, skin=1, hat='helmet', bare_arms=True,
                  bare_legs=True), 1.0),
        *_cyclist('courier', trek, Look(1.78, skin=3, hat='cap'), 0.6, parcel),
        *_cyclist('child on a bicycle', child, Look(1.3, skin=0, hat='helmet'), 0.3),
        Body.of('parked bicycle', 'bicycle', bicycle(trek), 1.5, 0.06),
        Body.of('parked city bicycle', 'bicycle', bicycle(city), 1.5, 0.06),
        Body.of('parked racing bicycle', 'bicycle', bicycle(race, 0.3), 0.8, 0.06),
    ]  # fmt: skip


def motorcycle(sporty: bool = True) -> Mesh:
    """A motorcycle, x = 0 between its wheels."""
    tank = [(-0.1, 0.68), (0.3, 0.72), (0.36, 0.86), (0.2, 0.98), (-0.05, 0.9)]
    tail = [(-0.85, 0.92), (-0.2, 0.72), (-0.1, 0.84), (-0.5, 0.9), (-0.85, 1.0)]
    engine = [(-0.25, 0.25), (0.3, 0.25), (0.38, 0.5), (0.25, 0.7), (-0.2, 0.7)]
    parts = [
        _tyre(-0.7, 0.31, 0.075, False), _tyre(0.72, 0.31, 0.06, False),
        solids.prism(engine, -0.2, 0.2, DARK), solids.prism(tank, -0.16, 0.16, PAINT),
        solids.prism(tail, -0.14, 0.14, DARK),
        _rod((0.72, 0.11, 0.31), (0.42, 0.09, 1.0), 0.03, CHROME),
        _rod((0.72, -0.11, 0.31), (0.42, -0.09, 1.0), 0.03, CHROME),
        _rod((0.36, -0.38, 1.04), (0.36, 0.38, 1.04), 0.018, DARK),
        solids.box((-0.75, 0.08, 0.27), (-0.2, 0.12, 0.36), STEEL),
        solids.both_sides(_rod((-0.85, 0.2, 0.42), (0.05, 0.17, 0.3), 0.05, CHROME)),
        solids.box((-0.88, -0.06, 0.9), (-0.84, 0.06, 0.97), TAIL),
        solids.box((-1.0, -0.09, 0.6), (-0.98, 0.09, 0.78), PLATE),
        solids.prism([(-1.0, 0.55), (-0.6, 0.62), (-0.7, 0.9), (-0.8, 0.9)], -0.06, 0.06, DARK),
        solids.both_sides(_rod((0.38, 0.26, 1.05), (0.3, 0.36, 1.2), 0.01, DARK)),
        solids.both_sides(solids.box((0.27, 0.3, 1.17), (0.31, 0.42, 1.25), DARK)),
        solids.prism([(0.62, 0.62), (0.95, 0.58), (0.72, 0.68), (0.45, 0.62)], -0.08, 0.08, PAINT),
        solids.ellipsoid((0.52, 0.0, 0.92), (0.09, 0.1, 0.1), LAMP, 7, 4),
    ]  # fmt: skip
    if sporty:
        fairing = [(0.2, 0.4), (0.5, 0.55), (0.62, 0.9), (0.5, 1.02), (0.25, 0.95)]
        pane = [(0.58, 0.95), (0.6, 0.97), (0.38, 1.25), (0.36, 1.24)]
        parts += [
            solids.prism(fairing, -0.22, 0.22, PAINT),
            solids.prism(pane, -0.14, 0.14, GLASS),
        ]
    return Mesh.join(parts)


def scooter(box: bool = False) -> Mesh:
    """A motor scooter with a flat floor."""
    tail = [(-0.78, 0.5), (-0.3, 0.25), (-0.12, 0.3), (-0.1, 0.72), (-0.78, 0.8)]
    shield = [(0.25, 0.3), (0.35, 0.25), (0.55, 0.7), (0.42, 1.0), (0.36, 1.0)]
    parts = [
        _tyre(-0.55, 0.23, 0.06, False), _tyre(0.6, 0.23, 0.055, False),
        solids.prism(tail, -0.19, 0.19, PAINT), solids.prism(shield, -0.2, 0.2, PAINT),
        solids.box((-0.2, -0.18, 0.26), (0.32, 0.18, 0.33), DARK),
        solids.box((-0.72, -0.15, 0.76), (-0.08, 0.15, 0.86), DARK, 0.04),
        _rod((0.6, 0.0, 0.25), (0.38, 0.0, 1.0), 0.03, STEEL),
        _rod((0.36, -0.34, 1.02), (0.36, 0.34, 1.02), 0.018, DARK),
        solids.box((0.5, -0.08, 0.82), (0.56, 0.08, 0.94), LAMP),
        solids.box((-0.82, -0.09, 0.62), (-0.77, 0.09, 0.7), TAIL),
        solids.box((-0.88, -0.09, 0.38), (-0.86, 0.09, 0.54), PLATE),
        solids.prism([(-0.88, 0.36), (-0.6, 0.4), (-0.7, 0.56), (-0.86, 0.56)], -0.03, 0.03, DARK),
        solids.prism([(0.45, 0.42), (0.82, 0.4), (0.6, 0.52)], -0.07, 0.07, PAINT),
        solids.both_sides(_rod((0.36, 0.26, 1.03), (0.3, 0.32, 1.2), 0.008, DARK)),
        solids.both_sides(solids.box((0.28, 0.27, 1.16), (0.31, 0.38, 1.24), DARK)),
    ]  # fmt: skip
    if box:
        parts.append(solids.box((-0.95, -0.22, 0.86), (-0.5, 0.22, 1.28), _BAG))
    return Mesh.join(parts)


def _ride(mesh: Mesh, look: Look, hip: tuple[float, float], lean: float, feet: float) -> Mesh:
    thigh, knee = _reach(np.array(hip), np.array([feet, 0.4]), look.height)
    arm = 0.85 - lean * 0.3
    pose = Pose((thigh, thigh), (knee, knee), (arm, arm), (0.35, 0.35), lean, 0.2, 0.075)
    return Mesh.join([mesh, solids.shifted(person(look, pose, grounded=False), hip[0], 0, hip[1])])


def motorcycles() -> list[Body]:
    """All bodies of motorcycles and scooters."""
    leather = Look(1.78, 1.1, coat=0.0, skin=0, hat='full helmet')
    light = Look(1.68, 0.95, skin=1, hat='helmet', long_hair=True)
    two = _ride(motorcycle(False), leather, (-0.2, 0.98), 0.2, 0.1)
    second = _ride(two, light, (-0.58, 1.04), 0.15, -0.2)
    rows = [
        ('motorcyclist', _ride(motorcycle(), leather, (-0.28, 0.98), 0.5, -0.12), 1.5, True),
        (
            'motorcyclist upright',
            _ride(motorcycle(False), leather, (-0.28, 0.98), 0.15, 0.1),
            1.2,
            True,
        ),
        ('two on a motorcycle', second, 0.3, True),
        ('scooter rider', _ride(scooter(), light, (-0.35, 0.93), 0.1, 0.12), 1.2, True),
        (
            'courier on a scooter',
            _ride(scooter(True), leather, (-0.33, 0.93), 0.12, 0.12),
            0.6,
            True,
        ),
        ('parked motorcycle', motorcycle(False), 1.2, False),
        ('parked sports motorcycle', motorcycle(), 1.0, False),
        ('parked scooter', scooter(), 1.5, False),
        ('parked scooter with box', scooter(True), 0.5, False),
    ]
    return [
        Body.of(kind, 'motorcycle', mesh, share, 0.06, rider) for kind, mesh, share, rider in rows
    ]
