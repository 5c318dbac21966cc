"""Figures of reliability: each of these measures one and may record it.

    .venv/bin/metabev-env python benchmark/reliability.py detection        # F1, F2, F5
    .venv/bin/metabev-env python benchmark/reliability.py clean            # F3
    .venv/bin/metabev-env python benchmark/reliability.py single-failures  # F7
    .venv/bin/metabev-env python benchmark/reliability.py mutants          # F14

Time is made up (the stamps' own), so delays are exact and do not depend on the machine; the drive
and the check against the injected truth are those of test/faults.
"""
from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from rich.progress import track

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / 'test' / name) for name in ('faults', 'sensing')]

import fake_drive  # noqa: E402
from injected_drive import DEADLINE, PERIOD, Run, check_truth, fault, run  # noqa: E402
from single_failures import SITES, check_rules, fail_once  # noqa: E402

from metabev_ros.evaluation.records import make_record, merge_records  # noqa: E402
from metabev_ros.faults.pipe import DROPPED  # noqa: E402
from metabev_ros.structures import SensorState  # noqa: E402

SOURCES = (*fake_drive.SENSORS, 'cameras')


def _is_untrue(result: Run) -> bool:
    """Whether some output of a run is not what the truth file says."""
    try:
        check_truth(result)
    except AssertionError as error:
        sys.stdout.write(f'untrue: {error}\n')
        return True
    return False


def detection(options) -> list:
    """F1 and F5 over 20 phases x 8 sources, F2 over these and random plans."""
    from test_rows_time import random_plan
    detected, noticed, recovered, outputs = [], [], [], 0
    untrue, untrue_plans = 0, 0
    cases = [(source, phase) for source in SOURCES for phase in range(0, 100, 5)]
    for source, phase in track(cases, 'dying and coming back', transient=True):
        begin, end = 1.0 + phase / 1000, 2.0 + phase / 1000
        result = run(fault('off', source, begin, end), seconds=4.0, check=False)
        outputs, untrue = outputs + len(result.out), untrue + _is_untrue(result)
        names = fake_drive.CAMERAS if source == 'cameras' else (source,)
        death = fake_drive.T0 + round(begin * 1e9)
        first = next(time for time, s in result.out
                     if time >= death and not set(names) & set(s.used_sensors))
        detected.append((first - death) / 1e6)
        due = max(t.out_arrival_ns for name in names for t in result.truth_of(name)
                  if t.arrival_ns < death) + PERIOD
        noticed.append((first - due) / 1e6)
        back = [min(t.out_arrival_ns for t in result.truth_of(name)
                    if t.arrival_ns >= fake_drive.T0 + round(end * 1e9) and t.action != DROPPED)
                for name in names]
        full = next(time for time, s in result.out
                    if time >= max(back) and set(names) <= set(s.used_sensors))
        recovered.append((full - max(back)) / 1e6)
    for seed in track(range(options.seeds), 'random plans', transient=True):
        result = run(*random_plan(1000 + seed), seconds=6.0, seed=seed, check=False)
        outputs, untrue_plans = outputs + len(result.out), untrue_plans + _is_untrue(result)
    bound = (PERIOD + DEADLINE) / 1e6
    return [('f1.death_to_first_right_label_worst', max(detected), 'ms', len(detected),
             f'<= {bound:g}'),
            ('f1.missing_message_to_first_right_label_worst', max(noticed), 'ms', len(noticed),
             f'<= {bound:g}'),
            ('f1.deaths_with_a_wrong_label', untrue, 'deaths', len(detected), '== 0'),
            ('f2.drives_with_an_untrue_output', untrue + untrue_plans, 'drives',
             len(detected) + options.seeds, '== 0'),
            ('f2.outputs_held_against_the_truth', outputs, 'outputs', outputs, '>= 1000000'),
            ('f5.return_to_use_worst', max(recovered), 'ms', len(recovered),
             f'<= {2 * PERIOD / 1e6 + bound:g}')]


