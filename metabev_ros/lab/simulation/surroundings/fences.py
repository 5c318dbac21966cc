"""Things that run along a line: fences, guard rails, noise barriers, walls, hedges, hoardings.

A panel is 1 long (x, 0..1), as high as it is, and is stretched between two posts of the line.
"""

from __future__ import annotations

import functools

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import PRIMARY, SECONDARY, Mesh
from metabev_ros.lab.simulation.surroundings.shapes import box, scaled, sheets
from metabev_ros.lab.simulation.surroundings.stage import Stage
from metabev_ros.lab.simulation.surroundings.vegetation import hedge_panels


def _slats(count: int, gap: float, top: float, material: Material, thick: float = 0.02) -> Mesh:
    """Upright boards; `gap` is the share of air."""
    step = 1 / count
    parts = []
    for k in range(count):
        shade = 255 - 28 * ((k * 7) % 5) / 4
        high = top * (1 - 0.015 * ((k * 5) % 3))
        parts.append(
            box(
                (k * step, -thick, -0.1),
                ((k + 1 - gap) * step, thick, high),
                material,
                (shade,) * 3,
                PRIMARY,
            )
        )
    return Mesh.join(parts)


def _post(top: float, wide: float, material: Material, slot: int = SECONDARY) -> Mesh:
    half = wide / 2
    return box((-half / 2.2, -half, -0.4), (half / 2.2, half, top), material, slot=slot)


def _rail(z: float, high: float, material: Material, y: float = 0.0, deep: float = 0.02) -> Mesh:
    return box((0, y - deep, z), (1, y + deep, z + high), material, slot=SECONDARY, bottom=True)


def _sheet(top: float, low: float, material: Material, deep: float = 0.02) -> Mesh:
    return box((0, -deep, low), (1, deep, top), material, slot=PRIMARY, bottom=True)


def wire(top: float, pitch: float = 0.28, thick: float = 0.014, length: float = 2.2) -> Mesh:
    """Chain link: crossed wires that cover about a tenth; rays pass mostly through."""
    strips = []
    for sign in (1, -1):
        for start in np.arange(-top, length, pitch):
            t = np.array([max(0.0, -start), min(top, length - start)])
            x = start + t
            z = t if sign > 0 else top - t
            if t[1] - t[0] < 0.05:
                continue
            strips.append(
                [
                    [x[0] / length, 0, z[0]],
                    [(x[0] + 1.4 * thick) / length, 0, z[0]],
                    [(x[1] + 1.4 * thick) / length, 0, z[1]],
                    [x[1] / length, 0, z[1]],
                ]
            )
    return sheets(np.array(strips), Material.STEEL, (150, 154, 152))


def _chain_link(top: float) -> Mesh:
    return Mesh.join(
        [wire(top), _post(top + 0.1, 0.07, Material.STEEL), _rail(top, 0.04, Material.STEEL)]
    )


def _bar(x: float, top: float) -> Mesh:
    """A thin bar: two sheets that cross."""
    flat = [[x, 0, 0], [x + 0.01, 0, 0], [x + 0.01, 0, top], [x, 0, top]]
    deep = [[x, -0.012, 0], [x, 0.012, 0], [x, 0.012, top], [x, -0.012, top]]
    return sheets(np.array([flat, deep]), Material.STEEL, slot=PRIMARY)


def _iron_bars(top: float) -> Mesh:
    bars = [_bar(x, top) for x in np.linspace(0.03, 0.96, 15)]
    rails = [_rail(0.12, 0.04, Material.STEEL), _rail(top - 0.2, 0.04, Material.STEEL)]
    return Mesh.join([*bars, *rails, _post(top + 0.15, 0.1, Material.STEEL, PRIMARY)])


def _guard_rail() -> Mesh:
    """W-beam: three bands at an angle, on posts."""
    y = (0.04, 0.1, 0.04, 0.1, 0.04)
    z = (0.44, 0.52, 0.6, 0.68, 0.76)
    corners = np.array(
        [
            [[1, y[k], z[k]], [0, y[k], z[k]], [0, y[k + 1], z[k + 1]], [1, y[k + 1], z[k + 1]]]
            for k in range(4)
        ]
    )
    shade = np.array([[170.0], [205], [170], [205]]) * np.ones((1, 3))
    return Mesh.join(
        [
            sheets(corners, Material.STEEL, shade),
            box((-0.02, -0.1, -0.3), (0.03, 0.03, 0.75), Material.STEEL, (150, 152, 150)),
        ]
    )


