"""Small bags that unpack to much: memory and work stay bounded, order stays what it was."""

from __future__ import annotations

import random
import resource
import struct
import subprocess
import sys
import zlib

import pytest
import zstandard
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagWriter
from support.bag_files import write_db3, write_mcap

from metabev_ros import bags, wire
from metabev_ros.bags import BagReader, BagWriter, merge

HEADER = 'std_msgs/msg/Header'
MB = 2**20


def record(opcode: int, body: bytes) -> bytes:
    return struct.pack('<BQ', opcode, len(body)) + body


def text(value: bytes) -> bytes:
    return struct.pack('<I', len(value)) + value


def definitions(msgtype: bytes = HEADER.encode()) -> bytes:
    """Schema 1 and channel 1 on /a."""
    schema = struct.pack('<H', 1) + text(msgtype) + text(b'ros2msg') + text(b'')
    channel = struct.pack('<HH', 1, 1) + text(b'/a') + text(b'cdr') + struct.pack('<I', 0)
    return record(3, schema) + record(4, channel)


def message(log_time: int, data: bytes) -> bytes:
    return record(5, struct.pack('<HIQQ', 1, 0, log_time, log_time) + data)


def zstd_chunk(records: bytes) -> bytes:
    packed = zstandard.compress(records)
    body = struct.pack('<QQQI', 0, 0, len(records), zlib.crc32(records)) + text(b'zstd')
    return record(6, body + struct.pack('<Q', len(packed)) + packed)


def bag_of(path, chunks):
    path.write_bytes(bags.MAGIC + record(1, text(b'') * 2) + definitions() + b''.join(chunks))
    return path


def peak_growth_mb(path) -> int:
    """Memory that copying a bag, as a replay does, adds to a process, at its highest.

    VmHWM begins anew in a new program; ru_maxrss begins with the peak of the one that started it.
    """
    code = (
        'import sys\n'
        'from metabev_ros.bags import BagReader, BagWriter\n'
        'def peak():\n'
        '    status = open("/proc/self/status").read()\n'
        '    return int(status.split("VmHWM:")[1].split()[0])\n'
        'before = peak()\n'
        'reader = BagReader(sys.argv[1])\n'
        'with BagWriter(sys.argv[2], reader.schemas) as writer:\n'
        '    for m in reader:\n'
        '        writer.write(m.topic, m.msgtype, m.log_time_ns, m.cdr)\n'
        'print((peak() - before) // 1024)\n'
    )
    limit = 6 * 2**30  # the machine must survive the test that fails

    def cap() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(
        [sys.executable, '-c', code, str(path), str(path) + '.out.mcap'],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=cap,
    )
    assert done.returncode == 0, done.stderr[-500:]
    return int(done.stdout)


