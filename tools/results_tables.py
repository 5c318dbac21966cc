"""Write the tables between result markers in README.md, docs/ and model cards, from docs/results/.

    python tools/results_tables.py            write them
    python tools/results_tables.py --check    exit 1 and name the files that are out of date

A marker names a results file and, if wanted, the beginnings of the ids to show:

    <!-- results:demo -->            everything in docs/results/demo.json
    <!-- results:demo evaluation. real. -->    only ids that begin with one of these
    ... the table ...
    <!-- /results -->

or, for ids of the form FILE.COLUMN.ROW.FIGURE, the columns and figures of a table with one row
each ROW (which may hold dots), and if wanted the beginnings of the rows:

    <!-- matrix:robustness ours,baseline nds,miou lf. mo. -->
    <!-- /results -->

or one figure with its unit in a sentence or in a cell of a table written by hand:

    <!-- figure:demo demo.lidar.silence -->223 ms<!-- /figure -->
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r'(<!-- results:([\w-]+)((?: [\w.-]+)*) -->\n).*?(<!-- /results -->)', re.S)
MATRIX = re.compile(
    r'(<!-- matrix:([\w-]+) ([\w,-]+) ([\w,]+)((?: [\w.-]+)*) -->\n)'
    r'.*?(<!-- /results -->)',
    re.S,
)
FIGURE = re.compile(r'(<!-- figure:([\w-]+) ([\w.-]+) -->).*?(<!-- /figure -->)')
HEADER = ('figure', 'value', 'target', 'met', 'n', 'commit', 'date')


def documents(root: Path) -> list[Path]:
    """README.md, every Markdown file below docs/ and the model cards."""
    return [
        path
        for path in (
            root / 'README.md',
            *sorted((root / 'docs').rglob('*.md')),
            *sorted((root / 'models').rglob('*.md')),
        )
        if path.is_file()
    ]


def render(records: list[dict]) -> str:
    """The table, then the commands and machines that its figures come from."""
    if not records:
        return '*(no figures recorded yet)*\n'
    rows = [HEADER, ('---',) * len(HEADER)]
    for record in records:
        met = {True: 'yes', False: '**no**', None: ''}[record['met']]
        rows.append(
            (
                f'`{record["id"]}`',
                f'{record["value"]:.4g} {record["unit"]}'.strip(),
                record['target'] or '',
                met,
                str(record['n']),
                f'`{record["commit"]}`',
                record['date'],
            )
        )
    return '\n'.join([f'| {" | ".join(row)} |' for row in rows] + _origin(records)) + '\n'


def _origin(
    records: list[dict], keys=(('Commands', 'command'), ('Machines', 'machine'))
) -> list[str]:
    lines = []
    for title, key in keys:
        values = dict.fromkeys(str(record[key]) for record in records)
        lines += ['', f'{title}: ' + '; '.join(f'`{value}`' for value in values)]
    return lines


def render_matrix(
    records: list[dict],
    topic: str,
    columns: list[str],
    figures: list[str],
    prefixes: tuple[str, ...],
) -> str:
    """One row per ROW of the ids, one column per COLUMN, the figures of a cell side by side."""
    cells: dict[str, dict[tuple[str, str], float]] = {}
    used = []
    for record in records:
        first, _, rest = record['id'].partition('.')
        column, _, rest = rest.partition('.')
        row, _, figure = rest.rpartition('.')
        if first == topic and column in columns and figure in figures and row.startswith(prefixes):
            cells.setdefault(row, {})[column, figure] = record['value']
            used.append(record)
    if not used:
        return '*(no figures recorded yet)*\n'
    units = dict.fromkeys(r['unit'] for f in figures for r in used if r['id'].endswith(f'.{f}'))
    rows = [
        ('setting', *(f'{column} {" / ".join(units)}' for column in columns)),
        ('---',) * (len(columns) + 1),
    ]
    for row, values in cells.items():
        rows.append(
            (
                f'`{row}`',
                *(
                    ' / '.join(
                        f'{values[column, f]:.3f}' if (column, f) in values else '-'
                        for f in figures
                    )
                    for column in columns
                ),
            )
        )
    keys = (
        ('Samples', 'n'),
        ('Commands', 'command'),
        ('Commits', 'commit'),
        ('Machines', 'machine'),
    )
    return '\n'.join([f'| {" | ".join(row)} |' for row in rows] + _origin(used, keys)) + '\n'


def render_figure(records: list[dict], topic: str, name: str) -> str:
    """Value and unit: three digits, or all of a whole number.

    Raises:
        SystemExit: nobody recorded it.
    """
    for record in records:
        if record['id'] == name:
            value = record['value']
            number = f'{value:,.0f}'.replace(',', ' ') if abs(value) >= 1000 else f'{value:.3g}'
            return f'{number} {record["unit"]}'.strip()
    raise SystemExit(
        f'docs/results/{topic}.json has no figure {name!r}: correct the marker, or record it first'
    )


def refreshed(text: str, results: Path) -> str:
    """The document's text with every block made anew."""

    def records_of(topic: str) -> list[dict]:
        source = results / f'{topic}.json'
        return json.loads(source.read_text(encoding='utf-8')) if source.exists() else []

    def matrix(match: re.Match) -> str:
        return (
            match[1]
            + render_matrix(
                records_of(match[2]),
                match[2],
                match[3].split(','),
                match[4].split(','),
                tuple(match[5].split()) or ('',),
            )
            + match[6]
        )

    def table(match: re.Match) -> str:
        records = records_of(match[2])
        prefixes = tuple(match[3].split()) or ('',)
        chosen = [r for r in records if r['id'].startswith(prefixes)]
        return match[1] + render(chosen) + match[4]

    def figure(match: re.Match) -> str:
        return match[1] + render_figure(records_of(match[2]), match[2], match[3]) + match[4]

    return FIGURE.sub(figure, MATRIX.sub(matrix, BLOCK.sub(table, text)))


def stale_documents(root: Path, write: bool) -> list[Path]:
    """Documents whose tables are out of date; `write` brings them up to date."""
    stale = []
    for path in documents(root):
        text = path.read_text(encoding='utf-8')
        new = refreshed(text, root / 'docs' / 'results')
        if new == text:
            continue
        stale.append(path)
        if write:
            part = path.with_name(f'.{path.name}.part')
            part.write_text(new, encoding='utf-8')
            os.replace(part, path)
    return stale


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='change nothing; exit 1 if stale')
    parser.add_argument('--root', type=Path, default=ROOT, help='checkout to work on')
    options = parser.parse_args(arguments)
    stale = stale_documents(options.root, write=not options.check)
    for path in stale:
        state = 'out of date' if options.check else 'written'
        sys.stdout.write(f'{path.relative_to(options.root)}: {state}\n')
    return 1 if options.check and stale else 0


if __name__ == '__main__':
    sys.exit(main())
