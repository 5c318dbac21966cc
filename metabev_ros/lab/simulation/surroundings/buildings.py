"""Buildings of storeys: what stands behind a walkway, with rooms behind the windows."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import PRIMARY, SECONDARY, Mesh
from metabev_ros.lab.simulation.surroundings import facades
from metabev_ros.lab.simulation.surroundings.looks import TRIMS, Look
from metabev_ros.lab.simulation.surroundings.shapes import box, gable, lathe, sheets
from metabev_ros.lab.simulation.surroundings.stage import Stage

# Facades in the building's frame: outward normal and start of the panels, in half sizes.
_SIDES = (
    ((0.0, 1.0), (-1.0, 1.0)),
    ((1.0, 0.0), (1.0, 1.0)),
    ((0.0, -1.0), (1.0, -1.0)),
    ((-1.0, 0.0), (-1.0, -1.0)),
)


_PANELS = (
    'window', 'wall', 'glazed', 'door', 'shop', 'bay', 'balcony', 'solid_balcony', 'arcade',
    'gate', 'graffiti',
)  # fmt: skip
_CODES = {name: code for code, name in enumerate(_PANELS)}


@dataclass(frozen=True)
class Frame:
    """Place of a building: its +y faces the road.

    Attributes:
        rotation: (3, 3); origin: (3,) world metres of the middle of its ground floor.
    """

    rotation: np.ndarray
    origin: np.ndarray

    @classmethod
    def at(cls, xy: np.ndarray, z: float, yaw: float) -> Frame:
        """A frame turned by `yaw` about z."""
        c, s = np.cos(yaw), np.sin(yaw)
        return cls(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]), np.array([*xy, z]))

    def world(self, maps: np.ndarray) -> np.ndarray:
        """(N, 3, 4) maps into the world of maps into this frame."""
        moved = self.rotation @ maps
        moved[:, :, 3] += self.origin
        return moved

    def block(self, x: float, y: float, z: float, w: float, d: float, h: float) -> np.ndarray:
        """(1, 3, 4) map of a unit box (x, y about 0, z from 0) to a place and size."""
        maps = np.zeros((1, 3, 4))
        maps[0, [0, 1, 2], [0, 1, 2]] = w, d, h
        maps[0, :, 3] = x, y, z
        return self.world(maps)


@functools.lru_cache(maxsize=1)
def _blocks() -> dict[str, Mesh]:
    """Unit boxes and roofs."""
    low, high = (-0.5, -0.5, 0), (0.5, 0.5, 1)
    floor = np.array([[[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]]])
    ends = np.array(
        [[0.5, -0.5, 0], [0.5, 0.5, 0], [0.5, 0, 1], [-0.5, 0.5, 0], [-0.5, -0.5, 0], [-0.5, 0, 1]]
    )
    return {
        'wall': box(low, high, Material.PLASTER, slot=PRIMARY, bottom=True),
        'roof': sheets(floor, Material.ROOF, slot=SECONDARY),
        'slab': sheets(floor, Material.CONCRETE, (150, 144, 134)),
        'room': box(low, high, Material.PLASTER, (176, 166, 150)),
        'step': box(low, high, Material.CONCRETE, (166, 162, 154)),
        'post': box(low, high, Material.WOOD, slot=SECONDARY),
        'steel': box(low, high, Material.STEEL, (150, 152, 154), bottom=True),
        'gable': gable(Material.ROOF, 0.05, slot=SECONDARY),
        'hip': gable(Material.ROOF, 0.05, 0.25, slot=SECONDARY),
        'ends': Mesh.of(ends, np.arange(6).reshape(2, 3), Material.PLASTER, slot=PRIMARY),
        'tank': lathe([(0.5, 0.0), (0.5, 0.8), (0.05, 1.0)], 9, Material.STEEL, (140, 136, 130)),
        'mast': box((-0.02, -0.02, 0), (0.02, 0.02, 1), Material.STEEL, (120, 120, 124)),
    }  # fmt: skip


def put(
    stage: Stage,
    frame: Frame,
    name: str,
    place: tuple[float, float, float],
    size: tuple[float, float, float],
    look: Look,
    secondary: np.ndarray | None = None,
) -> None:
    """Put a unit block: (x, y, z) of the middle of its bottom, and its size."""
    colour = look.roof if secondary is None else secondary
    stage.add(_blocks()[name], frame.block(*place, *size), look.wall, colour, int(look.material))


def build_volume(
    rng: np.random.Generator,
    stage: Stage,
    frame: Frame,
    size: tuple[float, float],
    floors: int,
    look: Look,
    detail: int,
    base: float = 0.0,
    offset: tuple[float, float] = (0.0, 0.0),
) -> float:
    """The walls, floors and rooms of one block of a building; returns its height.

    Args:
        size: width along the road and depth, metres.
        detail: 2 recessed windows all round, 1 only in front, 0 none.
        base: height of its lowest floor; offset: its middle; metres in the frame.
    """
    heights = np.full(floors, look.storey)
    if base == 0 and ('shop' in look.ground or 'arcade' in look.ground):
        heights[0] = 3.9
    levels = base + np.concatenate([[0.0], np.cumsum(heights)])
    _clad(rng, stage, frame, (size, offset), levels, look, detail, base == 0)
    inner = (max(size[0] - 7, 1.5), max(size[1] - 7, 1.5))
    top = float(levels[-1])
    if detail:
        put(stage, frame, 'room', (*offset, base), (*inner, top - base), look)
        for level in levels[1:-1]:
            put(stage, frame, 'slab', (*offset, float(level)), (size[0], size[1], 1), look)
    return top


def _clad(
    rng: np.random.Generator,
    stage: Stage,
    frame: Frame,
    plan: tuple[tuple[float, float], tuple[float, float]],
    levels: np.ndarray,
    look: Look,
    detail: int,
    on_ground: bool,
) -> None:
    """The four sides of a volume, panel by panel; `plan` is its size and its middle."""
    maps, names, sharp = [], [], []
    for side in range(4):
        number = max(1, round(plan[0][side % 2] / look.bay))
        maps.append(_grid(plan, side, number, levels))
        names.append(_panel_names(rng, len(levels) - 1, number, side, look, on_ground).ravel())
        sharp.append(np.full(len(names[-1]), detail == 2 or (detail == 1 and side == 0)))
    every, flat = frame.world(np.concatenate(maps)), np.concatenate(names)
    if on_ground:  # the ground falls: the lowest panels reach below it
        _plinth(stage, every[np.concatenate(maps)[:, 2, 3] == levels[0]], look)
    if not detail:
        _clad_far(stage, frame, plan, levels, look, every[flat != _CODES['wall']])
        return
    clear = np.concatenate(sharp)
    _decorate(rng, stage, frame, plan, levels, look, every[: len(names[0])])
    shade = look.wall * rng.normal(1, 0.012, (len(flat), 1))
    for name, code in _CODES.items():
        found = flat == code
        if not found.any():
            continue
        for near in (True, False):
            rows = np.flatnonzero(found & (clear == near))
            for piece, part in _pieces(rng, name, rows, look, near) if len(rows) else ():
                trim = _trim(rng, name, look)
                stage.add(piece, every[part], shade[part], trim, int(look.material))


def _decorate(
    rng: np.random.Generator,
    stage: Stage,
    frame: Frame,
    plan: tuple[tuple[float, float], tuple[float, float]],
    levels: np.ndarray,
    look: Look,
    front: np.ndarray,
) -> None:
    """Cornices, pipes and what people fix to the front; `front` has the maps of its panels."""
    pieces = facades.ornaments()
    if rng.uniform() < 0.65:
        tone = look.wall * rng.uniform(0.8, 1.15) if rng.uniform() < 0.5 else look.trim
        above = np.concatenate([levels[1:], levels[-1:] + 1.0])
        bands = np.concatenate([_grid(plan, side, 1, above) for side in range(4)])
        bands[:, 2, 2] = 3.0
        stage.add(pieces['band'], frame.world(bands), secondary=tone)
    if rng.uniform() < 0.6:
        ends = np.array([levels[0], levels[-1]])
        stage.add(pieces['pipe'], frame.world(_grid(plan, 0, 1, ends)))
    columns = len(front) // max(1, len(levels) - 1)
    upper = rng.uniform(size=len(front))
    upper[:columns] = 1.0
    for name, share in (('cooler', 0.12), ('dish', 0.05), ('boxes', 0.1)):
        if rng.uniform() < 0.45:
            stage.add(pieces[name], front[upper < share])
    ground = front[:columns]
    for name in ('lamp', 'blade'):
        if rng.uniform() < 0.5:
            tone = np.array(TRIMS[int(rng.integers(len(TRIMS)))], dtype=float)
            stage.add(pieces[name], ground[rng.uniform(size=columns) < 0.3], secondary=tone)


def _grid(
    plan: tuple[tuple[float, float], tuple[float, float]],
    side: int,
    number: int,
    levels: np.ndarray,
) -> np.ndarray:
    """(floors * number, 3, 4) maps of the panels of one side into the building's frame."""
    normal, start = _SIDES[side]
    size, offset = plan
    along = np.array([normal[1], -normal[0]])
    width = size[side % 2] / number
    corner = np.array(start) * np.array(size) / 2 + np.array(offset)
    floors = len(levels) - 1
    maps = np.zeros((floors, number, 3, 4))
    maps[..., :2, 0] = along * width
    maps[..., :2, 1] = normal
    maps[..., 2, 2] = np.diff(levels)[:, None]
    maps[..., :2, 3] = corner + along * (np.arange(number) * width)[:, None]
    maps[..., 2, 3] = levels[:-1, None]
    return maps.reshape(-1, 3, 4)


