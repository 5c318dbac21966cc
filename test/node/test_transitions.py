"""What fails in a transition is told with its place, and leads where the documents say."""

from __future__ import annotations

import threading
import time

import pytest
from support import made_samples, rig_messages

from metabev_ros.config import save_config
from metabev_ros.errors import ConfigError

pytestmark = pytest.mark.ros


@pytest.fixture(scope='module')
def pipeline(model):
    """The model, loaded once."""
    from pathlib import Path

    from metabev_ros.pipeline import Pipeline

    return Pipeline.load(Path(model))


@pytest.fixture
def node(tmp_path, pipeline, monkeypatch):
    """An unconfigured node in this process, whose model is there at once."""
    import rclpy

    from metabev_ros.node import perception_node

    save_config(rig_messages.rig(), tmp_path / 'rig.yaml')
    given = (f'rig:={tmp_path}/rig.yaml', 'autostart:=false', 'inference.hang_limit:=2.0')
    rclpy.init(args=['--ros-args', *(word for pair in given for word in ('-p', pair))])
    monkeypatch.setattr(perception_node, 'load_pipeline', lambda config, rig: pipeline)
    node = perception_node.PerceptionNode()
    yield node
    node.close()
    rclpy.shutdown()


def state(node) -> str:
    return node._state_machine.current_state[1]


def fail(*arguments) -> None:
    raise ZeroDivisionError('planted')


def activate(node) -> None:
    from rclpy.lifecycle import TransitionCallbackReturn as Result

    assert node.trigger_configure() is Result.SUCCESS
    assert node.trigger_activate() is Result.SUCCESS


def test_a_refusal_is_told_once_and_leaves_the_state_before(node, monkeypatch, capfd):
    from rclpy.lifecycle import TransitionCallbackReturn as Result

    from metabev_ros.node import perception_node

    def refuse(config, rig):
        raise ConfigError('the model', 'one', 'none')

    monkeypatch.setattr(perception_node, 'load_pipeline', refuse)
    assert node.trigger_configure() is Result.FAILURE
    assert state(node) == 'unconfigured' and node.exit_code is None
    assert capfd.readouterr().err.count('ConfigError: the model: expected one, got none') == 1


def test_an_unforeseen_error_of_configure_is_told_with_its_line(node, monkeypatch, capfd):
    from rclpy.lifecycle import TransitionCallbackReturn as Result

    from metabev_ros.node import perception_node

    monkeypatch.setattr(perception_node, 'load_pipeline', fail)
    assert node.trigger_configure() is Result.ERROR
    told = capfd.readouterr().err
    assert 'the transition configure' in told and 'ZeroDivisionError: planted' in told
    assert f'(test_transitions.py:{fail.__code__.co_firstlineno + 1} in fail)' in told
    assert state(node) == 'unconfigured' and node.exit_code is None
    monkeypatch.undo()


def test_an_error_of_deactivate_is_told_and_everything_is_let_go(node, monkeypatch, capfd):
    from rclpy.lifecycle import TransitionCallbackReturn as Result

    from metabev_ros.node.data_path import DataPath

    whole, calls = DataPath.stop, []

    def fail_once(path) -> bool:
        calls.append(path)
        return fail() if len(calls) == 1 else whole(path)

    activate(node)
    monkeypatch.setattr(DataPath, 'stop', fail_once)
    assert node.trigger_deactivate() is Result.ERROR
    told = capfd.readouterr().err
    assert 'the transition deactivate' in told and 'ZeroDivisionError: planted' in told
    assert state(node) == 'unconfigured' and len(calls) == 2 and node.exit_code is None
    workers = {'sensing', 'heartbeat', 'inference'}
    made_samples.wait_for(lambda: not workers & {one.name for one in threading.enumerate()})


