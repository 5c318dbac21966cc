"""Publishers of the node's outputs: what can be offered, with which QoS, and who takes it."""

from __future__ import annotations

import dataclasses
import time

import pytest
import rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from metabev_ros import wire
from metabev_ros.config import OutputsConfig
from metabev_ros.errors import MissingDependencyError
from metabev_ros.node import ros_support
from metabev_ros.node.publishers import OutputPublishers, available_outputs
from metabev_ros.structures import MAP_CLASSES

pytestmark = pytest.mark.ros


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context)
    node = LifecycleNode('perception', context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def installed(topic: str) -> bool:
    return ros_support.has_message_type(wire.standard_outputs()[topic].msgtype)


def test_what_is_not_installed_is_told_once_with_the_command_that_installs_it() -> None:
    told: list[str] = []
    offered = available_outputs(OutputsConfig(), MAP_CLASSES, told.append)
    missing = [topic for topic in wire.standard_outputs() if not installed(topic)]
    assert set(offered) == set(wire.standard_outputs()) - set(missing)
    assert len(told) == bool(missing)
    for topic in missing:
        package = wire.standard_outputs()[topic].package
        assert f'~/{topic}' in told[0]
        assert f'apt install ros-$ROS_DISTRO-{package.replace("_", "-")}' in told[0]


def test_what_is_never_wanted_is_neither_offered_nor_told() -> None:
    told: list[str] = []
    never = OutputsConfig(*['never'] * len(dataclasses.fields(OutputsConfig)))
    assert available_outputs(never, MAP_CLASSES, told.append) == {} and not told


@pytest.mark.skipif(installed('scene'), reason='foxglove_msgs is installed')
def test_what_is_required_and_not_installed_stops_the_start() -> None:
    with pytest.raises(MissingDependencyError, match='ros-.ROS_DISTRO-foxglove-msgs'):
        available_outputs(OutputsConfig(scene='require'), MAP_CLASSES, lambda line: None)


def test_grids_are_latched_and_nothing_else_is(node) -> None:
    standard = available_outputs(OutputsConfig(), MAP_CLASSES, lambda line: None)
    outputs = OutputPublishers(node, standard)
    latched = set()
    for topic in (*wire.OUTPUT_TYPES, *standard):
        name = node.resolve_topic_name(topic if topic.startswith('/') else f'~/{topic}')
        (info,) = node.get_publishers_info_by_topic(name)
        assert info.qos_profile.reliability is ReliabilityPolicy.RELIABLE
        if info.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL:
            latched.add(topic)
    layers = {wire.layer_topic(name) for name in MAP_CLASSES} - {'layers/drivable_area'}
    assert latched == {wire.DRIVABLE_AREA} | layers
    outputs.destroy()


def test_an_output_is_wanted_while_somebody_subscribes(node) -> None:
    outputs = OutputPublishers(node, {'overlay': 'sensor_msgs/msg/Image'})
    assert outputs.wanted == () and not outputs.is_read
    reader = rclpy.create_node('reader', context=node.context)
    reader.create_subscription(
        ros_support.message_type('sensor_msgs/msg/Image'),
        '/perception/overlay',
        lambda message: None,
        ros_support.sensor_qos(1),
    )
    end = time.monotonic() + 30
    while not outputs.wanted and time.monotonic() < end:
        time.sleep(0.05)
    assert outputs.wanted == ('overlay',) and outputs.is_read
    reader.destroy_node()
    outputs.destroy()
    assert outputs.wanted == ()
