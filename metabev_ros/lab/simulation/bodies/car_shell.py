"""The skin of a car from its side profile: lower body, greenhouse, cabin, wheels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.solids import (
    DARK,
    GLASS,
    GREY,
    LAMP,
    PAINT,
    PLATE,
    SEAT,
    TAIL,
)
from metabev_ros.lab.simulation.meshes import Mesh

_ROW_FINISHES = (DARK, PAINT, LAMP, TAIL, GREY, SEAT, PLATE)
_DARK, _PAINT, _LAMP, _TAIL, _GREY, _SEAT, _PLATE = range(7)
_OVERLAP = 0.04  # metres that the greenhouse reaches down into the lower body
_CAP_ACROSS = np.array([-1, -0.86, -0.6, -0.3, -0.26, 0.26, 0.3, 0.6, 0.86, 1.0])


@dataclass(frozen=True)
class CarShape:
    """Metres; places along x are from the rear bumper (0) to the front bumper (length).

    Attributes:
        width: without mirrors.
        wheels: places of the rear and the front axle along x.
        bonnet: heights of the bonnet at its nose and at the windscreen.
        boot: heights of the tail's upper edge and of the rear window's lower edge.
        belt: height of the side windows' lower edge.
        windscreen: places of its lower and its upper edge.
        rear: places of the rear window's upper and lower edge.
        pillars: parts of the side's glass where pillars stand, 0 front .. 1 rear.
        bed: an open load bed from the tail to the cabin, as on a pickup.
        roof: whether there is one; a convertible has none.
        blind: windows behind the first that are sheet metal, as on a delivery van.
        cladding: unpainted plastic along the sills.
        tumblehome: half-width of the roof as a part of that of the body.
    """

    length: float = 4.5
    width: float = 1.8
    height: float = 1.46
    wheel_radius: float = 0.32
    wheels: tuple[float, float] = (0.95, 3.6)
    clearance: float = 0.2
    bonnet: tuple[float, float] = (0.72, 0.96)
    boot: tuple[float, float] = (0.98, 1.02)
    belt: float = 0.94
    windscreen: tuple[float, float] = (3.25, 2.5)
    rear: tuple[float, float] = (1.1, 0.55)
    pillars: tuple[float, ...] = (0.48,)
    nose: float = 0.55
    tail: float = 0.4
    tumblehome: float = 0.74
    bed: bool = False
    roof: bool = True
    blind: bool = False
    cladding: bool = False

    def __post_init__(self) -> None:
        inside = 0 < self.wheels[0] < self.wheels[1] < self.length
        require(inside, 'car.wheels', 'rear and front axle within the length', self.wheels)
        require(self.belt < self.height, 'car.belt', 'below the roof', self.belt)
        ordered = self.rear[1] <= self.rear[0] < self.windscreen[1] <= self.windscreen[0]
        require(ordered, 'car.windscreen', 'in front of the rear window', self.windscreen)


def shell(shape: CarShape) -> Mesh:
    """Everything of a car but its wheels, mirrors and seats; x from 0 to its length."""
    return Mesh.join([_lower(shape), *(_greenhouse(shape) if shape.roof else _screen(shape))])


def half_width(shape: CarShape, x: np.ndarray) -> np.ndarray:
    """Half of the body's width at places along x: narrower towards the ends."""
    to_nose = np.clip((shape.length - x) / shape.nose, 0, 1)
    to_tail = np.clip(x / shape.tail, 0, 1)
    taper = 1 - 0.13 * (1 - to_nose) ** 2.2 - 0.09 * (1 - to_tail) ** 2.2
    return shape.width / 2 * taper


def _stations(shape: CarShape) -> np.ndarray:
    """Places of the cross-sections along x, closer at ends, arches and cabin walls."""
    arch = shape.wheel_radius + 0.06
    around = np.array([-1.04, -1.0, -0.9, -0.6, -0.2, 0.2, 0.6, 0.9, 1.0, 1.04]) * arch
    ends = np.array([0.0, 0.05, 0.14])
    walls = np.array([-0.03, 0.0])
    seam = np.array([-0.007, 0.007])
    cabin = _cabin(shape)
    places = [
        ends,
        shape.length - ends[::-1],
        *(axle + around for axle in shape.wheels),
        cabin[0] + walls,
        cabin[1] - walls,
        *(place + seam for place in _seams(shape)),
    ]
    if shape.bed:
        places += [np.array([0.06, 0.09])]
    return np.unique(np.round(np.concatenate(places), 4))


def _cabin(shape: CarShape) -> tuple[float, float]:
    """Begin and end of the open cabin along x."""
    return shape.rear[1] + 0.06, shape.windscreen[0] - 0.04


def _seams(shape: CarShape) -> tuple[float, ...]:
    """Ends of the doors along x."""
    rear, front = shape.rear[1], shape.windscreen[0]
    middle = front - (front - rear) * (shape.pillars[0] if shape.pillars else 0.6)
    first = min(front - 0.02, shape.wheels[1] - shape.wheel_radius - 0.12)
    last = max(shape.wheels[0] + 0.75 * shape.wheel_radius, rear + 0.1)
    return tuple(place for place in (first, middle, last) if 0.3 < place < shape.length - 0.3)


