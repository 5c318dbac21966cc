"""Make the pages docs/results/*.md: the tables of tools/results_pages.yaml, and the fault matrix.

    .venv/bin/metabev-env python tools/results_pages.py            # write them
    .venv/bin/metabev-env python tools/results_pages.py --check    # exit 1 if one is out of date

A page is made of docs/results/<file>.json alone. Nothing on it is written by hand: its words are
in results_pages.yaml, its figures in the JSON, and a test compares all three.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fault_matrix
import yaml

from metabev_ros.files import write_text
from metabev_ros.lab.evaluation.records import ResultRecord, Run, read_records

ROOT = Path(__file__).resolve().parent.parent
SPEC = Path(__file__).with_suffix('.yaml')
PLACEHOLDER = re.compile(r'\{(row|column|figure)\}')


@dataclass(frozen=True)
class Table:
    """One table of a page.

    Attributes:
        title: heading.
        about: what the figures are, in words.
        list: beginnings of ids; each record is a row with its value, target and number of samples.
        grid: an id with {row} and {column}, {figure} or both: cells that stand side by side.
        rows: words for rows; a key that ends with '*' takes the rest of the id, written as {}.
        columns: column -> its words, in the order of the table; others are left out.
        figures: figure -> its words; the figures of one cell, in order.
        cell: how the figures of a cell stand together, with a {} for each.
        digits: format of a value in a grid.
        only: beginnings of the rows to show; none: all.
    """

    title: str
    about: str
    list: tuple[str, ...] = ()
    grid: str = ''
    rows: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)
    cell: str = '{} / {} / {}'
    digits: str = ''
    only: tuple[str, ...] = ('',)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Table:
        """From an entry of results_pages.yaml."""
        tuples: dict[str, Any] = {
            key: tuple(plain[key]) for key in ('list', 'only') if key in plain
        }
        return cls(**{**plain, **tuples})


@dataclass(frozen=True)
class Page:
    """A page: docs/results/<name>.md of docs/results/<file>.json."""

    name: str
    title: str
    about: str
    tables: tuple[Table, ...]
    file: str = ''

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Page:
        """From an entry of results_pages.yaml."""
        tables: dict[str, Any] = {'tables': tuple(map(Table.from_plain, plain['tables']))}
        return cls(**{**plain, **tables})


Cells = dict[tuple[str, str, str], ResultRecord]  # row, column, figure


def read_pages(path: Path) -> list[Page]:
    """All pages of results_pages.yaml."""
    return [Page.from_plain(plain) for plain in yaml.safe_load(path.read_text(encoding='utf-8'))]


def in_words(name: str) -> str:
    """The last resort for a name without words of its own."""
    return name.replace('.', ': ').replace('_', ' ')


def number(value: float, digits: str = '') -> str:
    """Whole numbers in full, others with four digits or as `digits` says."""
    if digits:
        return f'{value:{digits}}'
    if value == round(value) or abs(value) >= 10_000:
        return f'{value:,.0f}'.replace(',', ' ')
    return f'{value:.4g}'


class Runs:
    """Numbers of the runs of a page, in the order in which its tables name them."""

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def number(self, record: ResultRecord) -> int:
        """The number of a record's run, from 1 on."""
        if record.run not in self._runs:
            self._runs.append(record.run)
        return self._runs.index(record.run) + 1

    def lines(self) -> list[str]:
        """The runs as a numbered list."""
        return [
            f'{place}. `{run.command}`, commit `{run.commit}`, {run.date}, {run.machine}'
            for place, run in enumerate(self._runs, 1)
        ]


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return [f'| {" | ".join(row)} |' for row in (header, ['---'] * len(header), *rows)]


def list_lines(table: Table, records: list[ResultRecord], runs: Runs) -> list[str]:
    """One row a record."""
    met = {True: 'yes', False: '**no**', None: ''}
    chosen = [r for prefix in table.list for r in records if r.id.startswith(prefix)]
    rows = []
    for record in chosen:
        prefix = next(p for p in table.list if record.id.startswith(p))
        name = record.id.removeprefix(prefix).strip('.') or prefix.strip('.').rpartition('.')[2]
        asked = record.target or ''
        value = f'{number(record.value)} {record.unit}'.strip()
        words = table.rows.get(record.id, in_words(name))
        rows.append(
            (words, value, asked, met[record.met], str(record.n), str(runs.number(record)))
        )
    return table_lines(('figure', 'value', 'asked', 'met', 'n', 'run'), rows) if rows else []


def grid_pattern(table: Table) -> re.Pattern[str]:
    """The ids of a grid: any row, the columns and figures that it names."""
    parts = PLACEHOLDER.split(table.grid)
    choices = {
        name: '|'.join(map(re.escape, words))
        for name, words in (('column', table.columns), ('figure', table.figures))
    }
    return re.compile(
        ''.join(
            f'(?P<{part}>{choices.get(part, ".+")})' if place % 2 else re.escape(part)
            for place, part in enumerate(parts)
        )
    )


