"""Measured figures with their origin: docs/results/<topic>.json, from which pages are made.

A file holds `runs` (command, commit, date and machine, once each) and `records`, one a line, which
name their run by its place in that list.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import operator
import os
import platform
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from metabev_ros.errors import ConfigError
from metabev_ros.files import write_text

COMPARISONS = {
    '>=': operator.ge,
    '<=': operator.le,
    '>': operator.gt,
    '<': operator.lt,
    '==': operator.eq,
}
TARGET = re.compile(r'(>=|<=|==|>|<) *(-?\d+(?:\.\d+)?)')


class Run(NamedTuple):
    """Origin of a record: what measured it, of which commit, on which day and machine."""

    command: str
    commit: str
    date: str
    machine: str


@dataclass(frozen=True)
class ResultRecord:
    """One measured figure.

    Attributes:
        id: dotted name, unique in its file: 'evaluation.fused.map'.
        target: comparison with a number ('>= 0.35'), None for a figure without a target.
        met: whether the value meets the target; None without a target.
        command: what measured it.
        n: number of samples, runs or events behind the value.
    """

    id: str
    value: float
    unit: str
    target: str | None
    met: bool | None
    command: str
    commit: str
    date: str
    machine: str
    n: int

    @property
    def run(self) -> Run:
        """The origin, which records of one run share."""
        return Run(self.command, self.commit, self.date, self.machine)


def make_record(
    record_id: str, value: float, unit: str, command: str, n: int, target: str | None = None
) -> ResultRecord:
    """A record of this commit, day and machine; `met` follows from the target.

    Raises:
        ConfigError: on a target that is no comparison with a number.
    """
    met = None
    if target is not None:
        match = TARGET.fullmatch(target)
        if match is None:
            raise ConfigError(f'record {record_id}', "a target such as '>= 0.35'", repr(target))
        met = bool(COMPARISONS[match[1]](value, float(match[2])))
    return ResultRecord(
        record_id,
        float(value),
        unit,
        target,
        met,
        command,
        *_this_run(),
        int(n),
    )


@functools.cache
def _this_run() -> tuple[str, str, str]:
    """Commit, date and machine; asked once a process, as git is slow to ask."""
    return current_commit(), current_date(), machine_name()


def current_date() -> str:
    """Today in UTC, as 2026-12-31."""
    return datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d')


def current_commit(folder: Path | None = None) -> str:
    """Short hash of the checkout, '+changes' if tracked files differ from it, or 'unknown'."""
    folder = folder or Path(__file__).resolve().parent
    try:
        commit = _git(folder, 'rev-parse', '--short=12', 'HEAD')
        # Result files change while figures are being recorded: they do not count.
        changed = _git(
            folder,
            'status',
            '--porcelain',
            '--untracked-files=no',
            '--',
            ':/',
            ':(exclude,top)docs',
        )
    except (OSError, subprocess.SubprocessError):
        return 'unknown'
    return f'{commit}+changes' if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ['git', *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=20
    ).stdout.strip()


def machine_name() -> str:
    """Processor, cores this process may use, operating system."""
    model = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    if info.is_file():
        match = re.search(r'^model name\s*:\s*(.+)$', info.read_text(errors='replace'), re.M)
        model = match[1].strip() if match else model
    affinity = getattr(os, 'sched_getaffinity', None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return f'{model}, {cores} cores, {platform.system()} {platform.machine()}'


def read_records(path: Path | str) -> list[ResultRecord]:
    """All records of a file; none if there is no file.

    Raises:
        ConfigError: if the file does not hold records.
    """
    path = Path(path)
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        runs = content['runs']
        return [_record(plain, runs[plain['run']]) for plain in content['records']]
    except (ValueError, TypeError, LookupError) as error:
        raise ConfigError(
            str(path), "a JSON object of 'runs' and 'records'", f'{type(error).__name__}: {error}'
        ) from error


def _record(plain: dict[str, Any], run: dict[str, Any]) -> ResultRecord:
    """A record of its line and its run; `target` and `met` are left out where nothing is asked."""
    own = {name: value for name, value in plain.items() if name != 'run'}
    fields: dict[str, Any] = {'target': None, 'met': None, **own, **run}
    return ResultRecord(**fields)


def merge_records(path: Path | str, records: Iterable[ResultRecord]) -> None:
    """Put records into a file: same ids replaced in place, new ones appended; atomic.

    Raises:
        ConfigError: on an id given twice, or a file that does not hold records.
    """
    path, records = Path(path), list(records)
    new = {record.id: record for record in records}
    if len(new) != len(records):
        raise ConfigError('merge_records', 'distinct ids', str([r.id for r in records]))
    merged = {record.id: record for record in read_records(path)} | new
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, _text(list(merged.values())))


def _text(records: list[ResultRecord]) -> str:
    """The content of a file: one line a run and a record."""
    runs = list(dict.fromkeys(record.run for record in records))
    lines = []
    for record in records:
        plain = dataclasses.asdict(record)
        kept = {
            name: value
            for name, value in plain.items()
            if name not in Run._fields and not (name in ('target', 'met') and value is None)
        }
        lines.append(json.dumps(kept | {'run': runs.index(record.run)}, ensure_ascii=False))
    return (
        '{"runs": [\n'
        + ',\n'.join(json.dumps(run._asdict(), ensure_ascii=False) for run in runs)
        + '\n], "records": [\n'
        + ',\n'.join(lines)
        + '\n]}\n'
    )