def _deck(shape: CarShape, x: np.ndarray) -> np.ndarray:
    """Height of bonnet, belt and boot along x."""
    places = [0.0, 0.08, shape.rear[1], shape.rear[0], shape.windscreen[0], shape.length - 0.25]
    heights = [
        shape.boot[0] - 0.05,
        shape.boot[0],
        shape.boot[1],
        shape.belt + 0.02,
        shape.bonnet[1],
        shape.bonnet[0] + 0.06,
    ]
    places.append(shape.length)
    heights.append(shape.bonnet[0] - 0.06)
    order = np.argsort(places, kind='stable')
    return np.interp(x, np.array(places)[order], np.array(heights)[order])


def _lower_edge(shape: CarShape, x: np.ndarray) -> np.ndarray:
    """Height of the body's lower edge along x, with the wheel arches."""
    edge = shape.clearance + 0.06 * (
        np.clip(1 - x / 0.5, 0, 1) + np.clip(1 - (shape.length - x) / 0.5, 0, 1)
    )
    arch = shape.wheel_radius + 0.055
    for axle in shape.wheels:
        inside = np.clip(arch**2 - (x - axle) ** 2, 0, None)
        edge = np.maximum(edge, np.where(inside > 0, shape.wheel_radius + np.sqrt(inside), 0))
    return edge


def _sections(shape: CarShape, x: np.ndarray) -> np.ndarray:
    """(M, 11, 3) left halves of the cross-sections, from the keel up to the deck's middle."""
    w, edge, deck = half_width(shape, x), _lower_edge(shape, x), _deck(shape, x)
    low = shape.clearance
    inner = np.clip(w - 0.27, 0.2, None)
    belt = np.minimum(deck - 0.03, shape.belt)
    rise = belt - low
    crease = np.maximum(low + 0.64 * rise, edge + 0.045)
    shoulder = np.maximum(low + 0.87 * rise, np.minimum(edge + 0.06, belt))
    door = np.maximum(low + 0.3 * rise, edge + 0.02)
    y = [0 * w, inner, inner, 0.965 * w, w, 0.995 * w, 0.985 * w, 0.955 * w]
    y += [0.86 * w, 0.5 * w, 0 * w]
    floor = np.full_like(x, low)
    z = [floor, floor, np.maximum(edge, low), edge, door, crease, shoulder, belt, deck]
    z += [deck + 0.025, deck + 0.035]
    begin, end = _cabin(shape)
    tub = (x >= begin - 0.001) & (x <= end + 0.001)
    well = np.full_like(x, low + 0.14)
    if shape.bed:
        load = (x > 0.08) & (x < begin - 0.1)
        well, tub = np.where(load, low + 0.42, well), tub | load
    y[8] = np.where(tub, 0.87 * w, y[8])
    z[8] = np.where(tub, belt + 0.005, z[8])
    y[9], z[9] = np.where(tub, 0.84 * w, y[9]), np.where(tub, well, z[9])
    z[10] = np.where(tub, well, z[10])
    return np.stack([np.stack([x, a, b], -1) for a, b in zip(y, z, strict=True)], 1)


def _lower(shape: CarShape) -> Mesh:
    """Bonnet, sides, floor, cabin's tub and boot as one closed skin."""
    x = _stations(shape)
    left = _sections(shape, x)
    right = left[:, -2:0:-1] * np.array([1, -1, 1])
    rings = np.concatenate([left, right], 1)
    begin, end = _cabin(shape)
    middle = (x[1:] + x[:-1]) / 2
    cells = np.full((len(x) - 1, 10), _PAINT)
    cells[:, :3] = _DARK
    cells[(middle > begin) & (middle < end), 8:] = _SEAT
    cells[middle > shape.length - 0.3, 5] = _LAMP
    cells[middle < 0.2, 5] = _TAIL
    if shape.cladding:
        cells[:, 3] = _GREY
    for seam in _seams(shape):
        cells[np.abs(middle - seam) < 0.004, 3:7] = _DARK
    both = np.concatenate([cells, cells[:, ::-1]], 1)
    skin = solids.loft(rings, _ROW_FINISHES, both, (False, False))
    return Mesh.join([skin, _end(shape, left[-1], True), _end(shape, left[0], False)])


def _end(shape: CarShape, half: np.ndarray, front: bool) -> Mesh:
    """The rounded face of nose or tail, with lamps, grille, bumper and number plate."""
    bulge = 0.10 if front else 0.06
    y = half[:, None, 1] * _CAP_ACROSS
    x = half[0, 0] + (1 if front else -1) * bulge * (1 - _CAP_ACROSS**2) * np.ones_like(y)
    z = np.broadcast_to(half[:, None, 2], y.shape)
    cells = np.full((10, 9), _PAINT)
    cells[:3], cells[3] = _DARK, _PAINT if front else _DARK
    if front:
        cells[4, 1:8], cells[3, 2:7] = _DARK, _GREY
        cells[5, :2], cells[5, 7:] = _LAMP, _LAMP
        cells[5, 3:6] = _DARK
        cells[4, 4] = _PLATE
    else:
        cells[5, :2], cells[5, 7:] = _TAIL, _TAIL
        cells[4, 4] = _PLATE
    sheet = solids.grid(np.stack([x, y, z], -1), _ROW_FINISHES, cells)
    return solids.away_from(sheet, (half[0, 0] - (1 if front else -1), 0.0, half[5, 2]))


