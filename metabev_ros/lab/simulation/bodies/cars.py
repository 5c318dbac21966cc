"""Cars, vans and pickups from one shell (nuScenes counts vans as cars, pickups as trucks)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.body import Body
from metabev_ros.lab.simulation.bodies.car_shell import CarShape, half_width, shell
from metabev_ros.lab.simulation.bodies.people import bust
from metabev_ros.lab.simulation.bodies.solids import AMBER, DARK, PAINT, SEAT, STEEL, Finish
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh

_SEDAN = CarShape(4.75, 1.84, 1.46, 0.33, (1.0, 3.8), 0.17, (0.7, 0.95), (0.98, 1.04), 0.95,
                  (3.35, 2.6), (1.25, 0.62))  # fmt: skip
_HATCHBACK = CarShape(4.1, 1.75, 1.5, 0.31, (0.7, 3.3), 0.17, (0.76, 0.98), (0.9, 1.02), 0.98,
                      (3.05, 2.35), (0.5, 0.12))  # fmt: skip
_ESTATE = CarShape(4.75, 1.84, 1.5, 0.33, (0.98, 3.8), 0.17, (0.72, 0.96), (0.9, 1.0), 0.96,
                   (3.35, 2.6), (0.55, 0.1), (0.4, 0.7))  # fmt: skip
_SUV = CarShape(4.75, 1.9, 1.76, 0.37, (0.95, 3.72), 0.23, (0.88, 1.12), (1.02, 1.15), 1.12,
                (3.35, 2.7), (0.5, 0.12), (0.42, 0.72), tumblehome=0.78,
                cladding=True)  # fmt: skip
_LARGE_SUV = replace(_SUV, length=5.2, width=1.98, height=1.9, wheels=(1.05, 4.1),
                     windscreen=(3.75, 3.1), belt=1.2, bonnet=(1.0, 1.2), boot=(1.1, 1.22),
                     wheel_radius=0.4)  # fmt: skip
_CROSSOVER = replace(_SUV, length=4.4, width=1.82, height=1.63, wheels=(0.82, 3.45),
                     windscreen=(3.2, 2.45), belt=1.05, bonnet=(0.84, 1.06), boot=(0.98, 1.1),
                     wheel_radius=0.34, clearance=0.2, pillars=(0.45, 0.78))  # fmt: skip
_SMALL = CarShape(3.6, 1.66, 1.5, 0.29, (0.55, 2.95), 0.16, (0.78, 0.98), (0.9, 1.0), 0.96,
                  (2.85, 2.2), (0.4, 0.1))  # fmt: skip
_COUPE = CarShape(4.5, 1.85, 1.32, 0.34, (0.98, 3.6), 0.14, (0.62, 0.88), (0.92, 0.96), 0.9,
                  (3.0, 2.25), (1.2, 0.4), (0.62,), tumblehome=0.7)  # fmt: skip
_CONVERTIBLE = replace(_COUPE, length=4.3, wheels=(0.9, 3.4), windscreen=(2.9, 2.4),
                       rear=(1.3, 1.2), roof=False, boot=(0.88, 0.92))  # fmt: skip
_MINIVAN = CarShape(4.95, 1.93, 1.78, 0.34, (1.0, 4.0), 0.18, (0.85, 1.1), (1.0, 1.08), 1.04,
                    (4.05, 3.1), (0.35, 0.1), (0.38, 0.7), tumblehome=0.8)  # fmt: skip
_VAN = CarShape(5.3, 1.98, 2.0, 0.34, (1.15, 4.35), 0.2, (0.98, 1.2), (1.1, 1.15), 1.12,
                (4.65, 3.9), (0.16, 0.06), (0.3, 0.64), tumblehome=0.86)  # fmt: skip
_HIGH_VAN = CarShape(
    5.95,
    2.05,
    2.6,
    0.36,
    (1.4, 4.95),
    0.24,
    (1.05, 1.35),
    (1.2, 1.3),
    1.3,
    (5.35, 4.45),
    (0.12, 0.05),
    (0.26, 0.62),
    tumblehome=0.86,
    blind=True,
)
_PICKUP = CarShape(5.6, 1.9, 1.88, 0.4, (1.15, 4.6), 0.27, (1.05, 1.18), (1.12, 1.16), 1.16,
                   (4.0, 3.4), (2.2, 1.98), (0.5,), bed=True, tumblehome=0.8)  # fmt: skip
_SHORT_PICKUP = replace(_PICKUP, length=5.2, height=1.78, wheels=(1.05, 4.25), width=1.84,
                        windscreen=(3.7, 3.05), rear=(2.1, 1.9), wheel_radius=0.37)  # fmt: skip

OWN_SHAPES = (_SEDAN, _HATCHBACK, _SUV, _CROSSOVER, _ESTATE, _MINIVAN, _SMALL)

# Boxes of annotators are drawn a little within bumpers and mirrors.
_FIT = (0.96, 0.925, 1.0)


def car(shape: CarShape, driver: bool = False) -> Mesh:
    """A whole car in metres, standing on z = 0."""
    parts = [shell(shape), *_wheels(shape), *_mirrors(shape), *_cabin(shape)]
    if driver:
        parts.append(solids.shifted(bust(), *_driver_place(shape)))
    return Mesh.join(parts)


def _wheels(shape: CarShape) -> list[Mesh]:
    return [
        solids.wheel(
            axle, side * (float(half_width(shape, np.array(axle))) - 0.025),
            shape.wheel_radius, 0.215,
        )
        for axle in shape.wheels
        for side in (-1, 1)
    ]  # fmt: skip


def _mirrors(shape: CarShape) -> list[Mesh]:
    x, y = shape.windscreen[0] - 0.3, shape.width / 2
    low, high = (x - 0.06, y - 0.02, shape.belt), (x + 0.08, y + 0.13, shape.belt + 0.14)
    arm = solids.box((x, y - 0.12, shape.belt + 0.01), (x + 0.04, y, shape.belt + 0.05), DARK)
    return [solids.both_sides(Mesh.join([solids.box(low, high, PAINT, 0.03), arm]))]


def _driver_place(shape: CarShape) -> tuple[float, float, float]:
    return _seat_x(shape), 0.2 * shape.width, shape.clearance + 0.42


def _seat_x(shape: CarShape) -> float:
    """Places where the front seats' backs meet their cushions."""
    return min(shape.windscreen[0] - 1.3, shape.windscreen[1] - 0.15)


