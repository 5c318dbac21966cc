"""The live part: the node and the rehearsal, each in a process of its own, on a private graph."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from metabev_ros import wire
from metabev_ros.config import RigConfig, save_config
from metabev_ros.errors import BackendError
from metabev_ros.faults.live import Rehearsal
from metabev_ros.faults.plan import FaultPlan
from metabev_ros.resources import resource_path

NODE_MODULE = 'metabev_ros.node.process'
REHEARSAL_MODULE = 'metabev_ros.node.rehearsal'
NODE_NAME = 'perception'
STOP_SECONDS = 15.0
TRUTH_TOPICS = ('/ground_truth/detections', '/ground_truth/bev_map')
# Fast DDS opens UDP ports from 7400 + 250 * domain; domains above 101 reach into the range from
# which Linux gives out ports of its own.
FIRST_PORT, PORTS_PER_DOMAIN, LAST_DOMAIN = 7400, 250, 101
TAIL_LINES = 25


@dataclass(frozen=True)
class LiveRun:
    """The end of the processes.

    Attributes:
        node_exit: of the node after SIGINT; 0 is a clean end.
    """

    bag: Path
    node_exit: int
    node_log: Path


def free_domain() -> int:
    """A ROS domain that no other participant of this machine uses (or seems to)."""
    first = os.getpid() % LAST_DOMAIN
    for offset in range(LAST_DOMAIN):
        domain = 1 + (first + offset) % LAST_DOMAIN
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:  # the port of the domain's multicast discovery
                probe.bind(('', FIRST_PORT + PORTS_PER_DOMAIN * domain))
            except OSError:
                continue
            return domain
    return 1 + first


def output_topics() -> dict[str, str]:
    """Absolute topic -> type of everything the node publishes."""
    return {
        topic if topic.startswith('/') else f'/{NODE_NAME}/{topic}': msgtype
        for topic, msgtype in wire.OUTPUT_TYPES.items()
    }


def sensor_topics(rig: RigConfig) -> dict[str, str]:
    """Sensor name -> absolute topic of its data."""
    return {sensor.name: f'/{sensor.topic}' for sensor in rig.sensors}


def make_rehearsal(bag: Path, out: Path, plan: FaultPlan, rig: RigConfig) -> Rehearsal:
    """Everything but the truth is played; everything that the node publishes is recorded."""
    infos = (f'/{camera.info_topic}' for camera in rig.cameras)
    return Rehearsal(
        str(bag),
        str(out),
        plan,
        rig,
        play=(*sensor_topics(rig).values(), *infos, f'/{rig.odometry_topic}', '/tf', '/tf_static'),
        copy=TRUTH_TOPICS,
        record=output_topics(),
        ready_topic=f'/{NODE_NAME}/{wire.STATUS}',
    )


def run_live(
    rehearsal: Rehearsal,
    folder: Path,
    model_dir: Path,
    rig_path: Path,
    tell: Callable[[dict], None],
    poll: Callable[[], None],
) -> LiveRun:
    """Start the node, rehearse, stop the node.

    Args:
        folder: logs and the rehearsal as YAML go here.
        tell: called with every step the rehearsal reports.
        poll: called about ten times a second while it runs.

    Raises:
        BackendError: a process ended badly; the text quotes the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = folder / 'rehearsal.yaml'
    save_config(rehearsal, order)
    environment = _environment(folder)
    node_log, log = folder / 'node.log', folder / 'rehearsal.log'
    parameters = ('-p', f'model:={model_dir}', '-p', f'rig:={rig_path}')
    node_command = [sys.executable, '-m', NODE_MODULE, '--ros-args', *parameters]
    with _terminated_in_order(), _process(node_command, environment, node_log) as node:
        command = [sys.executable, '-m', REHEARSAL_MODULE, str(order)]
        with _process(command, environment, log) as player:
            _follow(player, log, node, node_log, tell, poll)
        node_exit = _stop(node)
    return LiveRun(Path(rehearsal.out), node_exit, node_log)


def _environment(folder: Path) -> dict[str, str]:
    """A graph of our own, log files of our own, shared memory large enough for clouds."""
    profile = str(resource_path('config/fastdds_profile.xml'))
    return {
        'FASTDDS_DEFAULT_PROFILES_FILE': profile,
        'FASTRTPS_DEFAULT_PROFILES_FILE': profile,
        **os.environ,
        'ROS_DOMAIN_ID': str(free_domain()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'PYTHONUNBUFFERED': '1',
        'ROS_LOG_DIR': str(folder.resolve() / 'ros'),
    }


@contextlib.contextmanager
def _terminated_in_order() -> Iterator[None]:
    """SIGTERM ends the children too: it leaves this block as an exception."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _process(
    command: list[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen]:
    """A child whose output goes to a file; it does not outlive the block."""
    with log.open('wb') as file:
        # A session of its own: a Ctrl-C at the terminal reaches this process only, which then
        # ends its children in order.
        child = subprocess.Popen(
            command,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            _stop(child)


def _stop(child: subprocess.Popen) -> int:
    """SIGINT, then SIGKILL when it does not end; returns the exit status."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    return child.returncode


def _follow(
    rehearsal: subprocess.Popen,
    log: Path,
    node: subprocess.Popen,
    node_log: Path,
    tell: Callable[[dict], None],
    poll: Callable[[], None],
) -> None:
    """Report the steps until the rehearsal has ended; both processes must go on until then."""
    with log.open(encoding='utf-8', errors='replace') as lines:
        while True:
            ended = rehearsal.poll() is not None  # asked first: the last lines are read after it
            while line := lines.readline():
                if line.startswith('{"state"') and line.endswith('\n'):
                    tell(json.loads(line))
            if ended:
                break
            if node.poll() is not None:
                raise _failed('the node', node.returncode, node_log)
            poll()
            time.sleep(0.1)
    if rehearsal.returncode != 0:
        raise _failed('the rehearsal', rehearsal.returncode, log, node_log)


def _failed(who: str, status: int, *logs: Path) -> BackendError:
    tails = [
        f'--- end of {log}\n'
        + '\n'.join(log.read_text(encoding='utf-8', errors='replace').splitlines()[-TAIL_LINES:])
        for log in logs
    ]
    return BackendError(
        'demo',
        f'{who} to run to the end',
        f'exit status {status}',
        '\n'.join(('what it said:', *tails)),
    )
