"""Things beside the roads of each style, and how often they stand there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from metabev_ros.lab.simulation.style import Style


@dataclass(frozen=True)
class Recipe:
    """Surroundings of one style.

    Attributes:
        plots: weights of what lies behind the walkway (see `plots`).
        along: metres between things of each kind at the kerb (see `kerbs`).
        trees: metres between street trees; 0: none.
        setback: range of metres from the walkway to the buildings.
        floors: range of storeys.
        open_trees, open_bushes: things on each 1000 m2 of open ground.
        rail: share of kerbs with a guard rail.
        spans: number of gantries and bridges on each 100 m of main road.
        sharp: metres from a main road beyond which triangles are saved.
    """

    plots: Mapping[str, float]
    along: Mapping[str, float]
    trees: float
    setback: tuple[float, float] = (2.0, 8.0)
    floors: tuple[int, int] = (2, 4)
    open_trees: float = 1.0
    open_bushes: float = 2.0
    rail: float = 0.0
    spans: Mapping[str, float] = field(default_factory=dict)
    sharp: float = 32.0


_RECIPES = {
    Style.DOWNTOWN: Recipe(
        {'block': 10, 'tower': 3, 'square': 1.2, 'works': 1.2, 'park': 0.8, 'yard': 0.4},
        {
            'lamp': 28, 'sign': 24, 'bin': 34, 'bollard': 30, 'meter': 40, 'hydrant': 60,
            'box': 44,
            'bench': 46, 'planter': 34, 'poster': 60, 'shelter': 130, 'cafe': 40, 'statue': 150,
            'stall': 160, 'low_iron': 90, 'mast': 120, 'skip': 160,
        },
        12.0, (0.3, 2.5), (3, 9), 0.4, 1.0, 0.0, {'bridge': 0.12, 'cable': 0.8},
    ),
    Style.RESIDENTIAL: Recipe(
        {'house': 12, 'block': 1.5, 'park': 1.2, 'works': 0.6, 'wood': 0.6, 'wall': 0.5},
        {
            'lantern': 36, 'sign': 40, 'bin': 24, 'bollard': 60, 'hydrant': 70, 'box': 50,
            'bench': 120, 'planter': 70, 'utility': 34, 'shelter': 220, 'skip': 110, 'bush': 14,
            'rock': 60, 'young': 40,
        },
        9.5, (3.5, 9.0), (2, 3), 1.0, 2.5, 0.0, {'cable': 0.6},
    ),
    Style.ARTERIAL: Recipe(
        {'block': 5, 'hall': 3, 'park': 2, 'wall': 1.5, 'works': 1.5, 'yard': 1.5, 'house': 2,
         'tower': 1},
        {
            'tall_lamp': 34, 'sign': 28, 'board': 110, 'bin': 60, 'box': 60, 'hydrant': 80,
            'bollard': 50, 'billboard': 110, 'shelter': 120, 'bush': 22, 'young': 30, 'bench': 110,
            'planter': 80, 'utility': 60, 'poster': 80, 'guard_rail': 90,
        },
        13.0, (4.0, 12.0), (2, 7), 1.5, 4.0, 0.15, {'gantry': 0.2, 'bridge': 0.15, 'cable': 0.3},
    ),
    Style.INDUSTRIAL: Recipe(
        {'hall': 8, 'yard': 6, 'works': 2, 'wall': 1.0, 'wood': 0.6, 'block': 0.8},
        {
            'tall_lamp': 44, 'sign': 40, 'box': 70, 'utility': 36, 'bin': 80, 'bush': 18,
            'skip': 60, 'pallet': 50, 'heap': 70, 'board': 150, 'bollard': 60, 'rock': 70,
            'billboard': 200, 'young': 60,
        },
        40.0, (3.0, 10.0), (1, 3), 1.2, 5.0, 0.1, {'cable': 0.3, 'bridge': 0.05},
    ),
    Style.RURAL: Recipe(
        {'field': 8, 'wood': 5, 'house': 2.5, 'yard': 0.8, 'park': 0.8},
        {
            'utility': 42, 'sign': 60, 'board': 200, 'bush': 9, 'grass': 5, 'rock': 30,
            'young': 22,
            'heap': 160, 'post': 18, 'mast': 200, 'shelter': 300, 'log': 110,
        },
        26.0, (6.0, 16.0), (1, 2), 1.3, 3.0, 0.25, {'cable': 0.1},
    ),
    Style.MOTORWAY: Recipe(
        {'barrier': 6, 'wood': 4, 'field': 3, 'hall': 1, 'wall': 0.5},
        {
            'tall_lamp': 42, 'board': 130, 'sign': 70, 'post': 22, 'bush': 10, 'grass': 7,
            'box': 150, 'billboard': 220, 'mast': 160, 'rock': 80,
        },
        0.0, (9.0, 20.0), (1, 3), 1.2, 3.0, 0.9, {'gantry': 0.7, 'bridge': 0.5},
    ),
    Style.CAR_PARK: Recipe(
        {'block': 3, 'hall': 5, 'park': 2, 'yard': 1.5, 'wall': 1, 'square': 1},
        {
            'tall_lamp': 30, 'sign': 30, 'bin': 36, 'bollard': 20, 'planter': 30, 'bush': 16,
            'box': 60, 'meter': 50, 'shelter': 90, 'billboard': 130, 'young': 26, 'skip': 120,
            'hydrant': 90,
        },
        18.0, (3.0, 9.0), (1, 4), 1.2, 4.0, 0.1, {}, 90.0,
    ),
}  # fmt: skip


def recipe_of(style: Style) -> Recipe:
    """The recipe of a style."""
    return _RECIPES[style]


@dataclass(frozen=True)
class Season:
    """Colour of plants in one world.

    Attributes:
        greens: (N, 3) colours that leaves are drawn from.
        bare: share of broad-leaved trees without leaves.
        palms: share of trees that are palms; conifers: that are conifers.
        litter: fallen leaves.
    """

    greens: np.ndarray
    bare: float
    palms: float
    conifers: float
    litter: bool

    def tints(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(count, 3) colours of plants."""
        drawn = self.greens[rng.integers(len(self.greens), size=count)]
        return np.clip(
            drawn * rng.normal(1, 0.1, (count, 1)) + rng.normal(0, 6, (count, 3)), 8, 250
        )


_SUMMER = ((94, 112, 62), (112, 128, 70), (82, 100, 62), (124, 134, 78), (90, 110, 78))
_AUTUMN = ((190, 130, 48), (206, 160, 60), (168, 84, 44), (120, 128, 60), (150, 110, 60))
_DRY = ((140, 140, 84), (120, 128, 80), (152, 150, 100), (104, 116, 70))


def draw_season(rng: np.random.Generator) -> Season:
    """Summer mostly; autumn, winter, and a dry south with palms."""
    kind = rng.uniform()
    if kind < 0.62:
        return Season(np.array(_SUMMER, dtype=float), 0.03, 0.0, 0.15, False)
    if kind < 0.76:
        return Season(np.array(_AUTUMN, dtype=float), 0.2, 0.0, 0.15, True)
    if kind < 0.86:
        return Season(np.array(_DRY, dtype=float), 0.85, 0.0, 0.25, True)
    return Season(np.array(_SUMMER[:2] + _DRY, dtype=float), 0.03, 0.4, 0.08, False)
