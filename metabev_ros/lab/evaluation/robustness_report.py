"""Results of models under sensor failure: JSON files, comparison tables, records."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from metabev_ros.contract import ModelInfo
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions import ALL, CLEAN, HEADLINE, Setting
from metabev_ros.lab.evaluation.records import ResultRecord, make_record
from metabev_ros.lab.evaluation.score import FIGURES, ScoreResult

SETTING_OF = {setting.id: setting for setting in ALL}


@dataclass(frozen=True)
class ModelResults:
    """One model's figures on one test set.

    Attributes:
        name: in tables and ids; `..._in_domain` marks one that was trained on the failures.
        source: the test set in words; results compare only where it is the same.
        figures: setting id -> figure name of `score.FIGURES` -> value, None if undefined.
        details: setting id -> all that was measured.
    """

    name: str
    model: str
    model_hash: str
    backend: str
    source: str
    samples: int
    figures: dict[str, dict[str, float | None]]
    details: dict[str, dict]

    @classmethod
    def make(
        cls, name: str, info: ModelInfo, source: str, scores: dict[Setting, ScoreResult]
    ) -> ModelResults:
        """From scores."""
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
        )

    def save(self, path: Path) -> None:
        """As JSON; atomic."""
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, json.dumps(asdict(self), indent=1, allow_nan=False) + '\n')

    @classmethod
    def load(cls, path: Path) -> ModelResults:
        """The inverse of `save`.

        Raises:
            ConfigError: if the file does not hold results.
        """
        try:
            return cls(**json.loads(Path(path).read_text(encoding='utf-8')))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                str(path), 'results of `metabev evaluate`', str(error)[:200]
            ) from error

    @property
    def settings(self) -> list[Setting]:
        """In the order of the suite."""
        return [setting for id_, setting in SETTING_OF.items() if id_ in self.figures]


def robustness_records(
    results: Iterable[ModelResults], command: str, topic: str = 'robustness'
) -> list[ResultRecord]:
    """One record a figure: <topic>.<name>.<setting>.<degree>.<figure>; one topic a test set."""
    origin = make_record(topic, 0.0, '', command, 0)  # asks for the commit once
    return [
        replace(
            origin,
            id=f'{topic}.{r.name}.{setting}.{figure}',
            value=value,
            unit=FIGURES[figure],
            n=r.samples,
        )
        for r in results
        for setting, figures in r.figures.items()
        for figure, value in figures.items()
        if value is not None
    ]


# What the project asks of the shipped model; kept = share of its own clean figure.
TARGETS = {('clean.0', 'nds'): '>= 0.60', ('clean.0', 'miou'): '>= 0.65'}
KEPT_TARGETS = {
    ('mc.1', 'nds'): '>= 0.97',
    ('mc.1', 'miou'): '>= 0.78',
    ('ml.1', 'nds'): '>= 0.60',
    ('ml.1', 'miou'): '>= 0.80',
}


def claim_records(
    results: Sequence[ModelResults], command: str, topic: str = 'robustness'
) -> list[ResultRecord]:
    """What the first model is asked for, and its lead over the others at the headline degrees.

    Ids: <topic>.claims.<setting>.<figure>, ...<figure>_kept, and
    <topic>.claims.over_<other>.<setting>.<figure> (target: above 0 against a baseline).

    Raises:
        ConfigError: if the results do not compare.
    """
    check_comparable(results)
    first, n = results[0], results[0].samples
    found = [
        ('', key, first.figures.get(key[0], {}).get(key[1]), target)
        for key, target in TARGETS.items()
    ]
    clean = first.figures.get(CLEAN.id, {})
    for (setting, figure), target in KEPT_TARGETS.items():
        if setting in first.figures and clean.get(figure):
            found.append(
                (
                    '',
                    (setting, f'{figure}_kept'),
                    first.figures[setting][figure] / clean[figure],
                    target,
                )
            )
    for other in results[1:]:
        target = '> 0' if 'baseline' in other.name else None
        for setting in HEADLINE:
            if setting.id in first.figures and setting.id in other.figures:
                found += [
                    (
                        f'over_{other.name}.',
                        (setting.id, figure),
                        first.figures[setting.id][figure] - other.figures[setting.id][figure],
                        target,
                    )
                    for figure in ('nds', 'miou')
                ]
    units = {**FIGURES, 'nds_kept': 'of clean NDS', 'miou_kept': 'of clean mIoU'}
    return [
        make_record(
            f'{topic}.claims.{prefix}{setting}.{figure}', value, units[figure], command, n, target
        )
        for prefix, (setting, figure), value, target in found
        if value is not None
    ]


def check_comparable(results: Sequence[ModelResults]) -> None:
    """Raises:
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


