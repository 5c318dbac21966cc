"""Figures of one model under sensor failure, as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from metabev_ros.errors import ConfigError
from metabev_ros.files import write_text
from metabev_ros.lab.datasets.corruptions import ALL, Setting
from metabev_ros.lab.evaluation.bootstrap import (
    RESAMPLES,
    Interval,
    difference,
    resampled_figures,
)
from metabev_ros.lab.evaluation.records import current_commit, current_date
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.structures import ModelInfo

SETTING_OF = {setting.id: setting for setting in ALL}


@dataclass(frozen=True)
class ModelResults:
    """One model's figures on one test set.

    Attributes:
        name: in tables and ids; `..._in_domain` marks one that was trained on the failures.
        source: the test set in words; results compare only where it is the same.
        figures: setting id -> figure name of `score.FIGURES` -> value, None if undefined.
        details: setting id -> all that was measured.
        resampled: setting id -> 'nds', 'map' and 'miou' -> values on the draws of
            `bootstrap.drawn_drives`, None on a draw without such truth; empty if no intervals
            were asked for.
        left_out: id of each setting that the samples cannot show -> the reason.
        seed: of the first world of the test set; None where it is not made of seeds.
        commit, date: of the evaluation; '' in files from before they were kept.
    """

    name: str
    model: str
    model_hash: str
    backend: str
    source: str
    samples: int
    figures: dict[str, dict[str, float | None]]
    details: dict[str, dict]
    resampled: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    commit: str = ''
    date: str = ''

    @classmethod
    def make(
        cls,
        name: str,
        info: ModelInfo,
        source: str,
        drives: Mapping[Setting, Sequence[Score]],
        resamples: int = RESAMPLES,
        left_out: Mapping[str, str] | None = None,
        seed: int | None = None,
    ) -> ModelResults:
        """From scores of single drives.

        Args:
            drives: setting -> one score a drive.
            resamples: draws of drives for the intervals; 0, or a single drive: none.
            left_out: settings that the samples cannot show.
            seed: of the first world of the test set.
        """
        scores = {setting: Score.merged(parts).result() for setting, parts in drives.items()}
        first = next(iter(scores.values()))
        return cls(
            name,
            info.name,
            info.hash,
            info.backend,
            source,
            first.detection.samples,
            {
                s.id: {n: None if v != v else v for n, v in score.figures.items()}
                for s, score in scores.items()
            },
            {s.id: score.to_plain() for s, score in scores.items()},
            {s.id: _resampled(parts, resamples) for s, parts in drives.items()}
            if resamples and len(next(iter(drives.values()))) > 1  # one drive has no spread
            else {},
            dict(left_out or {}),
            seed,
            current_commit(),
            current_date(),
        )

    def compares(self, other: ModelResults, setting: str, figure: str) -> bool:
        """Tell whether `lead` has something to say."""
        return all(
            setting in results.resampled and results.figures[setting][figure] is not None
            for results in (self, other)
        )

    def lead(self, other: ModelResults, setting: str, figure: str) -> Interval:
        """Difference to another model, with its paired interval over drives.

        Raises:
            ConfigError: if one of the two has no draws of drives for the setting.
        """
        ours, theirs = self.figures[setting][figure], other.figures[setting][figure]
        if ours is None or theirs is None:
            raise ConfigError(f'{figure} in {setting}', 'a figure of both', 'an undefined one')
        value = ours - theirs
        for results in (self, other):
            if setting not in results.resampled:
                raise ConfigError(
                    f'results of {results.name}',
                    f'draws of drives under {setting}',
                    'none',
                    'evaluate it with --resamples above 0, on two drives or more',
                )
        return difference(value, self.resampled[setting][figure], other.resampled[setting][figure])

    def save(self, path: Path) -> None:
        """Write JSON; atomic."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(asdict(self), indent=1, allow_nan=False) + '\n')

    @classmethod
    def load(cls, path: Path) -> ModelResults:
        """The inverse of `save`.

        Raises:
            ConfigError: if the file does not hold results.
        """
        try:
            results = cls(**json.loads(Path(path).read_text(encoding='utf-8')))
            for setting, figures in results.figures.items():
                for name, value in figures.items():
                    if not isinstance(value, (float, int, type(None))):
                        raise TypeError(f'{setting}.{name}: {value!r} is no figure')
            return results
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(
                str(path), 'results of `metabev evaluate`', str(error)[:200]
            ) from error

    @property
    def settings(self) -> list[Setting]:
        """In the order of the suite."""
        return [setting for id_, setting in SETTING_OF.items() if id_ in self.figures]


def _resampled(drives: Sequence[Score], resamples: int) -> dict[str, list[float | None]]:
    return {
        figure: [None if value != value else value for value in values]
        for figure, values in resampled_figures(drives, resamples).items()
    }


def check_comparable(results: Sequence[ModelResults]) -> None:
    """Refuse results that do not compare.

    Raises:
        ConfigError: without results, on two of one name, or on different test sets.
    """
    if not results or len({r.name for r in results}) != len(results):
        raise ConfigError('compare', 'results of distinct names', str([r.name for r in results]))
    if len({r.source for r in results}) != 1:
        raise ConfigError(
            'compare',
            'results on one test set',
            '; '.join(f'{r.name}: {r.source}' for r in results),
            'evaluate the models on the same drives',
        )
