"""Ground that no road network describes: islands, medians, bulbs, driveways."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np


class Surface(enum.Enum):
    """Kind of a piece of ground."""

    ROAD = 'road'  # turning bulbs, rings, gaps in a median: drivable
    ISLAND = 'island'  # a kerb around grass: medians, middles of rings
    VERGE = 'verge'  # grass between a road and its walkway
    WALKWAY = 'walkway'
    DRIVEWAY = 'driveway'  # paved, private
    SITE = 'site'  # bare ground of a construction site
    LOT = 'lot'  # a part of a car park or a yard


@dataclass(frozen=True)
class Area:
    """A piece of ground, painted over the roads.

    Attributes:
        polygon: (N, 2) world metres.
        surface: what it is.
    """

    polygon: np.ndarray
    surface: Surface