def markdown(results: Sequence[ModelResults]) -> str:
    """The comparison's text.

    Raises:
        ConfigError: if the results do not compare.
    """
    check_comparable(results)
    lines = ['# Robustness', '', f'{results[0].samples} samples: {results[0].source}.', '']
    lines += [f'- `{r.name}`: {r.model} ({r.model_hash}), {r.backend}' for r in results]
    lines += [
        '',
        '## Headline degrees',
        '',
        '![radar](radar.png)',
        '',
        *_setting_table(results, [CLEAN, *HEADLINE]),
    ]
    for other in results[1:]:
        lines += ['', wins(results[0], other)]
    lines += [
        '',
        '## Every degree',
        '',
        '![curves](curves.png)',
        '',
        '![beyond](beyond.png)',
        '',
        *_setting_table(results, list(SETTING_OF.values())),
    ]
    for r in results:
        lines += ['', f'## {r.name}: all figures', '', *_figure_table(r)]
    return '\n'.join(lines) + '\n'


def wins(first: ModelResults, second: ModelResults) -> str:
    """In how many headline settings the first is better, in words."""
    parts = []
    for figure in ('nds', 'miou'):
        shared = [s.id for s in HEADLINE if s.id in first.figures and s.id in second.figures]
        better = sum(first.figures[i][figure] > second.figures[i][figure] for i in shared)
        parts.append(f'{FIGURES[figure]} in {better} of {len(shared)}')
    return f'`{first.name}` is better than `{second.name}` on {" and on ".join(parts)} settings.'


def _setting_table(results: Sequence[ModelResults], settings: Sequence[Setting]) -> list[str]:
    rows = [
        [f'`{s.id}`', s.words, *(_pair(r, s) for r in results)]
        for s in settings
        if any(s.id in r.figures for r in results)
    ]
    return _table(['id', 'setting', *(f'{r.name} NDS / mIoU' for r in results)], rows)


def _pair(results: ModelResults, setting: Setting) -> str:
    figures = results.figures.get(setting.id)
    return '-' if figures is None else f'{figures["nds"]:.3f} / {figures["miou"]:.3f}'


def _figure_table(results: ModelResults) -> list[str]:
    rows = [
        [
            f'`{s.id}`',
            *(
                '-' if v is None else f'{v:.3f}'
                for v in (results.figures[s.id].get(name) for name in FIGURES)
            ),
        ]
        for s in results.settings
    ]
    titles = [
        f'{unit} of {name.split("_")[0]}' if unit == 'ECE' else unit
        for name, unit in FIGURES.items()
    ]
    return _table(['id', *titles], rows)


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f'| {" | ".join(row)} |' for row in (header, ['---'] * len(header), *rows)]


def write_comparison(results: Sequence[ModelResults], folder: Path) -> Path:
    """comparison.md and its pictures.

    Raises:
        ConfigError: if the results do not compare.
        MissingDependencyError: without matplotlib.
    """
    from metabev_ros.lab.evaluation.robustness_plots import plot_beyond, plot_curves, plot_radar

    text = markdown(results)
    folder.mkdir(parents=True, exist_ok=True)
    plot_radar(results, folder / 'radar.png')
    plot_curves(results, folder / 'curves.png')
    plot_beyond(results, folder / 'beyond.png')
    _write(folder / 'comparison.md', text)
    return folder / 'comparison.md'


def _write(path: Path, text: str) -> None:
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    part.write_text(text, encoding='utf-8')
    os.replace(part, path)