@pytest.mark.parametrize('size', [1, 8, 60])
def test_row_107_chunks_of_the_same_time_are_merged_in_256_mb(tmp_path, size):
    """Thousands of megabytes in a file of some kilobytes, all of the same two seconds."""
    chunk = zstd_chunk(message(0, bytes(size * MB // 2)) + message(2**31, bytes(size * MB // 2)))
    path = bag_of(tmp_path / 'a.mcap', [chunk] * (2000 // size))
    assert path.stat().st_size < 400_000
    assert peak_growth_mb(path) <= 256
    reader = BagReader(path)
    found = list(m.log_time_ns for m in reader)
    assert found == sorted(found) and len(found) == reader.integrity.messages > 0
    assert reader.integrity.bad_chunks and 'same time' in reader.integrity.describe()


@pytest.mark.parametrize('kind', ['mcap', 'db3', 'mcap.zstd', 'db3.zstd'])
def test_row_107_messages_and_files_that_unpack_to_gigabytes_are_read_in_256_mb(tmp_path, kind):
    """Messages compressed once, twice with their chunk, and three times with their file."""
    packed = zstandard.compress(bytes(63 * MB))
    messages = [('/a', time, packed) for time in range(40)] + [('/a', 99, b'last')]
    path = tmp_path / f'a.{kind}'
    plain = tmp_path / f'plain.{kind.split(".")[0]}'
    write_db3(plain, messages) if 'db3' in kind else write_mcap(plain, messages)
    data = plain.read_bytes()
    path.write_bytes(zstandard.compress(data) if kind.endswith('zstd') else data)
    assert path.stat().st_size < 500_000
    assert peak_growth_mb(path) <= 256
    found = list(BagReader(path))
    assert 1 < len(found) < 41 and found[-1].cdr == b'last'


def test_row_107_a_file_of_a_few_bytes_cannot_hold_millions_of_messages(tmp_path):
    records = message(7, b'') * 2_000_000
    path = bag_of(tmp_path / 'a.mcap', [zstd_chunk(message(1, b'') * 100), zstd_chunk(records)])
    reader = BagReader(path)
    assert [m.log_time_ns for m in reader] == [1] * 100
    assert reader.integrity.bad_chunks == 1 and reader.integrity.is_lossy
    assert 'more records than it has bytes' in reader.integrity.describe()


def test_row_107_what_a_file_unpacks_to_is_bounded_by_its_size(tmp_path):
    chunk = zstd_chunk(message(1, bytes(60 * MB)))
    chunks = [chunk.replace(struct.pack('<Q', 1), struct.pack('<Q', 1)) for _ in range(40)]
    reader = BagReader(bag_of(tmp_path / 'a.mcap', chunks))
    assert 0 < reader.integrity.messages < 10
    assert 'times its size' in reader.integrity.describe()


def test_row_107_definitions_without_end_are_not_kept(tmp_path):
    topics = b''.join(
        record(
            4,
            struct.pack('<HH', 2 + n % 60_000, 1)
            + text(b'/%d/' % n + b'x' * 10_000)
            + text(b'cdr')
            + struct.pack('<I', 0),
        )
        for n in range(5000)
    )
    reader = BagReader(bag_of(tmp_path / 'a.mcap', [zstd_chunk(topics)]))
    assert len(reader.topics) < 2000 and reader.integrity.is_lossy


def test_definitions_that_every_chunk_repeats_cost_nothing(tmp_path, monkeypatch):
    from metabev_ros.bags import scan

    monkeypatch.setattr(scan, 'DEFINITIONS_LIMIT', 200)
    chunks = [zstd_chunk(definitions() + message(n, b'')) for n in range(100)]
    reader = BagReader(bag_of(tmp_path / 'a.mcap', chunks))
    assert len(list(reader)) == 100 and not reader.integrity.lost_bytes


@pytest.mark.parametrize('compression', [*CompressionType, None])
def test_row_109_overlapping_chunks_keep_the_order_of_time_file_and_place(tmp_path, compression):
    """Against a sort of everything: random times in many chunks of two files."""
    dice, expected = random.Random(3), []
    (tmp_path / 'bag').mkdir()
    for number in range(2):
        with (tmp_path / 'bag' / f'{number}.mcap').open('wb') as file:
            options = {} if compression is None else {'compression': compression}
            writer = McapWriter(file, 700, use_chunking=compression is not None, **options)
            writer.start()
            schema = writer.register_schema(HEADER, 'ros2msg', b'')
            channel = writer.register_channel('/a', 'cdr', schema)
            for place in range(400):
                time = dice.choice([dice.randrange(2**64), place // 3, 2**64 - 1, 0])
                data = b'%d %d' % (number, place) * dice.randrange(1, 30)
                writer.add_message(channel, time, data, 0)
                expected.append((time, number, place, data))
            writer.finish()
    found = [(m.log_time_ns, m.cdr) for m in BagReader(tmp_path / 'bag')]
    assert found == [(time, data) for time, _, _, data in sorted(expected)]


def test_a_chunk_for_which_there_is_no_room_is_counted_and_the_rest_is_read(tmp_path, monkeypatch):
    path = tmp_path / 'a.mcap'
    with path.open('wb') as file:
        writer = McapWriter(file, chunk_size=2000)
        writer.start()
        schema = writer.register_schema(HEADER, 'ros2msg', b'')
        channel = writer.register_channel('/a', 'cdr', schema)
        for number in range(300):
            writer.add_message(channel, number % 7, bytes(100), 0)
        writer.finish()
    whole = [m.log_time_ns for m in BagReader(path)]
    monkeypatch.setattr(merge, 'MERGE_LIMIT', 20_000)
    reader = BagReader(path)
    found = [m.log_time_ns for m in reader]
    assert len(whole) == 300 > len(found) == reader.integrity.messages > 50
    assert reader.integrity.is_lossy and found == sorted(found)


def test_chunks_without_compression_overlap_without_limit(tmp_path, monkeypatch):
    """Their messages are read from the file one by one: nothing of them is held."""
    monkeypatch.setattr(merge, 'MERGE_LIMIT', 100_000)
    path = tmp_path / 'a.mcap'
    with path.open('wb') as file:
        writer = McapWriter(file, chunk_size=20_000, compression=CompressionType.NONE)
        writer.start()
        schema = writer.register_schema(HEADER, 'ros2msg', b'')
        channel = writer.register_channel('/a', 'cdr', schema)
        for number in range(300):
            writer.add_message(channel, number % 7, bytes(5000), 0)
        writer.finish()
    reader = BagReader(path)
    assert len(list(reader)) == 300 and not reader.integrity.is_lossy


# ------------------------------------------------------------------------------ types and SQLite
def sqlite_bag(folder, messages, padding=0, definition='int8 x\n'):
    """A folder with /own of a type that only the bag knows, and /a."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(definition, 'my_msgs/msg/Own'))
    with RosbagWriter(folder, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        own = writer.add_connection('/own', 'my_msgs/msg/Own', typestore=store)
        known = writer.add_connection('/a', HEADER, typestore=store)
        for number in range(messages):
            writer.write(own, 10 + number, b'\0\1\0\0\5' + bytes(padding))
            writer.write(known, 10 + number, wire.serialize(wire.header(number, ''), HEADER))
    return folder


def test_row_104_an_sqlite_bag_says_how_its_own_types_are_made(tmp_path):
    reader = BagReader(sqlite_bag(tmp_path / 'bag', 3))
    assert 'int8 x' in reader.schemas['my_msgs/msg/Own']
    assert not reader.integrity.skipped_topics
    with BagWriter(tmp_path / 'a.mcap', reader.schemas) as writer:
        for m in reader:
            writer.write(m.topic, m.msgtype, m.log_time_ns, m.cdr)
    assert len(list(BagReader(tmp_path / 'a.mcap'))) == 6


def test_a_damaged_sqlite_bag_gives_what_is_sound_and_counts_the_rest(tmp_path):
    folder = sqlite_bag(tmp_path / 'bag', 20, padding=100_000)
    (database,) = folder.glob('*.db3')
    data = bytearray(database.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4] = b'\xff' * 4  # a page of a message names the next one wrongly
    database.write_bytes(data)
    reader = BagReader(folder)
    found = list(reader)
    assert 0 < len(found) < 40 and reader.integrity.is_lossy
