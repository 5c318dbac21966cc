"""The lines together: as text, for programs, and as an exit code."""

from __future__ import annotations

from collections.abc import Sequence

from metabev_ros.doctor.line import Line, State


def exit_code(lines: Sequence[Line]) -> int:
    """0 where nothing is broken, else 1; what is missing and optional does not count."""
    return int(any(line.state is State.BROKEN for line in lines))


def line_text(line: Line) -> str:
    """One line without its state."""
    need = f' (only for {line.needed_for})' if line.needed_for else ''
    cure = f': {line.remedy}' if line.remedy else ''
    return f'{line.name}: {line.found}{need}{cure}'


def report_text(lines: Sequence[Line]) -> str:
    """All lines, as plain text for a terminal without rich."""
    rows = [f'{line.state.value:8}{line_text(line)}' for line in lines]
    return '\n'.join([*rows, verdict(lines)]) + '\n'


def verdict(lines: Sequence[Line]) -> str:
    """The last line: whether it runs, and what is missing."""
    broken = [line.name for line in lines if line.state is State.BROKEN]
    missing = [line.name for line in lines if line.state is State.MISSING]
    if broken:
        return f'metabev cannot run here: {", ".join(broken)}'
    rest = f'; not there: {", ".join(missing)}' if missing else ''
    return f'metabev runs here{rest}'


def plain_lines(lines: Sequence[Line]) -> dict[str, object]:
    """The report as what JSON can hold."""
    return {
        'ok': not exit_code(lines),
        'lines': [
            {
                'name': line.name,
                'state': line.state.value,
                'found': line.found,
                'remedy': line.remedy,
                'needed_for': line.needed_for,
            }
            for line in lines
        ],
    }