def _edges(shape: CarShape) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the greenhouse: base and roof edge, (2, 3) each: front and rear."""
    ends = np.array([shape.windscreen[0], shape.rear[1]])
    base_y = half_width(shape, ends) * 0.9
    deck = np.array([shape.bonnet[1], shape.boot[1]])
    base = np.column_stack([ends, base_y, deck])
    top_x = np.array([shape.windscreen[1], shape.rear[0]])
    roof_y = shape.tumblehome * shape.width / 2 * np.array([1.0, 0.97])
    roof = np.column_stack([top_x, roof_y, np.full(2, shape.height - 0.05)])
    return base, roof


def _pane(
    low: np.ndarray, high: np.ndarray, across: np.ndarray, bows: tuple[float, float], crown: float
) -> np.ndarray:
    """(4, columns, 3): a bowed screen from its lower left corner to its upper left corner."""
    rise = np.array([0.0, 0.07, 0.93, 1.0])[:, None]
    corner = low + (high - low) * rise
    corner[0, 2] -= _OVERLAP
    depth = bows[0] + (bows[1] - bows[0]) * rise
    return np.stack(
        np.broadcast_arrays(
            corner[:, :1] + depth * (1 - across**2),
            corner[:, 1:2] * across,
            corner[:, 2:] + crown * rise * (1 - across**2),
        ),
        -1,
    )


def _greenhouse(shape: CarShape) -> list[Mesh]:
    """Windscreen, side windows, rear window, pillars and roof."""
    base, roof = _edges(shape)
    centre = (float(base[:, 0].mean()), 0.0, float(shape.belt - 0.2))
    across = np.array([-1, -0.93, -0.5, 0, 0.5, 0.93, 1.0])
    cells = np.ones((3, 6), int)
    cells[:, [0, -1]] = 0
    cells[[0, 2]] = 0
    front = _pane(base[0], roof[0], across, (0.16, 0.1), 0.05)
    back = _pane(base[1], roof[1], across, (-0.08, -0.06), 0.05)
    back_cells = np.zeros_like(cells) if shape.blind else cells
    finishes = (PAINT, GLASS)
    parts = [solids.grid(front, finishes, cells), solids.grid(back, finishes, back_cells)]
    share = np.array([0.0, 0.25, 0.5, 0.75, 1.0])[:, None, None]
    top = front[-1] + (back[-1] - front[-1]) * share
    top[..., 2] += 0.05 * np.sin(np.pi * share[..., 0])
    parts.append(solids.grid(top, PAINT))
    side = _side(shape, base, roof)
    parts += [side, solids.mirrored(side)]
    return [solids.away_from(part, centre) for part in parts]


def _side(shape: CarShape, base: np.ndarray, roof: np.ndarray) -> Mesh:
    """The left side above the belt: windows between pillars."""
    places, glass = [0.0, 0.045], [0]
    for pillar in shape.pillars:
        places += [pillar - 0.018, pillar + 0.018]
        glass += [1 if not shape.blind or len(glass) < 2 else 0, 0]
    places += [0.93, 1.0]
    glass += [0 if shape.blind else 1, 0]
    part = np.array(places)[:, None]
    low = base[0] + (base[1] - base[0]) * part
    belt = np.interp(part[:, 0], [0, 0.25, 1], [base[0, 2], shape.belt, base[1, 2]])
    low = np.column_stack([low[:, :2], belt])
    high = roof[0] + (roof[1] - roof[0]) * part
    high[:, 2] += 0.05 * np.sin(np.pi * part[:, 0])
    rise = np.array([0.0, 0.05, 0.55, 0.9, 1.0])[None, :, None]
    points = low[:, None] + (high - low)[:, None] * rise
    points[..., 1] += 0.1 * rise[..., 0] * (1 - rise[..., 0])
    points[:, 0, 2] = np.minimum(points[:, 0, 2], shape.belt) - _OVERLAP
    cells = np.zeros((len(places) - 1, 4), int)
    cells[:, 1:3] = np.array(glass)[:, None]
    return solids.grid(points, (PAINT, GLASS), cells)


def _screen(shape: CarShape) -> list[Mesh]:
    """The windscreen of a car without a roof."""
    base, roof = _edges(shape)
    across = np.array([-1, -0.93, -0.5, 0, 0.5, 0.93, 1.0])
    cells = np.ones((3, 6), int)
    cells[:, [0, -1]] = 0
    cells[[0, 2]] = 0
    front = _pane(base[0], roof[0], across, (0.16, 0.1), 0.03)
    centre = (float(base[:, 0].mean()), 0.0, shape.belt)
    return [solids.away_from(solids.grid(front, (DARK, GLASS), cells), centre)]
