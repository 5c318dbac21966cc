"""What the simulated ground costs: to build a world's, and to look it up.

    .venv/bin/metabev-env python benchmark/ground_build.py [--seeds 4]

A world of one road, then one of a city. `lookups` is for as many points as six pictures of
352 x 128 have on the ground. Times are of the processor, the best of some.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from metabev_ros.lab.datasets.synthetic.city import build_city
from metabev_ros.lab.datasets.synthetic.config import Weather
from metabev_ros.lab.datasets.synthetic.ground import CarPark, Ground, paint_ground
from metabev_ros.lab.datasets.synthetic.roads import RoadNetwork, build_roads
from metabev_ros.lab.datasets.synthetic.scenery import place_car_parks
from metabev_ros.lab.simulation.detail_tiles import detail_tiles
from metabev_ros.lab.simulation.ground_mesh import ground_mesh
from metabev_ros.lab.simulation.surface import draw_surface
from metabev_ros.lab.simulation.terrain import draw_terrain

POINTS, REPEATS = 130_000, 5
T = TypeVar('T')
Networks = Sequence[tuple[RoadNetwork, tuple[CarPark, ...]]]


def timed(make: Callable[[], T], repeats: int = 1) -> tuple[T, float]:
    """A result and the least processor time that it took, seconds."""
    best, result = np.inf, make()
    for _ in range(repeats):
        start = time.process_time()
        result = make()
        best = min(best, time.process_time() - start)
    return result, best


def measure(name: str, ground: Ground, networks: Networks, seed: int) -> None:
    """Print one line."""
    rng = np.random.default_rng
    terrain, first = timed(lambda: draw_terrain(rng([seed, 2]), ground))
    mesh, second = timed(lambda: ground_mesh(terrain, ground))
    surface, third = timed(lambda: draw_surface(rng([seed, 3]), terrain, ground, networks))
    size = ground.cell * np.array(ground.labels.shape[::-1])
    xy = ground.origin + rng(seed).uniform(0.4, 0.6, (POINTS, 2)) * size
    footprint = np.exp(rng(seed).uniform(np.log(0.01), np.log(2.0), POINTS)).astype(np.float32)
    _, colour = timed(lambda: surface.colour_at(xy, footprint), REPEATS)
    _, material = timed(lambda: surface.material_at(xy), REPEATS)
    _, height = timed(lambda: terrain.height(xy), REPEATS)
    print(
        f'{name} {seed}: {size[0]:.0f} x {size[1]:.0f} m, {len(mesh.triangles)} triangles; '
        f'terrain {first:.3f}, mesh {second:.3f}, surface {third:.3f} s; '
        f'{POINTS} lookups: colour {colour:.3f}, material {material:.3f}, height {height:.3f} s'
    )


def main() -> None:
    """Measure some worlds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, default=4)
    seeds = range(parser.parse_args().seeds)
    _, tiles = timed(detail_tiles.__wrapped__)
    print(f'tiles, once in a process: {tiles:.3f} s')
    for seed in seeds:
        rng = np.random.default_rng([seed, 1])
        roads = build_roads(rng, 150.0)
        parks = place_car_parks(rng, roads)
        measure('road', paint_ground(rng, roads, parks), ((roads, parks),), seed)
    for seed in seeds:
        ground = build_city(seed, 20.0, None, 9.0, Weather.SUNNY).ground
        measure('city', ground, (), seed)


if __name__ == '__main__':
    main()
