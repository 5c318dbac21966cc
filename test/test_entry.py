"""A package that is not installed is named, with the command that installs it; no traceback."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

from metabev_ros import entry
from metabev_ros.entry import ENTRIES, remedy
from metabev_ros.resources import resource_path

START_WITHOUT = textwrap.dedent("""
    import sys
    missing = sys.argv[2]

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition('.')[0] == missing:
                raise ModuleNotFoundError(f'No module named {name!r}', name=name)

    sys.meta_path.insert(0, Blocker())
    from metabev_ros.entry import start
    sys.argv = sys.argv[1].split()
    sys.exit(start(sys.argv[0]))
""")


def start_without(program: str, module: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-c', START_WITHOUT, program, module],
        text=True,
        capture_output=True,
        timeout=300,
    )


@pytest.mark.ros
@pytest.mark.parametrize(
    ('program', 'module', 'told'),
    [
        ('perception_node', 'rosbags', 'requirements/node.txt'),
        ('perception_node', 'cv2', 'sudo apt-get install python3-opencv'),
        ('metabev', 'typer', 'requirements/distribution.txt'),
        ('metabev', 'mcap', 'requirements/distribution.txt'),
        ('metabev export models/mine', 'torch', 'requirements/train.txt'),
        ('metabev export models/mine', 'onnx', 'requirements/train.txt'),
    ],
)
def test_a_program_names_the_module_that_is_missing_and_its_cure(program, module, told):
    done = start_without(program, module)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    name = program.partition(' ')[0]
    assert line.startswith(f'{name}: expected the Python module {module}')
    assert told in line and done.stdout == ''


def test_everything_that_training_needs_is_led_to_the_file_that_has_it(repo_root):
    lines = (repo_root / 'requirements' / 'train.txt').read_text().splitlines()
    names = {line.partition('==')[0] for line in lines if '==' in line}
    assert 'torch' in names
    for name in names:
        assert 'requirements/train.txt' in remedy(name, 'requirements/distribution.txt')


def test_ros_that_is_not_sourced_is_named_as_such():
    assert 'source ROS' in remedy('rclpy', 'requirements/node.txt')
    assert 'source ROS' in remedy('vision_msgs.msg', 'requirements/node.txt')


def test_a_module_of_our_own_that_is_missing_is_a_traceback(monkeypatch):
    monkeypatch.setitem(ENTRIES, 'wrong', entry.Entry('metabev_ros.no_such_module', ''))
    with pytest.raises(ModuleNotFoundError, match='no_such_module'):
        entry.start('wrong')


def test_where_the_system_manages_python_a_virtual_environment_is_asked_for(monkeypatch, tmp_path):
    """PEP 668, as on Ubuntu 24.04; not inside of a virtual environment, where pip may install."""
    (tmp_path / 'EXTERNALLY-MANAGED').touch()
    monkeypatch.setattr(sysconfig, 'get_path', lambda name: str(tmp_path))
    monkeypatch.setattr(sys, 'prefix', sys.base_prefix)
    assert 'virtual environment' in remedy('rosbags', 'requirements/node.txt')
    monkeypatch.setattr(sys, 'prefix', '/some/.venv')
    assert 'virtual environment' not in remedy('rosbags', 'requirements/node.txt')


def test_every_program_that_is_built_has_an_entry(repo_root):
    cmake = (repo_root / 'CMakeLists.txt').read_text()
    built = cmake.partition('foreach(executable ')[2].partition(')')[0].split()
    assert set(built) == set(ENTRIES)
    for name in ENTRIES:
        assert Path(resource_path(ENTRIES[name].requirements)).is_file()
