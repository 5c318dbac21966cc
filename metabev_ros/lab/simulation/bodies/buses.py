"""Buses: city, articulated, coach, double-decker, minibus, school bus."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.body import Body
from metabev_ros.lab.simulation.bodies.coachwork import Coach, coach, mirrors, seats, wheels
from metabev_ros.lab.simulation.bodies.people import bust
from metabev_ros.lab.simulation.bodies.solids import AMBER, DARK, GREY, TRIM, WHITE, YELLOW, Finish
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh

_SIGN = Finish(Material.LAMP, (240, 170, 60))


def _spans(begin: float, end: float, pitch: float, gap: float) -> tuple[tuple[float, float], ...]:
    """Windows of equal width with posts between them."""
    count = max(int(round((end - begin) / pitch)), 1)
    edges = np.linspace(begin, end, count + 1)
    return tuple(
        (float(a + gap / 2), float(b - gap / 2))
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    )


def _bus(shape: Coach, floor: float, sign: bool = True) -> Mesh:
    """A bus with wheels, seats, driver, mirrors and roof units."""
    rear, front = shape.x
    half, roof = shape.width / 2, shape.z[3]
    parts = [
        coach(shape),
        *wheels(shape.axles, half - 0.02, shape.wheel_radius),
        *seats(rear + 0.8, front - 2.2, half - 0.1, floor),
        mirrors(front + 0.1, half + 0.16, shape.z[1] + 0.25, 0.45),
        solids.shifted(bust(), front - 1.2, 0.55 * half, floor + 0.5),
        solids.box((front - 0.6, -0.8 * half, floor), (front - 0.15, 0.8 * half,
                   shape.z[1] - 0.1), DARK),
        solids.box((rear + 0.3, -half + 0.25, roof - 0.02), (rear + 2.2, half - 0.25,
                   roof + 0.18), GREY, 0.08),
    ]  # fmt: skip
    if sign:
        low, high = (front - 0.2, -0.6 * half, shape.z[2] + 0.02), (0, 0, 0)
        high = (front + 0.06, 0.6 * half, roof - 0.1)
        parts.append(solids.box(low, high, _SIGN))
    return Mesh.join(parts)


_CITY = Coach(
    (0.0, 11.6), 2.55, (0.3, 1.05, 2.5, 3.0),
    ((0.4, 1.6), *_spans(1.8, 9.0, 1.45, 0.12), (9.2, 10.3), (10.45, 11.3)),
    (2.9, 8.9), 0.48, band=TRIM, doors=((4.8, 5.95), (10.05, 11.15)),
)  # fmt: skip
_COACH = Coach(
    (0.0, 12.2), 2.55, (0.35, 1.75, 2.9, 3.4), (*_spans(0.4, 10.6, 1.7, 0.08), (10.8, 11.9)),
    (3.0, 9.0), 0.5, bulge=0.3, lean=0.35, band=TRIM, doors=((10.85, 11.85),),
)  # fmt: skip
_MINIBUS = Coach(
    (0.0, 7.0), 2.2, (0.32, 1.2, 2.25, 2.75), (*_spans(0.3, 4.8, 1.2, 0.12), (5.2, 6.5)),
    (1.6, 5.6), 0.38, bulge=0.4, lean=0.5, doors=((3.3, 4.4),),
)  # fmt: skip
_SCHOOL = Coach(
    (0.0, 8.6), 2.45, (0.5, 1.5, 2.45, 3.0), _spans(0.3, 8.2, 0.9, 0.14),
    (2.2,), 0.48, finish=YELLOW, band=YELLOW, bulge=0.02, lean=0.1,
)  # fmt: skip


def _articulated() -> Mesh:
    """Two sections with bellows between them, in line."""
    front = replace(
        _CITY,
        x=(7.4, 17.6),
        windows=(*_spans(7.8, 15.0, 1.45, 0.12), (15.2, 16.3), (16.45, 17.3)),
        axles=(9.0, 14.9),
        doors=((10.7, 11.9), (16.1, 17.2)),
        rear_glass=False,
        lamps=(True, False),
    )
    rear = replace(
        _CITY,
        x=(0.0, 6.4),
        windows=((0.4, 1.6), *_spans(1.8, 6.0, 1.4, 0.12)),
        axles=(2.6,),
        doors=((4.1, 5.3),),
        front_glass=False,
        lamps=(False, True),
        bulge=0.0,
        lean=0.0,
    )
    folds = []
    for x in np.linspace(6.4, 7.4, 9):
        half = 1.2 if len(folds) % 2 else 1.08
        folds.append([(x, -half, 0.4), (x, half, 0.4), (x, half, 2.9), (x, -half, 2.9)])
    bellows = solids.loft(np.array(folds), Finish(Material.RUBBER, (48, 48, 50)))
    back = Mesh.join([coach(rear), *wheels(rear.axles, 1.25, 0.48), *seats(0.8, 5.8, 1.1, 0.4)])
    return Mesh.join([_bus(front, 0.4), back, bellows])


def _double_decker() -> Mesh:
    upper = Coach((0.0, 11.0), 2.55, (2.5, 3.0, 3.9, 4.3), _spans(0.3, 10.6, 1.5, 0.1),
                  lamps=(False, False), bulge=0.2, lean=0.1)  # fmt: skip
    lower = replace(
        _CITY,
        x=(0.0, 11.0),
        z=(0.3, 1.05, 2.2, 2.55),
        bulge=0.2,
        lean=0.0,
        windows=(*_spans(0.4, 9.6, 1.5, 0.12), (9.8, 10.7)),
        doors=((9.6, 10.7),),
        axles=(2.8, 8.3),
    )
    return Mesh.join([_bus(lower, 0.4, False), coach(upper), *seats(0.8, 10.0, 1.1, 2.5)])


def _school() -> Mesh:
    """A bus with a bonnet."""
    nose = Coach((8.5, 9.9), 1.9, (0.5, 1.2, 1.55, 1.6), (), (9.1,), 0.48, False, False,
                 (True, False), 0.12, 0.1, YELLOW, YELLOW)  # fmt: skip
    lamps = solids.both_sides(solids.box((8.3, 0.6, 2.95), (8.5, 0.9, 3.1), AMBER))
    return Mesh.join([_bus(_SCHOOL, 0.6, False), coach(nose), lamps,
                      *wheels((9.1,), 1.1, 0.48)])  # fmt: skip


def buses() -> list[Body]:
    """All bodies of buses."""
    front_only = replace(
        _CITY,
        x=(0.0, 9.6),
        windows=(*_spans(0.3, 7.0, 1.45, 0.12), (7.2, 8.3), (8.45, 9.3)),
        axles=(1.7, 7.0),
        doors=((3.4, 4.6), (8.1, 9.2)),
        rear_glass=False,
        lamps=(True, False),
    )
    rows = [
        ('city bus', _bus(_CITY, 0.4), 3.0),
        ('white city bus', _bus(replace(_CITY, finish=WHITE, x=(0.0, 11.6)), 0.4), 2.0),
        ('articulated bus', _articulated(), 0.4),
        ('front section of an articulated bus', _bus(front_only, 0.4), 0.8),
        ('coach', _bus(_COACH, 1.2), 1.5),
        ('minibus', _bus(_MINIBUS, 0.4, False), 1.5),
        ('double-decker', _double_decker(), 0.3),
        ('school bus', _school(), 0.5),
    ]
    return [Body.of(kind, 'bus', mesh, share, 0.04) for kind, mesh, share in rows]
