"""The one page of a batch: drives by sensor trouble and by disagreement, and what failed."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path

from metabev_ros.files import write_bytes
from metabev_ros.lab.fleet.drive_outcome import DriveOutcome
from metabev_ros.pages.parts import document, table

INDEX = 'index.html'


def write_index(outcomes: Sequence[DriveOutcome], folder: Path) -> Path:
    """Write the page and return its path."""
    path = folder / INDEX
    write_bytes(path, index_page(outcomes).encode())
    return path


def index_page(outcomes: Sequence[DriveOutcome]) -> str:
    """The page, self-contained but for its links into the batch's folders."""
    good = [outcome for outcome in outcomes if not outcome.failure]
    failed = [outcome for outcome in outcomes if outcome.failure]
    driven = sum(outcome.seconds for outcome in good)
    parts = [
        '<h1>Drives</h1>',
        f'<p class="soft">{len(good)} of {len(outcomes)} bags replayed, '
        f'{driven:.0f} s in all.</p>',
    ]
    if failed:
        parts += ['<h2>Failed</h2>', _failures(failed)]
    if good:
        parts += [
            '<h2>By sensor trouble</h2><p>Mean share of sensors that were out of use, and time in '
            'which nothing could be looked at.</p>',
            _troubles(sorted(good, key=lambda outcome: outcome.trouble, reverse=True)),
            '<h2>By disagreement of the branches</h2><p>Share of the sure boxes of the LiDAR or '
            'the camera branch that the other one does not have. High values are scenes to look '
            'at and to label first.</p>',
            _disagreements(good),
        ]
    return document('Drives', parts)


def _failures(failed: Sequence[DriveOutcome]) -> str:
    rows = [(_text(o.name), _text(o.bag), _text(o.failure)) for o in failed]
    return table(('drive', 'bag', 'why'), rows, 3)


def _troubles(ranked: Sequence[DriveOutcome]) -> str:
    rows = [
        (
            _link(o),
            _unused(o),
            _text(', '.join(f'{count} {name}' for name, count in sorted(o.outputs.items()))),
            f'{o.trouble:.0%}',
            f'{o.blind:.0%}',
            f'{o.seconds:.0f}',
        )
        for o in ranked
    ]
    heads = ('drive', 'sensors out of use', 'outputs', 'trouble', 'blind', 'seconds')
    return table(heads, rows, 3)


def _unused(outcome: DriveOutcome) -> str:
    worst = sorted(outcome.unused.items(), key=lambda item: item[1], reverse=True)
    return '<br>'.join(
        f'{_text(name)} {share:.0%} ({_text(outcome.reasons.get(name, ""))})'
        for name, share in worst
        if share
    )


def _disagreements(good: Sequence[DriveOutcome]) -> str:
    known = [outcome for outcome in good if not math.isnan(outcome.disagreement)]
    if not known:
        return '<p class="soft">No drive had cameras and LiDAR together.</p>'
    ranked = sorted(known, key=lambda outcome: outcome.disagreement, reverse=True)
    rows = [(_link(o), f'{o.disagreement:.0%}', str(o.compared), f'{o.boxes:.1f}') for o in ranked]
    return table(('drive', 'disagreement', 'moments compared', 'boxes an output'), rows)


def _link(outcome: DriveOutcome) -> str:
    return f'<a href="{html.escape(outcome.name)}/">{_text(outcome.name)}</a>'


def _text(text: str) -> str:
    return html.escape(text)
