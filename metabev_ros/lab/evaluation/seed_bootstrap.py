"""Intervals over drives and training seeds, for contestants that were trained several times.

Two things are chance: which drives are met, and which seed a training had. Drives are resampled,
the same ones for both sides and for all seeds (`bootstrap.drawn_drives`). Seeds are three, and
resampling three values misses most of their spread: the interval of three would hold the truth in
75 % of all cases where seeds decide. So the seeds' part of every draw comes from Student's t with
the spread that the seeds showed, which is exact for normal values. A pair of trainings with one
seed has one start, one order of samples and one series of failures: sides are paired there too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.evaluation.bootstrap import LEVEL, Interval

_STREAM = 77


@dataclass(frozen=True, eq=False)
class SeedDraws:
    """One figure of one contestant under one setting.

    Attributes:
        values: (seeds,) on the drives themselves; NaN where undefined.
        draws: (seeds, resamples) on the draws of `bootstrap.drawn_drives`.
    """

    values: np.ndarray
    draws: np.ndarray

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not len(self.values) or len(self.draws) != len(self.values):
            raise ConfigError(
                'SeedDraws',
                'values (seeds,) and draws (seeds, resamples)',
                f'{self.values.shape} and {self.draws.shape}',
            )

    @property
    def seeds(self) -> int:
        """Number of trainings."""
        return len(self.values)

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds; NaN of one seed."""
        return float(self.values.std(ddof=1)) if self.seeds > 1 else float('nan')

    def minus(self, other: SeedDraws) -> SeedDraws:
        """The difference, seed by seed and draw by draw.

        Raises:
            ConfigError: if the two do not have the same seeds and draws.
        """
        self._require_paired(other)
        return SeedDraws(self.values - other.values, self.draws - other.draws)

    def over(self, other: SeedDraws) -> SeedDraws:
        """The share of another figure, e.g. what is kept of the clean one.

        Raises:
            ConfigError: if the two do not have the same seeds and draws.
        """
        self._require_paired(other)
        with np.errstate(divide='ignore', invalid='ignore'):
            return SeedDraws(self.values / other.values, self.draws / other.draws)

    def _require_paired(self, other: SeedDraws) -> None:
        if self.draws.shape != other.draws.shape:
            raise ConfigError(
                'paired draws',
                f'seeds and draws {self.draws.shape}',
                str(other.draws.shape),
                'finish all trainings and evaluate them on the same drives',
            )


def seed_interval(figure: SeedDraws, level: float = LEVEL) -> Interval:
    """The mean over the seeds, and where it lies with other drives and other seeds.

    With one seed the interval speaks of drives alone. It is NaN where no draw has the figure.
    """
    value, draws = float(figure.values.mean()), figure.draws.mean(0)
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not len(draws):
        return Interval(value, float('nan'), float('nan'))
    if figure.seeds > 1:
        rng = np.random.default_rng([_STREAM, figure.seeds])
        noise = rng.standard_t(figure.seeds - 1, (len(draws), 8))
        noise = np.concatenate([noise, -noise], 1)
        draws = draws[:, None] + noise * figure.spread / np.sqrt(figure.seeds)
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Interval(value, float(low), float(high))
