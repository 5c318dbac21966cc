"""The application, what its commands share, and its exit codes."""

from __future__ import annotations

import enum
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Protocol

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from metabev_ros.backends import BackendKind
from metabev_ros.config import RigConfig, load_config
from metabev_ros.errors import MetaBevError, clean_text
from metabev_ros.resources import model_folder, package_version, rig_file

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console()


def choices(kinds: type[enum.Enum]) -> str:
    """Values that may be typed, as the help shows them."""
    return '|'.join(str(kind.value) for kind in kinds)


BagArgument = Annotated[Path, typer.Argument(help='.mcap or .db3 file, or a bag folder.')]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        '--model',
        metavar='NAME|FOLDER',
        help='One of `metabev models`, or a model folder; default: metabev_nano_streets.',
    ),
]
RigOption = Annotated[
    Path | None,
    typer.Option(
        '--rig',
        metavar='NAME|FILE',
        help='Rig YAML, or the name of one in config/rigs/; default: nuscenes_like.',
    ),
]
BackendOption = Annotated[
    str,
    typer.Option(metavar='|'.join(kind.value for kind in BackendKind), help='Inference runtime.'),
]
ThreadsOption = Annotated[int, typer.Option(min=1, max=256, help='Inference threads.')]


def examples(*lines: str) -> str:
    """The end of a command's help: what a person would type."""
    return 'Examples:\n\n' + '\n\n'.join(lines)


def model_dir(model: Path | None) -> Path:
    """The model folder that was asked for, by path or by name, or the shipped one."""
    return model_folder(str(model or ''))


def rig_config(rig: Path | None) -> RigConfig:
    """The rig that was asked for, by path or by name, or the nuScenes-like one."""
    return load_config(RigConfig, rig_file(rig))


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f'metabev {package_version()}')
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            '--version', callback=_print_version, is_eager=True, help='Show the version.'
        ),
    ] = False,
) -> None:
    """MetaBEV: perception that goes on when sensors fail."""


class ProgressUpdate(Protocol):
    """Tell a progress bar how far the work is."""

    def __call__(self, done: int, total: int | None = None, text: str = '') -> None:
        """Show progress."""
        ...


def _new_progress() -> Progress:
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn('{task.fields[text]}'),
    )
    return Progress(*columns, console=console)


@contextmanager
def progress_bar(description: str) -> Generator[ProgressUpdate, None, None]:
    """A progress bar; gives update(done, total, text)."""
    with _new_progress() as progress:
        task = progress.add_task(description, total=None, text='')

        def update(done: int, total: int | None = None, text: str = '') -> None:
            progress.update(task, completed=done, total=total, text=text)

        yield update


@contextmanager
def progress_steps() -> Generator[Callable[[str, int, int], None], None, None]:
    """A progress bar for each step of a work; gives update(step, done, total)."""
    with _new_progress() as progress:
        tasks: dict[str, TaskID] = {}

        def update(step: str, done: int, total: int) -> None:
            if step not in tasks:
                for task in progress.tasks:
                    progress.update(task.id, completed=task.total)
                tasks[step] = progress.add_task(step, total=total, text='')
            progress.update(tasks[step], completed=done, total=total)

        yield update


def command_line() -> str:
    """The command line as a person would type it."""
    return shlex.join(['metabev', *sys.argv[1:]])


def _complain(text: str) -> None:
    """Print an error, unwrapped: a path in it can be copied."""
    Console(stderr=True).print(text, markup=False, style='red', soft_wrap=True)


def main() -> None:
    """Console entry: errors of ours are one line, not a traceback."""
    try:
        app(prog_name='metabev')
    except MetaBevError as error:
        _complain(f'metabev: {error}')
        sys.exit(2)
    except OSError as error:
        named = f'{clean_text(error.filename, 300)}: ' if error.filename else ''
        text = f'metabev: {named}{error.strerror or error}'
        _complain(text)
        sys.exit(2)
