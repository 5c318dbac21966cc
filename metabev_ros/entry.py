"""Entry points of what is installed: a package that is missing is named, and how to get it.

The live node needs `requirements/node.txt` beside what rosdep installs, the command `metabev`
everything of `requirements/distribution.txt`.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

from metabev_ros.doctor import (
    examine_machine,
    examine_software,
    exit_code,
    remedy,
    report_text,
)
from metabev_ros.errors import MissingDependencyError
from metabev_ros.resources import PACKAGE_NAME

REFUSED = 2  # exit code, as of a wrong configuration


@dataclass(frozen=True)
class Entry:
    """A program.

    Attributes:
        module: its `main` is called.
        requirements: file with what pip installs for it.
    """

    module: str
    requirements: str


ENTRIES = {
    'perception_node': Entry('metabev_ros.node.process', 'requirements/node.txt'),
    'wait_until_active': Entry('metabev_ros.node.wait_until_active', 'requirements/node.txt'),
    'metabev': Entry('metabev_ros.cli', 'requirements/distribution.txt'),
}


def start(name: str) -> int | None:
    """Run a program of `ENTRIES`; returns its exit code.

    Raises:
        ModuleNotFoundError: for a module of our own.
    """
    entry = ENTRIES[name]
    try:
        return importlib.import_module(entry.module).main()
    except ModuleNotFoundError as error:
        missing = error.name or ''
        if not missing or missing.partition('.')[0] == PACKAGE_NAME:
            raise
        if name == 'metabev' and sys.argv[1:] == ['doctor']:
            return _examine()  # the one command that helps here
        told = MissingDependencyError(
            name,
            f'the Python module {missing} for {sys.executable}',
            'none',
            remedy(missing, entry.requirements),
        )
        sys.stderr.write(f'{told}\n')
        return REFUSED


def _examine() -> int:
    """Examine the machine without what the command line is made with."""
    lines = [*examine_software(), *examine_machine(Path.cwd())]
    sys.stdout.write(report_text(lines))
    return exit_code(lines)


def metabev() -> int | None:
    """Entry of the command that pip installs."""
    return start('metabev')
