"""Trucks: a cab and a chassis with what they carry."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.body import Body
from metabev_ros.lab.simulation.bodies.cars import pickups
from metabev_ros.lab.simulation.bodies.coachwork import Coach, coach, mirrors, wheels
from metabev_ros.lab.simulation.bodies.people import bust
from metabev_ros.lab.simulation.bodies.solids import (
    AMBER,
    BLUE_LAMP,
    CHROME,
    DARK,
    GREY,
    PAINT,
    PLATE,
    RETRO_RED,
    SEAT,
    STEEL,
    TAIL,
    TRIM,
    WHITE,
    Finish,
)
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh

RED = Finish(Material.CAR_PAINT, (196, 24, 22))
_SAND = Finish(Material.GRAVEL, (150, 130, 100))


def cab(
    front: float,
    length: float = 2.0,
    width: float = 2.4,
    roof: float = 2.8,
    finish: Finish = PAINT,
) -> list[Mesh]:
    """A cab over the engine whose front is at x = `front`, with its driver and mirrors."""
    rear, low = front - length, 0.45
    belt = 0.55 * roof
    top = belt + 0.32 * roof
    door = (front - 1.25, front - 0.3)
    shape = Coach((rear, front), width, (low, belt, top, roof), (door,), (front - 1.35,), 0.48,
                  True, False, (True, False), 0.1, 0.12, finish, finish, grille=True)  # fmt: skip
    half = width / 2
    return [
        coach(shape),
        *wheels((front - 1.35,), half - 0.02, 0.48),
        mirrors(front - 0.1, half + 0.18, belt + 0.1, 0.5),
        solids.shifted(bust(), front - 1.15, 0.45 * half, belt - 0.45),
        solids.box((front - 1.7, -0.8 * half, 0.95), (front - 1.3, 0.8 * half, belt + 0.3), SEAT),
        solids.box((front - 0.45, -0.85 * half, 0.95), (front - 0.12, 0.85 * half, belt - 0.05),
                   DARK),
        solids.box((front - 0.06, -0.94 * half, 0.35), (front + 0.14, 0.94 * half, 0.62), GREY,
                   0.04),
    ]  # fmt: skip


def bonneted(front: float, width: float = 2.3, roof: float = 2.5) -> list[Mesh]:
    """A cab with a bonnet before it, as on American trucks."""
    nose = Coach((front - 1.5, front), 0.82 * width, (0.5, 1.15, 1.5, 1.58), (), (front - 0.75,),
                 0.48, False, False, (True, False), 0.15, 0.12, grille=True)  # fmt: skip
    rear = front - 3.0
    shape = Coach(
        (rear, front - 1.3),
        width,
        (0.6, 1.5, roof - 0.3, roof),
        ((front - 2.5, front - 1.6),),
        (),
        0.48,
        True,
        False,
        (False, False),
        0.06,
        0.3,
    )
    half = width / 2
    return [
        coach(nose),
        coach(shape),
        *wheels((front - 0.75,), half - 0.04, 0.48),
        mirrors(front - 1.35, half + 0.2, 1.6, 0.45),
        solids.shifted(bust(), front - 2.4, 0.42 * half, 1.05),
        solids.box((front - 2.95, -0.8 * half, 0.95), (front - 2.6, 0.8 * half, 1.9), SEAT),
        solids.box((front - 0.04, -0.9 * half, 0.38), (front + 0.2, 0.9 * half, 0.62), CHROME),
    ]


def chassis(rear: float, front: float, axles: tuple[float, ...], half: float = 1.2) -> list[Mesh]:
    """Frame, wheels, mudguards, rear lamps, plate and under-run guard."""
    lamps = Mesh.join(
        [
            solids.box((rear, half - 0.45, 0.72), (rear + 0.06, half - 0.1, 0.86), TAIL),
            solids.box((rear, half - 0.5, 0.45), (rear + 0.02, half - 0.2, 0.55), RETRO_RED),
        ]
    )
    parts = [
        solids.both_sides(solids.box((rear + 0.05, 0.32, 0.72), (front, 0.44, 0.95), DARK)),
        solids.box((rear + 0.02, -half + 0.05, 0.42), (rear + 0.1, half - 0.05, 0.6), STEEL),
        solids.box((rear - 0.01, -0.26, 0.62), (rear + 0.02, 0.26, 0.74), PLATE),
        solids.both_sides(lamps),
        *wheels(axles, half, 0.48, 0.52),
    ]
    tank = solids.box((front - 1.1, half - 0.6, 0.45), (front - 0.2, half - 0.05, 0.95), GREY, 0.1)
    return [*parts, solids.both_sides(tank)]


def cargo_box(x0: float, x1: float, half: float, z0: float, z1: float, finish: Finish) -> Mesh:
    """A closed box with a frame of rails and posts about it."""
    rails = []
    for z in (z0, z1 - 0.08):
        rails.append(solids.box((x0, half - 0.02, z), (x1, half + 0.02, z + 0.08), STEEL))
    for x in (x0, x1 - 0.06):
        rails.append(solids.box((x, half - 0.04, z0), (x + 0.06, half + 0.02, z1), STEEL))
    door = solids.box((x0 - 0.02, -0.015, z0 + 0.05), (x0, 0.015, z1 - 0.05), DARK)
    bars = solids.both_sides(solids.box((x0 - 0.04, 0.4, z0 + 0.05), (x0, 0.44, z1 - 0.1), STEEL))
    return Mesh.join([solids.box((x0, -half, z0), (x1, half, z1), finish),
                      solids.both_sides(Mesh.join(rails)), door, bars])  # fmt: skip


def tank(x0: float, x1: float, radii: tuple[float, float], z: float, finish: Finish) -> Mesh:
    """A lying elliptic tank with rounded ends and a walkway on top."""
    ends = np.array([0.0, 0.03, 0.12, 0.3])
    x = np.concatenate([x0 + ends, x1 - ends[::-1]])
    size = np.array([0.3, 0.72, 0.93, 1.0])
    size = np.concatenate([size, size[::-1]])[:, None] * np.array(radii[::-1])
    skin = solids.tube(np.column_stack([x, 0 * x, 0 * x + z]), size, finish, 14)
    top = z + radii[1]
    walk = solids.box((x0 + 0.6, -0.25, top - 0.02), (x1 - 0.6, 0.25, top + 0.06), GREY)
    lids = [
        solids.shifted(solids.turned([(0.25, 0), (0.25, 0.1), (0.1, 0.16)], 8, STEEL), x, 0, top)
        for x in np.linspace(x0 + 1, x1 - 1, 3)
    ]
    return Mesh.join([skin, walk, *lids])


def tub(x0: float, x1: float, half: float, z0: float, z1: float, finish: Finish) -> Mesh:
    """An open tipper body with ribs and a heap of sand in it."""
    wall, low = 0.08, z0 + 0.25
    sides = [
        solids.box((x0, half - wall, z0), (x1, half, z1), finish),
        *(
            solids.box((x, half, z0), (x + 0.1, half + 0.05, z1), finish)
            for x in np.linspace(x0, x1 - 0.1, 5)
        ),
    ]
    heap = solids.ellipsoid(((x0 + x1) / 2, 0, z1 - 0.25), ((x1 - x0) * 0.47, half * 0.9, 0.45),
                            _SAND, 10, 4)  # fmt: skip
    return Mesh.join(
        [
            solids.both_sides(Mesh.join(sides)),
            solids.box((x0, -half, z0), (x1, half, low), finish),
            solids.box((x0 - 0.06, -half, z0), (x0, half, z1 - 0.15), finish),
            solids.box((x1, -half, z0), (x1 + 0.06, half, z1 + 0.2), finish),
            solids.box((x1, -half, z1 + 0.14), (x1 + 0.7, half, z1 + 0.2), finish),
            heap,
        ]
    )


def _mixer() -> Mesh:
    """A concrete mixer: a slanting drum with stripes, chute and water tank."""
    profile = [(0.4, 0.0), (0.72, 0.6), (1.1, 1.7), (1.18, 2.9), (0.95, 4.2), (0.5, 5.0)]
    drum = solids.turned(profile, 14, (WHITE, PAINT), (0, 1, 0, 1, 0))
    drum = solids.shifted(solids.turned_by(drum, pitch=np.pi / 2 + 0.2), 0.75, 0, 2.95)
    return Mesh.join(
        [
            *cab(8.6, roof=2.9),
            *chassis(0.0, 6.6, (1.6, 2.9)),
            drum,
            solids.box((0.1, -0.3, 1.0), (0.4, 0.3, 2.5), STEEL),
            solids.prism([(-0.5, 1.5), (0.3, 2.2), (0.3, 2.3), (-0.5, 1.6)], -0.3, 0.3, STEEL),
            solids.box((5.6, -0.9, 1.0), (6.2, 0.9, 2.2), GREY, 0.1),
        ]
    )


def _fire_engine() -> Mesh:
    silver = Finish(Material.STEEL, (176, 178, 182))
    shutters = [
        solids.box((x, 1.2, 0.7), (x + 1.1, 1.24, 2.3), silver) for x in (0.3, 1.55, 2.8, 4.05)
    ]
    ladder = [solids.box((0.3, y, 2.95), (7.0, y + 0.08, 3.1), silver) for y in (-0.4, 0.3)]
    rungs = [
        solids.box((x, -0.4, 3.0), (x + 0.06, 0.35, 3.06), silver) for x in np.arange(0.5, 7, 0.5)
    ]
    stripe = solids.box(
        (0.1, 1.215, 0.55), (5.3, 1.245, 0.68), Finish(Material.RETRO, (240, 230, 90))
    )
    return Mesh.join(
        [
            *cab(8.0, 2.6, roof=2.9, finish=RED),
            *chassis(0.0, 5.4, (1.7,)),
            solids.box((0.05, -1.22, 0.95), (5.35, 1.22, 2.85), RED, 0.05),
            solids.both_sides(Mesh.join([*shutters, stripe])),
            *ladder, *rungs,
            solids.both_sides(solids.box((7.3, 0.2, 2.9), (7.6, 0.95, 3.08), BLUE_LAMP)),
        ]
    )  # fmt: skip


def _refuse() -> Mesh:
    body = [(0.4, 0.9), (5.4, 0.9), (5.4, 3.1), (1.0, 3.2), (0.2, 2.6), (-0.2, 1.6)]
    lamp = solids.both_sides(solids.box((7.2, 0.5, 2.75), (7.4, 0.8, 2.9), AMBER))
    hopper = solids.box((-0.25, -0.9, 1.0), (0.1, 0.9, 1.7), DARK)
    return Mesh.join([*cab(7.8), *chassis(0.0, 5.8, (1.5, 2.8)), hopper, lamp,
                      solids.prism(body, -1.2, 1.2, TRIM)])  # fmt: skip


def _flatbed() -> Mesh:
    wood = Finish(Material.WOOD, (160, 122, 80))
    load = [
        solids.box((x, y, 1.3), (x + 1.0, y + 0.9, 1.3 + h), f)
        for x, y, h, f in ((0.4, -1, 0.9, wood), (0.4, 0.1, 1.1, wood), (1.7, -1, 0.7, GREY),
                           (3.0, 0.0, 1.2, TRIM))
    ]  # fmt: skip
    sides = solids.both_sides(solids.box((0.05, 1.14, 1.15), (4.9, 1.2, 1.6), STEEL))
    bed = solids.box((0.05, -1.2, 1.0), (4.9, 1.2, 1.18), wood)
    wall = solids.box((4.9, -1.2, 1.0), (5.0, 1.2, 2.3), STEEL)
    return Mesh.join([*cab(7.2, roof=2.65), *chassis(0.0, 5.2, (1.4,)), bed, sides, wall, *load])


def _tractor() -> Mesh:
    plate = solids.turned([(0.0, 0.0), (0.5, 0.0), (0.5, 0.12), (0.0, 0.12)], 12, DARK)
    fairing = [(3.9, 2.8), (5.7, 2.8), (5.2, 3.35), (3.9, 3.75)]
    return Mesh.join(
        [
            *cab(6.1, 2.3, 2.48, 3.0),
            *chassis(0.0, 4.0, (1.0, 2.2)),
            solids.shifted(plate, 1.6, 0, 1.0),
            solids.prism(fairing, -1.1, 1.1, PAINT),
            solids.both_sides(solids.box((3.6, 1.0, 0.9), (3.75, 1.15, 3.3), CHROME)),
        ]
    )


def _american() -> Mesh:
    sleeper = solids.box((3.2, -1.15, 0.7), (4.8, 1.15, 3.6), PAINT, 0.15)
    stacks = solids.both_sides(solids.box((3.0, 1.0, 0.9), (3.16, 1.16, 3.9), CHROME))
    return Mesh.join([*bonneted(7.7, 2.4, 2.9), *chassis(0.0, 4.8, (0.9, 2.1)), sleeper, stacks])


def trucks() -> list[Body]:
    """All bodies of trucks, pickups among them."""
    stripe = solids.both_sides(solids.box((0.4, 1.24, 1.6), (4.8, 1.26, 2.1), TRIM))
    rows = [
        ('box truck', Mesh.join([*cab(7.2, roof=2.6), *chassis(0.0, 5.3, (1.5,)),
         cargo_box(0.04, 5.15, 1.22, 1.0, 3.3, WHITE)]), 2.0),
        ('box truck with stripe', Mesh.join([*cab(7.6, roof=2.7), *chassis(0.0, 5.6, (1.6,)),
         cargo_box(0.04, 5.4, 1.23, 1.0, 3.45, WHITE), stripe]), 1.0),
        ('small box truck', Mesh.join([*bonneted(6.4, 2.1, 2.35), *chassis(0.0, 3.6, (1.0,), 1.1),
         cargo_box(0.04, 3.5, 1.12, 0.95, 2.95, WHITE)]), 2.0),
        ('tarpaulin truck', Mesh.join([*cab(8.4, roof=2.9), *chassis(0.0, 6.3, (1.5, 2.8)),
         cargo_box(0.04, 6.2, 1.23, 1.05, 3.5, Finish(Material.TARPAULIN, (240, 240, 240), 2))]),
         1.0),
        ('dump truck', Mesh.join([*cab(7.8, roof=2.85), *chassis(0.0, 5.8, (1.4, 2.7)),
         tub(0.05, 5.0, 1.22, 1.05, 2.5, TRIM)]), 1.0),
        ('american dump truck', Mesh.join([*bonneted(8.2, 2.35, 2.7), *chassis(0.0, 5.2,
         (1.4, 2.7)), tub(0.05, 4.5, 1.2, 1.05, 2.5, TRIM)]), 0.6),
        ('concrete mixer', _mixer(), 0.5),
        ('fire engine', _fire_engine(), 0.25),
        ('refuse truck', _refuse(), 0.5),
        ('flatbed truck', _flatbed(), 0.8),
        ('tank truck', Mesh.join([*cab(8.2), *chassis(0.0, 6.1, (1.5, 2.8)),
         tank(0.1, 5.9, (1.15, 0.9), 2.05, TRIM)]), 0.5),
        ('tractor', _tractor(), 1.0),
        ('american tractor', _american(), 0.8),
    ]  # fmt: skip
    heavy = [Body.of(kind, 'truck', mesh, share, 0.06) for kind, mesh, share in rows]
    return [*pickups(), *heavy]
