"""Entry points of what is installed: a package that is missing is named, and how to get it.

The live node needs `requirements/node.txt` beside what rosdep installs, the command `metabev`
everything of `requirements/distribution.txt`.
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from metabev_ros.errors import MissingDependencyError
from metabev_ros.resources import PACKAGE_NAME, resource_path

REFUSED = 2  # exit code, as of a wrong configuration
# Import name -> Debian package, for what rosdep installs from there.
_SYSTEM = {'numpy': 'python3-numpy', 'cv2': 'python3-opencv', 'yaml': 'python3-yaml'}


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


def remedy(module: str, requirements: str) -> str:
    """The command that installs what was not found.

    Args:
        module: import name.
        requirements: file with what pip installs, relative to the package's files.
    """
    top = module.partition('.')[0]
    if top in _SYSTEM:
        return f'sudo apt-get install {_SYSTEM[top]}'
    if top.startswith(('rclpy', 'rcl_', 'rosidl')) or top.endswith(('_msgs', '_interfaces')):
        return 'source ROS, then: rosdep install --from-paths src --ignore-src'
    command = f'{sys.executable} -m pip install -r {resource_path(requirements)}'
    if sys.prefix == sys.base_prefix and _is_managed_by_the_system():
        return f'{command}; in a virtual environment, see docs/installation.md'
    return command


def _is_managed_by_the_system() -> bool:
    """PEP 668: pip refuses to install beside the packages of the distribution."""
    return (Path(sysconfig.get_path('stdlib')) / 'EXTERNALLY-MANAGED').is_file()


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
        told = MissingDependencyError(
            name,
            f'the Python module {missing} for {sys.executable}',
            'none',
            remedy(missing, entry.requirements),
        )
        sys.stderr.write(f'{told}\n')
        return REFUSED


def metabev() -> int | None:
    """Entry of the command that pip installs."""
    return start('metabev')