def _clad_far(
    stage: Stage,
    frame: Frame,
    plan: tuple[tuple[float, float], tuple[float, float]],
    levels: np.ndarray,
    look: Look,
    panes: np.ndarray,
) -> None:
    """Four plain walls with panes on them."""
    ends = np.array([levels[0], levels[-1]])
    walls = np.concatenate([_grid(plan, side, 1, ends) for side in range(4)])
    shades = look.wall * np.array([[1.0], [0.97], [1.0], [0.97]])
    single = facades.single_panels()
    stage.add(single['wall'], frame.world(walls), shades, material=int(look.material))
    stage.add(facades.panes()[max(look.window, 0)], panes)


def _plinth(stage: Stage, maps: np.ndarray, look: Look) -> None:
    below = maps.copy()
    below[:, 2, 2] = 1.6
    below[:, 2, 3] -= 1.6
    stage.add(
        facades.single_panels()['wall'], below, look.wall * 0.72, material=int(look.material)
    )


def _panel_names(
    rng: np.random.Generator, floors: int, number: int, side: int, look: Look, on_ground: bool
) -> np.ndarray:
    """(floors, number) codes of panels."""
    upper = 'glazed' if look.window < 0 else 'window'
    names = np.full((floors, number), _CODES[upper])
    draw = rng.uniform(size=(3, number))
    if look.window >= 0:
        if side == 0 and look.balcony:
            names[1:, draw[0] < 0.45] = _CODES[look.balcony]
        elif side == 0 and rng.uniform() < 0.25:
            names[:, draw[0] < 0.4] = _CODES['bay']
        names[:, draw[1] < (0.08 if side == 0 else 0.35)] = _CODES['wall']
    if on_ground and side == 0:
        ground = np.array([_CODES[name] for name in look.ground])
        names[0] = ground[rng.integers(len(ground), size=number)]
        if 'arcade' not in look.ground and 'gate' not in look.ground[:1]:
            names[0, int(rng.integers(number))] = _CODES['door']
    elif on_ground and look.window >= 0:
        names[0, draw[2] < 0.4] = _CODES['wall']
        names[0, draw[2] > 0.93] = _CODES['graffiti']
    return names


