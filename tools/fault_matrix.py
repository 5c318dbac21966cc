"""Makes docs/fault_matrix.md from test/faults/matrix.yaml and the tests that bear row numbers.

python tools/fault_matrix.py            # write the document
python tools/fault_matrix.py --check    # exit 1 if it is out of date, or a row has neither
                                        # a test nor a reason (a test does this)
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
ROWS = 119
TEST_NAME = re.compile(r'^ *def (test_row((?:_\d{3})+)_\w+)', re.MULTILINE)
HEAD = """# Fault matrix

Every fault below has a test whose name bears its number, or a reason why it has none. Made by
`python tools/fault_matrix.py` from `test/faults/matrix.yaml`; a test compares both with the tests.
Run one row: `.venv/bin/metabev-env python -m pytest -k row_017`.

Terms. Tp: nominal period of the sensor. W: `sensing.deadline`. L: latency of the pipeline. K:
`sensing.readmit_frames`. FULL is modality FUSED, CAMERA_ONLY and LIDAR_ONLY are CAMERA and LIDAR,
NO_INPUT is NONE with a silent detection topic. Levels of injection that were asked for: U in the
process with a made-up clock, P in one process over rclpy, X several processes, B a damaged bag.
"Instead" says where the node owes something other than was asked for, and why. "Proven": in the
process, or live, with the real node as a process of its own on a ROS graph. A row that asks for
U/P and is proven in the process only has its P part open.

"""


def tests_by_row(root: Path) -> dict[int, list[str]]:
    """Row -> 'path::name' of the tests that bear its number, in order."""
    found: dict[int, list[str]] = {}
    for path in sorted((root / 'test').rglob('test_*.py')):
        for match in TEST_NAME.finditer(path.read_text(encoding='utf-8')):
            for number in match[2].strip('_').split('_'):
                found.setdefault(int(number), []).append(
                    f'{path.relative_to(root / "test")}::{match[1]}'
                )
    return found


def read_matrix(root: Path) -> list[dict]:
    return yaml.safe_load((root / 'test/faults/matrix.yaml').read_text(encoding='utf-8'))


def offences(rows: list[dict], tests: dict[int, list[str]]) -> list[str]:
    """What is wrong with the matrix or with the numbers that tests bear."""
    numbers = [row['row'] for row in rows]
    found = [] if numbers == list(range(1, ROWS + 1)) else [f'rows other than 1..{ROWS} in order']
    for row in rows:
        tested, is_open = bool(tests.get(row['row'])), bool(row.get('open'))
        if tested == is_open:
            found.append(
                f'row {row["row"]} ({row["fault"]}): '
                + (
                    'open, but a test bears its number'
                    if tested
                    else 'neither a test nor a reason'
                )
            )
    found += [
        f'{test}: there is no row {number}'
        for number, names in tests.items()
        if number not in numbers
        for test in names
    ]
    return found


def render(rows: list[dict], tests: dict[int, list[str]]) -> str:
    """The document."""
    proven = sum(bool(tests.get(row['row'])) for row in rows)
    lines = [
        f'{proven} of {len(rows)} rows have tests; {len(rows) - proven} are open or do not '
        'apply.\n'
    ]
    section = None
    for row in rows:
        if row['section'] != section:
            section = row['section']
            lines += [
                f'\n## {section}\n',
                '| # | fault | the node owes | diagnostics | within | injection | proven |',
                '|---|---|---|---|---|---|---|',
            ]
        owes = row['expected'] + (f'. **Instead:** {row["changed"]}' if 'changed' in row else '')
        cells = (
            row['row'],
            row['fault'],
            owes,
            row['diagnostics'],
            row['within'],
            row['injection'],
            _proof(row, tests.get(row['row'], [])),
        )
        lines.append('| ' + ' | '.join(str(cell).replace('|', '\\|') for cell in cells) + ' |')
    return HEAD + '\n'.join(lines) + '\n'


def _proof(row: dict, tests: list[str]) -> str:
    if not tests:
        return f'**open**: {row["open"]}'
    return ', '.join(
        sorted(
            {'live' if 'test_live' in test.split('::')[0] else 'in the process' for test in tests}
        )
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='change nothing; exit 1 if stale')
    parser.add_argument('--root', type=Path, default=ROOT, help='checkout to work on')
    options = parser.parse_args(arguments)
    rows, tests = read_matrix(options.root), tests_by_row(options.root)
    wrong = offences(rows, tests)
    path, text = options.root / 'docs/fault_matrix.md', ''
    if not wrong:
        text = render(rows, tests)
        if not path.exists() or path.read_text(encoding='utf-8') != text:
            wrong = [f'{path.name} is out of date'] if options.check else []
            if not options.check:
                path.write_text(text, encoding='utf-8')
    sys.stdout.write(
        '\n'.join(
            [
                *wrong,
                f'{sum(map(bool, map(tests.get, range(1, ROWS + 1))))} of {ROWS} rows have tests',
            ]
        )
        + '\n'
    )
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
