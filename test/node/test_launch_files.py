"""The launch files under the real `ros2 launch`: in a parent, refused, renamed, and with a bag."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from support import rig_messages

from metabev_ros.bags import BagWriter
from metabev_ros.config import save_config

pytestmark = [pytest.mark.ros, pytest.mark.distribution]
TIMEOUT = 300.0  # seconds; a loaded machine starts slowly

# A vehicle's launch: something else that runs, and the perception.
PARENT = textwrap.dedent("""
    import sys
    from launch import LaunchDescription
    from launch.actions import ExecuteProcess, IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource
    from launch_ros.substitutions import FindPackageShare
    from launch.substitutions import PathJoinSubstitution

    TICKS = 'import itertools, time\\nfor i in itertools.count(): print(i); time.sleep(0.5)'

    def generate_launch_description():
        file = [FindPackageShare('metabev_ros'), 'launch', 'perception.launch.py']
        return LaunchDescription([
            ExecuteProcess(cmd=[sys.executable, '-u', '-c', TICKS], name='sibling',
                           output='screen'),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(PathJoinSubstitution(file)),
                launch_arguments={'rig': '/does/not/exist.yaml'}.items()),
        ])
""")


class Launch:
    """`ros2 launch ...` as a process, with what it writes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._log = folder / 'launch.log'
        environment = {**os.environ, 'ROS_LOG_DIR': str(folder / 'ros_log')}
        with self._log.open('wb') as log:
            self.process = subprocess.Popen(
                ['ros2', 'launch', *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors='replace')

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + TIMEOUT
        while text not in self.log:
            assert self.process.poll() is None, f'the launch ended:\n{self.log}'
            assert time.monotonic() < end, f'no {text!r} in:\n{self.log}'
            time.sleep(0.1)

    def pid_of(self, name: str) -> int:
        """Of the process that launch calls so."""
        return int(
            re.findall(rf'\[{name}-\d+\]: process started with pid \[(\d+)\]', self.log)[-1]
        )

    def stop(self) -> None:
        """As with Ctrl-C; what it started ends with it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise


@pytest.fixture
def launch(tmp_path):
    """Start a launch; it is stopped after the test."""
    started = []

    def start(*arguments: str) -> Launch:
        started.append(Launch(tmp_path, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def parent(tmp_path) -> Path:
    file = tmp_path / 'vehicle.launch.py'
    file.write_text(PARENT)
    return file


def last_tick(log: str) -> int:
    return int(re.findall(r'\[sibling-\d+\] (\d+)', log)[-1])


def test_a_refused_node_leaves_the_launch_that_includes_it_alone(launch, parent):
    vehicle = launch(str(parent))
    vehicle.wait_for('refused to start, and is not started again')
    before = last_tick(vehicle.log)
    time.sleep(4.0)  # longer than the delay before a respawn
    assert last_tick(vehicle.log) >= before + 5 and vehicle.process.poll() is None
    assert len(re.findall(r'perception_node-\d+\]: process started', vehicle.log)) == 1
    assert '/does/not/exist.yaml: expected a readable YAML file' in vehicle.log
    assert 'sending signal' not in vehicle.log


def test_a_launch_that_asks_for_it_ends_with_a_refused_node(launch, parent):
    vehicle = launch(str(parent), 'shutdown_on_refusal:=true')
    vehicle.process.wait(TIMEOUT)
    assert 'refused to start' in vehicle.log and 'sending signal' in vehicle.log


def parameter(graph, node: str, name: str):
    """A parameter as the node tells it."""
    from rcl_interfaces.srv import GetParameters
    from rclpy.parameter import parameter_value_to_python

    client = graph.node.create_client(GetParameters, f'{node}/get_parameters')
    assert client.wait_for_service(TIMEOUT)
    future = client.call_async(GetParameters.Request(names=[name]))
    end = time.monotonic() + TIMEOUT
    while not future.done():
        assert time.monotonic() < end
        time.sleep(0.05)
    return parameter_value_to_python(future.result().values[0])


def test_namespace_name_remapping_qos_and_parameters_reach_the_node(
    tmp_path, launch, graph, model
):
    from rclpy.qos import ReliabilityPolicy

    save_config(rig_messages.rig(), tmp_path / 'rig.yaml')
    (tmp_path / 'more.yaml').write_text('/**:\n  ros__parameters:\n    threads: 1\n')
    arguments = {
        'rig': f'{tmp_path}/rig.yaml',
        'model': model,
        'params_file': f'{tmp_path}/more.yaml',
        'namespace': 'left',
        'name': 'eyes',
        'backend': 'onnxruntime',
        'provider': 'cpu',
        'remap': 'LIDAR_TOP/points:=/roof/points odom:=/odometry',
        'qos': '/roof/points.subscription.reliability:=reliable',
    }
    started = launch(
        'metabev_ros', 'perception.launch.py', *(f'{k}:={v}' for k, v in arguments.items())
    )
    started.wait_for('active:')
    for name, value in (('threads', 1), ('backend', 'onnxruntime'), ('provider', 'cpu')):
        assert parameter(graph, '/left/eyes', name) == value
    (heard,) = graph.node.get_subscriptions_info_by_topic('/roof/points')
    assert (heard.node_name, heard.node_namespace) == ('eyes', '/left')
    assert heard.qos_profile.reliability is ReliabilityPolicy.RELIABLE
    assert graph.node.count_publishers('/left/eyes/detections') == 1
    environment = Path(f'/proc/{started.pid_of("perception_node")}/environ').read_bytes()
    profile = re.search(rb'FASTDDS_DEFAULT_PROFILES_FILE=([^\0]+)', environment)[1]
    assert Path(profile.decode()).name == 'fastdds_profile.xml'


@pytest.fixture
def bag(tmp_path) -> Path:
    """Two seconds of the test rig; its rig file lies beside it."""
    save_config(rig_messages.rig(), tmp_path / 'rig.yaml')
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        rig_messages.write_drive(writer, 10)
    return tmp_path / 'drive.mcap'


def replay_arguments(bag: Path, **more: str) -> list[str]:
    arguments = {'bag': str(bag), 'player': 'metabev', 'rviz': 'false', **more}
    return ['metabev_ros', 'replay.launch.py', *(f'{k}:={v}' for k, v in arguments.items())]


def test_a_replay_plays_when_the_node_is_active_and_ends_with_the_bag(bag, launch, graph, model):
    replay = launch(
        *replay_arguments(
            bag, rig=str(bag.with_name('rig.yaml')), model=model, namespace='rear', name='eyes'
        )
    )
    replay.process.wait(TIMEOUT)
    steps = (
        'active:',
        'wait_until_active-2]: process has finished cleanly',
        'ros2-3]: process started',
        'ros2-3]: process has finished cleanly',
        "sending signal 'SIGINT' to process[perception_node-1]",
    )
    assert all(step in replay.log for step in steps), replay.log
    assert list(steps) == sorted(steps, key=replay.log.index), replay.log


def test_a_replay_whose_node_is_refused_plays_nothing(bag, launch):
    replay = launch(*replay_arguments(bag, rig='/does/not/exist.yaml'))
    replay.process.wait(TIMEOUT)  # nothing is left that runs
    assert 'the bag is not played' in replay.log and '[ros2-' not in replay.log


def test_a_node_that_does_not_come_is_waited_for_no_longer_than_told():
    done = subprocess.run(
        ['ros2', 'run', 'metabev_ros', 'wait_until_active', 'nobody', '--timeout', '1'],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 1 and 'nobody was not active within 1 s' in done.stderr


def test_launch_testing_finds_the_node_in_order():
    """`launch_test` runs the file beside this one, with the launch file as a user includes it."""
    file = Path(__file__).with_name('launch_testing_perception.py')
    done = subprocess.run(
        [sys.executable, '-m', 'launch_testing.launch_test', str(file)],
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
