"""The page of a fair comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metabev_ros.lab.datasets.corruptions import IMAGES, Setting
from metabev_ros.lab.evaluation.bootstrap import LEVEL, Interval
from metabev_ros.lab.evaluation.fair_comparison import (
    CLAIMED,
    NAMES,
    VERDICTS,
    Arm,
    FairResults,
    claim,
    interval_text,
)
from metabev_ros.lab.evaluation.seed_bootstrap import SeedDraws, seed_interval


def fair_page(results: FairResults) -> str:
    """Markdown: what was done, what it costs, what may be said, and every figure."""
    lines = [
        '# A fair comparison',
        '',
        *(f'- {note}' for note in results.notes),
        f'- {results.samples} samples of {results.drives} drives a setting, {results.seeds} '
        'training seeds. In brackets behind a mean: the standard deviation of the seeds, in '
        'thousandths.',
        f'- Leads with their paired {LEVEL:.0%} interval over drives and seeds; `none`: it holds '
        '0. Of many single settings some leave out 0 by chance; the claims rest on means of '
        'families.',
        *(f'- not shown: `{name}`, {reason}' for name, reason in results.left_out.items()),
        '',
        '## What may be said',
        '',
    ]
    lines += [
        f'- {claim(results, contestant, regime)}'
        for regime in results.regimes
        for contestant in results.others
    ]
    if results.costs:
        lines += ['', '## Costs', '', *_cost_table(results)]
    for regime, words in results.regimes.items():
        lines += ['', f'## {regime}: {words}', '', *_score_table(results, regime)]
        for contestant in results.others:
            title = f'### `{contestant}` less `{results.reference}`, {regime}'
            lines += ['', title, '', *_lead_table(results, Arm(contestant, regime))]
        if results.layers.drives:
            lines += ['', f'### Layers of the map without a failure, {regime}', '']
            lines += _layer_table(results, regime)
        if results.scored(IMAGES):
            lines += ['', f'### Kept under image corruptions, {regime}', '']
            lines += _kept_table(results, regime)
    return '\n'.join(lines) + '\n'


def _cost_table(results: FairResults) -> list[str]:
    titles = list(dict.fromkeys(t for costs in results.costs.values() for t in costs))
    rows = [[f'`{n}`', *(c.get(t, '-') for t in titles)] for n, c in results.costs.items()]
    return _table(['contestant', *titles], rows)


def _score_table(results: FairResults, regime: str) -> list[str]:
    rows: list[list[str]] = []
    for setting in results.settings:
        cells: list[str] = []
        for contestant in results.contestants:
            figures = [results.figure(Arm(contestant, regime), setting, name) for name in NAMES]
            cells.append(' / '.join(_mean_text(figure) for figure in figures))
        rows.append([f'`{setting.id}`', setting.words, *cells])
    titles = [f'`{name}` {" / ".join(NAMES.values())}' for name in results.contestants]
    return _table(['id', 'setting', *titles], rows)


def _mean_text(figure: SeedDraws) -> str:
    """Mean over the seeds, and their standard deviation in units of the last digit."""
    mean = f'{figure.values.mean():.3f}'
    return mean if figure.seeds < 2 else f'{mean}({1000 * figure.spread:.0f})'


def _lead_table(results: FairResults, arm: Arm) -> list[str]:
    rows: list[list[str]] = []
    for setting in results.settings:
        cells: list[str] = []
        for name in NAMES:
            lead = results.lead(arm, setting, name)
            cells += [interval_text(lead), _verdict(results, lead)]
        rows.append([f'`{setting.id}`', *cells])
    header = [cell for name in NAMES.values() for cell in (name, '')]
    return _table(['id', *header], rows)


def _layer_table(results: FairResults, regime: str) -> list[str]:
    """IoU of every layer, and the leads: also of those together that no single drive decides."""
    layers, reference = results.layers, results.reference
    rows: list[list[str]] = []
    for layer, drives in layers.drives.items():
        means = [_mean_text(layers.figures[Arm(c, regime), layer]) for c in results.contestants]
        leads = [layers.lead(Arm(c, regime), reference, (layer,)) for c in results.others]
        rows.append([layer, str(drives), *means, *map(interval_text, leads)])
    shared = layers.shared(results.drives)
    if shared:
        leads = [layers.lead(Arm(c, regime), reference, shared) for c in results.others]
        empty = [''] * len(results.contestants)
        rows.append(
            ['mean of those in half of the drives', '', *empty, *map(interval_text, leads)]
        )
    titles = [f'`{name}`' for name in results.contestants]
    titles += [f'`{name}` less `{reference}`' for name in results.others]
    return _table(['layer', 'drives that have it', *titles], rows)


def _verdict(results: FairResults, lead: Interval) -> str:
    """One seed says nothing of a contestant, and an undefined figure nothing at all."""
    return VERDICTS[lead.sign] if results.seeds > 1 and lead.low == lead.low else '-'


def _kept_table(results: FairResults, regime: str) -> list[str]:
    """Retention: the share of the clean figure, and the difference to the reference's."""
    rows = [
        [setting.words, *_kept_cells(results, regime, setting)]
        for setting in results.scored(IMAGES)
    ]
    header: list[str] = []
    for name in CLAIMED:
        header += [f'`{contestant}` {NAMES[name]}' for contestant in results.contestants]
        header += [f'`{other}` less `{results.reference}`' for other in results.others]
    return _table(['image corruption', *header], rows)


def _kept_cells(results: FairResults, regime: str, setting: Setting) -> list[str]:
    cells: list[str] = []
    for name in CLAIMED:
        kept = {
            contestant: results.kept(Arm(contestant, regime), setting, name)
            for contestant in results.contestants
        }
        cells += [f'{found.values.mean():.1%}' for found in kept.values()]
        for other in results.others:
            lead = seed_interval(kept[other].minus(kept[results.reference]))
            cells.append(f'{interval_text(lead)} {_verdict(results, lead)}')
    return cells


def plain_results(results: FairResults) -> dict[str, Any]:
    """For JSON: every value of every seed, and every lead with its interval."""
    arms = [Arm(c, regime) for regime in results.regimes for c in results.contestants]
    return {
        'reference': results.reference,
        'regimes': dict(results.regimes),
        'samples': results.samples,
        'drives': results.drives,
        'seeds': results.seeds,
        'notes': list(results.notes),
        'costs': {name: dict(costs) for name, costs in results.costs.items()},
        'claims': [
            claim(results, contestant, regime)
            for regime in results.regimes
            for contestant in results.others
        ],
        'figures': [
            {
                'contestant': arm.contestant,
                'regime': arm.regime,
                'setting': setting.id,
                'figure': name,
                'of_seeds': _numbers(results.figure(arm, setting, name)),
                'lead': None
                if arm.contestant == results.reference
                else _lead(results, arm, setting, name),
            }
            for arm in arms
            for setting in results.settings
            for name in NAMES
        ],
        'layers': [
            {
                'contestant': arm.contestant,
                'regime': arm.regime,
                'layer': layer,
                'drives': results.layers.drives[layer],
                'of_seeds': _numbers(figure),
            }
            for (arm, layer), figure in results.layers.figures.items()
        ],
    }


def _numbers(figure: SeedDraws) -> list[float | None]:
    return [None if value != value else float(value) for value in figure.values]


def _lead(results: FairResults, arm: Arm, setting: Setting, name: str) -> list[float | None]:
    lead = results.lead(arm, setting, name)
    return [None if value != value else value for value in (lead.value, lead.low, lead.high)]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f'| {" | ".join(row)} |' for row in (header, ['---'] * len(header), *rows)]
