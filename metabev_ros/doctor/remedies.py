"""Commands that install what is missing."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from metabev_ros.resources import resource_path

# Import name -> Debian package, for what rosdep installs from there.
_SYSTEM = {'numpy': 'python3-numpy', 'cv2': 'python3-opencv', 'yaml': 'python3-yaml'}

# What training and export need beside the rest: all of requirements/train.txt.
_TRAINING = ('torch', 'onnx', 'onnxscript', 'scipy', 'tensorboard')


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
    return pip_install('requirements/train.txt' if top in _TRAINING else requirements)


def pip_install(requirements: str) -> str:
    """The command that installs a file of requirements for this Python."""
    command = f'{sys.executable} -m pip install -r {resource_path(requirements)}'
    if sys.prefix == sys.base_prefix and _is_managed_by_the_system():
        return f'{command}; in a virtual environment, see docs/installation.md'
    return command


def _is_managed_by_the_system() -> bool:
    """PEP 668: pip refuses to install beside the packages of the distribution."""
    return (Path(sysconfig.get_path('stdlib')) / 'EXTERNALLY-MANAGED').is_file()
