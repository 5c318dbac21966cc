"""What the graph does to the inputs: two publishers, other types, other QoS, bursts, pauses."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from support import rig_messages
from support.rig_messages import CAMERAS, LIDAR, PERIOD_NS

from metabev_ros import wire
from metabev_ros.node import ros_support
from metabev_ros.node.graph_watch import GraphWatch, Input

pytestmark = pytest.mark.ros
CAMERA = CAMERAS[0]
DRIVER = textwrap.dedent(f"""
    import sys, time
    sys.path.insert(0, {str(Path(rig_messages.__file__).parent.parent)!r})
    import rclpy
    from support import rig_messages
    from rclpy.node import Node
    from metabev_ros.node import ros_support
    rclpy.init()
    node = Node('driver')
    images = node.create_publisher(ros_support.message_type(rig_messages.IMAGE_TYPE),
                                   rig_messages.topic_of({CAMERA!r}), ros_support.reliable_qos(5))
    infos = node.create_publisher(ros_support.message_type(rig_messages.INFO_TYPE),
                                  '/{CAMERA}/camera_info', ros_support.reliable_qos(5))
    print('publishing', flush=True)
    for number in range(10 ** 6):
        stamp = time.time_ns()
        infos.publish(rig_messages.camera_info({CAMERA!r}, stamp))
        images.publish(rig_messages.frame({CAMERA!r}, number, stamp))
        time.sleep(rig_messages.PERIOD_NS * 1e-9)
""")


def sensor(record, name: str):
    return next(s for s in record.message.sensors if s.name == name)


def tick_until(rig, graph, wanted, timeout: float = 30.0):
    """Publish until a status heartbeat fulfils `wanted`."""
    since = time.monotonic()
    while time.monotonic() < since + timeout:
        rig.tick()
        for record in graph.of(wire.STATUS, since):
            if wanted(record):
                return record
    raise AssertionError('no such status')


@pytest.fixture
def other_node():
    """A node of another participant, as another process has."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node('other_driver', context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


@pytest.fixture
def start_driver(tmp_path, graph):
    """Starts processes that publish the front camera; the rig of this process then does not."""
    script, started = tmp_path / 'driver.py', []
    script.write_text(DRIVER)

    def start() -> subprocess.Popen:
        started.append(subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE))
        assert started[-1].stdout.readline() == b'publishing\n'
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def tick_until_used(rig, graph, timeout: float) -> float:
    """Seconds until an output uses the front camera, which others publish."""
    since = time.monotonic()
    while time.monotonic() < since + timeout:
        rig.tick(off=frozenset({CAMERA}))
        if any(CAMERA in r.message.sensors for r in graph.of(wire.DETECTIONS, since)):
            return time.monotonic() - since
    raise AssertionError(f'{CAMERA} was not used within {timeout} s')


def test_row_068_of_two_publishers_of_one_sensor_neither_is_believed(graph, rig, start_driver):
    rig.tick_until_fused(graph, timeout=60)
    start_driver()
    told = tick_until(rig, graph, lambda r: 'publishers' in sensor(r, CAMERA).reason)
    assert sensor(told, CAMERA).state == sensor(told, CAMERA).STATE_INVALID
    for _ in range(10):
        rig.tick()
    outputs = [r for r in graph.of(wire.DETECTIONS) if r.stamp_ns > told.stamp_ns]
    assert outputs and all(CAMERA not in r.message.sensors for r in outputs)


def test_a_driver_that_was_killed_and_started_again_is_believed_at_once(graph, rig, start_driver):
    """The dead one stays in the graph for 20 s, beside its successor; it does not speak."""
    first = start_driver()
    tick_until_used(rig, graph, 30)
    for _ in range(round(11 / (rig_messages.PERIOD_NS * 1e-9))):  # the flaps of tests before this
        rig.tick(off=frozenset({CAMERA}))  # one would keep it out for 10 s
    first.kill()
    first.wait()
    start_driver()
    since = time.monotonic()
    took = tick_until_used(rig, graph, 15)
    topic = rig_messages.topic_of(CAMERA)
    assert graph.node.count_publishers(topic) >= 3  # this process's silent one, the dead, the new
    told = [sensor(r, CAMERA).reason for r in graph.of(wire.STATUS, since)]
    # Fast DDS announces a participant every 3 s, and may miss it twice; the dead one stays for 20.
    assert took < 10, set(told)
    assert told and not any('publishers' in reason for reason in told)


