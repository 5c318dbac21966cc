"""`metabev check-rig --live`: the running graph gets the verdict that its recording gets."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest
from support import rig_messages
from support.rig_check_bags import small_rig, write

from metabev_ros.config import RigConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.rig_check.check import check_rig
from metabev_ros.lab.rig_check.findings import Kind
from metabev_ros.lab.rig_check.qos import latched_problem
from metabev_ros.lab.rig_check.reading import read_bag

pytestmark = pytest.mark.ros
LIMIT = 120  # seconds for a command, on a loaded machine


def command(*words) -> list[str]:
    return [sys.executable, '-m', 'metabev_ros.cli', 'check-rig', *map(str, words)]


@pytest.fixture
def silent(graph):
    """Publishers of a graph that say nothing until they are told to."""
    made = []

    def publisher(topic, msgtype, qos):
        from metabev_ros.node import ros_support

        kind = ros_support.message_type(msgtype)
        made.append(graph.node.create_publisher(kind, topic, qos))
        return made[-1]

    yield publisher
    for one in made:
        graph.node.destroy_publisher(one)


def test_a_bag_that_is_played_has_the_verdict_and_the_rig_of_the_bag(graph, tmp_path):
    from metabev_ros.node.graph_recording import SETTLE
    from metabev_ros.node.player import BagPlayer, PlayerOptions

    bag, rigs = write(tmp_path / 'good.mcap'), [tmp_path / 'bag.yaml', tmp_path / 'live.yaml']
    words = ('--json', '--write')
    said = subprocess.run(command(bag, *words, rigs[0]), capture_output=True, timeout=LIMIT)
    player = BagPlayer(graph.node, bag, PlayerOptions())
    with subprocess.Popen(
        command('--live', '--seconds', '4', *words, rigs[1]), stdout=subprocess.PIPE
    ) as live:
        assert player.wait_for_subscribers(player.topics, LIMIT)
        time.sleep(SETTLE + 1)
        player.play()
        heard = json.loads(live.communicate(timeout=LIMIT)[0])
    player.close()
    recorded = json.loads(said.stdout)
    assert (said.returncode, live.returncode) == (0, 0)
    counts = [
        {one['topic']: one.pop('messages') for one in r['sensors']} for r in (recorded, heard)
    ]
    for topic, count in counts[0].items():  # best effort, as the node: a few may be lost
        assert 0.8 * count <= counts[1][topic] <= count
    assert heard['bag'] == 'the running graph' and heard['seconds'] > 1
    for told in (recorded, heard):
        del told['bag'], told['seconds']
    assert heard == recorded and heard['ok'] and len(heard['sensors']) == 4
    assert load_config(RigConfig, rigs[1]) == load_config(RigConfig, rigs[0])


def test_without_a_sensor_on_the_graph_there_is_one_line_and_exit_code_2(tmp_path):
    run = subprocess.run(
        command('--live', '--seconds', '0.5'), capture_output=True, timeout=LIMIT, text=True
    )
    (line,) = run.stderr.strip().splitlines()
    assert run.returncode == 2 and 'expected a topic of a camera or a LiDAR' in line
    assert 'ROS_DOMAIN_ID' in line


def record(path, options):
    """Record in a thread; whoever asks waits for the end with the returned function."""
    from metabev_ros.node.graph_recording import record_graph

    begun, failures = threading.Event(), []

    def work() -> None:
        try:
            record_graph(path, options, lambda done, total: begun.set())
        except ConfigError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()

    def end() -> list[ConfigError]:
        thread.join(LIMIT)
        assert not thread.is_alive()
        return failures

    return begun, end


def test_publishers_that_say_nothing_are_named(silent, tmp_path):
    from metabev_ros.node import ros_support
    from metabev_ros.node.graph_recording import RecordingOptions

    silent('/quiet/points', 'sensor_msgs/msg/PointCloud2', ros_support.reliable_qos(1))
    (failure,) = record(tmp_path / 'heard.mcap', RecordingOptions(0.5))[1]()
    assert failure.got == 'none in 0.5 s on /quiet/points'
    assert not list(tmp_path.iterdir())
    options = RecordingOptions(0.5, ('other/points',))
    assert record(tmp_path / 'heard.mcap', options)[1]() == []
    look = read_bag(tmp_path / 'heard.mcap')
    assert look.types['/quiet/points'] == 'sensor_msgs/msg/PointCloud2' and not look.clouds


def test_a_volatile_tf_static_and_a_wrong_type_are_found_as_in_a_bag(silent, tmp_path):
    """The volatile one spoke before anybody listened: only its QoS is left to be seen."""
    from metabev_ros.node import ros_support
    from metabev_ros.node.graph_recording import RecordingOptions

    rig, lidar = small_rig(), rig_messages.LIDAR
    static = silent('/tf_static', rig_messages.TF_TYPE, ros_support.reliable_qos(1))
    static.publish(rig_messages.static_transforms(1))
    silent(rig.cameras[0].topic, 'std_msgs/msg/String', ros_support.reliable_qos(1))
    qos = ros_support.reliable_qos(10)
    points = silent(rig.lidars[0].topic, rig_messages.type_of(lidar), qos)
    topics = tuple(sensor.topic for sensor in rig.sensors)
    begun, end = record(tmp_path / 'heard.mcap', RecordingOptions(1.0, topics))
    assert begun.wait(LIMIT)
    for tick in range(8):
        points.publish(rig_messages.frame(lidar, tick, (tick + 1) * rig_messages.PERIOD_NS))
        time.sleep(0.1)
    assert end() == []
    look = read_bag(tmp_path / 'heard.mcap', topics)
    assert look.clouds[rig.lidars[0].topic].seen > 4
    assert latched_problem(look.tf_static) == 'volatile'
    found = {(one.sensor, one.kind) for one in check_rig(look, rig).findings}
    assert {('bag', Kind.QOS), (rig.cameras[0].name, Kind.WRONG_TYPE)} <= found


def test_a_recording_ends_at_its_limit_of_bytes(silent, tmp_path):
    from metabev_ros.node import ros_support
    from metabev_ros.node.graph_recording import RecordingOptions

    lidar = rig_messages.LIDAR
    sent = rig_messages.frame(lidar, 0, rig_messages.PERIOD_NS)
    points = silent('/lidar/points', rig_messages.type_of(lidar), ros_support.reliable_qos(10))
    begun, end = record(tmp_path / 'heard.mcap', RecordingOptions(60.0, (), 3 * len(sent)))
    assert begun.wait(LIMIT)
    began = time.monotonic()
    for _ in range(12):
        points.publish(sent)
        time.sleep(0.1)
    assert end() == [] and time.monotonic() - began < 30
    assert read_bag(tmp_path / 'heard.mcap').clouds['/lidar/points'].seen == 3


def test_impossible_options_are_refused():
    from metabev_ros.node.graph_recording import RecordingOptions

    for options in ({'seconds': 0}, {'seconds': 1e6}, {'byte_limit': 0}):
        with pytest.raises(ConfigError):
            RecordingOptions(**options)
