"""Things away from the roads: lone trees, bushes, far buildings, the line of the horizon."""

from __future__ import annotations

import functools

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh
from metabev_ros.lab.simulation.surroundings import vegetation
from metabev_ros.lab.simulation.surroundings.buildings import Frame, build_block
from metabev_ros.lab.simulation.surroundings.houses import build_hall, build_house
from metabev_ros.lab.simulation.surroundings.looks import draw_look
from metabev_ros.lab.simulation.surroundings.plants import clump_tree
from metabev_ros.lab.simulation.surroundings.recipe import Recipe, Season
from metabev_ros.lab.simulation.surroundings.stage import Stage, Wish, turned


def cover_open_ground(
    rng: np.random.Generator,
    stage: Stage,
    recipe: Recipe,
    season: Season,
) -> None:
    """Scatter buildings, then plants over the rest, and close the horizon."""
    low, high = stage.site.bounds
    _far_buildings(rng, stage, low, high, recipe)
    area = float(np.prod(high - low)) / 1000.0
    for kind, density in (('tree', recipe.open_trees), ('bush', recipe.open_bushes)):
        xy = rng.uniform(low, high, (int(area * density), 2))
        tints = season.tints(rng, len(xy))
        yaw = rng.uniform(0, 2 * np.pi, len(xy))
        scale = rng.uniform(0.75, 1.25, len(xy))
        pieces, far = vegetation.park_trees(), vegetation.far_trees()
        if kind == 'bush':
            pieces, far = vegetation.bushes(), vegetation.far_bushes()
        stage.stand(rng, Wish(pieces, xy, yaw, scale, tints, tints, False, False, far))
    _horizon(rng, stage, low, high, season)


def _far_buildings(
    rng: np.random.Generator,
    stage: Stage,
    low: np.ndarray,
    high: np.ndarray,
    recipe: Recipe,
) -> None:
    """A second row of buildings of few triangles, of the kinds that the plots have."""
    kinds = [kind for kind in ('block', 'tower', 'house', 'hall') if kind in recipe.plots]
    weights = np.array([recipe.plots[kind] for kind in kinds])
    count = int(min(weights.sum(), 12) * float(np.prod(high - low)) / 26000.0)
    for xy in rng.uniform(low + 14, high - 14, (count, 2)):
        if stage.site.way(xy) < 26:
            continue
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        wide, deep = rng.uniform(11, 26), rng.uniform(9, 16)
        if kind == 'house':
            wide, deep = rng.uniform(8, 13), rng.uniform(7, 11)
        yaw = float(rng.uniform(0, 2 * np.pi))
        grid = np.meshgrid(np.linspace(-0.5, 0.5, 40) * wide, np.linspace(-0.5, 0.5, 30) * deep)
        local = np.stack(grid, axis=-1).reshape(-1, 2)
        marks = turned(local, np.array([yaw]), np.ones(1)) + xy
        if not stage.site.accept(marks, False, True)[0]:
            continue
        frame = Frame.at(xy, float(stage.height(xy[None])[0]), yaw)
        look = draw_look(rng, (Material.BRICK, Material.PLASTER, Material.CONCRETE), False)
        if kind == 'house':
            build_house(rng, stage, frame, (wide, deep), look, 0)
        elif kind == 'hall':
            build_hall(rng, stage, frame, (wide, deep), look, 0)
        else:
            floors = int(rng.integers(*recipe.floors)) + 1 + 5 * (kind == 'tower')
            build_block(rng, stage, frame, (wide, deep), floors, look, 0)


@functools.lru_cache(maxsize=1)
def _backdrop() -> tuple[Mesh, ...]:
    rng = np.random.default_rng(801)
    heights = rng.uniform(8, 16, 5)
    return tuple(clump_tree(rng, float(height), 70) for height in heights)


def _horizon(
    rng: np.random.Generator, stage: Stage, low: np.ndarray, high: np.ndarray, season: Season
) -> None:
    """Trees of few large leaves along the edge of the world."""
    size = high - low
    way = np.arange(0, 2 * size.sum(), 8.0) + rng.uniform(0, 6, int(np.ceil(2 * size.sum() / 8.0)))
    way %= 2 * size.sum()
    edge = np.searchsorted(np.cumsum([size[0], size[1], size[0], size[1]]), way, side='right')
    part = way - np.concatenate([[0], np.cumsum([size[0], size[1], size[0], size[1]])])[edge]
    inset = rng.uniform(3, 14, len(way))
    x = np.select([edge == 0, edge == 1, edge == 2], [part, size[0] - inset, part], inset)
    y = np.select([edge == 0, edge == 1, edge == 2], [inset, part, size[1] - inset], part)
    xy = low + np.stack([x, y], axis=1)
    yaw, scale = rng.uniform(0, 2 * np.pi, len(xy)), rng.uniform(0.8, 1.4, len(xy))
    tints = season.tints(rng, len(xy))
    stage.stand(rng, Wish(_backdrop(), xy, yaw, scale, tints, tints, take=False))
