"""Which frames that could be used are used: rates, phases, delays and tolerances, beside old code.

    .venv/bin/metabev-env python benchmark/timing_sweep.py
        [--before COMMIT] [--record docs/results/timing_sweep.json]
        [--picture docs/images/timing_sweep.png]

`test/support/timing_sweep.py` says what could be used, from the schedule alone. `before` is a
commit whose front end runs the same schedules in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PHASES = (0.0, 0.3, 0.55, 0.8)
LAGS = (-100.0, -50.0, 0.0, 50.0, 100.0)  # ms; negative: the LiDAR comes later


def load_sweep(code: Path):
    """`support.timing_sweep` of this checkout, on the front end and the drives of `code`."""
    sys.path[:0] = [str(code), str(code / 'test')]
    place = ROOT / 'test' / 'support' / 'timing_sweep.py'
    spec = importlib.util.spec_from_file_location('support.timing_sweep', place)
    sweep = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = sweep
    spec.loader.exec_module(sweep)
    return sweep


def measure(code: Path) -> None:
    """Print a line of JSON for each combination."""
    sweep = load_sweep(code)
    rates = list(itertools.product(sweep.RATES, sweep.RATES))
    for tolerance in sweep.TOLERANCES:
        for (camera, lidar), phase, lag in itertools.product(rates, PHASES, LAGS):
            timing = sweep.Timing(camera, lidar, phase, lag, tolerance)
            count = sweep.judge(timing)
            print(json.dumps({**vars(timing), **vars(count)}), flush=True)


def run(code: Path, command: str) -> list[dict]:
    child = [sys.executable, __file__, '--code', str(code)]
    with subprocess.Popen(child, stdout=subprocess.PIPE, text=True) as process:
        lines = [json.loads(line) for line in process.stdout]
    if process.returncode:
        raise SystemExit(f'{command}: the front end of {code} did not run')
    return lines


def shares(lines: list[dict], key: str, name: str, target: str | None = None):
    """Share of what could be used, for all lines alike and over all of them."""
    groups: dict[str, list[dict]] = {}
    for line in lines:
        groups.setdefault(key.format(**line), []).append(line)
    for group, members in groups.items():
        could = sum(line['could'] for line in members)
        used = sum(line['used'] for line in members)
        if could:
            yield f'{group}.{name}', 100 * used / could, '%', could, target


def figures(code: str, lines: list[dict]):
    """(id, value, unit, n, target) of one code."""
    target = '== 100' if code == 'now' else None
    tolerance = '.tolerance_{tolerance}'
    rates = tolerance + '.camera_{camera_hz}.lidar_{lidar_hz}'
    yield from shares(lines, code + tolerance, 'used', target)
    yield from shares(lines, code + '.rates' + rates, 'used')
    yield from shares(lines, code + '.phases' + tolerance + '.phase_{phase}.lag_{lag:.0f}', 'used')
    for name in ('fused', 'nearest', 'wrong', 'too_late', 'samples'):
        whole = 'fused' if name == 'nearest' else 'sweeps'
        total = sum(line[whole] for line in lines)
        value = sum(line[name] for line in lines)
        yield f'{code}.all.{name}', 100 * value / total, f'% of {whole}', total, None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--record', type=Path)
    parser.add_argument('--picture', type=Path)
    parser.add_argument('--before', help='commit to compare with')
    parser.add_argument('--code', type=Path, help='measure the checkout in this folder only')
    options = parser.parse_args()
    if options.code:
        measure(options.code)
        return
    command = shlex.join(['python', *sys.argv])
    measured = {'now': run(ROOT, command)}
    if options.before:
        with tempfile.TemporaryDirectory() as folder:
            code = Path(folder) / 'before'
            git = ['git', '-C', str(ROOT), 'worktree']
            subprocess.run([*git, 'add', '--detach', str(code), options.before], check=True)
            try:
                measured['before'] = run(code, command)
            finally:
                subprocess.run([*git, 'remove', '--force', str(code)], check=True)
    sys.path[:0] = [str(ROOT), str(ROOT / 'tools')]
    from figures.timing import draw_timing_sweep

    from metabev_ros.lab.evaluation.records import make_record, merge_records

    records = []
    for code, lines in measured.items():
        for name, value, unit, n, target in figures(code, lines):
            print(f'{name:52} {value:9.3f} {unit}')
            name = 'timing_sweep.' + name.replace('phase_0.', 'phase_0_')
            records.append(make_record(name, value, unit, command, n, target))
    if options.record:
        merge_records(options.record, records)
    if options.picture:
        draw_timing_sweep(measured, options.picture)


if __name__ == '__main__':
    main()
