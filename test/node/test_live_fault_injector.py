"""The injector as a process: refused unless enabled, silent until its mark is heard, then true."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from support import rig_messages
from support.live_graph import RigPublisher

from metabev_ros import wire
from metabev_ros.config import save_config
from metabev_ros.faults.pipe import read_truth
from metabev_ros.node import ros_support

pytestmark = pytest.mark.ros
COMMAND = (sys.executable, '-m', 'metabev_ros.node.fault_injector', '--ros-args')
PLAN = """
name: live
title: one camera dies
faults:
  - {name: dead, type: KIND, sensors: [CAM_BACK], begin: 1.0, end: 100.0}
"""


def arguments(**parameters) -> list[str]:
    return [
        *COMMAND,
        *(word for name, value in parameters.items() for word in ('-p', f'{name}:={value}')),
    ]


@pytest.mark.parametrize(
    'parameters',
    [
        {},
        {'enable_fault_injection': 'false'},
        {'enable_fault_injection': 'true', 'plan': 'nonsense'},
    ],
)
def test_it_is_refused_unless_enabled_and_for_an_unknown_plan(tmp_path, parameters):
    result = subprocess.run(
        arguments(**parameters), cwd=tmp_path, text=True, capture_output=True, timeout=120
    )
    assert result.returncode == 2
    assert 'fault injection' in result.stderr or 'nonsense' in result.stderr
    assert not list(tmp_path.iterdir()), 'no truth file either'


@pytest.mark.parametrize(('kind', 'publishers'), [("'off'", 1), ('dead', 0)])
def test_nothing_comes_before_the_mark_is_heard_and_then_what_the_truth_says(
    tmp_path, graph, kind, publishers
):
    save_config(rig_messages.rig(), tmp_path / 'rig.yaml')
    (tmp_path / 'plan.yaml').write_text(PLAN.replace('KIND', kind))
    process = subprocess.Popen(
        arguments(
            enable_fault_injection='true',
            plan=tmp_path / 'plan.yaml',
            rig=tmp_path / 'rig.yaml',
            truth=tmp_path / 'truth.jsonl',
            prefix='under_test',
        )
    )
    heard: dict[str, list[int]] = {}
    marks: list[str] = []

    def listen(sensor: str) -> None:
        heard[sensor] = []
        graph.node.create_subscription(
            ros_support.message_type(rig_messages.type_of(sensor)),
            f'/under_test{rig_messages.topic_of(sensor)}',
            lambda cdr: heard[sensor].append(wire.read_stamp(bytes(cdr))),
            ros_support.reliable_qos(100),
            raw=True,
        )

    try:
        rig = RigPublisher(graph)
        for sensor in rig_messages.SENSORS:
            listen(sensor)
        graph.wait_until_heard([rig_messages.topic_of(s) for s in rig_messages.SENSORS])
        for _ in range(5):
            rig.tick()
        assert not any(heard.values()), 'nobody has heard the mark'
        graph.node.create_subscription(
            ros_support.message_type('std_msgs/msg/String'),
            '/under_test/fault_injection',
            lambda message: marks.append(message.data),
            ros_support.latched_qos(1),
        )
        for _ in range(20):
            rig.tick()
        time.sleep(0.5)
        topics = [f'/under_test{rig_messages.topic_of(s)}' for s in ('CAM_FRONT', 'CAM_BACK')]
        assert [graph.node.count_publishers(topic) for topic in topics] == [1, publishers]
    finally:
        process.terminate()
        process.wait(30)
    assert marks == ['live, seed 0']
    truths = read_truth(tmp_path / 'truth.jsonl')
    for sensor in rig_messages.SENSORS:
        topic = rig_messages.topic_of(sensor).lstrip('/')
        assert heard[sensor] == [
            t.out_stamp_ns for t in truths if t.topic == topic and t.out_stamp_ns is not None
        ]
    assert len(heard['CAM_FRONT']) > len(heard['CAM_BACK']) > 0
    assert json.loads((tmp_path / 'truth.jsonl').read_text().splitlines()[0])['plan'] == 'live'


def test_the_node_says_injection_active_from_the_mark_on(graph, rig, live_node):
    """The mark on the node's own topic: every status after it begins with the words, for good."""
    rig.tick_until_fused(graph)
    before = graph.of(wire.STATUS)[-1].message
    assert not before.reason.startswith(wire.INJECTION_ACTIVE)
    graph.publisher('/fault_injection', 'std_msgs/msg/String', latched=True).publish(
        wire.serialize(
            wire.message_class('std_msgs/msg/String')(data='plan x'), 'std_msgs/msg/String'
        )
    )
    since = time.monotonic()
    graph.wait_for(
        wire.STATUS,
        lambda m: m.is_heartbeat and m.reason.startswith(f'{wire.INJECTION_ACTIVE} (plan x)'),
        30,
        since,
    )
    rig.tick_until_fused(graph)
    output = graph.wait_for(
        wire.STATUS,
        lambda m: not m.is_heartbeat and m.reason.startswith(wire.INJECTION_ACTIVE),
        30,
        since,
    )
    assert [s.name for s in output.message.sensors if s.used]
