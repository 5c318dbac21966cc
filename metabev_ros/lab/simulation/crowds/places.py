"""How full the kinds of place are."""

from __future__ import annotations

from dataclasses import dataclass

from metabev_ros.lab.simulation.style import Style


@dataclass(frozen=True)
class Habits:
    """Who is in a kind of place.

    Attributes:
        gap: metres between moving vehicles beyond the safe ones, mean.
        parked: share of the places at kerbs that are taken, lowest and highest.
        people: on 10 m of a walkway, lowest and highest.
        crossing: people at a crossing, mean.
        works: work zones on 100 m of a kerb.
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
    Style.DOWNTOWN: Habits(12.0, (0.5, 1.0), (0.15, 1.3), 2.5, 0.12, 0.1, 0.0, 0.25),
    Style.RESIDENTIAL: Habits(45.0, (0.3, 0.9), (0.03, 0.3), 0.5, 0.06, 0.02, 0.75, 0.1),
    Style.ARTERIAL: Habits(16.0, (0.2, 0.8), (0.05, 0.4), 1.2, 0.14, 0.12, 0.05, 0.35),
    Style.INDUSTRIAL: Habits(35.0, (0.3, 0.9), (0.02, 0.15), 0.3, 0.12, 0.08, 0.05, 0.6),
    Style.RURAL: Habits(60.0, (0.0, 0.0), (0.0, 0.02), 0.0, 0.05, 0.02, 0.15, 0.02),
    Style.MOTORWAY: Habits(22.0, (0.0, 0.02), (0.0, 0.0), 0.0, 0.08, 0.1, 0.0, 0.0),
    Style.CAR_PARK: Habits(25.0, (0.2, 0.6), (0.05, 0.4), 0.5, 0.05, 0.03, 0.0, 1.0),
}
