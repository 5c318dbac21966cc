"""Life in a large car park: vehicles that look for a bay, people with a way to their cars."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import CarPark
from metabev_ros.lab.datasets.synthetic.roads import RoadNetwork
from metabev_ros.lab.simulation.cast import Cast
from metabev_ros.lab.simulation.crowds.lanes import Lane, add_vehicle
from metabev_ros.lab.simulation.crowds.people import wander
from metabev_ros.lab.simulation.lots import aisles
from metabev_ros.lab.simulation.plans import SpeedPlan


def fill_aisles(cast: Cast, roads: RoadNetwork, index: int, park: CarPark) -> None:
    """Vehicles that drive in the aisles, and people anywhere.

    Args:
        index: of the main road's path in the cast.
    """
    rng, near = cast.rng, roads.edge(park.side) + roads.walkway
    for aisle in aisles(park):
        if rng.uniform() < 0.5:
            direction = int(rng.choice([-1, 1]))
            d = park.side * (near + aisle) - direction * 0.7
            lane = Lane(roads.main, index, d, direction, park.s0 + 2, park.s1 - 2)
            speed = 0.0 if rng.uniform() < 0.25 else rng.uniform(1.0, 5.0)
            plan = cast.add_profile(SpeedPlan.steady(speed))
            add_vehicle(cast, lane, 'car', rng.uniform(*lane.span), 1, plan)
    low = np.array([park.s0, park.side * near])
    high = np.array([park.s1, park.side * (near + park.depth)])
    wander(cast, np.minimum(low, high), np.maximum(low, high), roads.main, int(rng.poisson(7)))
