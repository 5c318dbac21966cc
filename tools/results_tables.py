"""Write the tables between result markers in README.md, docs/ and model cards, from docs/results/.

    python tools/results_tables.py            write them
    python tools/results_tables.py --check    exit 1 and name the files that are out of date

A marker names a results file and, if wanted, the beginnings of the ids to show:

    <!-- results:demo -->            everything in docs/results/demo.json
    <!-- results:demo evaluation. real. -->    only ids that begin with one of these
    ... the table ...
    <!-- /results -->
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
HEADER = ('figure', 'value', 'target', 'met', 'n', 'commit', 'date')


def documents(root: Path) -> list[Path]:
    """README.md, every Markdown file below docs/ and the model cards."""
    return [path for path in (root / 'README.md', *sorted((root / 'docs').rglob('*.md')),
                              *sorted((root / 'models').rglob('*.md'))) if path.is_file()]


def render(records: list[dict]) -> str:
    """The table, then the commands and machines that its figures come from."""
    if not records:
        return '*(no figures recorded yet)*\n'
    rows = [HEADER, ('---',) * len(HEADER)]
    for record in records:
        met = {True: 'yes', False: '**no**', None: ''}[record['met']]
        rows.append((f'`{record["id"]}`', f'{record["value"]:.4g} {record["unit"]}'.strip(),
                     record['target'] or '', met, str(record['n']), f'`{record["commit"]}`',
                     record['date']))
    lines = [f'| {" | ".join(row)} |' for row in rows]
    for title, key in (('Commands', 'command'), ('Machines', 'machine')):
        values = dict.fromkeys(record[key] for record in records)
        lines += ['', f'{title}: ' + '; '.join(f'`{value}`' for value in values)]
    return '\n'.join(lines) + '\n'


def refreshed(text: str, results: Path) -> str:
    """The document's text with every block made anew."""
    def table(match: re.Match) -> str:
        source = results / f'{match[2]}.json'
        records = json.loads(source.read_text(encoding='utf-8')) if source.exists() else []
        prefixes = tuple(match[3].split()) or ('',)
        chosen = [r for r in records if r['id'].startswith(prefixes)]
        return match[1] + render(chosen) + match[4]
    return BLOCK.sub(table, text)


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
