"""A street from its seed: layout, ground, surroundings and bodies put together."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from metabev_ros.lab.simulation.bodies.shelf import BodyShelf, shelf
from metabev_ros.lab.simulation.embree import library
from metabev_ros.lab.simulation.ground_mesh import ground_mesh
from metabev_ros.lab.simulation.layout import Layout, draw_layout
from metabev_ros.lab.simulation.meshes import Mesh
from metabev_ros.lab.simulation.painting import paint_layout
from metabev_ros.lab.simulation.rays import RayMesh
from metabev_ros.lab.simulation.street import Floor, Street
from metabev_ros.lab.simulation.style import Style
from metabev_ros.lab.simulation.surface import draw_surface
from metabev_ros.lab.simulation.surroundings.busy import busy_places
from metabev_ros.lab.simulation.surroundings.place import build_surroundings
from metabev_ros.lab.simulation.terrain import draw_terrain
from metabev_ros.lab.simulation.traffic import read_evaluation_layout


def build_street(
    seed: int,
    seconds: float,
    style: Style | None = None,
    every_class: bool = False,
) -> Street:
    """The world of a drive; equal arguments give equal worlds.

    Args:
        seconds: how long the ego drives through it.
        style: None draws it.
        every_class: rare classes are frequent.
    """
    return _assembled(seed, draw_layout(seed, seconds, style, every_class), seconds)


def build_recorded_street(seed: int, path: Path) -> tuple[Street, float]:
    """The world of recorded traffic, and how many seconds it lasts. For evaluation, not training.

    Args:
        seed: of everything that is not recorded: heights, surroundings, looks.
        path: see `read_evaluation_layout`.

    Raises:
        ConfigError: for a file that is no recording.
    """
    layout, seconds = read_evaluation_layout(path, seed)
    return _assembled(seed, layout, seconds), seconds


def _assembled(seed: int, layout: Layout, seconds: float) -> Street:
    library()  # where it is missing, that is said before seconds of work
    rng = np.random.default_rng([seed, 11])
    ground = paint_layout(rng, layout)
    terrain = draw_terrain(np.random.default_rng([seed, 12]), ground)
    floor = ground_mesh(terrain, ground)
    around = build_surroundings(
        np.random.default_rng([seed, 13]),
        layout.style,
        layout.networks,
        ground,
        terrain.height,
        busy_places(layout, seconds),
    )
    bodies, ray_bodies = _bodies()
    # The markings of recorded places are those of their ground.
    recorded = layout.ground is not None
    networks = () if recorded else tuple(zip(layout.networks, layout.car_parks, strict=True))
    surface = draw_surface(np.random.default_rng([seed, 14]), terrain, ground, networks)
    return Street(
        seed,
        layout,
        Floor(ground, terrain, surface, len(floor.triangles)),
        RayMesh(Mesh.join([floor, around])),
        bodies,
        ray_bodies,
    )


@cache
def _bodies() -> tuple[BodyShelf, tuple[RayMesh, ...]]:
    """The bodies of all streets of this process, and they as rays see them."""
    bodies = shelf()
    return bodies, tuple(RayMesh(body.mesh) for body in bodies.bodies)
