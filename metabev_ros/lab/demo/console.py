"""The demonstration on the terminal: progress, then the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from metabev_ros.lab.demo.summary import SUMMARY, Findings
from metabev_ros.lab.demo.targets import NOT_JUDGED, Check

REFRESH_HZ = 4
LATE_MS = 20.0


@contextmanager
def step(console: Console, title: str, total: float) -> Iterator[tuple[Progress, TaskID]]:
    """A progress bar; its task takes a `note`."""
    columns = (
        TextColumn('{task.description:<46}'),
        BarColumn(32),
        TextColumn('{task.percentage:>4.0f}%'),
        TimeElapsedColumn(),
        TextColumn('[dim]{task.fields[note]}'),
    )
    with Progress(*columns, console=console, refresh_per_second=REFRESH_HZ) as progress:
        task = progress.add_task(title, total=total, note='')
        yield progress, task
        progress.update(task, completed=total, note='')


def print_findings(console: Console, findings: Findings, out: Path, seconds: float) -> bool:
    """Print the table and where to look; whether every target was met.

    Args:
        seconds: that the demonstration took.
    """
    console.print(_table(findings.checks))
    measures = findings.measures
    for text in measures.labels.wrong[:5]:
        console.print(f'[red]untrue label[/red] {text}', highlight=False)
    missed = [check for check in findings.checks if check.record.met is False]
    total = sum(check.record.target is not None for check in findings.checks)
    waived = sum(bool(check.not_judged) for check in findings.checks)
    console.print(
        f'\n{total - len(missed)} of {total} targets met, '
        + (f'{waived} {NOT_JUDGED}, ' if waived else '')
        + f'{seconds:.0f} s',
        style='bold green' if not missed else 'bold red',
    )
    if findings.load.is_busy:
        console.print(
            f'this machine was busy: {findings.load.text}; {measures.labels.checked} labels and '
            'what the node decided were judged, its times not',
            style='yellow',
        )
    elif missed and measures.lateness > LATE_MS:
        console.print(
            f'this machine was too slow: messages left {measures.lateness:.0f} ms late',
            style='yellow',
        )
    for name in ('report.html', 'output.mcap', SUMMARY):
        console.print(str(out / name), highlight=False, soft_wrap=True)
    return not missed


def _table(checks: Sequence[Check]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ('', '', 'measured', 'target', ''):
        table.add_column(title, justify='right' if title else 'left')
    group = ''
    for check in checks:
        met = check.record.met
        table.add_row(
            '' if check.group == group else f'[not dim bold]{check.group}',
            check.what,
            check.value_text,
            check.target_text,
            {True: '[green]met', False: '[bold red]MISSED', None: check.mark}[met],
            style='dim' if met is None else '',
        )
        group = check.group
    return table