def row_words(table: Table, row: str) -> str:
    """The words of a row of a grid."""
    for key, words in table.rows.items():
        if key == row or key.endswith('*') and row.startswith(key[:-1]):
            rest = row.removeprefix(key.rstrip('*'))
            rest = rest.replace('_', '.' if rest[:1].isdigit() else ' ')  # 0_3 is 0.3
            return words.replace('{}', rest)
    return in_words(row)


def grid_lines(table: Table, records: list[ResultRecord], runs: Runs) -> list[str]:
    """One row a {row}, one column a {column}, the figures of a cell side by side."""
    pattern = grid_pattern(table)
    cells: Cells = {}
    for record in records:
        match = pattern.fullmatch(record.id)
        if match and match['row'].startswith(table.only):
            named = {'column': '', 'figure': ''} | match.groupdict()
            cells[named['row'], named['column'], named['figure']] = record
    if not cells:
        return []
    # Without {column} each figure has a column of its own.
    figures = list(table.figures) or ['']
    groups = [(words, [(key, f) for f in figures]) for key, words in table.columns.items()]
    if '{column}' not in table.grid:
        groups = [(words, [('', figure)]) for figure, words in table.figures.items()]
    groups = [(words, keys) for words, keys in groups if {key[1:] for key in cells} & {*keys}]
    header = [f'{words}{_units(table, cells, words, keys)}' for words, keys in groups]
    rows = [
        (row_words(table, row), *(_cell(table, cells, row, keys) for _, keys in groups))
        for row in dict.fromkeys(key[0] for key in cells)
    ]
    samples = ', '.join(dict.fromkeys(number(r.n) for r in cells.values()))
    origin = ', '.join(dict.fromkeys(str(runs.number(r)) for r in cells.values()))
    return [*table_lines(('', *header), rows), '', f'n: {samples}. Run: {origin}.']


def _joined(table: Table, texts: list[str]) -> str:
    """The figures of a cell, or their words, as `cell` has them."""
    pieces = table.cell.split('{}')[: len(texts)]
    ending = table.cell.split('{}')[len(texts)] if table.cell.count('{}') == len(texts) else ''
    return ''.join(piece + text for piece, text in zip(pieces, texts, strict=True)) + ending


def _units(table: Table, cells: Cells, words: str, keys: list[tuple[str, str]]) -> str:
    """Words of the figures of a column where it has several, else their unit; in parentheses."""
    if len(keys) > 1:
        return f' ({_joined(table, [table.figures[figure] for _, figure in keys])})'
    unit = next((r.unit for (_, *key), r in cells.items() if tuple(key) in keys), '')
    return f' ({unit})' if unit and unit != words else ''


def _cell(table: Table, cells: Cells, row: str, keys: list[tuple[str, str]]) -> str:
    """The values of a cell; bold: not what was asked."""
    found = [cells.get((row, *key)) for key in keys]
    if not any(found):
        return ''
    texts = [
        '-'
        if r is None
        else f'**{number(r.value, table.digits)}**'
        if r.met is False
        else number(r.value, table.digits)
        for r in found
    ]
    return _joined(table, texts)


def render(page: Page, results: Path) -> str:
    """The text of a page.

    Raises:
        SystemExit: a table has no figures.
    """
    source = f'{page.file or page.name}.json'
    records, runs = read_records(results / source), Runs()
    lines = [f'# {page.title}', '', page.about, '']
    lines += [f'Made by `python tools/results_pages.py` of `docs/results/{source}`.']
    for table in page.tables:
        made = (grid_lines if table.grid else list_lines)(table, records, runs)
        if not made:
            raise SystemExit(
                f'{page.name}, {table.title!r}: docs/results/{source} has no such figures; '
                'record them, or correct tools/results_pages.yaml'
            )
        lines += ['', f'## {table.title}', '', table.about, '', *made]
    return '\n'.join([*lines, '', '## Runs', '', *runs.lines()]) + '\n'


def all_pages(root: Path, spec: Path) -> dict[Path, str]:
    """Path -> text of everything that is made."""
    results = root / 'docs' / 'results'
    pages = {results / f'{page.name}.md': render(page, results) for page in read_pages(spec)}
    return pages | {results / 'fault_matrix.md': fault_matrix.page(root)}


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or name those that are out of date."""
    parser = argparse.ArgumentParser(description='Make the pages docs/results/*.md.')
    parser.add_argument('--check', action='store_true', help='change nothing; exit 1 if stale')
    options = parser.parse_args(arguments)
    stale = {
        path: text
        for path, text in all_pages(ROOT, SPEC).items()
        if not path.exists() or path.read_text(encoding='utf-8') != text
    }
    for path, text in stale.items():
        if not options.check:
            write_text(path, text)
        state = 'out of date' if options.check else 'written'
        sys.stdout.write(f'{path.relative_to(ROOT)}: {state}\n')
    return 1 if options.check and stale else 0


if __name__ == '__main__':
    sys.exit(main())