def _seat(x: float, y0: float, y1: float, z: float, top: float) -> list[Mesh]:
    back = [(x - 0.02, z + 0.3), (x + 0.1, z + 0.3), (x - 0.08, top), (x - 0.18, top)]
    return [
        solids.box((x - 0.02, y0, z), (x + 0.48, y1, z + 0.34), SEAT),
        solids.prism(back, y0, y1, SEAT),
    ]


def _cabin(shape: CarShape) -> list[Mesh]:
    """Seats, dashboard and steering wheel."""
    floor, front, w = shape.clearance + 0.14, shape.windscreen[0], shape.width / 2
    seat, top = _seat_x(shape), min(shape.clearance + 1.0, shape.height - 0.3)
    parts = [
        solids.box((front - 0.5, -0.82 * w, floor + 0.3), (front - 0.06, 0.82 * w,
                   shape.belt - 0.04), DARK)
    ]  # fmt: skip
    for side in (-1, 1):
        y = side * 0.4 * w
        parts += _seat(seat, y - 0.25, y + 0.25, floor, top - 0.08)
        parts.append(solids.box((seat - 0.16, y - 0.13, top - 0.06),
                                (seat - 0.07, y + 0.13, top + 0.1), SEAT))  # fmt: skip
    rear = seat - 0.85
    while rear > shape.rear[1] + 0.2 and not (shape.bed and rear < shape.rear[1] + 0.3):
        parts += _seat(rear, -0.72 * w, 0.72 * w, floor, top)
        rear -= 1.0
        if shape.blind:
            break
    angle = np.linspace(0, 2 * np.pi, 11)
    ring = np.column_stack([-0.06 * np.sin(angle), 0.18 * np.cos(angle), 0.17 * np.sin(angle)])
    centre = (front - 0.56, 0.4 * w, shape.belt - 0.06)
    parts.append(solids.tube(ring + np.array(centre), 0.018, DARK, 4))
    return parts


def _taxi(shape: CarShape) -> Mesh:
    """A car with a roof sign and an advertisement."""
    x = (shape.windscreen[1] + shape.rear[0]) / 2
    sign = Finish(Material.LAMP, (245, 235, 180))
    lamp = solids.box((x - 0.08, -0.3, shape.height), (x + 0.08, 0.3, shape.height + 0.16), sign)
    return Mesh.join([car(shape, driver=True), lamp])


