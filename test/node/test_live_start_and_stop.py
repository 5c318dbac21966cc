"""Start-up is refused with one line, signals end the node with 0, transitions are obeyed."""

from __future__ import annotations

import signal
import time

import pytest

from metabev_ros import wire

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ('parameters', 'expected'),
    [
        (
            {'sensing.deadline': 1},
            'parameter sensing.deadline: expected a number (write 1.0, not 1) in 0.001..5, got 1',
        ),
        ({'sensing.dedline': 0.1}, 'did you mean sensing.deadline?'),
        (
            {'outputs.vision': 'on'},
            'parameter outputs.vision: expected one of auto, require, never',
        ),
        ({'detections.scores': 'tram=0.5'}, 'parameter detections.scores: expected classes of'),
        ({'threads': 0}, 'parameter threads: expected an integer in 1..64, got 0'),
        (
            {'use_sim_time': 1},
            'parameters: expected values of the right type, got Trying to set parameter '
            "'use_sim_time' to '1' of type 'INTEGER'",
        ),
        ({'fallback_backend': 'x'}, "parameter fallback_backend: expected '' or one of"),
        ({'rig': '/does/not/exist.yaml'}, '/does/not/exist.yaml: expected a readable YAML file'),
        (
            {'model': '/does/not/exist'},
            'parameter model: expected the folder of an exported model',
        ),
    ],
)
def test_row_096_a_wrong_parameter_stops_start_up_with_one_line(tmp_path, parameters, expected):
    from support.live_graph import NodeProcess

    node = NodeProcess(tmp_path, **parameters)
    assert node.wait() == 2
    lines = [line for line in node.log.splitlines() if 'start-up refused' in line]
    assert len(lines) == 1 and expected in lines[0]
    assert 'Traceback' not in node.log


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (('odometry_topic: odom', 'odometry_topic: odom//etry'), 'odom//etry'),
        (('odometry_topic: odom', 'odometry_topic: odom-etry'), 'odom-etry'),
        (('odometry_topic: odom', 'odometry_topic: tf_static'), 'tf_static'),
        (('odometry_topic: odom', 'odometry_topic: /perception/bev_map'), 'as output bev_map'),
        (('LIDAR_TOP/points', '/CAM_FRONT/image_rect/compressed'), 'CAM_FRONT'),
        (('rate_hz: 5.0', 'rate_hz: five'), 'rate_hz'),
        (('frame: CAM_FRONT', 'frame: [1, 2]'), 'frame'),
    ],
    ids=lambda value: value if isinstance(value, str) else value[1],
)
def test_a_bad_rig_stops_start_up_with_one_line_that_says_where(tmp_path, change, expected):
    from support import rig_messages
    from support.live_graph import NodeProcess

    from metabev_ros.config import save_config

    file = tmp_path / 'bad_rig.yaml'
    save_config(rig_messages.rig(), file)
    text = file.read_text()
    if change[0] not in text:
        text += f'{change[0]}\n'
    file.write_text(text.replace(*change))
    node = NodeProcess(tmp_path, rig=file)
    assert node.wait() == 2, node.log
    lines = [line for line in node.log.splitlines() if 'start-up refused' in line]
    assert len(lines) == 1 and expected in lines[0] and 'expected' in lines[0], node.log
    assert 'Traceback' not in node.log and 'see the messages above' not in node.log


def test_a_node_that_cannot_enter_its_enclave_is_refused(tmp_path, monkeypatch):
    from support.live_graph import NodeProcess

    monkeypatch.setenv('ROS_SECURITY_ENABLE', 'true')
    monkeypatch.setenv('ROS_SECURITY_STRATEGY', 'Enforce')
    monkeypatch.setenv('ROS_SECURITY_KEYSTORE', str(tmp_path))
    node = NodeProcess(tmp_path)
    assert node.wait() == 2
    assert 'start-up refused' in node.log and 'enclave' in node.log
    assert 'Traceback' not in node.log and 'active:' not in node.log


