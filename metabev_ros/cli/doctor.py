"""`metabev doctor`: the machine examined."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.markup import escape

from metabev_ros.cli.app import app, console, examples
from metabev_ros.cli.results import JsonOption, say_json
from metabev_ros.doctor import State, examine_machine, examine_software, exit_code, plain_lines
from metabev_ros.doctor.examine import line_text, verdict

_MARKS = {
    State.OK: '[green]ok     [/]',
    State.MISSING: '[yellow]missing[/]',
    State.BROKEN: '[red]broken [/]',
}


@app.command(epilog=examples('metabev doctor', 'metabev doctor --json'))
def doctor(
    as_json: JsonOption = False,
) -> None:
    """Say what this machine has for metabev, what it lacks, and the command that installs it.

    Each line is ok, missing (and needed only for what it names) or broken (nothing runs).

    Exit code 0: metabev runs here, though optional things may be missing; 1: it does not.
    """
    lines = [*examine_software(), *examine_machine(Path.cwd())]
    if as_json:
        say_json(plain_lines(lines))
    else:
        for line in lines:
            mark = _MARKS[line.state]
            console.print(f'{mark} {escape(line_text(line))}', highlight=False, soft_wrap=True)
        console.print(verdict(lines), markup=False, highlight=False, soft_wrap=True)
    if exit_code(lines):
        raise typer.Exit(1)
