"""Questions to the machine that `setup_environment.py` asks, with the standard library only."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
import urllib.request
from pathlib import Path


class SetupError(Exception):
    """What is wrong and what to do about it; printed without a traceback."""


def find_distribution() -> str:
    """Return the name of the sourced ROS distribution, '' when there is none."""
    name = os.environ.get('ROS_DISTRO', '')
    if name and importlib.util.find_spec('rclpy') is None:
        print(
            f'  ROS_DISTRO={name} is set, but {sys.executable} has no rclpy: '
            'using the wheels instead',
            flush=True,
        )
        return ''
    return name


def check_machine() -> None:
    """Raise SetupError with the one install line when the machine lacks something."""
    version = f'{sys.version_info.major}.{sys.version_info.minor}'
    lacking = []
    if not all(importlib.util.find_spec(name) for name in ('venv', 'ensurepip')):
        lacking.append(('Python modules venv and ensurepip', f'python{version}-venv'))
    if not (Path(sysconfig.get_path('include')) / 'Python.h').is_file():
        lacking.append(('Python headers (Python.h)', f'python{version}-dev'))
    if not any(shutil.which(name) for name in (os.environ.get('CXX') or 'c++', 'g++', 'clang++')):
        lacking.append(('a C++ compiler', 'g++'))
    if not shutil.which('make'):
        lacking.append(('make', 'make'))
    if lacking:
        raise SetupError(
            f'this machine lacks {", ".join(what for what, _ in lacking)}. Install it with:\n'
            f'    sudo apt-get install -y {" ".join(package for _, package in lacking)}'
        )


def numpy_is_2() -> bool:
    """Tell whether the NumPy that this Python sees is version 2 or newer."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return int(version('numpy').split('.')[0]) >= 2
    except PackageNotFoundError:
        return False


def has_nvidia_gpu() -> bool:
    """Tell whether the NVIDIA driver shows a GPU."""
    return any(Path('/dev').glob('nvidia[0-9]*')) or Path('/dev/nvhost-gpu').exists()


def answers(url: str, seconds: float = 10.0) -> bool:
    """Tell whether an address can be reached."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as reply:
            return reply.status == 200
    except (OSError, ValueError):
        return False
