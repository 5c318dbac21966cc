"""Shared by all tests: real data where it lies beside the checkout, and what a marker needs."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / 'shared' / 'data'


@pytest.fixture(scope='session')
def repo_root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder of real sensor data; tests that use it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f'no real data at {SHARED_DATA}')
    return SHARED_DATA


@pytest.fixture
def metabev(monkeypatch, capsys):
    """Runs the command line; gives (exit code, everything that was printed in one line)."""

    from metabev_ros.cli import main

    def run(*words) -> tuple[int, str]:
        monkeypatch.setattr(sys, 'argv', ['metabev', *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), ' '.join((printed.out + printed.err).split())

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests whose marker needs what is not there skip, with the remedy."""
    missing = {}
    if not (importlib.util.find_spec('rclpy') and importlib.util.find_spec('metabev_ros.msg')):
        missing['ros'] = 'needs ROS and our messages: make setup, then .venv/bin/metabev-env'
    packages = ('vision_msgs', 'autoware_perception_msgs', 'grid_map_msgs')
    if absent := [name for name in packages if not importlib.util.find_spec(name)]:
        missing['distribution'] = f'needs a ROS distribution with {", ".join(absent)}'
    if not os.environ.get('METABEV_DEVKIT_PYTHON'):
        missing['devkit'] = (
            'needs METABEV_DEVKIT_PYTHON, a Python with the devkit: make test-devkit'
        )
    if not all(map(importlib.util.find_spec, ('launch_ros', 'ros2launch', 'bondpy'))):
        missing['distribution'] = (
            'needs launch_ros, ros2launch and bondpy: make test-distribution UNDERLAY=/opt/ros/...'
        )
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