def _masonry(top: float, piers: bool) -> Mesh:
    parts = [_sheet(top, -0.5, Material.BRICK, 0.12)]
    parts.append(
        box((0, -0.16, top), (1, 0.16, top + 0.07), Material.CONCRETE, slot=SECONDARY, bottom=True)
    )
    if piers:
        parts.append(
            box((-0.08, -0.2, -0.4), (0.08, 0.2, top + 0.25), Material.BRICK, (235,) * 3, PRIMARY)
        )
    return Mesh.join(parts)


def _stones(top: float) -> Mesh:
    """A wall of uneven stones."""
    rng = np.random.default_rng(301)
    parts = []
    for z in np.arange(-0.2, top - 0.05, 0.28):
        x = 0.0
        while x < 1:
            wide = rng.uniform(0.1, 0.3)
            deep = rng.uniform(0.2, 0.28)
            shade = rng.uniform(180, 255) + rng.normal(0, 6, 3)
            high = z + rng.uniform(0.24, 0.32)
            parts.append(
                box(
                    (x, -deep, z),
                    (min(x + wide, 1.0), deep, high),
                    Material.CONCRETE,
                    shade,
                    PRIMARY,
                )
            )
            x += wide + 0.01
    return Mesh.join(parts)


def _noise_barrier(glass: bool) -> Mesh:
    """Panels of 3.6 m between steel posts."""
    low = box((0, -0.08, -0.4), (1, 0.08, 1.2), Material.CONCRETE, (150, 148, 142))
    post = box((-0.03, -0.14, -0.4), (0.03, 0.14, 3.7), Material.STEEL, (110, 116, 112))
    if glass:
        pane = box((0, -0.02, 1.2), (1, 0.02, 3.6), Material.WINDOW, (120, 150, 150), bottom=True)
        return Mesh.join([low, post, pane, _rail(3.55, 0.06, Material.STEEL)])
    ribs = [
        box(
            (0, -0.06 - 0.03 * (k % 2), z),
            (1, 0.06 + 0.03 * (k % 2), z + 0.3),
            Material.WOOD,
            (255 - 20 * (k % 2),) * 3,
            PRIMARY,
        )
        for k, z in enumerate(np.arange(1.2, 3.5, 0.3))
    ]
    return Mesh.join([low, post, *ribs])


def _wire_and_posts() -> Mesh:
    """A farm fence: a wooden post and three wires."""
    wires = [_rail(z, 0.012, Material.STEEL, 0, 0.006) for z in (0.4, 0.75, 1.1)]
    return Mesh.join(
        [box((-0.02, -0.05, -0.3), (0.025, 0.05, 1.25), Material.WOOD, slot=PRIMARY), *wires]
    )


def _hoarding() -> Mesh:
    """A site's hoarding: sheets of wood with a printed band, struts behind."""
    return Mesh.join(
        [
            _sheet(2.2, 0.02, Material.WOOD, 0.02),
            box((0, 0.022, 1.3), (1, 0.03, 1.8), Material.PLASTIC, slot=SECONDARY, bottom=True),
            box((0.48, -0.06, 0), (0.52, -0.02, 2.2), Material.WOOD, (150, 120, 90)),
        ]
    )


def _site_fence() -> Mesh:
    """A movable mesh fence on concrete feet."""
    return Mesh.join(
        [
            wire(1.9, 0.3, 0.012),
            _rail(1.95, 0.05, Material.STEEL),
            _rail(0.1, 0.05, Material.STEEL),
            box((0, -0.02, 0), (0.02, 0.02, 2.0), Material.STEEL, (180, 182, 184)),
            box((-0.1, -0.35, 0), (0.1, 0.35, 0.14), Material.CONCRETE, (140, 138, 134)),
        ]
    )


