"""Figures of reliability: each of these measures one and may record it.

    .venv/bin/metabev-env python benchmark/reliability detection        # F1, F2, F5
    .venv/bin/metabev-env python benchmark/reliability deaths           # F1, the real node
    .venv/bin/metabev-env python benchmark/reliability clean            # F3
    .venv/bin/metabev-env python benchmark/reliability truth            # F4
    .venv/bin/metabev-env python benchmark/reliability fuzz             # F6, in the process
    .venv/bin/metabev-env python benchmark/reliability fuzz-live        # F6, over DDS
    .venv/bin/metabev-env python benchmark/reliability soak             # F8
    .venv/bin/metabev-env python benchmark/reliability endurance        # F8, the real node
    .venv/bin/metabev-env python benchmark/reliability replay           # F9, F10
    .venv/bin/metabev-env python benchmark/reliability restart          # F11
    .venv/bin/metabev-env python benchmark/reliability shutdown         # F12
    .venv/bin/metabev-env python benchmark/reliability overload         # F13
    .venv/bin/metabev-env python benchmark/reliability single-failures  # F7
    .venv/bin/metabev-env python benchmark/reliability mutants          # F14
    make coverage                                                       # F15
    .venv/bin/metabev-env python benchmark/reliability cost             # F16
    .venv/bin/metabev-env python benchmark/reliability log-volume       # F17
    .venv/bin/metabev-env python benchmark/reliability alarms           # of each check

Time is made up (the stamps' own) where it can be, so delays are exact and do not depend on the
machine; the drives and the check against the injected truth are those of test/faults.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from pathlib import Path

import drives  # noqa: F401  before all others: it says where the scripted drives are

from metabev_ros.lab.evaluation.records import make_record, merge_records

COMMANDS = {
    'detection': 'detection.detection',
    'deaths': 'deaths.deaths',
    'clean': 'detection.clean',
    'truth': 'truth.detection_truth',
    'fuzz': 'fuzz.fuzz',
    'fuzz-live': 'live.fuzz_live',
    'soak': 'soak.soak',
    'endurance': 'endurance.endurance',
    'replay': 'replays.replay',
    'restart': 'live.restart',
    'shutdown': 'live.shutdown',
    'overload': 'live.overload',
    'single-failures': 'teeth.single_failures',
    'mutants': 'teeth.mutants',
    'coverage': 'teeth.coverage',
    'cost': 'checks.cost',
    'alarms': 'checks.alarms',
    'log-volume': 'volume.log_volume',
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('figure', choices=COMMANDS)
    parser.add_argument('--seeds', type=int, default=100, help='random plans, clean drives')
    parser.add_argument('--seconds', type=float, default=1.2, help='drive of a single failure')
    parser.add_argument('--stride', type=int, default=1, help='try every n-th call only')
    parser.add_argument('--seed', type=int, default=20261, help='of everything that is drawn')
    parser.add_argument('--small', type=int, default=900, help='fuzz: blocks of 1000 messages')
    parser.add_argument('--big', type=int, default=100, help='fuzz: the same, large payloads')
    parser.add_argument('--block', type=int, help='fuzz: repeat this block alone')
    parser.add_argument('--messages', type=int, default=21_000, help='fuzz-live: how many')
    parser.add_argument(
        '--cycles',
        type=int,
        default=50,
        help='restart, shutdown: how many; deaths: of each source',
    )
    parser.add_argument('--overload', type=float, default=60.0, help='overload: seconds')
    parser.add_argument('--frames', type=int, default=864_000, help='soak: sweeps')
    parser.add_argument('--outputs', type=int, default=2000, help='cost, alarms: how many')
    parser.add_argument(
        '--minutes',
        type=int,
        default=10,
        help='log-volume: of made-up time; endurance: of real time',
    )
    parser.add_argument('--phases', type=int, default=20, help='truth: of the period')
    parser.add_argument('--record', type=Path, help='merge the figures into this JSON file')
    options = parser.parse_args()
    command = shlex.join(['python', *sys.argv])
    module, _, function = COMMANDS[options.figure].partition('.')
    figures = getattr(importlib.import_module(module), function)(options)
    records = [make_record(f.id, f.value, f.unit, command, f.n, f.target) for f in figures]
    for record in records:
        sys.stdout.write(
            f'{record.id}: {record.value:g} {record.unit} of {record.n} '
            f'({record.target or "no target"})\n'
        )
    if options.record:
        merge_records(options.record, records)
    return 1 if any(record.met is False for record in records) else 0


if __name__ == '__main__':
    sys.exit(main())
