"""The land behind the walkways, plot by plot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.surroundings import vegetation
from metabev_ros.lab.simulation.surroundings.building_sites import scaffold
from metabev_ros.lab.simulation.surroundings.buildings import (
    Frame,
    build_block,
    build_volume,
)
from metabev_ros.lab.simulation.surroundings.houses import build_hall, build_house
from metabev_ros.lab.simulation.surroundings.looks import draw_look
from metabev_ros.lab.simulation.surroundings.plot import Plot
from metabev_ros.lab.simulation.surroundings.recipe import Recipe, Season
from metabev_ros.lab.simulation.surroundings.site import Front
from metabev_ros.lab.simulation.surroundings.stage import Stage, upright_maps

# Metres along the road of a plot of each kind.
_WIDTHS = {
    'block': (12, 30), 'tower': (18, 34), 'house': (13, 24), 'hall': (24, 48), 'square': (18, 34),
    'park': (16, 40), 'works': (18, 36), 'yard': (18, 40), 'wall': (16, 50), 'wood': (20, 60),
    'field': (30, 80), 'barrier': (40, 110),
}  # fmt: skip


def fill_plots(
    rng: np.random.Generator, stage: Stage, front: Front, recipe: Recipe, season: Season
) -> None:
    """Fill one side of a road."""
    kinds = list(recipe.plots)
    weights = np.array([recipe.plots[kind] for kind in kinds], dtype=float)
    s = front.s0 + rng.uniform(0, 4)
    while s < front.s1 - 4:
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        width = min(rng.uniform(*_WIDTHS[kind]), front.s1 - s)
        way = float(stage.site.way(front.at(s + width / 2, front.walkway)[0]))
        detail = 2 if front.is_main else (1 if way < 36 else 0)
        near = front.walkway + 0.1
        plot = Plot(rng, stage, front, recipe, season, s, s + width, near, detail)
        _FILLERS[kind](plot)
        s += width + (0.0 if rng.uniform() < 0.55 else rng.uniform(1, 7))


def _block(plot: Plot, floors: int | None = None) -> None:
    rng = plot.rng
    low, high = plot.recipe.floors
    floors = int(rng.integers(low, high + 1)) if floors is None else floors
    depth, setback = rng.uniform(9, 16), rng.uniform(*plot.recipe.setback)
    frame, width = _try_sites(plot, plot.width * rng.uniform(0.9, 0.99), depth, setback, 1.2)
    if frame is None:
        _garden(plot)
        return
    walls = (Material.BRICK, Material.PLASTER, Material.PLASTER, Material.CONCRETE)
    look = draw_look(
        rng, walls, setback < 4 and plot.recipe.setback[0] < 3 and rng.uniform() < 0.75
    )
    detail = plot.detail if floors <= 3 else min(plot.detail, 1)
    build_block(rng, plot.stage, frame, (width, depth), floors, look, detail)
    if setback > 2.5:
        kind = ('low_wall', 'low_hedge', 'low_iron', 'iron', 'brick_wall', '')[
            int(rng.integers(6))
        ]
        if kind:
            plot.fence(kind, plot.near + 0.2, 0.2)
        plot.plant(vegetation.bushes(), 4, plot.near + 0.8, plot.near + setback - 0.5, False)


def _try_sites(
    plot: Plot, width: float, depth: float, setback: float, apron: float = 0.4
) -> tuple[Frame | None, float]:
    """A site of this size, or a smaller one further back."""
    middle = (plot.s0 + plot.s1) / 2
    for k in range(4):
        wide = width * (1 - 0.18 * k)
        if wide < 4:
            break
        frame = plot.site(wide, depth, setback + 2.2 * k, middle, min(apron, setback - 0.1))
        if frame is not None:
            return frame, wide
    return None, width


def _tower(plot: Plot) -> None:
    rng = plot.rng
    depth = rng.uniform(14, 22)
    frame, width = _try_sites(plot, plot.width * 0.9, depth, rng.uniform(1.0, 7.0))
    if frame is None:
        _garden(plot)
        return
    walls = (Material.CONCRETE, Material.STEEL, Material.PLASTER)
    look = draw_look(rng, walls, rng.uniform() < 0.4)
    kind = -1 if rng.uniform() < 0.6 else 4
    look = type(look)(
        look.material, look.wall, look.trim, look.roof, kind,
        look.ground if 'shop' in look.ground else ('glazed', 'glazed', 'door'),
        '', rng.uniform(2.4, 4.2), rng.uniform(3.4, 4.0),
    )  # fmt: skip
    build_block(rng, plot.stage, frame, (width, depth), int(rng.integers(7, 16)), look, 1)
    plot.scatter('bollard', 5, plot.near + 0.2, plot.near + 1.5)


def _house(plot: Plot) -> None:
    rng = plot.rng
    depth, setback = rng.uniform(7.5, 12), rng.uniform(*plot.recipe.setback)
    width = min(plot.width * rng.uniform(0.55, 0.85), 15.0)
    frame, width = _try_sites(plot, width, depth, setback, 3.0)
    if frame is not None:
        walls = (Material.BRICK, Material.PLASTER, Material.WOOD, Material.WOOD)
        look = draw_look(rng, walls, False)
        build_house(rng, plot.stage, frame, (width, depth), look, plot.detail)
    _garden(plot, setback)
    back = plot.near + setback + depth
    plot.scatter('shed', 1 + int(rng.integers(2)), back + 1.5, back + 9)
    plot.trees(2, back + 2, back + 10)
    if rng.uniform() < 0.5:
        plot.scatter('bin', 2, plot.near + 0.4, plot.near + 1.4, False)
    if plot.detail:
        kind = ('wood', 'hedge', 'chain_link', 'high_hedge', 'wood')[int(rng.integers(5))]
        plot.sides(kind, plot.near + 0.4, plot.near + setback + depth * rng.uniform(0.3, 1.0))


def _garden(plot: Plot, deep: float = 5.0) -> None:
    """A hedge or fence in front, bushes, a tree."""
    rng = plot.rng
    fences = (
        'picket', 'hedge', 'low_hedge', 'low_wall', 'iron', 'brick_wall', 'wood', 'stone_wall',
        'chain_link', 'high_hedge', 'ranch', '', '',
    )  # fmt: skip
    kind = fences[int(rng.integers(len(fences)))]
    if kind and not (kind.endswith('hedge') and not plot.detail):
        plot.fence(kind, plot.near + 0.3, rng.uniform(0.08, 0.3))
    plot.plant(
        vegetation.bushes(), int(plot.width / 3.2), plot.near + 0.8, plot.near + deep, False
    )
    if rng.uniform() < 0.7:
        plot.trees(1, plot.near + 1.5, plot.near + deep)
    elif rng.uniform() < 0.5:
        plot.plant(vegetation.young_trees(), 2, plot.near + 0.8, plot.near + deep, False)
    if rng.uniform() < 0.25:
        plot.scatter('rock', 3, plot.near + 0.6, plot.near + deep)
    if rng.uniform() < 0.2:
        plot.scatter('shed', 1, plot.near + 1.5, plot.near + deep)


def _hall(plot: Plot) -> None:
    rng = plot.rng
    depth, setback = rng.uniform(16, 30), rng.uniform(*plot.recipe.setback)
    frame, width = _try_sites(plot, plot.width * 0.85, depth, setback + 2, 4.3)
    if frame is not None:
        look = draw_look(rng, (Material.CONCRETE, Material.BRICK), False)
        build_hall(rng, plot.stage, frame, (width, depth), look, plot.detail)
    _goods(plot, int(plot.width / 5), setback + 3)
    kind = ('chain_link', 'high_link', 'iron', 'hedge', 'low_wall', '')[int(rng.integers(6))]
    if kind:
        plot.fence(kind, plot.near + 0.3, 0.15)


def _goods(plot: Plot, count: int, deep: float) -> None:
    for kind, share in (
        ('pallet', 0.4),
        ('skip', 0.2),
        ('container', 0.15),
        ('transformer', 0.1),
        ('heap', 0.15),
    ):
        number = int(plot.rng.poisson(share * count))
        plot.scatter(kind, number, plot.near + 1.2, plot.near + deep)


def _yard(plot: Plot) -> None:
    rng = plot.rng
    deep = rng.uniform(12, 26)
    kind = ('chain_link', 'high_link', 'high_wall', 'wood', 'site_fence')[int(rng.integers(5))]
    plot.fence(kind, plot.near + 0.4, 0.12)
    number = int(plot.width / 6) + 1
    plot.scatter('container', number, plot.near + 2.5, plot.near + deep, False)
    plot.scatter('tank', int(rng.integers(0, 3)), plot.near + 3, plot.near + deep)
    _goods(plot, int(plot.width / 2.5), deep)
    plot.plant(vegetation.bushes(), 5, plot.near + 0.8, plot.near + deep, False)
    plot.plant(vegetation.grass_tufts(), 12, plot.near + 0.6, plot.near + deep)
    if plot.detail and rng.uniform() < 0.7:
        plot.sides('chain_link', plot.near + 0.6, plot.near + deep)


def _works(plot: Plot) -> None:
    rng = plot.rng
    deep = rng.uniform(12, 20)
    plot.fence(
        ('hoarding', 'site_fence', 'site_fence')[int(rng.integers(3))], plot.near + 0.3, 0.1
    )
    depth = rng.uniform(8, 12)
    frame, width = _try_sites(plot, plot.width * 0.6, depth, 5.0, 1.3)
    if frame is not None:
        look = draw_look(rng, (Material.CONCRETE, Material.BRICK), False)
        floors = int(rng.integers(1, 5))
        top = build_volume(
            rng, plot.stage, frame, (width, depth), floors, look, min(plot.detail, 1)
        )
        _scaffold(plot, frame, width, depth, top)
    plot.scatter('heap', 4, plot.near + 1.5, plot.near + deep)
    plot.scatter('site', 6, plot.near + 1.2, plot.near + deep)
    _goods(plot, 5, deep)


def _scaffold(plot: Plot, frame: Frame, width: float, depth: float, top: float) -> None:
    columns, rows = int(width / 2.5), int(top / 2.0) + 1
    maps = []
    for row in range(rows):
        for column in range(columns):
            one = np.zeros((3, 4))
            one[[0, 1, 2], [0, 1, 2]] = 1.0
            one[:, 3] = -width / 2 + 2.5 * column, depth / 2 + 0.1, 2.0 * row
            maps.append(one)
    if maps:
        plot.stage.add(scaffold(), frame.world(np.array(maps)))


def _square(plot: Plot) -> None:
    rng = plot.rng
    deep = rng.uniform(10, 18)
    plot.scatter('statue', 3, plot.near + 2, plot.near + deep)
    for kind, number in (
        ('cafe', 8),
        ('bench', 4),
        ('planter', 5),
        ('stall', 3),
        ('bin', 3),
        ('poster', 2),
        ('bollard', 6),
    ):
        plot.scatter(kind, number, plot.near + 0.8, plot.near + deep)
    plot.trees(3, plot.near + 2, plot.near + deep)


def _park(plot: Plot) -> None:
    rng = plot.rng
    deep = rng.uniform(14, 26)
    kind = ('low_iron', 'hedge', 'low_wall', 'iron', 'stone_wall', '', '')[int(rng.integers(7))]
    if kind:
        plot.fence(kind, plot.near + 0.3, 0.12)
    plot.trees(int(plot.width * deep / 75), plot.near + 1.5, plot.near + deep)
    plot.plant(
        vegetation.bushes(), int(plot.width / 2.2), plot.near + 0.8, plot.near + deep, False
    )
    plot.plant(vegetation.young_trees(), 3, plot.near + 1, plot.near + deep, False)
    for kind, number in (('bench', 2), ('rock', 3), ('statue', 1), ('bin', 1)):
        plot.scatter(kind, number, plot.near + 1, plot.near + deep)


def _wood(plot: Plot) -> None:
    deep = plot.rng.uniform(14, 30)
    plot.trees(int(plot.width * deep / 70), plot.near + 1.5, plot.near + deep)
    plot.plant(
        vegetation.far_trees(), int(plot.width * deep / 60), plot.near + 9, plot.near + deep + 10
    )
    plot.plant(
        vegetation.bushes(), int(plot.width / 2.0), plot.near + 0.8, plot.near + deep, False
    )
    plot.plant(vegetation.grass_tufts(), int(plot.width), plot.near + 0.4, plot.near + 6)
    plot.plant(vegetation.stumps(), 1, plot.near + 1, plot.near + 8, False)


def _field(plot: Plot) -> None:
    rng = plot.rng
    kind = ('wire', 'ranch', 'stone_wall', 'hedge', 'wire', '')[int(rng.integers(6))]
    if kind:
        plot.fence(kind, plot.near + 1.5, 0.04)
    plot.plant(vegetation.grass_tufts(), int(1.3 * plot.width), plot.near + 0.4, plot.near + 8)
    plot.plant(vegetation.bushes(), int(plot.width / 9), plot.near + 1, plot.near + 30, False)
    if rng.uniform() < 0.4:
        plot.trees(2, plot.near + 3, plot.near + 25)
    if rng.uniform() < 0.25:
        plot.scatter('heap', 2, plot.near + 4, plot.near + 20)
    if rng.uniform() < 0.25:
        plot.scatter('shed', 1, plot.near + 6, plot.near + 30)


def _wall(plot: Plot) -> None:
    rng = plot.rng
    kind = ('high_wall', 'brick_wall', 'stone_wall', 'high_hedge', 'wood')[int(rng.integers(5))]
    plot.fence(kind, plot.near + 0.4, 0.03)
    if rng.uniform() < 0.5:
        xy, yaw = plot.points(int(plot.width / 3), plot.near + 0.1, plot.near + 0.15)
        size = np.column_stack(
            [rng.uniform(0.8, 2.4, len(xy)), np.ones(len(xy)), rng.uniform(0.8, 1.8, len(xy))]
        )
        maps = upright_maps(xy, plot.stage.height(xy), yaw, np.ones(len(xy)))
        maps[:, :, :3] *= size[:, None]
        free = plot.stage.site.off_road(xy, True)
        plot.stage.add(
            vegetation.ivy_panels()[0], maps[free], plot.season.tints(rng, int(free.sum()))
        )
    plot.trees(int(plot.width / 9), plot.near + 2.5, plot.near + 12)
    plot.plant(vegetation.bushes(), int(plot.width / 5), plot.near + 1.5, plot.near + 8, False)


def _barrier(plot: Plot) -> None:
    rng = plot.rng
    kind = ('noise_barrier', 'noise_barrier', 'glass_barrier', 'high_link')[int(rng.integers(4))]
    plot.fence(kind, plot.near + rng.uniform(1.5, 4.5))
    plot.trees(int(plot.width / 12), plot.near + 6, plot.near + 16)
    plot.plant(vegetation.bushes(), int(plot.width / 5), plot.near + 5, plot.near + 14, False)


_FILLERS: dict[str, Callable[[Plot], None]] = {
    'block': _block, 'tower': _tower, 'house': _house, 'hall': _hall, 'square': _square,
    'park': _park, 'works': _works, 'yard': _yard, 'wall': _wall, 'wood': _wood, 'field': _field,
    'barrier': _barrier,
}  # fmt: skip
