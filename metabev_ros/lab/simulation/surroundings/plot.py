"""A plot of land behind a walkway, and what can be done with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.simulation.surroundings import street_furniture, vegetation, yards
from metabev_ros.lab.simulation.surroundings.buildings import Frame
from metabev_ros.lab.simulation.surroundings.fences import run
from metabev_ros.lab.simulation.surroundings.recipe import Recipe, Season
from metabev_ros.lab.simulation.surroundings.site import Front
from metabev_ros.lab.simulation.surroundings.stage import Stage, Wish, turned


@dataclass(frozen=True)
class Plot:
    """A piece of land: `near` metres behind the kerb it begins."""

    rng: np.random.Generator
    stage: Stage
    front: Front
    recipe: Recipe
    season: Season
    s0: float
    s1: float
    near: float
    detail: int

    @property
    def width(self) -> float:
        """Metres along the road."""
        return self.s1 - self.s0

    def line(self, d: float, s0: float | None = None, s1: float | None = None) -> np.ndarray:
        """(N, 2) points at one distance behind the kerb; their left is the road's side."""
        s = np.arange(self.s0 if s0 is None else s0, (self.s1 if s1 is None else s1) + 0.1, 1.0)
        order = s if self.front.side < 0 else s[::-1]
        return self.front.at(order, np.full(len(s), d))[0]

    def fence(self, kind: str, d: float, gaps: float = 0.0) -> None:
        """Fence the plot along the road."""
        run(self.rng, self.stage, kind, self.line(d), gaps)

    def sides(self, kind: str, d0: float, d1: float) -> None:
        """Fence it from the road to the back, on one side."""
        d = np.arange(d0, d1, 1.0)
        if len(d) > 2:
            run(self.rng, self.stage, kind, self.front.at(np.full(len(d), self.s0), d)[0])

    def points(self, count: int, d0: float, d1: float) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) random points of the plot, and the yaw of what faces the road there."""
        s = self.rng.uniform(self.s0, self.s1, count)
        return self.front.at(s, self.rng.uniform(d0, max(d1, d0 + 0.1), count))

    def scatter(self, kind: str, count: int, d0: float, d1: float, turn: bool = True) -> None:
        """Stand furniture or goods somewhere."""
        xy, yaw = self.points(count, d0, d1)
        table = yards.yard() if kind in yards.PAINTS else street_furniture.furniture()
        paints = yards.PAINTS if kind in yards.PAINTS else street_furniture.PAINTS
        palette = np.array(paints[kind], dtype=float)
        colour = palette[self.rng.integers(len(palette), size=count)]
        colour = np.clip(colour * self.rng.normal(1, 0.08, (count, 1)), 5, 255)
        yaw = yaw + (self.rng.integers(4, size=count) * np.pi / 2 if turn else 0.0)
        yaw = yaw + self.rng.normal(0, 0.08, count)
        scale = self.rng.uniform(0.9, 1.1, count)
        trim = np.clip(colour[::-1] * 0.8, 0, 255)
        self.stage.wish(Wish(table[kind], xy, yaw, scale, colour, trim))

    def plant(self, pieces: tuple, count: int, d0: float, d1: float, crowns: bool = True) -> None:
        """Stand plants somewhere; crowns may meet."""
        xy, _ = self.points(count, d0, d1)
        yaw = self.rng.uniform(0, 2 * np.pi, count)
        scale = self.rng.uniform(0.75, 1.25, count)
        tints = self.season.tints(self.rng, count)
        far = None
        if pieces is vegetation.bushes():
            far = vegetation.far_bushes()
        elif pieces is vegetation.park_trees() or pieces is vegetation.conifers():
            far = vegetation.far_trees()
        self.stage.wish(Wish(pieces, xy, yaw, scale, tints, tints, False, not crowns, far))

    def trees(self, count: int, d0: float, d1: float) -> None:
        """Stand trees of the season."""
        kind = self.rng.uniform()
        pieces = vegetation.park_trees()
        if kind < self.season.conifers:
            pieces = vegetation.conifers()
        elif self.rng.uniform() < self.season.bare:
            pieces = vegetation.bare_trees()
        elif self.rng.uniform() < self.season.palms:
            pieces = vegetation.palms()
        self.plant(pieces, count, d0, d1)

    def site(
        self, width: float, depth: float, setback: float, s: float, apron: float
    ) -> Frame | None:
        """A free rectangle with `apron` metres before it, taken at once, or None."""
        d = self.near + setback + depth / 2
        xy, yaw = self.front.at(s, d)
        u = np.linspace(-0.5, 0.5, int(width / 0.5) + 2) * (width + 0.8)
        v = np.arange(-depth / 2 - 0.4, depth / 2 + max(apron, 0.1), 0.45)
        local = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
        marks = turned(local, np.array([float(yaw)]), np.ones(1))[0] + xy
        if not self.stage.site.accept(marks[None], False, True)[0]:
            return None
        z = float(self.stage.height(marks[:: max(1, len(marks) // 40)]).mean())
        return Frame.at(xy, z, float(yaw))