def _pieces(
    rng: np.random.Generator, name: str, rows: np.ndarray, look: Look, sharp: bool
) -> list[tuple[Mesh, np.ndarray]]:
    """Panels for these rows: a name may stand for several."""
    single = facades.single_panels()
    kind = max(look.window, 0)
    window = (facades.windows() if sharp else facades.flat_windows())[kind]
    if name == 'window':
        return [(window, rows)]
    if name == 'shop':
        shops = facades.shops()
        drawn = rng.integers(len(shops), size=len(rows))
        return [(shops[int(k)], rows[drawn == k]) for k in np.unique(drawn)]
    if name in ('balcony', 'solid_balcony'):
        return [(window, rows), (single[name], rows)]
    return [(single[name], rows)]


def _trim(rng: np.random.Generator, name: str, look: Look) -> np.ndarray:
    if name in ('shop', 'arcade', 'gate'):
        return np.array(TRIMS[int(rng.integers(len(TRIMS)))], dtype=float)
    return look.trim


def flat_roof(
    rng: np.random.Generator,
    stage: Stage,
    frame: Frame,
    size: tuple[float, float],
    top: float,
    look: Look,
    offset: tuple[float, float] = (0.0, 0.0),
) -> None:
    """A flat roof with a parapet, a cornice and things on it."""
    (w, d), (x, y) = size, offset
    put(stage, frame, 'roof', (x, y, top), (w, d, 1), look, np.array([104.0, 100, 96]))
    edge = rng.uniform(0.3, 1.1)
    out = rng.uniform(0.0, 0.35)
    for sx, sy, wide, deep in ((0, 1, w, 0.3), (0, -1, w, 0.3), (1, 0, 0.3, d), (-1, 0, 0.3, d)):
        place = (x + sx * w / 2, y + sy * d / 2, top - 0.25)
        put(stage, frame, 'wall', place, (wide + out, deep + out, edge + 0.25), look)
    for _ in range(int(rng.integers(1, 5))):
        name = ('steel', 'wall', 'tank', 'mast')[int(rng.integers(4))]
        place = (x + rng.uniform(-0.3, 0.3) * w, y + rng.uniform(-0.3, 0.3) * d, top)
        high = rng.uniform(2, 6) if name == 'mast' else rng.uniform(0.8, 2.6)
        put(stage, frame, name, place, (rng.uniform(1, 3), rng.uniform(1, 3), high), look)