def test_row_068_a_sensor_with_one_publisher_again_is_used_again(graph, rig):
    rig.tick_until_fused(graph, timeout=60)


def test_row_067_a_publisher_whose_quality_of_service_never_matches_is_named(
    graph, rig, other_node
):
    """/tf_static must be latched; sensors are heard at any reliability and durability."""
    rig.tick_until_fused(graph, timeout=60)
    qos = ros_support.reliable_qos(10)
    qos.deadline = Duration(seconds=1)
    watched = GraphWatch(
        other_node,
        rig_messages.rig(),
        (Input(f'{CAMERA}/image_rect/compressed', rig_messages.IMAGE_TYPE, qos),),
    )
    end = time.monotonic() + 30
    while not (reasons := watched.look().reasons):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert 'incompatible QoS' in reasons[CAMERA] and 'deadline' in reasons[CAMERA]


def test_row_069_a_publisher_of_another_type_is_named_and_the_node_goes_on(graph, rig, other_node):
    rig.tick_until_fused(graph, timeout=60)
    other_node.create_publisher(
        ros_support.message_type(rig_messages.CLOUD_TYPE),
        rig_messages.topic_of(CAMERA),
        ros_support.reliable_qos(10),
    )
    since = time.monotonic()
    end = since + 30
    while time.monotonic() < end:
        rig.tick(off=frozenset({CAMERA}))
        told = [
            r for r in graph.of(wire.STATUS, since) if 'PointCloud2' in sensor(r, CAMERA).reason
        ]
        if told:
            break
    assert told, 'the wrong type was never named'
    while not graph.of(wire.DETECTIONS, since):
        assert time.monotonic() < end, 'no output of the others'
        rig.tick(off=frozenset({CAMERA}))


def test_row_070_of_a_burst_only_the_newest_frames_are_worked_on(graph, rig):
    rig.tick_until_fused(graph, timeout=60)
    since = time.monotonic()
    start = time.time_ns()
    stamps = [start + i * 1_000_000 for i in range(200)]
    lidar = graph.publisher(rig_messages.topic_of(LIDAR), rig_messages.CLOUD_TYPE)
    burst = [rig_messages.frame(LIDAR, i, stamp) for i, stamp in enumerate(stamps)]
    for message in burst:
        lidar.publish(message)
    time.sleep(2.0)
    outputs = [r.stamp_ns for r in graph.of(wire.DETECTIONS, since)]
    assert len(outputs) < 30 and outputs == sorted(set(outputs))
    rig.tick_until_fused(graph, timeout=60)


def test_row_072_a_late_subscriber_gets_only_live_outputs(graph, rig, live_node):
    rig.tick_until_fused(graph, timeout=60)
    last = time.monotonic()
    while graph.of(wire.DETECTIONS, last - 1.5):  # everything is dead: the last output gets old
        time.sleep(0.1)
        last = time.monotonic()
    got = []
    subscription = graph.node.create_subscription(
        ros_support.message_type(wire.OUTPUT_TYPES[wire.DETECTIONS]),
        '/perception/detections',
        lambda cdr: got.append(bytes(cdr)),
        ros_support.reliable_qos(10),
        raw=True,
    )
    try:
        time.sleep(1.5)
        assert not got
        joined = time.time_ns()
        rig.tick_until_fused(graph, timeout=60)
        end = time.monotonic() + 20
        while not got and time.monotonic() < end:
            rig.tick()
        assert got and all(wire.read_stamp(cdr) > joined - PERIOD_NS for cdr in got)
    finally:
        graph.node.destroy_subscription(subscription)


def test_row_074_a_namesake_is_warned_of(graph, live_node):
    twin = Node('perception', context=graph.context)
    try:
        live_node.wait_for_log('more node(s) are called /perception', timeout=30)
    finally:
        twin.destroy_node()
    assert live_node.process.poll() is None
