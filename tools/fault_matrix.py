"""The page of the fault matrix: test/faults/matrix.yaml, and the tests that bear row numbers.

tools/results_pages.py writes it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROWS = 134
TEST_NAME = re.compile(r'^ *def (test_row((?:_\d{3})+)_\w+)', re.MULTILINE)
HEAD = """# Fault matrix

Every fault below has a test whose name bears its number, or a reason why it has none. Made
by `python tools/results_pages.py` from `test/faults/matrix.yaml`; a test compares both with the
tests.
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


def read_matrix(root: Path) -> list[dict[str, Any]]:
    """The rows as written."""
    return yaml.safe_load((root / 'test/faults/matrix.yaml').read_text(encoding='utf-8'))


def offences(rows: list[dict[str, Any]], tests: dict[int, list[str]]) -> list[str]:
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


def render(rows: list[dict[str, Any]], tests: dict[int, list[str]]) -> str:
    """The document."""
    proven = sum(bool(tests.get(row['row'])) for row in rows)
    lines = [
        f'{proven} of {len(rows)} rows have tests; {len(rows) - proven} are open or do not '
        'apply.\n'
    ]
    section = None
    for row in sorted(rows, key=lambda row: row['section']):
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


def _proof(row: dict[str, Any], tests: list[str]) -> str:
    if not tests:
        return f'**open**: {row["open"]}'
    return ', '.join(
        sorted(
            {'live' if 'test_live' in test.split('::')[0] else 'in the process' for test in tests}
        )
    )


def page(root: Path) -> str:
    """The document of a checkout.

    Raises:
        SystemExit: the matrix and the tests do not agree.
    """
    rows, tests = read_matrix(root), tests_by_row(root)
    if wrong := offences(rows, tests):
        raise SystemExit('\n'.join(wrong))
    return render(rows, tests)