def clean(options) -> list:
    """F3: alarms on clean drives whose stamps jitter by a fifth of the period."""
    outputs = alarms = changes = 0
    offsets = {name: -10 + 2 * k for k, name in enumerate(fake_drive.CAMERAS)}
    for seed in track(range(options.seeds), 'clean drives', transient=True):
        drive = fake_drive.Drive(30, jitter=20, offsets=offsets, seed=seed)
        out = fake_drive.play(fake_drive.set_up(fake_drive.front_end()), drive.events)
        outputs += len(out)
        alarms += sum(any(r.state is not SensorState.OK for r in s.sensors) for _, s in out)
        changes += sum(a[1].modality is not b[1].modality
                       for a, b in zip(out, out[1:], strict=False))
    return [('f3.outputs_with_a_false_alarm', alarms, 'outputs', outputs, '== 0'),
            ('f3.false_changes_of_modality', changes, 'changes', outputs, '== 0')]


def single_failures(options) -> list:
    """F7: every site of the sensing path, made to fail at each of its calls."""
    tried, survived = 0, 0
    for site in track(SITES, 'sites', transient=True):
        at = 0
        while (done := fail_once(site, at, options.seconds))[0]:
            tried += 1
            try:
                check_rules(done[1], f'{site} at call {at}')
                survived += 1
            except AssertionError as error:
                sys.stdout.write(f'not survived: {str(error).splitlines()[0]}\n')
            at += options.stride
    return [('f7.single_failures_tried', tried, 'failures', len(SITES), None),
            ('f7.single_failures_not_survived', tried - survived, 'failures', tried, '== 0')]


def mutants(options) -> list:
    """F14: each guard switched off must make one of its named tests fail."""
    guards = yaml.safe_load((ROOT / 'benchmark/guards.yaml').read_text(encoding='utf-8'))
    survivors = []
    for guard in track(guards, 'mutants', transient=True):
        with tempfile.TemporaryDirectory() as folder:
            if _passes_with(guard, Path(folder)):
                survivors.append(guard['id'])
                sys.stdout.write(f'survives: {guard["id"]}\n')
    return [('f14.guards_switched_off', len(guards), 'mutants', len(guards), None),
            ('f14.mutants_that_no_row_noticed', len(survivors), 'mutants', len(guards), '== 0')]


def _passes_with(guard: dict, folder: Path) -> bool:
    """Whether the guard's tests pass although it is switched off, in a copy of the package."""
    shutil.copytree(ROOT / 'metabev_ros', folder / 'metabev_ros',
                    ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('msg', 'config', 'models', 'package.xml', 'pyproject.toml', 'test'):
        (folder / name).symlink_to(ROOT / name)
    path = folder / 'metabev_ros' / guard['file']
    text = path.read_text(encoding='utf-8')
    if text.count(guard['text']) != 1:
        raise SystemExit(f'guard {guard["id"]}: {guard["is"]!r} is not once in {guard["file"]}')
    path.write_text(text.replace(guard['text'], guard['instead']), encoding='utf-8')
    paths = os.pathsep.join([str(folder), os.environ.get('PYTHONPATH', '')])
    result = subprocess.run(
        [sys.executable, '-m', 'pytest', '-x', '-q', '-p', 'no:cacheprovider', guard['tests'],
         '-k', guard['rows']], cwd=folder, capture_output=True, text=True, timeout=900,
        env={**os.environ, 'PYTHONPATH': paths})
    if result.returncode not in (0, 1):
        raise SystemExit(f'guard {guard["id"]}: {result.stdout[-800:]}{result.stderr[-800:]}')
    return result.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = {'detection': detection, 'clean': clean, 'single-failures': single_failures,
                'mutants': mutants}
    parser.add_argument('figure', choices=commands)
    parser.add_argument('--seeds', type=int, default=100, help='random plans, clean drives')
    parser.add_argument('--seconds', type=float, default=1.2, help='drive of a single failure')
    parser.add_argument('--stride', type=int, default=1, help='try every n-th call only')
    parser.add_argument('--record', type=Path, help='merge the figures into this JSON file')
    options = parser.parse_args()
    command = shlex.join(['python', *sys.argv])
    records = [make_record(name, value, unit, command, n, target)
               for name, value, unit, n, target in commands[options.figure](options)]
    for record in records:
        sys.stdout.write(f'{record.id}: {record.value:g} {record.unit} of {record.n} '
                         f'({record.target or "no target"})\n')
    if options.record:
        merge_records(options.record, records)
    return 1 if any(record.met is False for record in records) else 0


if __name__ == '__main__':
    sys.exit(main())
