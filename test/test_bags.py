"""Bags read and written against the mcap package, and damaged in every way."""

from __future__ import annotations

import random
import sqlite3
import struct
import tracemalloc

import lz4.frame
import pytest
import zstandard
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagWriter
from support import rig_messages
from support.bag_files import write_db3

from metabev_ros import bags, wire
from metabev_ros.bags import BagMessage, BagReader, BagWriter, records
from metabev_ros.errors import SensorDataError

HEADER = 'std_msgs/msg/Header'


def header_cdr(number: int) -> bytes:
    return wire.serialize(wire.header(number, f'frame {number}'), HEADER)


def write_headers(path, stamps=range(200), chunk_size=1024, **options):
    """A bag of headers made by the mcap package alone."""
    with path.open('wb') as file:
        writer = McapWriter(file, chunk_size=chunk_size, **options)
        writer.start(profile='ros2')
        schema = writer.register_schema(HEADER, 'ros2msg', wire.type_definition(HEADER).encode())
        channel = writer.register_channel('/a', 'cdr', schema)
        for number, stamp in enumerate(stamps):
            writer.add_message(channel, stamp, header_cdr(number), stamp, number)
        writer.finish()
    return path


def test_what_is_written_is_read_back_and_understood_by_the_mcap_package(tmp_path):
    path = tmp_path / 'new' / 'a.mcap'
    with BagWriter(path) as writer:
        for number in range(50):
            writer.write('/a', HEADER, 1000 + number, header_cdr(number))
        writer.write('/tf_static', 'tf2_msgs/msg/TFMessage', 999, b'\0\1\0\0\0\0\0\0')
    expected = [BagMessage('/tf_static', 'tf2_msgs/msg/TFMessage', 999, b'\0\1\0\0\0\0\0\0')]
    expected += [BagMessage('/a', HEADER, 1000 + n, header_cdr(n)) for n in range(50)]
    assert list(BagReader(path)) == expected
    with path.open('rb') as file:
        found = [
            (
                schema.name,
                channel.topic,
                channel.metadata['offered_qos_profiles'] != '',
                message.log_time,
                message.data,
            )
            for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages()
        ]
    assert found == [
        (m.msgtype, m.topic, m.topic == '/tf_static', m.log_time_ns, m.cdr) for m in expected
    ]


def test_nothing_appears_under_the_name_before_the_bag_is_complete(tmp_path):
    path = tmp_path / 'a.mcap'
    with pytest.raises(RuntimeError, match='stop'), BagWriter(path) as writer:
        writer.write('/a', HEADER, 1, header_cdr(1))
        assert not path.exists()
        raise RuntimeError('stop')
    assert list(tmp_path.iterdir()) == []


def test_an_older_bag_survives_a_failed_rewrite(tmp_path):
    path = write_headers(tmp_path / 'a.mcap')
    before = path.read_bytes()
    with pytest.raises(RuntimeError), BagWriter(path):
        raise RuntimeError('stop')
    assert path.read_bytes() == before


def test_a_topic_keeps_its_type_and_unknown_types_are_refused(tmp_path):
    with BagWriter(tmp_path / 'a.mcap', {'my_msgs/msg/Own': 'int8 x\n'}) as writer:
        writer.write('/a', HEADER, 1, header_cdr(1))
        writer.write('/own', 'my_msgs/msg/Own', 2, b'\0\1\0\0\5')
        with pytest.raises(SensorDataError):
            writer.write('/a', 'sensor_msgs/msg/Image', 1, b'')
        with pytest.raises(SensorDataError):
            writer.write('/b', 'nobody_msgs/msg/Nothing', 1, b'')
    reader = BagReader(tmp_path / 'a.mcap')
    assert reader.schemas['my_msgs/msg/Own'] == 'int8 x\n'
    assert reader.topics == {'/a': HEADER, '/own': 'my_msgs/msg/Own'}


@pytest.mark.parametrize('compression', list(CompressionType))
def test_row_109_messages_come_in_log_time_order_and_ties_in_file_order(tmp_path, compression):
    stamps = [5, 3, 3, 9, 1, 7, 3, 2**64 - 1, 0] * 40
    path = write_headers(tmp_path / 'a.mcap', stamps, chunk_size=500, compression=compression)
    found = [
        (m.log_time_ns, wire.deserialize(m.cdr, HEADER).stamp.nanosec) for m in BagReader(path)
    ]
    assert found == sorted((stamp, number) for number, stamp in enumerate(stamps))


