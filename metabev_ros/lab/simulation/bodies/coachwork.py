"""Upright sheet-metal boxes with windows: buses, cabs of trucks and machines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.solids import (
    DARK,
    GLASS,
    LAMP,
    PAINT,
    PLATE,
    SEAT,
    TAIL,
    Finish,
)
from metabev_ros.lab.simulation.meshes import Mesh

_ACROSS = np.array([-1, -0.94, -0.62, -0.2, 0.2, 0.62, 0.94, 1.0])
_DARK, _BODY, _GLASS, _LAMP, _TAIL, _PLATE, _BAND = range(7)


@dataclass(frozen=True)
class Coach:
    """Metres; x along the vehicle, z above the ground.

    Attributes:
        x: places of rear and front.
        width: of the body.
        z: heights of the lower edge, the windows' lower and upper edge, and the roof.
        windows: spans along x with glass on both sides.
        axles: places of wheels that cut arches into the sides.
        wheel_radius: of these wheels.
        front_glass: whether the front has a windscreen; `rear_glass` likewise.
        lamps: whether front and rear carry lamps and plates.
        bulge: how far the front is rounded forward.
        lean: how far the windscreen's upper edge lies behind its lower edge.
        finish: of the sheet metal; `band`: of a strip below the windows.
        doors: spans along x with glass down to the sill on the right side.
        grille: a dark one between lamps and windscreen.
    """

    x: tuple[float, float]
    width: float
    z: tuple[float, float, float, float]
    windows: tuple[tuple[float, float], ...]
    axles: tuple[float, ...] = ()
    wheel_radius: float = 0.48
    front_glass: bool = True
    rear_glass: bool = True
    lamps: tuple[bool, bool] = (True, True)
    bulge: float = 0.14
    lean: float = 0.12
    finish: Finish = PAINT
    band: Finish = PAINT
    doors: tuple[tuple[float, float], ...] = ()
    grille: bool = False

    def __post_init__(self) -> None:
        require(self.x[0] < self.x[1], 'coach.x', 'rear before front', self.x)
        require(list(self.z) == sorted(self.z), 'coach.z', 'ascending heights', self.z)


def coach(shape: Coach) -> Mesh:
    """The skin with windows; hollow, so that rays go in at one window and out at another."""
    x = _stations(shape)
    left = _sections(shape, x)
    rings = np.concatenate([left, left[:, -2:0:-1] * np.array([1, -1, 1])], 1)
    middle = (x[1:] + x[:-1]) / 2
    cells = np.full((len(x) - 1, left.shape[1] - 1), _BODY)
    cells[:, :3] = _DARK
    cells[:, 5] = _BAND
    for begin, end in shape.windows:
        cells[(middle > begin) & (middle < end), 6] = _GLASS
    right = cells.copy()
    for begin, end in shape.doors:
        right[(middle > begin) & (middle < end), 3:7] = _GLASS
    finishes = (DARK, shape.finish, GLASS, LAMP, TAIL, PLATE, shape.band)
    both = np.concatenate([cells, right[:, ::-1]], 1)
    skin = solids.loft(rings, finishes, both, (False, False))
    ends = [_end(shape, left[-1], True, finishes), _end(shape, left[0], False, finishes)]
    return Mesh.join([skin, *ends])


def _stations(shape: Coach) -> np.ndarray:
    """Places of the cross-sections along x."""
    arch = shape.wheel_radius + 0.08
    around = np.array([-1.02, -1.0, -0.85, -0.5, 0, 0.5, 0.85, 1.0, 1.02]) * arch
    rear, front = shape.x
    places = [np.array([rear, rear + 0.06, front - 0.25, front - 0.1, front])]
    places += [np.array(span) for span in (*shape.windows, *shape.doors)]
    places += [axle + around for axle in shape.axles]
    x = np.unique(np.round(np.concatenate(places), 4))
    return x[(x >= rear) & (x <= front)]


def _sections(shape: Coach, x: np.ndarray) -> np.ndarray:
    """(M, 10, 3) left halves of the cross-sections."""
    low, belt, top, roof = shape.z
    arch = shape.wheel_radius + 0.07
    edge = np.full_like(x, low)
    for axle in shape.axles:
        inside = np.clip(arch**2 - (x - axle) ** 2, 0, None)
        edge = np.maximum(edge, np.where(inside > 0, shape.wheel_radius + np.sqrt(inside), 0))
    to_front = np.clip((shape.x[1] - x) / 0.25, 0, 1)
    to_rear = np.clip((x - shape.x[0]) / 0.06, 0, 1)
    w = shape.width / 2 * (1 - 0.06 * (1 - to_front) ** 2 - 0.03 * (1 - to_rear))
    inner = 0.7 * w
    lamps = np.clip(edge + 0.01, min(low + 0.32, belt - 0.06), belt - 0.03)
    ledge = np.clip(belt - 0.3, lamps + 0.01, belt - 0.01)
    y = [0 * w, inner, inner, w, w, w, w, 0.985 * w, 0.93 * w, 0 * w]
    flat = np.ones_like(x)
    z = [low * flat, low * flat, np.maximum(edge, low), edge, lamps, ledge]
    z += [belt * flat, top * flat, (roof - 0.05) * flat, roof * flat]
    return np.stack([np.stack([x, a, b], -1) for a, b in zip(y, z, strict=True)], 1)


def _end(shape: Coach, half: np.ndarray, front: bool, finishes: tuple[Finish, ...]) -> Mesh:
    """The face of front or rear, with its screen, lamps and plate."""
    way = 1 if front else -1
    y = half[:, None, 1] * _ACROSS
    bulge = shape.bulge if front else 0.02
    tall = np.clip((half[:, 2] - shape.z[1]) / max(shape.z[3] - shape.z[1], 0.1), 0, 1)
    lean = (shape.lean if front else 0.01) * tall
    x = half[0, 0] + way * (bulge * (1 - _ACROSS**2) - lean[:, None])
    # The skin does not lean, so that its front corners close the gap beside the screen.
    x[:, [0, -1]] = half[0, 0]
    z = np.broadcast_to(half[:, None, 2], y.shape)
    cells = np.full((9, 7), _BODY)
    cells[:3] = _DARK
    if shape.front_glass if front else shape.rear_glass:
        cells[6, 1:6] = _GLASS
    if shape.lamps[0 if front else 1]:
        cells[3, [1, 5]] = _LAMP if front else _TAIL
        cells[3, 3] = _PLATE
        if front and shape.grille:
            cells[4, 1:6] = _DARK
    sheet = solids.grid(np.stack([x, y, z], -1), finishes, cells)
    return solids.away_from(sheet, (half[0, 0] - way * 2, 0.0, float(half[:, 2].mean())))


def wheels(
    axles: tuple[float, ...], outer: float, radius: float, width: float = 0.3
) -> list[Mesh]:
    """Wheels on both sides of some axles, their outer faces at y = +-outer."""
    return [
        solids.wheel(axle, side * outer, radius, width, 12) for axle in axles for side in (-1, 1)
    ]


def mirrors(x: float, outer: float, z: float, height: float = 0.35) -> Mesh:
    """Tall mirrors on both sides: plates whose outer edge is at y = +-outer."""
    case = solids.box((x - 0.06, outer - 0.2, z), (x + 0.06, outer, z + height), DARK, 0.02)
    arm = solids.box((x - 0.02, outer - 0.34, z + height), (x + 0.02, outer - 0.1,
                     z + height + 0.03), DARK)  # fmt: skip
    return solids.both_sides(Mesh.join([case, arm]))


def seats(begin: float, end: float, half: float, floor: float, pitch: float = 0.8) -> list[Mesh]:
    """Rows of double seats on both sides of an aisle."""
    parts = []
    for x in np.arange(begin, end, pitch):
        side = Mesh.join(
            [
                solids.box((x, 0.28, floor + 0.2), (x + 0.42, half, floor + 0.45), SEAT),
                solids.box((x - 0.08, 0.28, floor + 0.4), (x, half, floor + 1.05), SEAT),
            ]
        )
        parts.append(solids.both_sides(side))
    return parts
