from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from support import rig_messages

from metabev_ros import wire
from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.config import load_config, save_config
from metabev_ros.errors import ConfigError
from metabev_ros.faults.live import ACTIONS_TOPIC, Rehearsal, decode_action
from metabev_ros.faults.plan import FaultPlan, FaultType, PlannedFault
from metabev_ros.lab.demo.live import free_domain

FIRST_NS, PERIOD_NS, MESSAGES = 1_700_000_000_000_000_000, 50_000_000, 50
IMAGE = 'sensor_msgs/msg/CompressedImage'

pytestmark = pytest.mark.ros


def image(stamp_ns, number):
    return wire.serialize(
        wire.message_class(IMAGE)(
            header=wire.header(stamp_ns, 'camera'), format='', data=np.full(8, number, np.uint8)
        ),
        IMAGE,
    )


def rehearse(folder, faults, play=('/a', '/b'), copy=('/truth',)):
    """The output bag of a rehearsal that records what it plays: no other node is needed."""
    with BagWriter(folder / 'in.mcap') as writer:
        for index in range(MESSAGES):
            stamp = FIRST_NS + index * PERIOD_NS
            for topic in (*play, *copy):
                writer.write(topic, IMAGE, stamp, image(stamp, index))
    rehearsal = Rehearsal(
        str(folder / 'in.mcap'),
        str(folder / 'out.mcap'),
        FaultPlan('test', '', faults),
        rig_messages.rig(),
        play,
        copy,
        dict.fromkeys(play, IMAGE),
        timeout=20.0,
        tail=0.3,
    )
    save_config(rehearsal, folder / 'rehearsal.yaml')
    environment = {
        **os.environ,
        'ROS_DOMAIN_ID': str(free_domain()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_LOG_DIR': str(folder),
    }
    done = subprocess.run(
        [sys.executable, '-m', 'metabev_ros.node.rehearsal', str(folder / 'rehearsal.yaml')],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return list(BagReader(folder / 'out.mcap'))


@pytest.fixture
def played(tmp_path):
    return rehearse(
        tmp_path,
        (
            PlannedFault('kill', FaultType.DEAD, 0.52, 1.21, topics=('/a',)),
            PlannedFault('freeze', FaultType.STUCK, 1.52, 2.01, topics=('/b',)),
        ),
    )


def seconds_of(messages, start_ns):
    return sorted({round((wire.read_stamp(m.cdr) - start_ns) * 1e-9, 3) for m in messages})


def start_of(messages):
    notes = [decode_action(m.cdr) for m in messages if m.topic == ACTIONS_TOPIC]
    return notes[0].start_ns, [(note.fault, note.action) for note in notes[1:]]


def test_a_killed_topic_is_silent_and_a_frozen_one_repeats_its_last_message(played):
    start, actions = start_of(played)
    assert actions == [('kill', 'begin'), ('kill', 'end'), ('freeze', 'begin'), ('freeze', 'end')]
    killed = seconds_of([m for m in played if m.topic == '/a'], start)
    assert not [s for s in killed if 0.52 <= s < 1.21]
    assert [s for s in killed if s < 0.52] and [s for s in killed if s >= 1.21]
    frozen = {
        m.cdr[12:]
        for m in played
        if m.topic == '/b' and 1.52 <= (wire.read_stamp(m.cdr) - start) * 1e-9 < 2.01
    }
    assert len(frozen) == 1
    moving = {
        m.cdr[12:]
        for m in played
        if m.topic == '/b' and 0 <= (wire.read_stamp(m.cdr) - start) * 1e-9 < 1.5
    }
    assert len(moving) == 30


def test_what_was_published_was_received_again_after_the_revival(played):
    start, _ = start_of(played)
    stamps = [
        wire.read_stamp(m.cdr)
        for m in played
        if m.topic == '/a' and (wire.read_stamp(m.cdr) - start) * 1e-9 >= 1.21
    ]
    # Every message is in the bag twice: as published, and as received by the recorder.
    assert stamps and all(stamps.count(stamp) == 2 for stamp in stamps)


def test_copied_topics_are_written_and_not_played(played):
    start, _ = start_of(played)
    truth = [m for m in played if m.topic == '/truth']
    assert len(truth) == MESSAGES
    assert all(m.log_time_ns == wire.read_stamp(m.cdr) for m in truth)


def test_the_only_topic_of_a_bag_comes_back_from_the_dead(tmp_path):
    dead = PlannedFault('kill', FaultType.DEAD, 0.52, 1.21, topics=('/a',))
    messages = rehearse(tmp_path, (dead,), play=('/a',), copy=())
    start, actions = start_of(messages)
    assert actions == [('kill', 'begin'), ('kill', 'end')]
    seconds = seconds_of([m for m in messages if m.topic == '/a'], start)
    assert [s for s in seconds if s >= 1.21] and not [s for s in seconds if 0.52 <= s < 1.21]


def test_delayed_and_slow_topics_are_played_as_the_plan_says(tmp_path):
    faults = (
        PlannedFault('late', FaultType.DELAYED, 0.52, 9.0, topics=('/a',), seconds=0.4),
        PlannedFault('slow', FaultType.SLOW, 1.0, 9.0, topics=('/b',), every=2),
    )
    messages = rehearse(tmp_path, faults)
    start, _ = start_of(messages)
    sent: dict[str, dict[int, int]] = {'/a': {}, '/b': {}}
    for m in messages:
        if m.topic in sent:  # first as published, then as received
            sent[m.topic].setdefault(wire.read_stamp(m.cdr) - start, m.log_time_ns - start)
    assert len(sent['/a']) == MESSAGES and len(sent['/b']) == 20 + 15
    late = [wall - stamp for stamp, wall in sent['/a'].items() if stamp * 1e-9 >= 0.52]
    assert min(late[:20]) >= 399_000_000  # those at the end go out with the end of the bag


def test_a_rehearsal_with_an_unknown_key_is_refused(tmp_path):
    (tmp_path / 'rehearsal.yaml').write_text('{bag: x, colour: red, plan: {}}')
    with pytest.raises(ConfigError, match='colour'):
        load_config(Rehearsal, tmp_path / 'rehearsal.yaml')
