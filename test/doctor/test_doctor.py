"""The examination of a machine says what is missing, and the command that installs it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

from typer.testing import CliRunner

from metabev_ros.cli.app import app
from metabev_ros.doctor import Line, State, exit_code, plain_lines, report_text
from metabev_ros.doctor.machine import (
    check_disk,
    check_gpu,
    check_memory,
    check_processors,
    check_shared_memory,
    free_bytes,
)
from metabev_ros.doctor.software import (
    check_compiler,
    check_foreign,
    check_middleware,
    check_packages,
    check_python,
    check_ros,
    check_tensorrt,
    check_training,
    import_problem,
)

GIB = 2**30
# As a fresh system has it: the standard library, and this package.
ALONE = textwrap.dedent("""
    import sys

    class Blocker:
        kept = ('metabev_ros', 'encodings')

        def find_spec(self, name, path=None, target=None):
            top = name.partition('.')[0]
            if top not in self.kept and top not in sys.stdlib_module_names:
                raise ModuleNotFoundError(f'No module named {name!r}', name=name)

    sys.meta_path.insert(0, Blocker())
    sys.argv = ['metabev', 'doctor']
    from metabev_ros.entry import metabev
    sys.exit(metabev())
""")


def test_it_works_where_nothing_but_python_is_installed():
    done = subprocess.run(
        [sys.executable, '-c', ALONE], text=True, capture_output=True, timeout=120
    )
    assert done.returncode == 1 and done.stderr == ''
    lines = done.stdout.splitlines()
    assert any(
        line.startswith('broken  packages: not usable: numpy, cv2, yaml')
        and 'pip install -r' in line
        for line in lines
    )
    assert any(line.startswith('ok      Python: 3.') for line in lines)
    assert lines[-1].startswith('metabev cannot run here: packages, ONNX Runtime')


def test_this_machine_is_told_line_by_line_and_as_json():
    done = CliRunner().invoke(app, ['doctor', '--json'])
    told = json.loads(done.output)
    assert done.exit_code == (0 if told['ok'] else 1)
    names = [line['name'] for line in told['lines']]
    assert names[:4] == ['Python', 'packages', 'ONNX Runtime', 'model']
    assert {line['state'] for line in told['lines'][:4]} == {'ok'}
    shown = CliRunner().invoke(app, ['doctor'], env={'COLUMNS': '200'})
    assert [line.split()[1].rstrip(':') for line in shown.output.splitlines()[:2]] == names[:2]


def test_an_old_python_is_broken():
    assert check_python((3, 9, 2)).state is State.BROKEN
    assert check_python((3, 10, 0)).state is State.OK


def test_a_package_that_is_missing_or_damaged_is_named_with_its_cure(tmp_path, monkeypatch):
    (tmp_path / 'damaged_package.py').write_text('raise RuntimeError("no libGL.so.1")')
    monkeypatch.syspath_prepend(str(tmp_path))
    assert import_problem('json') is None and import_problem('no_such_package') == ''
    problem = import_problem('damaged_package')
    assert problem == 'RuntimeError: no libGL.so.1'
    line = check_packages({'json': None, 'apsw': '', 'cv2': problem})
    assert line.state is State.BROKEN
    assert line.found == 'not usable: apsw, cv2 (RuntimeError: no libGL.so.1)'
    assert line.remedy.startswith(f'{sys.executable} -m pip install -r ')


def test_a_compiler_is_wanted_for_both_languages():
    assert check_compiler({'gcc': '/bin/gcc', 'g++': '/bin/g++'}.get).state is State.OK
    line = check_compiler({'gcc': '/bin/gcc'}.get)
    assert (line.state, line.found) == (State.MISSING, 'no C++ compiler')
    assert 'build-essential' in line.remedy


def test_ros_that_lies_there_unsourced_is_to_be_sourced():
    (line,) = check_ros(lambda name: False, {}, ['/opt/ros/humble/setup.bash'])
    assert line.state is State.MISSING and line.remedy == 'source /opt/ros/humble/setup.bash'
    (line,) = check_ros(lambda name: False, {}, [])
    assert 'make setup' in line.remedy


def test_missing_messages_of_ros_and_ours_are_named():
    lacking = ('nav_msgs', 'metabev_ros.msg')
    lines = {line.name: line for line in check_ros(lambda name: name not in lacking, {}, [])}
    assert 'without nav_msgs' in lines['ROS'].found and lines['ROS'].remedy
    assert lines['our messages'].state is State.MISSING


def test_the_profile_of_dds_is_wanted_and_one_that_is_not_there_is_told(tmp_path):
    profile = tmp_path / 'profile.xml'
    assert check_middleware({}).state is State.MISSING
    named = {'FASTDDS_DEFAULT_PROFILES_FILE': str(profile)}
    assert 'no file' in check_middleware(named).found
    profile.touch()
    assert check_middleware(named).state is State.OK
    other = check_middleware({'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'})
    assert other.state is State.MISSING and 'rmw_fastrtps_cpp' in other.remedy


def test_what_is_optional_says_who_needs_it():
    for line in (
        check_tensorrt(lambda name: False),
        check_training(lambda name: False),
        check_foreign(lambda name: False, {}),
        check_gpu(('', 'no nvidia-smi')),
    ):
        assert line.state is State.MISSING and line.needed_for and line.remedy
    assert check_gpu(('H200, 141 GB, 570', '')).found == 'H200, 141 GB, 570'


def test_little_memory_or_disk_is_missing_and_none_is_broken():
    def memory(available):
        return check_memory(f'MemTotal: {8 * 2**20} kB\nMemAvailable: {available * 2**20} kB\n')

    assert [memory(size).state for size in (1, 3, 7)] == [
        State.BROKEN,
        State.MISSING,
        State.OK,
    ]
    assert [check_disk('/', size * GIB).state for size in (0, 5, 50)] == [
        State.BROKEN,
        State.MISSING,
        State.OK,
    ]
    assert check_disk('/nowhere', None).state is State.BROKEN
    assert check_shared_memory(64 * 2**20).state is State.MISSING
    assert check_shared_memory(None).state is State.MISSING
    assert check_processors(1, 'aarch64').state is State.MISSING


def test_a_folder_that_is_not_there_yet_is_asked_by_the_one_above(tmp_path):
    assert free_bytes(tmp_path / 'not' / 'yet') is not None
    assert free_bytes(Path('/proc/self')) is not None


def test_only_what_is_broken_fails():
    fine, optional = Line('a', State.OK, 'x'), Line('b', State.MISSING, 'no', 'get it', 'some')
    assert exit_code([fine, optional]) == 0 and plain_lines([fine, optional])['ok']
    broken = Line('c', State.BROKEN, 'gone', 'install it')
    assert exit_code([fine, broken]) == 1
    text = report_text([fine, optional, broken])
    assert 'missing b: no (only for some): get it\n' in text
    assert text.endswith('metabev cannot run here: c\n')
