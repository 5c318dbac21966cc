"""Bodies of people on foot, each kind at several steps of its walk and at rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.body import STILL, Body, steps
from metabev_ros.lab.simulation.bodies.people import Look, Pose, person, walking
from metabev_ros.lab.simulation.bodies.solids import DARK, GREY, STEEL, Finish
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import SECONDARY, Mesh

PHASES = 10  # of one walk
_BAG = Finish(Material.CLOTH, (62, 70, 92))
_UMBRELLA = Finish(Material.CLOTH, (225, 225, 225), SECONDARY)
_CASE = Finish(Material.PLASTIC, (70, 40, 44))
# Boxes of annotators cut off the reach of a long step.
_FIT = (0.8, 1.1, 1.0)
_PUSH = {'arms': (0.5, 0.5), 'elbows': (0.75, 0.75)}


def _backpack(look: Look) -> Mesh:
    h = look.height
    hip = 0.5 * h
    return solids.box((-0.17 * h, -0.085 * h, hip + 0.05 * h), (-0.05 * h, 0.085 * h,
                      hip + 0.3 * h), _BAG, 0.03 * h)  # fmt: skip


def _umbrella(look: Look) -> Mesh:
    h = look.height
    dome = [(0.0, 0.2), (0.2, 0.17), (0.4, 0.09), (0.52, 0.0), (0.5, 0.0), (0.2, 0.15), (0, 0.18)]
    top = solids.shifted(solids.turned(dome, 10, _UMBRELLA), 0.12, 0.0, 1.06 * h)
    pole = solids.tube(np.array([(0.2, 0.1, 0.62 * h), (0.12, 0.0, 1.15 * h)]), 0.01, STEEL, 4)
    return Mesh.join([top, pole])


def _handbag(look: Look) -> Mesh:
    h = look.height
    bag = solids.box((-0.1, 0.15 * h, 0.42 * h), (0.16, 0.2 * h, 0.55 * h), _CASE, 0.02)
    strap = solids.tube(np.array([(0.03, 0.17 * h, 0.54 * h), (0, 0.09 * h, 0.8 * h)]), 0.01,
                        _CASE, 4)  # fmt: skip
    return Mesh.join([bag, strap])


def _trolley_case(look: Look) -> Mesh:
    h = look.height
    case = solids.box((-0.75, -0.42, 0.06), (-0.5, -0.08, 0.62), _CASE, 0.04)
    bar = solids.tube(np.array([(-0.6, -0.25, 0.6), (-0.2, -0.22, 0.45 * h)]), 0.012, STEEL, 4)
    rolls = solids.box((-0.72, -0.4, 0.0), (-0.62, -0.1, 0.08), DARK)
    return Mesh.join([case, bar, rolls])


def _stroller(look: Look) -> Mesh:
    """A pushchair before somebody, with a child in it."""
    x, h = 0.72, look.height
    wheels = [
        solids.shifted(solids.wheel(0.0, side * 0.27, 0.11, 0.05, 8), x + dx)
        for dx in (-0.22, 0.3)
        for side in (-1, 1)
    ]
    seat = solids.prism([(x - 0.25, 0.4), (x + 0.3, 0.34), (x + 0.34, 0.44), (x - 0.1, 0.55),
                         (x - 0.32, 0.95), (x - 0.42, 0.9)], -0.22, 0.22, _UMBRELLA)  # fmt: skip
    hood = solids.ellipsoid((x - 0.18, 0, 0.92), (0.3, 0.24, 0.24), _UMBRELLA, 8, 4)
    child = replace(look, height=0.7, skirt=0.0, hat='none', long_hair=False, vest=False)
    little = person(child, Pose((1.5, 1.5), (1.2, 1.2)), grounded=False)
    rods = solids.both_sides(
        solids.tube(np.array([(x + 0.3, 0.25, 0.12), (x - 0.2, 0.25, 0.55), (0.3, 0.2, 0.58 * h)]),
                    0.014, STEEL, 4)
    )  # fmt: skip
    return Mesh.join([*wheels, seat, hood, rods, solids.shifted(little, x - 0.02, 0, 0.5)])


def _cart(look: Look) -> Mesh:
    """A shopping trolley."""
    del look
    x0, x1 = 0.38, 1.25
    wires = []
    for z in (0.5, 0.68, 0.86, 1.0):
        for y in (-0.26, 0.25):
            wires.append(solids.box((x0, y, z), (x1, y + 0.015, z + 0.015), STEEL))
    for x in np.linspace(x0, x1, 6):
        for y in (-0.26, 0.25):
            wires.append(solids.box((x, y, 0.42), (x + 0.012, y + 0.012, 1.0), STEEL))
    wires.append(solids.box((x0, -0.26, 0.42), (x1, 0.26, 0.44), STEEL))
    wires += [
        solids.wheel(x, side * 0.26, 0.07, 0.04, 8) for x in (0.45, 1.15) for side in (-1, 1)
    ]
    wires += [solids.box((x, -0.2, 0.12), (x + 0.03, 0.2, 0.45), STEEL) for x in (0.45, 1.12)]
    goods = solids.box(
        (0.5, -0.2, 0.44), (0.95, 0.15, 0.8), Finish(Material.PLASTIC, (190, 60, 50))
    )
    return Mesh.join([*wires, goods])


def _cane(look: Look) -> Mesh:
    h = look.height
    return solids.tube(np.array([(0.12, -0.13 * h, 0.46 * h), (0.24, -0.13 * h, 0.0)]), 0.012,
                       DARK, 4)  # fmt: skip


_CARRIED = {
    'backpack': _backpack,
    'umbrella': _umbrella,
    'handbag': _handbag,
    'suitcase': _trolley_case,
    'stroller': _stroller,
    'cart': _cart,
    'cane': _cane,
}


def _walker(
    kind: str, look: Look, share: float, carried: str = '', stride: float = 1.0
) -> list[Body]:
    """Somebody at all steps of a walk and twice at rest."""
    phases = [index / PHASES for index in range(PHASES)]
    poses = [walking(phase, stride) for phase in phases]
    poses += [Pose(), Pose((0.1, -0.06), (0.12, 0.05), (0.1, 0.25), (0.3, 1.5))]
    if carried in ('stroller', 'cart'):
        poses = [replace(pose, **_PUSH, spread=0.02) for pose in poses]
    if carried == 'umbrella':
        poses = [replace(pose, arms=(0.35, pose.arms[1]), elbows=(1.9, pose.elbows[1]), spread=0.0)
                 for pose in poses]  # fmt: skip
    extra = [_CARRIED[carried](look)] if carried else []
    meshes = [Mesh.join([person(look, pose), *extra]) for pose in poses]
    return steps(kind, 'pedestrian', meshes, [*phases, STILL, STILL], share, 0.06, fit=_FIT)


def _sitter(kind: str, look: Look, share: float, chair: Mesh, seat: float) -> list[Body]:
    """Somebody who sits, on a chair or a bench, in the unit box of both."""
    pose = Pose((1.45, 1.4), (1.45, 1.35), (0.35, 0.4), (0.9, 1.0), -0.08)
    sitting = solids.shifted(person(look, pose, grounded=False), z=seat + 0.08)
    return [Body.of(kind, 'pedestrian', Mesh.join([sitting, chair]), share, 0.07)]


def _wheelchair() -> Mesh:
    parts = [
        solids.box((-0.2, -0.23, 0.42), (0.25, 0.23, 0.5), DARK),
        solids.box((-0.24, -0.23, 0.45), (-0.19, 0.23, 0.95), DARK),
        solids.both_sides(solids.box((-0.2, 0.22, 0.66), (0.18, 0.27, 0.7), GREY)),
        solids.both_sides(solids.box((0.45, 0.03, 0.1), (0.62, 0.2, 0.12), STEEL)),
    ]
    for side in (-1, 1):
        parts.append(solids.wheel(-0.1, side * 0.32, 0.3, 0.035, 14))
        parts.append(solids.wheel(0.38, side * 0.24, 0.09, 0.03, 8))
    return Mesh.join(parts)


def _stool() -> Mesh:
    legs = [
        solids.box((x, y, 0.0), (x + 0.04, y + 0.04, 0.42), STEEL)
        for x in (-0.2, 0.16) for y in (-0.2, 0.16)
    ]  # fmt: skip
    return Mesh.join([solids.box((-0.22, -0.22, 0.4), (0.22, 0.22, 0.45), GREY), *legs])


def pedestrians() -> list[Body]:
    """All bodies of people on foot."""
    man, woman = Look(1.78, 1.05, skin=0, hair=1), Look(1.66, 0.95, skin=1, long_hair=True)
    rows = [
        ('man', man, 2.0, '', 1.0),
        ('man with backpack', replace(man, height=1.8, skin=1, hair=0), 1.2, 'backpack', 1.05),
        ('stout man', replace(man, height=1.74, girth=1.35, skin=2, hat='cap'), 1.0, '', 0.9),
        ('tall man in shorts', replace(man, height=1.88, girth=0.95, skin=3, bare_arms=True,
         bare_legs=True), 0.7, '', 1.1),
        ('man in coat', replace(man, coat=0.75, hat='brim', skin=0), 1.0, '', 1.0),
        ('woman', woman, 2.0, '', 1.0),
        ('woman in skirt', replace(woman, skirt=0.6, bare_legs=True, skin=0, hair=2), 1.0,
         'handbag', 0.85),
        ('woman in dress', replace(woman, skirt=0.9, skin=3, hair=0, bare_arms=True), 0.6, '',
         0.7),
        ('woman in coat', replace(woman, coat=0.9, skin=1, hair=1), 1.0, 'handbag', 0.8),
        ('woman with umbrella', replace(woman, coat=0.5, skin=0), 0.5, 'umbrella', 0.9),
        ('traveller', replace(woman, height=1.7, skin=2, hair=0), 0.6, 'suitcase', 0.9),
        ('parent with pushchair', replace(woman, skin=0, hair=2), 0.5, 'stroller', 0.8),
        ('shopper with trolley', replace(man, height=1.72, skin=1), 0.4, 'cart', 0.75),
        ('old man with stick', replace(man, height=1.68, girth=1.15, hair=2, hat='cap'), 0.4,
         'cane', 0.6),
        ('worker', replace(man, vest=True, hat='hard hat', skin=1), 1.0, '', 0.9),
        ('worker in vest', replace(man, height=1.82, vest=True, skin=3, girth=1.1), 0.6, '', 0.9),
        ('child', Look(1.2, 1.0, skin=1, hair=1), 0.7, '', 1.1),
        ('schoolchild', Look(1.42, 0.95, skin=0, hair=2, long_hair=True), 0.6, 'backpack', 1.05),
    ]  # fmt: skip
    bodies = [
        body
        for kind, look, share, carried, stride in rows
        for body in _walker(kind, look, share, carried, stride)
    ]
    bodies += _sitter('person in a wheelchair', man, 0.15, _wheelchair(), 0.5)
    bodies += _sitter('person on a stool', woman, 0.2, _stool(), 0.45)
    return bodies