@functools.lru_cache(maxsize=1)
def panels() -> dict[str, tuple[tuple[Mesh, ...], float]]:
    """Pieces of each kind of line, and the metres of one panel."""
    wood = Mesh.join([_slats(9, 0.02, 1.8, Material.WOOD), _post(1.9, 0.12, Material.WOOD)])
    picket = Mesh.join(
        [
            _slats(10, 0.45, 1.0, Material.WOOD),
            _rail(0.25, 0.07, Material.WOOD),
            _rail(0.7, 0.07, Material.WOOD),
        ]
    )
    ranch = Mesh.join(
        [box((0, -0.05, -0.3), (0.05, 0.05, 1.3), Material.WOOD, slot=SECONDARY)]
        + [_rail(z, 0.12, Material.WOOD) for z in (0.35, 0.7, 1.05)]
    )
    hedges = hedge_panels()
    return {
        'wood': ((wood,), 2.0),
        'picket': ((picket,), 1.8),
        'ranch': ((ranch,), 2.6),
        'chain_link': ((_chain_link(1.8), _chain_link(1.8)), 2.2),
        'high_link': ((_chain_link(2.6),), 2.4),
        'iron': ((_iron_bars(1.5),), 2.2),
        'low_iron': ((_iron_bars(0.9),), 2.0),
        'guard_rail': ((_guard_rail(),), 3.2),
        'brick_wall': ((_masonry(1.7, True), _masonry(1.7, False)), 2.4),
        'low_wall': ((_masonry(0.55, False),), 2.4),
        'high_wall': ((_masonry(2.6, False), _masonry(2.6, True)), 3.0),
        'stone_wall': ((_stones(1.1),), 2.0),
        'noise_barrier': ((_noise_barrier(False),), 3.0),
        'glass_barrier': ((_noise_barrier(True),), 3.0),
        'wire': ((_wire_and_posts(),), 3.0),
        'hoarding': ((_hoarding(),), 2.4),
        'site_fence': ((_site_fence(),), 2.3),
        'hedge': (tuple(scaled(h, 1, 0.9, 1.5) for h in hedges), 1.2),
        'low_hedge': (tuple(scaled(h, 1, 0.7, 0.8) for h in hedges), 1.1),
        'high_hedge': (tuple(scaled(h, 1, 1.3, 2.3) for h in hedges), 1.6),
    }


_PAINTS = {
    'wood': ((150, 112, 78), (120, 92, 70), (170, 150, 128), (96, 84, 72)),
    'picket': ((238, 238, 232), (200, 190, 176), (150, 120, 90)),
    'ranch': ((230, 230, 226), (130, 104, 80)),
    'iron': ((40, 42, 46), (60, 76, 66)),
    'low_iron': ((40, 42, 46), (90, 96, 100)),
    'brick_wall': ((160, 98, 78), (186, 140, 110), (206, 196, 180), (140, 90, 76)),
    'low_wall': ((170, 110, 90), (190, 184, 174), (150, 146, 140)),
    'high_wall': ((160, 98, 78), (196, 188, 174), (150, 148, 144)),
    'stone_wall': ((160, 154, 142), (140, 130, 116)),
    'noise_barrier': ((120, 140, 116), (150, 120, 90), (140, 146, 150)),
    'wire': ((130, 110, 86),),
    'hoarding': ((60, 110, 170), (230, 226, 216), (190, 160, 60), (70, 130, 80)),
}
_GREENS = ((92, 122, 58), (78, 108, 60), (110, 132, 66), (70, 96, 52))


def run(
    rng: np.random.Generator,
    stage: Stage,
    kind: str,
    line: np.ndarray,
    gaps: float = 0.0,
    walkway: bool = True,
) -> None:
    """Stretch panels of one kind along a line where nothing is in the way.

    Args:
        line: (N, 2) world points; +y of the panels is on its left.
        gaps: share of panels that are left out, as gates are.
        walkway: the line may run over a walkway.
    """
    pieces, length = panels()[kind]
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    number = int(way[-1] / length)
    if number < 1:
        return
    at = np.linspace(0, way[-1], number + 1)
    knots = np.stack([np.interp(at, way, line[:, k]) for k in range(2)], axis=1)
    a, b = knots[:-1], knots[1:]
    along = b - a
    unit = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    across = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    wide = max(float(np.abs(piece.vertices[:, 1]).max()) for piece in pieces)
    t = np.linspace(-0.08, 1.08, 13)[None, :, None]
    middle = a[:, None] + t * along[:, None]
    marks = np.concatenate(
        [middle, middle + wide * across[:, None], middle - wide * across[:, None]], 1
    )
    fits = stage.site.off_road(marks, walkway).all(axis=1)
    fits &= stage.site.is_free(middle[:, 1:-1]).all(axis=1)
    fits &= rng.uniform(size=number) >= gaps
    stage.site.take(middle[fits])
    z = stage.height(knots)
    maps = np.zeros((number, 3, 4))
    maps[:, :2, 0], maps[:, 2, 0] = along, np.diff(z)
    maps[:, :2, 1] = across
    maps[:, 2, 2] = rng.uniform(0.85, 1.15)
    maps[:, :2, 3], maps[:, 2, 3] = a, z[:-1]
    palette = _PAINTS.get(kind, _GREENS if 'hedge' in kind else ((200, 200, 196),))
    colour = np.array(palette[int(rng.integers(len(palette)))], dtype=float)
    trim = np.clip(colour * rng.uniform(0.8, 1.2), 0, 255)
    shades = colour * rng.normal(1, 0.04, (number, 1))
    drawn = rng.integers(len(pieces), size=number)
    for k, piece in enumerate(pieces):
        rows = fits & (drawn == k)
        stage.add(piece, maps[rows], shades[rows], trim)
