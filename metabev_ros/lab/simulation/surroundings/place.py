"""The surroundings of a world: plots, kerbs, open ground and what spans the road, by style."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import Ground
from metabev_ros.lab.datasets.synthetic.roads import RoadNetwork
from metabev_ros.lab.simulation.meshes import Mesh
from metabev_ros.lab.simulation.style import Style
from metabev_ros.lab.simulation.surroundings.kerbs import line_kerbs
from metabev_ros.lab.simulation.surroundings.open_ground import cover_open_ground
from metabev_ros.lab.simulation.surroundings.plots import fill_plots
from metabev_ros.lab.simulation.surroundings.recipe import draw_season, recipe_of
from metabev_ros.lab.simulation.surroundings.site import Site, fronts
from metabev_ros.lab.simulation.surroundings.spans import span_roads
from metabev_ros.lab.simulation.surroundings.stage import Stage


def build_surroundings(
    rng: np.random.Generator,
    style: Style,
    networks: Sequence[RoadNetwork],
    ground: Ground,
    height: Callable[[np.ndarray], np.ndarray],
    busy: Sequence[np.ndarray] = (),
) -> Mesh:
    """Everything that stands still beside the roads and is no object.

    Args:
        height: metres of the ground at (..., 2) world points.
        busy: (N, 2) world polygons on which nothing may stand (see `busy_places`).

    Returns:
        One mesh in the world frame; below 4 m nothing of it is over a drivable surface.
    """
    recipe = recipe_of(style)
    stage = Stage(Site.of(ground, networks), height, recipe.sharp)
    stage.site.reserve(busy)
    season = draw_season(rng)
    for roads in networks:
        span_roads(rng, stage, roads, recipe)
    sides = [front for roads in networks for front in fronts(roads)]
    sides.sort(key=lambda front: not front.is_main)
    for front in sides:
        line_kerbs(rng, stage, front, recipe, season)
    stage.settle(rng)
    for front in sides:
        fill_plots(rng, stage, front, recipe, season)
    stage.settle(rng)
    cover_open_ground(rng, stage, recipe, season)
    return stage.mesh()