def test_a_log_folder_that_cannot_be_written_is_named_with_its_cure(tmp_path, monkeypatch):
    """As under systemd's ProtectHome."""
    from support.live_graph import NodeProcess

    monkeypatch.setenv('ROS_LOG_DIR', '/proc/no_such_folder')
    node = NodeProcess(tmp_path)
    assert node.wait() == 2
    assert 'start-up refused' in node.log and 'name another one: ROS_LOG_DIR' in node.log


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_row_091_a_signal_in_the_middle_of_the_data_ends_the_node_with_zero(
    tmp_path, graph, model, number
):
    from support.live_graph import NodeProcess, RigPublisher

    node = NodeProcess(tmp_path, model=model)
    try:
        node.wait_for_log('active:')
        rig = RigPublisher(graph)
        graph.wait_until_heard(rig.topics)
        rig.tick_until_fused(graph)
        rig.tick()  # its sample is being worked on when the signal comes
    finally:
        code = node.stop(number)
    assert code == 0, node.log
    assert 'Traceback' not in node.log and 'terminate' not in node.log


def test_row_094_transitions_are_obeyed_and_wrong_ones_refused(tmp_path, graph, model):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from support.live_graph import NodeProcess

    node = NodeProcess(tmp_path, model=model, autostart=False)
    client = graph.node.create_client(ChangeState, '/perception/change_state')

    def change(transition: int) -> bool:
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        end = time.monotonic() + 60
        while not future.done():
            assert time.monotonic() < end and node.process.poll() is None, node.log
            time.sleep(0.02)
        return future.result().success

    def beats(seconds: float) -> int:
        since = time.monotonic()
        time.sleep(seconds)
        return len(graph.of(wire.STATUS, since))

    try:
        assert client.wait_for_service(60)
        time.sleep(0.5)
        assert not change(Transition.TRANSITION_ACTIVATE)  # not configured yet
        assert change(Transition.TRANSITION_CONFIGURE), node.log
        assert beats(0.5) == 0
        for _ in range(2):
            since = time.monotonic()
            assert change(Transition.TRANSITION_ACTIVATE)
            graph.wait_for(wire.STATUS, lambda status: status.is_heartbeat, 30, since)
            assert beats(1.0) >= 5
            assert change(Transition.TRANSITION_DEACTIVATE)
            time.sleep(0.2)
            assert beats(0.5) == 0
        assert change(Transition.TRANSITION_CLEANUP)
        assert change(Transition.TRANSITION_CONFIGURE)
        assert change(Transition.TRANSITION_INACTIVE_SHUTDOWN)
        assert node.wait(20) == 0, 'a finalized node has no way back'
        assert 'Traceback' not in node.log
    finally:
        node.stop(signal.SIGTERM)


def test_a_shutdown_of_the_active_node_ends_the_process_with_zero(tmp_path, graph, model):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from support.live_graph import NodeProcess

    node = NodeProcess(tmp_path, model=model)
    client = graph.node.create_client(ChangeState, '/perception/change_state')
    try:
        node.wait_for_log('active:')
        assert client.wait_for_service(60)
        request = ChangeState.Request(
            transition=Transition(id=Transition.TRANSITION_ACTIVE_SHUTDOWN)
        )
        future = client.call_async(request)
        assert node.wait(20) == 0
        assert future.done() and future.result().success, 'the answer came before the end'
        assert 'Traceback' not in node.log
    finally:
        node.stop(signal.SIGTERM)


def test_a_refused_configuration_leaves_the_node_unconfigured(tmp_path, graph):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from support.live_graph import NodeProcess

    node = NodeProcess(tmp_path, model=str(tmp_path), autostart=False)
    client = graph.node.create_client(ChangeState, '/perception/change_state')
    try:
        assert client.wait_for_service(60)
        future = client.call_async(
            ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
        )
        node.wait_for_log('ContractError')
        while not future.done():
            time.sleep(0.02)
        assert not future.result().success
    finally:
        code = node.stop(signal.SIGTERM)
    assert code == 0


def test_importing_the_node_needs_no_torch():
    import subprocess
    import sys

    code = 'import sys, metabev_ros.node.process; assert "torch" not in sys.modules'
    assert subprocess.run([sys.executable, '-c', code], timeout=120).returncode == 0
