"""Places where gantries, bridges and lone cables cross a road."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.roads import RoadNetwork
from metabev_ros.lab.simulation.surroundings.overhead import bridge, gantry, hang_cables
from metabev_ros.lab.simulation.surroundings.recipe import Recipe
from metabev_ros.lab.simulation.surroundings.stage import Stage, footprint, upright_maps


def span_roads(rng: np.random.Generator, stage: Stage, roads: RoadNetwork, recipe: Recipe) -> None:
    """Span the main road of a network now and then."""
    main = roads.main
    long = (main.end - main.start) / 100.0
    left = int(np.ceil(roads.left_edge + max(roads.walkway, 0.6) + 0.6))
    right = int(np.ceil(roads.right_edge + max(roads.walkway, 0.6) + 0.6))
    for kind in ('gantry', 'bridge', 'cable'):
        number = int(rng.poisson(recipe.spans.get(kind, 0.0) * long))
        for s in rng.uniform(main.start + 5, main.end - 5, number):
            if any(abs(s - at) < half + 16 for at, half in roads.junctions):
                continue
            x, y, heading, curvature = (float(v) for v in main.pose(float(s), 0.0))
            if kind == 'cable':
                _cable(rng, stage, roads, float(s))
            elif abs(curvature) < 0.012:
                _stand(rng, stage, kind, (x, y, heading), left, right)


def _stand(
    rng: np.random.Generator,
    stage: Stage,
    kind: str,
    pose: tuple[float, float, float],
    left: int,
    right: int,
) -> None:
    seed = int(rng.integers(6))
    if kind == 'gantry':
        piece = gantry(left, right, seed)
    else:
        piece = bridge(left, right, (3, 3, 8, 16)[int(rng.integers(4))], seed)
    xy, yaw, size = np.array([pose[:2]]), np.array([pose[2]]), np.ones(1)
    base = stage.height(xy)
    low = piece.vertices[piece.vertices[:, 2] < 4.0]
    c, s = np.cos(yaw[0]), np.sin(yaw[0])
    feet = low[:, :2] @ np.array([[c, s], [-s, c]]) + xy
    if not stage.site.off_road(feet, True).all():
        return
    if kind == 'gantry':
        stage.site.take(feet)
    else:
        stage.site.take(footprint(piece, xy, yaw, size))
        stage.site.take(feet)
    stage.add(piece, upright_maps(xy, base, yaw, size))


def _cable(rng: np.random.Generator, stage: Stage, roads: RoadNetwork, s: float) -> None:
    """Wires across the road from house to house, or obliquely."""
    reach = roads.walkway + 3.0
    number = int(rng.integers(1, 4))
    a = np.stack(roads.main.pose(s, roads.left_edge + reach)[:2])
    b = np.stack(roads.main.pose(s + rng.uniform(-14, 14), -roads.right_edge - reach)[:2])
    z = rng.uniform(6.6, 9.0, (number, 1))
    low = float(stage.height(np.stack([a, b])).max())
    shift = rng.normal(0, 0.4, (number, 2))
    starts = np.concatenate([a + shift, low + z], axis=1)
    ends = np.concatenate([b + shift, low + z + rng.normal(0, 0.3, (number, 1))], axis=1)
    hang_cables(stage, starts, ends, rng.uniform(0.2, 0.9))