def _police(shape: CarShape) -> Mesh:
    x, z = shape.windscreen[1] - 0.3, shape.height
    blue = solids.box((x - 0.1, 0.02, z), (x + 0.1, 0.5, z + 0.11), solids.BLUE_LAMP)
    red = solids.box((x - 0.1, -0.5, z), (x + 0.1, -0.02, z + 0.11), solids.TAIL)
    return Mesh.join([car(shape, driver=True), blue, red])


def _with_rack(shape: CarShape) -> Mesh:
    """A car with rails and a box on its roof."""
    x0, x1 = shape.rear[0] + 0.1, shape.windscreen[1] - 0.1
    y, z = 0.6 * shape.width / 2, shape.height
    rails = solids.both_sides(solids.box((x0, y, z - 0.03), (x1, y + 0.04, z + 0.05), STEEL))
    case = solids.box((x0 + 0.1, -0.1, z + 0.04), (min(x1, x0 + 1.7), 0.5, z + 0.3), DARK, 0.08)
    return Mesh.join([car(shape), rails, case])


def _loaded(shape: CarShape) -> Mesh:
    """A pickup with boxes on its bed."""
    load = solids.box((0.3, -0.6, 0.65), (1.1, 0.2, 1.45), solids.GREY)
    wood = Finish(Material.WOOD, (150, 110, 70))
    planks = solids.box((0.2, 0.25, 0.65), (1.7, 0.65, 1.3), wood)
    return Mesh.join([car(shape, driver=True), load, planks])


def _works(shape: CarShape) -> Mesh:
    """A van with a ladder and a lamp on its roof."""
    z, lane = shape.height, 0.35
    rail = solids.box((0.5, lane, z + 0.08), (3.6, lane + 0.05, z + 0.15), STEEL)
    rungs = [
        solids.box((x, -lane, z + 0.1), (x + 0.05, lane, z + 0.14), STEEL)
        for x in np.arange(0.6, 3.6, 0.35)
    ]
    feet = [solids.box((x, -0.5, z - 0.04), (x + 0.06, 0.5, z + 0.08), STEEL) for x in (0.8, 3.2)]
    lamp = solids.box((3.8, -0.12, z - 0.02), (4.0, 0.12, z + 0.14), AMBER)
    return Mesh.join([car(shape), solids.both_sides(rail), *rungs, *feet, lamp])


def cars() -> list[Body]:
    """All bodies of cars."""
    rows = [
        ('sedan', car(_SEDAN), 3.0),
        ('sedan with driver', car(replace(_SEDAN, length=4.9, wheels=(1.05, 3.95),
                                  windscreen=(3.5, 2.75), rear=(1.2, 0.6)), True), 3.0),
        ('hatchback', car(_HATCHBACK), 2.0),
        ('hatchback with driver', car(_HATCHBACK, True), 2.0),
        ('estate', car(_ESTATE), 1.0),
        ('estate with roof box', _with_rack(_ESTATE), 0.3),
        ('suv', car(_SUV), 2.5),
        ('suv with driver', car(replace(_SUV, pillars=(0.4, 0.68), bonnet=(0.92, 1.16)), True),
         2.5),
        ('large suv', car(_LARGE_SUV, True), 1.0),
        ('crossover', car(_CROSSOVER), 2.0),
        ('small car', car(_SMALL, True), 0.8),
        ('coupe', car(_COUPE, True), 0.5),
        ('convertible', car(_CONVERTIBLE, True), 0.15),
        ('minivan', car(_MINIVAN, True), 1.3),
        ('van', car(_VAN, True), 0.9),
        ('delivery van', car(_HIGH_VAN, True), 0.5),
        ('works van', _works(replace(_VAN, blind=True)), 0.3),
        ('taxi', _taxi(_SEDAN), 0.7),
        ('police car', _police(_SEDAN), 0.1),
    ]  # fmt: skip
    return [Body.of(kind, 'car', mesh, share, 0.045, fit=_FIT) for kind, mesh, share in rows]


def pickups() -> list[Body]:
    """Pickups and large vans, which nuScenes counts as trucks."""
    rows = [
        ('pickup', car(_PICKUP, True), 3.0),
        ('pickup with load', _loaded(_PICKUP), 1.0),
        ('short pickup', car(_SHORT_PICKUP), 2.0),
        ('large delivery van', car(replace(_HIGH_VAN, length=6.6, wheels=(1.6, 5.6),
                                   windscreen=(6.0, 5.1), height=2.75), True), 1.2),
    ]  # fmt: skip
    return [Body.of(kind, 'truck', mesh, share, 0.045, fit=_FIT) for kind, mesh, share in rows]
