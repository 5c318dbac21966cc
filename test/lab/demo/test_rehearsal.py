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


@pytest.fixture
def played(tmp_path):
    """The output bag of a rehearsal that records what it plays: no other node is needed."""
    with BagWriter(tmp_path / 'in.mcap') as writer:
        for index in range(MESSAGES):
            stamp = FIRST_NS + index * PERIOD_NS
            for topic in ('/a', '/b'):
                writer.write(topic, IMAGE, stamp, image(stamp, index))
            writer.write('/truth', IMAGE, stamp, image(stamp, index))
    faults = (
        PlannedFault('kill', FaultType.DEAD, 0.52, 1.21, topics=('/a',)),
        PlannedFault('freeze', FaultType.STUCK, 1.52, 2.01, topics=('/b',)),
    )
    rehearsal = Rehearsal(
        str(tmp_path / 'in.mcap'),
        str(tmp_path / 'out.mcap'),
        FaultPlan('two', 'two topics fail', faults),
        rig_messages.rig(),
        ('/a', '/b'),
        ('/truth',),
        {'/a': IMAGE, '/b': IMAGE},
        timeout=20.0,
        tail=0.3,
    )
    path = tmp_path / 'rehearsal.yaml'
    save_config(rehearsal, path)
    environment = {
        **os.environ,
        'ROS_DOMAIN_ID': str(free_domain()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_LOG_DIR': str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, '-m', 'metabev_ros.node.rehearsal', str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return list(BagReader(tmp_path / 'out.mcap'))


def seconds_of(messages, start_ns):
    return sorted({round((wire.read_stamp(m.cdr) - start_ns) * 1e-9, 3) for m in messages})


def start_of(messages):
    notes = [decode_action(m.cdr) for m in messages if m.topic == ACTIONS_TOPIC]
    return notes[0]['start_ns'], [(note.get('fault'), note['action']) for note in notes[1:]]


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


def test_a_rehearsal_with_an_unknown_key_is_refused(tmp_path):
    (tmp_path / 'rehearsal.yaml').write_text('{bag: x, colour: red, plan: {}}')
    with pytest.raises(ConfigError, match='colour'):
        load_config(Rehearsal, tmp_path / 'rehearsal.yaml')
