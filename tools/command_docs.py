"""Write docs/command_line.md from the commands of metabev_ros/cli.

    .venv/bin/metabev-env python tools/command_docs.py

A test compares the page with the commands that it is made from.
"""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from metabev_ros.cli import app

ROOT = Path(__file__).resolve().parent.parent
COMMAND = '.venv/bin/metabev-env python tools/command_docs.py'
KINDS = {str: 'text', Path: 'path', int: 'whole number', float: 'number'}
PAGE_HEAD = f"""\
# Commands

`metabev COMMAND --help` says the same. In a checkout the program is `.venv/bin/metabev`;
`metabev --install-completion` teaches the shell its words.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | done, and a target was missed; commands below say which |
| 2 | wrong use or configuration, or an output that cannot be written; one line says why |
| 3 | done, but part of the input could not be read |

With `--json` standard output holds one JSON value, the result, and nothing else; words, progress
and errors go to standard error. A command that is refused prints none.

Made from `metabev_ros/cli` by `{COMMAND}`.
"""


def commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield (name as it is typed, command) of all commands of a group, groups opened."""
    for word, command in sorted(group.commands.items()):
        full = f'{name} {word}'
        if getattr(command, 'commands', None):
            yield from commands(command, full)
        elif not command.hidden:
            yield full, command


def all_commands() -> tuple[tuple[str, Any], ...]:
    """Every command of the program with the name that a person types."""
    return tuple(commands(typer.main.get_command(app), 'metabev'))


def cell(text: str) -> str:
    """A text that fits into a cell of a table."""
    return ' '.join(text.replace('|', '\\|').split())


def default(parameter: Any) -> str:
    """The default of an option or argument in words."""
    if parameter.required:
        return 'required'
    value = parameter.default
    if value is None or value == () or callable(value):
        return ''
    if isinstance(value, bool):
        return 'on' if value else 'off'
    if isinstance(value, list | tuple):
        value = ', '.join(map(str, value))
    return f'`{getattr(value, "value", value)}`' if value != '' else ''


def bare(hint: Any) -> tuple[Any, bool]:
    """The type within `| None` and within a list, and whether there is a list."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) in (list, tuple):
        return typing.get_args(hint)[0], True
    return hint, False


def kind(parameter: Any, hint: Any) -> str:
    """The values that a parameter takes: choices, range or type."""
    if hint is bool:
        return 'switch'
    words = parameter.metavar or ''
    if '|' in words and not words.isupper():
        return ', '.join(f'`{word}`' for word in words.split('|'))
    inner, is_list = bare(hint)
    if typing.get_origin(inner) is typing.Literal:
        return ', '.join(f'`{word}`' for word in typing.get_args(inner))
    if isinstance(inner, type) and issubclass(inner, enum.Enum):
        return ', '.join(f'`{member.value}`' for member in inner)
    name = KINDS[inner]
    low, high = (getattr(parameter, end, None) for end in ('min', 'max'))
    if low is not None or high is not None:
        name += (
            f', {"" if low is None else f"{low:.10g}"}..{"" if high is None else f"{high:.10g}"}'
        )
    return f'{name}, several' if is_list else name


def row(parameter: Any, hint: Any) -> str:
    """The row of one option or argument; `hint` is its type."""
    if parameter.param_type_name == 'argument':
        name = f'`{(parameter.metavar or parameter.name).upper()}`'
    else:
        name = ', '.join(f'`{word}`' for word in (*parameter.opts, *parameter.secondary_opts))
    text = cell(getattr(parameter, 'help', '') or '')
    return f'| {name} | {kind(parameter, hint)} | {default(parameter)} | {text} |\n'


def section(name: str, command: Any) -> str:
    """A command: what it does, its arguments and options, and examples."""
    text = inspect.cleandoc(command.help or '')
    parameters = [
        p for p in command.params if p.name != 'help' and not getattr(p, 'hidden', False)
    ]
    made = f'\n## {name}\n\n{text}\n'
    if parameters:
        made += '\n| word | value | default | meaning |\n|---|---|---|---|\n'
        hints = typing.get_type_hints(command.callback)
        made += ''.join(row(parameter, hints[parameter.name]) for parameter in parameters)
    lines = [line for line in inspect.cleandoc(command.epilog or '').splitlines() if line.strip()]
    if lines and lines[0] == 'Examples:':
        made += '\n```sh\n' + ''.join(f'{line}\n' for line in lines[1:]) + '```\n'
    return made


def page_text() -> str:
    """Text of the page."""
    found = all_commands()
    links = ' · '.join(f'[{name}](#{name.replace(" ", "-")})' for name, _ in found)
    return f'{PAGE_HEAD}\n{links}\n' + ''.join(section(*each) for each in found)


def texts() -> dict[str, str]:
    """Path in the checkout -> text of what is made."""
    return {'docs/command_line.md': page_text()}


if __name__ == '__main__':
    for path, text in texts().items():
        (ROOT / path).write_text(text, encoding='utf-8')
