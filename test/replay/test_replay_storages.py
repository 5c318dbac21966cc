"""Replays of bags in every form that rosbag2 records, with types that nobody knows."""

from __future__ import annotations

import pytest
import zstandard
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader as RosbagReader
from support import rig_messages
from support.bag_files import (
    HEADER,
    HUMBLE_TABLES,
    header_cdr,
    write_db3,
    write_mcap,
    write_metadata,
)

from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.config import SensingConfig
from metabev_ros.replay.run import replay_bag
from metabev_ros.resources import resource_path

OWN, OWN_CDR = 'my_msgs/msg/Own', b'\0\1\0\0\5'
START_NS = 1_700_000_000_000_000_000


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    """Three ticks of a small rig, and a message of a type that nobody defines."""
    path = tmp_path_factory.mktemp('drive') / 'in.mcap'
    with BagWriter(path, {OWN: ''}) as writer:
        rig_messages.write_drive(writer, 3)
        writer.write('/own', OWN, START_NS, OWN_CDR)
    return [(m.topic, m.msgtype, m.log_time_ns, m.cdr) for m in BagReader(path)]


def replay(bag, out):
    model = resource_path('models/metabev_nano/contract.json').parent
    return replay_bag(bag, out, model, rig_messages.rig(), SensingConfig(), threads=1)


def packed_mcap(folder, drive, topics):
    """Messages compressed one by one, types in the short spelling."""
    topics = [(name, kind.replace('/msg/', '/'), 'ros2msg', b'') for name, kind in topics]
    messages = [(topic, time, zstandard.compress(data)) for topic, _, time, data in drive]
    write_mcap(folder / 'bag_0.mcap', messages, topics)
    write_metadata(folder, ['bag_0.mcap'], mode='MESSAGE', compression='zstd')


def split_humble(folder, drive, topics):
    """Two SQLite files as Humble writes them: no definitions, of the unknown type neither."""
    messages = [(topic, time, data) for topic, _, time, data in drive]
    for number, part in enumerate((messages[:9], messages[9:])):
        write_db3(folder / f'bag_{number}.db3', part, topics, tables=HUMBLE_TABLES)
    write_metadata(folder, ['bag_0.db3', 'bag_1.db3'], 'sqlite3')


@pytest.mark.parametrize('write', [packed_mcap, split_humble])
def test_every_storage_is_perceived_and_what_nobody_knows_is_copied_as_it_is(
    tmp_path, drive, write
):
    folder = tmp_path / 'bag'
    folder.mkdir()
    write(folder, drive, {topic: kind for topic, kind, _, _ in drive}.items())
    summary = replay(folder, tmp_path / 'out.mcap')
    assert summary.outputs == {'FUSED': 3} and not summary.is_blind and not summary.is_lossy
    topics = {topic for topic, *_ in drive}
    copied = [
        (m.topic, m.msgtype, m.log_time_ns, m.cdr)
        for m in BagReader(tmp_path / 'out.mcap')
        if m.topic in topics
    ]
    assert copied == drive
    with (tmp_path / 'out.mcap').open('rb') as file:
        found = [
            (schema.name, schema.encoding, schema.data, message.data)
            for schema, _, message in make_reader(file).iter_messages(topics=['/own'])
        ]
    assert found == [(OWN, '', b'', OWN_CDR)]
    with RosbagReader(tmp_path / 'out.mcap') as oracle:
        (own,) = [c for c in oracle.connections if c.topic == '/own']
        assert [bytes(data) for _, _, data in oracle.messages([own])] == [OWN_CDR]


@pytest.mark.parametrize('text', [b'', b'# only a comment', b'no such type at all', b'\xff'])
def test_a_definition_that_says_nothing_or_nonsense_ends_no_replay(tmp_path, text):
    topics = [('/own', OWN, 'ros2msg', text), ('/a', HEADER, 'ros2msg', text)]
    messages = [('/own', 1, OWN_CDR), ('/a', 2, header_cdr(2))]
    summary = replay(write_mcap(tmp_path / 'in.mcap', messages, topics), tmp_path / 'out.mcap')
    assert summary.is_blind
    copied = {m.topic: m.cdr for m in BagReader(tmp_path / 'out.mcap')}
    assert copied['/own'] == OWN_CDR and copied['/a'] == header_cdr(2)