def pitched_roof(
    rng: np.random.Generator,
    stage: Stage,
    frame: Frame,
    size: tuple[float, float],
    top: float,
    look: Look,
    offset: tuple[float, float] = (0.0, 0.0),
) -> None:
    """A gable or hip roof with a chimney and dormers."""
    (w, d), (x, y) = size, offset
    rise = d / 2 * rng.uniform(0.45, 1.0)
    kind = 'hip' if rng.uniform() < 0.35 and w > d else 'gable'
    put(stage, frame, kind, (x, y, top), (w, d, rise), look)
    if kind == 'gable':
        put(stage, frame, 'ends', (x, y, top), (w, d, rise), look)
    place = (x + rng.uniform(-0.3, 0.3) * w, y + rng.uniform(-0.2, 0.2) * d, top + 0.3 * rise)
    put(stage, frame, 'wall', place, (0.6, 0.7, rise * 0.7 + rng.uniform(0.5, 1.2)), look)


def build_block(
    rng: np.random.Generator,
    stage: Stage,
    frame: Frame,
    size: tuple[float, float],
    floors: int,
    look: Look,
    detail: int,
) -> None:
    """A town house, a block of flats or an office with a set-back top."""
    top = build_volume(rng, stage, frame, size, floors, look, detail)
    if floors <= 5 and min(size) < 15 and rng.uniform() < 0.4:
        pitched_roof(rng, stage, frame, size, top, look)
        return
    flat_roof(rng, stage, frame, size, top, look)
    if floors >= 4 and rng.uniform() < 0.55:
        inner = (size[0] * rng.uniform(0.5, 0.85), size[1] * rng.uniform(0.5, 0.8))
        offset = (0.0, -0.5 * (size[1] - inner[1]) * rng.uniform(0, 1))
        more = int(rng.integers(1, 3 if floors < 8 else 9))
        high = build_volume(rng, stage, frame, inner, more, look, min(detail, 1), top, offset)
        flat_roof(rng, stage, frame, inner, high, look, offset)
