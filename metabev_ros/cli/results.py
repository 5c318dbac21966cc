"""Results of commands: the files they write, and JSON for other programs."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from metabev_ros.cli.app import console
from metabev_ros.errors import ConfigError, OutputError, clean_text
from metabev_ros.files import write_bytes


def _choose_stream(as_json: bool) -> bool:
    console.stderr = as_json
    return as_json


ForceOption = Annotated[bool, typer.Option('--force', help='Write over what is there.')]
JsonOption = Annotated[
    bool,
    typer.Option(
        '--json',
        callback=_choose_stream,
        help='Print the result as JSON, for other programs; words go to standard error.',
    ),
]


def require_free(is_forced: bool, *paths: Path | None, inputs: Sequence[Path | None] = ()) -> None:
    """Refuse names that files cannot be written to, before the work; their folders are made.

    Raises:
        ConfigError: what has the name is an input, no file, or there and not to be written over.
        OutputError: there is no such place.
    """
    taken = {path.resolve() for path in inputs if path is not None}
    for path in filter(None, paths):
        name = clean_text(path, 300)
        require_folder(path.parent)
        if path.resolve() in taken:
            raise ConfigError(name, 'a name beside the input', 'the input', 'choose another name')
        if path.is_dir():
            raise ConfigError(name, 'the name of a file', 'that of a folder', 'name a file in it')
        if path.exists() and not path.is_file():
            remedy = 'files are made beside their place and renamed: name a file'
            raise ConfigError(name, 'the name of a file', 'that of a device or pipe', remedy)
        if path.exists() and not is_forced:
            remedy = 'name another, or write over it: add --force'
            raise ConfigError(name, 'the name of a new file', 'one that is there', remedy)


def require_folder(path: Path) -> None:
    """Make a folder that will be written to, before the work.

    Raises:
        OutputError
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError.of(path, error) from error


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file at once, and say so.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        write_bytes(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise OutputError.of(path, error) from error
    console.print(f'written: {path}', markup=False, highlight=False, soft_wrap=True)


def say_json(result: object) -> None:
    """Print a result for other programs, on one stream with nothing else."""
    sys.stdout.write(json.dumps(_plain(result), indent=2, allow_nan=False) + '\n')


def _plain(value: Any) -> Any:
    """A value as JSON has it: no NaN, no dataclass, no path."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        table = cast('dict[Any, Any]', value)
        return {str(_plain(name)): _plain(item) for name, item in table.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in cast('list[Any]', value)]
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