def test_unchunked_files_are_read_too(tmp_path):
    path = write_headers(tmp_path / 'a.mcap', [4, 2, 3], use_chunking=False)
    assert [m.log_time_ns for m in BagReader(path)] == [2, 3, 4]


def test_row_101_a_file_cut_anywhere_gives_what_lies_before_the_cut_and_says_so(tmp_path):
    whole = write_headers(tmp_path / 'whole.mcap', chunk_size=600).read_bytes()
    full = [m.cdr for m in BagReader(tmp_path / 'whole.mcap')]
    cut = tmp_path / 'cut.mcap'
    counts = []
    for position in range(8, len(whole), max(len(whole) // 200, 1)):
        cut.write_bytes(whole[:position])
        reader = BagReader(cut)
        found = [m.cdr for m in reader]
        assert found == full[: len(found)]
        assert reader.integrity.messages == len(found)
        lost = len(found) < len(full)
        assert not lost or not reader.integrity.is_finalised
        counts.append(len(found))
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == len(full)


def test_row_102_a_flipped_bit_in_a_chunk_costs_that_chunk_and_is_counted(tmp_path):
    path = write_headers(tmp_path / 'a.mcap', chunk_size=600, compression=CompressionType.NONE)
    data = bytearray(path.read_bytes())
    data[data.index(b'frame 100')] ^= 1
    path.write_bytes(data)
    reader = BagReader(path)
    found = {wire.deserialize(m.cdr, HEADER).stamp.nanosec for m in reader}
    assert reader.integrity.bad_chunks == 1 and reader.integrity.is_lossy
    assert 100 not in found and 150 < len(found) < 200


def test_row_103_a_chunk_without_crc_is_read_but_reported_as_unverified(tmp_path):
    reader = BagReader(write_headers(tmp_path / 'a.mcap', enable_crcs=False, chunk_size=10**6))
    assert len(list(reader)) == 200
    assert reader.integrity.unverified_chunks == 1 and not reader.integrity.is_lossy


def chunk_record(uncompressed_size: int, compression: bytes, data: bytes) -> bytes:
    body = struct.pack('<QQQII', 0, 0, uncompressed_size, 0, len(compression)) + compression
    body += struct.pack('<Q', len(data)) + data
    return struct.pack('<BQ', 6, len(body)) + body


@pytest.mark.parametrize('compress', [zstandard.compress, lz4.frame.compress])
def test_row_107_a_decompression_bomb_is_refused_and_not_unpacked(tmp_path, monkeypatch, compress):
    limit = 2**22
    monkeypatch.setattr(records, 'UNPACKED_LIMIT', limit)
    packed = compress(bytes(16 * limit))
    name = b'zstd' if compress is zstandard.compress else b'lz4'
    path = tmp_path / 'bomb.mcap'
    for declared in (1000, 16 * limit):
        path.write_bytes(bags.MAGIC + chunk_record(declared, name, packed))
        tracemalloc.start()
        reader = BagReader(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert reader.integrity.bad_chunks == 1 and list(reader) == []
        assert peak < 2.5 * limit


def test_row_107_a_record_that_claims_to_be_huge_ends_the_reading(tmp_path):
    path = write_headers(tmp_path / 'a.mcap', use_chunking=False)
    whole = path.read_bytes()
    path.write_bytes(whole[:2000] + struct.pack('<BQ', 6, 2**60) + whole[2000:])
    reader = BagReader(path)
    assert reader.integrity.is_lossy and 0 < len(list(reader)) < 200


def test_random_damage_never_raises_and_never_invents_topics(tmp_path):
    whole = write_headers(
        tmp_path / 'a.mcap', chunk_size=600, enable_crcs=False, compression=CompressionType.NONE
    ).read_bytes()
    path, dice = tmp_path / 'bad.mcap', random.Random(1)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(5):
            data[dice.randrange(8, len(data))] = dice.randrange(256)
        path.write_bytes(data)
        reader = BagReader(path)
        messages = list(reader)
        assert len(messages) == reader.integrity.messages
        assert {m.topic for m in messages} <= set(reader.topics)


@pytest.mark.parametrize('content', [b'', b'not a bag', bytes(100)])
def test_a_file_that_is_no_bag_is_refused_by_name(tmp_path, content):
    for name in ('a.mcap', 'a.db3', 'a.txt'):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(SensorDataError, match=name):
            BagReader(path)


def test_a_missing_bag_is_refused_by_name(tmp_path):
    with pytest.raises(SensorDataError, match='nothing there'):
        BagReader(tmp_path / 'none.mcap')


def test_row_104_channels_that_are_not_cdr_or_have_no_schema_are_skipped_by_name(tmp_path):
    path = tmp_path / 'a.mcap'
    with path.open('wb') as file:
        writer = McapWriter(file)
        writer.start()
        schema = writer.register_schema(HEADER, 'ros2msg', b'')
        for topic, encoding, schema_id in (
            ('/good', 'cdr', schema),
            ('/json', 'json', schema),
            ('/bare', 'cdr', 0),
        ):
            channel = writer.register_channel(topic, encoding, schema_id)
            writer.add_message(channel, 1, header_cdr(1), 1)
        writer.finish()
    reader = BagReader(path)
    assert [m.topic for m in reader] == ['/good']
    assert set(reader.integrity.skipped_topics) == {'/json', '/bare'}


def test_an_sqlite_bag_is_read_through_rosbags(tmp_path):
    with RosbagWriter(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection('/a', HEADER, typestore=wire.typestore())
        for number in range(5):
            writer.write(connection, 10 + number, header_cdr(number))
    assert list(BagReader(tmp_path / 'bag')) == [
        BagMessage('/a', HEADER, 10 + n, header_cdr(n)) for n in range(5)
    ]


def test_the_real_unfinalised_bag_gives_all_its_messages(shared_data):
    reader = BagReader(shared_data / 'bags' / 'malformed')
    assert len(list(reader)) == reader.integrity.messages == 188
    assert len(reader.topics) == 94


def test_the_real_keyframe_bag_gives_all_its_messages(shared_data):
    reader = BagReader(shared_data / 'bags' / 'nuscenes_keyframe')
    messages = list(reader)
    assert len(messages) == 15 and not reader.integrity.is_lossy
    for message in messages:
        wire.deserialize(message.cdr, message.msgtype)


def test_row_104_a_wrong_schema_text_costs_nothing_and_an_unknown_type_is_still_copied(tmp_path):
    """The bytes are read by the type's name; what a file says of its layout is not believed."""
    path = tmp_path / 'a.mcap'
    with path.open('wb') as file:
        writer = McapWriter(file)
        writer.start()
        for topic, name, text in (
            ('/a', HEADER, b'string lies\n'),
            ('/own', 'my_msgs/msg/Own', b'int8 x\n'),
        ):
            channel = writer.register_channel(
                topic, 'cdr', writer.register_schema(name, 'ros2msg', text)
            )
            writer.add_message(channel, 1, header_cdr(1), 1)
        writer.finish()
    reader = BagReader(path)
    assert [(m.topic, m.cdr) for m in reader] == [('/a', header_cdr(1)), ('/own', header_cdr(1))]
    assert reader.schemas['my_msgs/msg/Own'] == 'int8 x\n'


@pytest.mark.parametrize(
    'use',
    [
        {
            'use_statistics': False,
            'use_summary_offsets': False,
            'repeat_channels': False,
            'repeat_schemas': False,
        },
        {'index_types': IndexType.NONE},
    ],
)
def test_row_105_without_summary_or_index_the_same_messages_are_read(tmp_path, use):
    plain = list(BagReader(write_headers(tmp_path / 'a.mcap')))
    assert list(BagReader(write_headers(tmp_path / 'b.mcap', **use))) == plain


def test_row_105_an_index_that_lies_is_never_asked(tmp_path):
    path = write_headers(tmp_path / 'a.mcap')
    plain, data, lies = list(BagReader(path)), bytearray(path.read_bytes()), 0
    at = len(bags.MAGIC)
    while at + 9 <= len(data) - len(bags.MAGIC):
        opcode, length = struct.unpack_from('<BQ', data, at)
        if opcode in (Opcode.MESSAGE_INDEX, Opcode.CHUNK_INDEX, Opcode.FOOTER):
            data[at + 9 : at + 9 + length] = b'\xff' * length
            lies += 1
        at += 9 + length
    path.write_bytes(data)
    assert lies > 10 and list(BagReader(path)) == plain


def test_row_106_a_bag_folder_without_metadata_is_read(tmp_path):
    (tmp_path / 'bag').mkdir()
    path = write_headers(tmp_path / 'bag' / 'part_0.mcap')
    assert list(BagReader(tmp_path / 'bag')) == list(BagReader(path))


def test_row_107_a_whole_file_of_hostile_lengths_stays_within_its_memory(tmp_path):
    """Every length field of every top-level record, replaced by a huge one."""
    whole = write_headers(tmp_path / 'a.mcap', chunk_size=600).read_bytes()
    offsets, at = [], 8
    while at + 9 <= len(whole) - 8:
        offsets.append(at + 1)
        at += 9 + struct.unpack_from('<Q', whole, at + 1)[0]
    path = tmp_path / 'bad.mcap'
    tracemalloc.start()
    for offset in offsets:
        for value in (2**60, 2**64 - 1, 2**31):
            data = bytearray(whole)
            struct.pack_into('<Q', data, offset, value)
            path.write_bytes(data)
            list(BagReader(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20 and len(offsets) > 20


def test_row_108_damaged_bytes_of_every_input_type_are_refused_or_read():
    """Nothing but SensorDataError ever escapes, whatever byte of a true message is wrong."""
    messages = [
        (rig_messages.cloud(1, 5, points=20), rig_messages.CLOUD_TYPE),
        (rig_messages.camera_info('CAM_FRONT', 5), rig_messages.INFO_TYPE),
        (rig_messages.static_transforms(5), rig_messages.TF_TYPE),
        (header_cdr(1), HEADER),
    ]
    dice, outcomes = random.Random(8), {'read': 0, 'refused': 0}
    for number in range(8000):
        whole, msgtype = messages[number % len(messages)]
        cdr = bytearray(whole[: dice.choice([len(whole), dice.randrange(len(whole))])])
        for _ in range(dice.randrange(1, 5) if cdr else 0):
            cdr[dice.randrange(len(cdr))] = dice.randrange(256)
        try:
            wire.deserialize(bytes(cdr), msgtype)
            outcomes['read'] += 1
        except SensorDataError:
            outcomes['refused'] += 1
    assert min(outcomes.values()) > 1000, outcomes


def test_the_qos_that_publishers_offered_is_read_from_both_storages(tmp_path):
    with BagWriter(tmp_path / 'a.mcap') as writer:
        for topic in ('/tf_static', '/a'):
            writer.write(topic, HEADER, 1, header_cdr(1))
    reader = BagReader(tmp_path / 'a.mcap')
    assert set(reader.offered_qos) == {'/tf_static'}
    assert 'durability: 1' in reader.offered_qos['/tf_static']
    path = write_db3(tmp_path / 'a.db3', [('/a', 1, header_cdr(1))])
    assert BagReader(path).offered_qos == {}
    with sqlite3.connect(path) as database:
        database.execute("UPDATE topics SET offered_qos_profiles = '- depth: 3'")
    database.close()
    assert BagReader(path).offered_qos == {'/a': '- depth: 3'}


def test_a_declared_topic_has_its_type_and_qos_without_any_message(tmp_path):
    qos = '- {reliability: reliable, durability: volatile}\n'
    with BagWriter(tmp_path / 'a.mcap', compressed=False) as writer:
        writer.declare('/tf_static', HEADER, qos)
        writer.declare('/foreign', 'driver_msgs/msg/Custom', '')
        writer.write('/a', HEADER, 1, header_cdr(1))
        with pytest.raises(SensorDataError, match='/tf_static'):
            writer.declare('/tf_static', 'std_msgs/msg/String', '')
    with pytest.raises(ValueError, match='finished'):
        writer.declare('/late', HEADER, '')
    reader = BagReader(tmp_path / 'a.mcap')
    assert reader.topics == {
        '/tf_static': HEADER,
        '/foreign': 'driver_msgs/msg/Custom',
        '/a': HEADER,
    }
    assert reader.offered_qos == {'/tf_static': qos} and reader.counts == {'/a': 1}
    assert [message.topic for message in reader] == ['/a'] and not reader.integrity.is_lossy


@pytest.mark.parametrize('compressed', [True, False])
def test_a_bag_that_is_written_fast_holds_the_same_in_more_bytes(tmp_path, compressed):
    path = tmp_path / 'a.mcap'
    with BagWriter(path, compressed=compressed) as writer:
        for stamp in range(1000):
            writer.write('/a', HEADER, stamp, header_cdr(1))
    assert [message.log_time_ns for message in BagReader(path)] == list(range(1000))
    content = path.read_bytes()
    assert (content.count(header_cdr(1)) == 1000) is not compressed
