"""Crowds and traffic of the kinds of place."""

from __future__ import annotations

from dataclasses import dataclass

from metabev_ros.lab.simulation.style import Style


@dataclass(frozen=True)
class Habits:
    """Actors of a kind of place.

    Attributes:
        gap: metres between moving vehicles beyond the safe ones, mean.
        parked: share of the places at kerbs that are taken, lowest and highest.
        people: on 10 m of a walkway, lowest and highest.
        crossing: people at a crossing, mean.
        works: work zones on 200 m of a kerb, and construction sites on 330 m.
        barriers: share of the sides that have a row of barriers.
        driveways: share of the sides that have them.
        lots: share of the sides that have a car park or a yard.
    """

    gap: float
    parked: tuple[float, float]
    people: tuple[float, float]
    crossing: float
    works: float
    barriers: float
    driveways: float
    lots: float


HABITS = {
    Style.DOWNTOWN: Habits(14.0, (0.35, 0.95), (0.06, 0.65), 1.8, 0.42, 0.22, 0.0, 0.2),
    Style.RESIDENTIAL: Habits(45.0, (0.2, 0.75), (0.03, 0.25), 0.4, 0.3, 0.06, 0.75, 0.06),
    Style.ARTERIAL: Habits(16.0, (0.2, 0.8), (0.04, 0.3), 0.8, 0.36, 0.25, 0.05, 0.22),
    Style.INDUSTRIAL: Habits(32.0, (0.3, 0.9), (0.02, 0.15), 0.3, 0.42, 0.15, 0.05, 0.5),
    Style.RURAL: Habits(38.0, (0.0, 0.0), (0.0, 0.02), 0.0, 0.2, 0.05, 0.15, 0.02),
    Style.MOTORWAY: Habits(14.0, (0.0, 0.02), (0.0, 0.0), 0.0, 0.25, 0.3, 0.0, 0.0),
    Style.CAR_PARK: Habits(25.0, (0.2, 0.6), (0.05, 0.3), 0.5, 0.2, 0.1, 0.0, 1.0),
}