def test_a_node_that_cannot_let_go_after_an_error_ends_with_code_5(node, monkeypatch):
    from rclpy.lifecycle import TransitionCallbackReturn as Result

    from metabev_ros.node.data_path import DataPath

    activate(node)
    monkeypatch.setattr(DataPath, 'stop', fail)
    assert node.trigger_deactivate() is Result.ERROR
    assert state(node) == 'finalized'
    assert node.exit_code == 5 and node.fault
    monkeypatch.undo()


def test_deactivate_does_not_wait_for_a_sample_that_hangs(node, pipeline, monkeypatch, capfd):
    """A new activation waits until it has ended: an engine serves one caller at a time."""
    from rclpy.lifecycle import TransitionCallbackReturn as Result

    release, reached = threading.Event(), threading.Event()

    def hang(self, sample):
        reached.set()
        release.wait(60)
        raise RuntimeError('released')

    activate(node)
    monkeypatch.setattr(type(pipeline), '__call__', hang)
    node._path._mailbox.put(made_samples.sample(1))
    assert reached.wait(30)
    before = time.monotonic()
    assert node.trigger_deactivate() is Result.SUCCESS
    assert time.monotonic() - before < 3.0 and state(node) == 'inactive'
    assert node.trigger_activate() is Result.FAILURE and state(node) == 'inactive'
    assert 'a sample that is still worked on' in capfd.readouterr().err
    made_samples.wait_for(lambda: node.exit_code == 3)
    release.set()
    made_samples.wait_for(lambda: node.exit_code is None)
    assert node.trigger_activate() is Result.SUCCESS and state(node) == 'active'


@pytest.mark.parametrize(
    ('override', 'told'),
    [
        ('qos_overrides./no/topic.subscription.depth:=3', 'a name that belongs to none'),
        ('qos_overrides./LIDAR_TOP/points.subscription.reliability:=perfect', 'LIDAR_TOP/points'),
        ('qos_overrides./perception/detections.publisher.depth:=many', 'output detections'),
    ],
)
def test_a_qos_that_cannot_be_is_refused_with_its_topic(
    tmp_path, pipeline, monkeypatch, capfd, override, told
):
    import rclpy
    from rclpy.lifecycle import TransitionCallbackReturn as Result

    from metabev_ros.node import perception_node

    save_config(rig_messages.rig(), tmp_path / 'rig.yaml')
    rclpy.init(
        args=f'--ros-args -p rig:={tmp_path}/rig.yaml -p autostart:=false -p {override}'.split()
    )
    monkeypatch.setattr(perception_node, 'load_pipeline', lambda config, rig: pipeline)
    node = perception_node.PerceptionNode()
    try:
        results = {node.trigger_configure()}
        if state(node) == 'inactive':
            results.add(node.trigger_activate())
        assert Result.FAILURE in results and told in capfd.readouterr().err
    finally:
        node.close()
        rclpy.shutdown()


def test_a_qos_is_overridden_for_the_named_topic_alone_and_at_every_activation(
    tmp_path, pipeline, monkeypatch
):
    import rclpy
    from rclpy.qos import ReliabilityPolicy

    from metabev_ros.node import perception_node

    save_config(rig_messages.rig(), tmp_path / 'rig.yaml')
    override = 'qos_overrides./LIDAR_TOP/points.subscription.reliability:=reliable'
    rclpy.init(
        args=f'--ros-args -p rig:={tmp_path}/rig.yaml -p autostart:=false -p {override}'.split()
    )
    monkeypatch.setattr(perception_node, 'load_pipeline', lambda config, rig: pipeline)
    node = perception_node.PerceptionNode()
    try:
        activate(node)
        for _ in range(2):
            found = {item.topic: item.qos.reliability for item in node._path._inputs._inputs}
            assert found.pop('LIDAR_TOP/points') is ReliabilityPolicy.RELIABLE
            assert found.pop('/tf_static') is found.pop('fault_injection')  # latched
            assert set(found.values()) == {ReliabilityPolicy.BEST_EFFORT}
            node.trigger_deactivate()
            node.trigger_activate()
    finally:
        node.close()
        rclpy.shutdown()
