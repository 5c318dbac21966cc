"""Single failures are survived, a guard that is gone is noticed, what is reached."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.progress import track
from support.single_failures import SITES, check_rules, fail_once

from benchmark.reliability.figures import ROOT, Figure
from benchmark.reliability.guards import Guard, read_guards
from metabev_ros.errors import ConfigError


def single_failures(seconds: float, stride: int) -> list[Figure]:
    """Every site of the sensing path, made to fail at each of its calls."""
    tried, survived = 0, 0
    for site in track(SITES, 'sites', transient=True):
        at = 0
        while (done := fail_once(site, at, seconds))[0]:
            tried += 1
            try:
                check_rules(done[1], f'{site} at call {at}')
                survived += 1
            except AssertionError as error:
                sys.stdout.write(f'not survived: {str(error).splitlines()[0]}\n')
            at += stride
    return [
        Figure('f7.single_failures_tried', tried, 'failures', len(SITES)),
        Figure('f7.single_failures_not_survived', tried - survived, 'failures', tried, '== 0'),
    ]


def mutants(only: list[str]) -> list[Figure]:
    """Each guard switched off, or those named, must make one of its named tests fail."""
    guards = read_guards(ROOT / 'benchmark/guards.yaml')
    unknown = set(only) - {guard.id for guard in guards}
    if unknown:
        raise ConfigError('mutants', 'ids of benchmark/guards.yaml', str(sorted(unknown)))
    guards = [guard for guard in guards if not only or guard.id in only]
    survivors = []
    for guard in track(guards, 'mutants', transient=True):
        with tempfile.TemporaryDirectory() as folder:
            if _passes_with(guard, Path(folder)):
                survivors.append(guard.id)
                sys.stdout.write(f'survives: {guard.id}\n')
    return [
        Figure('f14.guards_switched_off', len(guards), 'mutants', len(guards)),
        Figure('f14.mutants_that_no_row_noticed', len(survivors), 'mutants', len(guards), '== 0'),
    ]


def _passes_with(guard: Guard, folder: Path) -> bool:
    """Whether the guard's tests pass although it is switched off, in a copy of the package."""
    shutil.copytree(
        ROOT / 'metabev_ros', folder / 'metabev_ros', ignore=shutil.ignore_patterns('__pycache__')
    )
    for name in ('msg', 'config', 'models', 'package.xml', 'pyproject.toml', 'test'):
        (folder / name).symlink_to(ROOT / name)
    path = folder / 'metabev_ros' / guard.file
    path.write_text(guard.mutate(path.read_text(encoding='utf-8')), encoding='utf-8')
    paths = os.pathsep.join([str(folder), os.environ.get('PYTHONPATH', '')])
    command = [sys.executable, '-m', 'pytest', '-x', '-q', '-p', 'no:cacheprovider']
    result = subprocess.run(
        [*command, guard.tests, '-k', guard.rows],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, 'PYTHONPATH': paths},
    )
    if result.returncode not in (0, 1):
        raise SystemExit(f'guard {guard.id}: {result.stdout[-800:]}{result.stderr[-800:]}')
    return result.returncode == 0


def coverage() -> list[Figure]:
    """Lines and branches of the report that `make coverage` has just written."""
    report = ROOT / 'out/coverage/report.json'
    content = json.loads(report.read_text(encoding='utf-8'))
    for path, file in sorted(
        content['files'].items(), key=lambda item: item[1]['summary']['percent_covered']
    ):
        sys.stdout.write(f'{file["summary"]["percent_covered"]:6.1f} % {path}\n')
    total = content['totals']
    lines, branches = total['num_statements'], total['num_branches']
    return [
        Figure('f15.lines_reached', 100 * total['covered_lines'] / lines, '%', lines, '>= 95'),
        Figure(
            'f15.branches_reached',
            100 * total['covered_branches'] / branches,
            '%',
            branches,
            '>= 90',
        ),
    ]
