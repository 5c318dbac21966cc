"""Comparison of models under sensor failure: tables, words and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metabev_ros.files import write_text
from metabev_ros.lab.datasets.corruptions import CLEAN, HEADLINE, Setting
from metabev_ros.lab.evaluation.bootstrap import LEVEL
from metabev_ros.lab.evaluation.model_results import SETTING_OF, ModelResults, check_comparable
from metabev_ros.lab.evaluation.robustness_plots import plot_beyond, plot_curves, plot_radar
from metabev_ros.lab.evaluation.score import FIGURES


def markdown(results: Sequence[ModelResults]) -> str:
    """The comparison's text.

    Raises:
        ConfigError: if the results do not compare.
    """
    check_comparable(results)
    lines = ['# Robustness', '', f'{results[0].samples} samples: {results[0].source}.', '']
    lines += [f'- `{r.name}`: {r.model} ({r.model_hash}), {r.backend}' for r in results]
    left_out = {s: reason for r in results for s, reason in r.left_out.items()}
    lines += [f'- not shown: `{s}`, {reason}' for s, reason in left_out.items()]
    lines += [
        '',
        '## Headline degrees',
        '',
        '![radar](radar.png)',
        '',
        *_setting_table(results, [CLEAN, *HEADLINE]),
    ]
    for other in results[1:]:
        lines += [
            '',
            f'## {results[0].name} beside {other.name}',
            '',
            comparison(results[0], other),
            f'In brackets: {LEVEL:.0%} interval over drives, paired bootstrap.',
            '',
            *_lead_table(results[0], other),
        ]
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


def comparison(first: ModelResults, second: ModelResults) -> str:
    """In words, in how many headline settings the first leads, trails, or neither."""
    parts = []
    for figure in ('nds', 'miou'):
        shared = [s.id for s in HEADLINE if first.compares(second, s.id, figure)]
        signs = [first.lead(second, setting, figure).sign for setting in shared]
        parts.append(
            f'{FIGURES[figure]}: ahead in {signs.count(1)}, behind in {signs.count(-1)}, no '
            f'difference in {signs.count(0)} of {len(shared)}'
        )
    return f'`{first.name}` and `{second.name}`, {"; ".join(parts)}.'


def _lead_table(first: ModelResults, second: ModelResults) -> list[str]:
    """Leads of the first with their intervals; a difference inside its interval is none."""
    words = {1: 'ahead', 0: 'no difference', -1: 'behind'}
    rows = []
    for setting in (CLEAN, *HEADLINE):
        if setting.id not in first.resampled or setting.id not in second.resampled:
            continue
        cells: list[str] = []
        for figure in ('nds', 'miou'):
            if not first.compares(second, setting.id, figure):
                cells += ['-', '']
                continue
            lead = first.lead(second, setting.id, figure)
            cells += [f'{lead.value:+.3f} ({lead.low:+.3f} to {lead.high:+.3f})', words[lead.sign]]
        rows.append([setting.words, *cells])
    return _table(['setting', 'NDS', '', 'mIoU', ''], rows)


def _setting_table(results: Sequence[ModelResults], settings: Sequence[Setting]) -> list[str]:
    rows = [
        [f'`{s.id}`', s.words, *(_pair(r, s) for r in results)]
        for s in settings
        if any(s.id in r.figures for r in results)
    ]
    return _table(['id', 'setting', *(f'{r.name} NDS / mIoU' for r in results)], rows)


def _pair(results: ModelResults, setting: Setting) -> str:
    figures = results.figures.get(setting.id)
    if figures is None:
        return '-'
    return ' / '.join(_number(figures[name]) for name in ('nds', 'miou'))


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'


def _figure_table(results: ModelResults) -> list[str]:
    rows = [
        [
            f'`{s.id}`',
            *(_number(results.figures[s.id].get(name)) for name in FIGURES),
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
    text = markdown(results)
    folder.mkdir(parents=True, exist_ok=True)
    plot_radar(results, folder / 'radar.png')
    plot_curves(results, folder / 'curves.png')
    plot_beyond(results, folder / 'beyond.png')
    write_text(folder / 'comparison.md', text)
    return folder / 'comparison.md'
