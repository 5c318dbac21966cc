"""Bags as rosbag2 compresses them: message by message, file by file, chunk by chunk."""

from __future__ import annotations

import tracemalloc

import pytest
import zstandard
from mcap.writer import CompressionType
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Reader as RosbagReader
from rosbags.rosbag2 import Writer as RosbagWriter
from support.bag_files import HEADER, header_cdr, write_db3, write_mcap, write_metadata

from metabev_ros import wire
from metabev_ros.bags import BagMessage, BagReader, folder, records
from metabev_ros.errors import SensorDataError

MESSAGES = [('/a', 10 + number, header_cdr(number)) for number in range(20)]
EXPECTED = [BagMessage(topic, HEADER, time, data) for topic, time, data in MESSAGES]


def rosbags_bag(path, plugin, mode):
    writer = RosbagWriter(path, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/a', HEADER, typestore=wire.typestore())
        for _, time, data in MESSAGES:
            writer.write(connection, time, data)
    return path


@pytest.mark.parametrize('mode', [CompressionMode.MESSAGE, CompressionMode.FILE])
@pytest.mark.parametrize('plugin', list(StoragePlugin))
def test_what_rosbags_compresses_is_read_as_rosbags_reads_it(tmp_path, plugin, mode):
    path = rosbags_bag(tmp_path / 'bag', plugin, mode)
    with RosbagReader(path) as oracle:
        theirs = [
            (connection.topic, connection.msgtype, time, bytes(data))
            for connection, time, data in oracle.messages()
        ]
    reader = BagReader(path)
    found = [(m.topic, m.msgtype, m.log_time_ns, m.cdr) for m in reader]
    assert found == theirs == [(t, HEADER, time, data) for t, time, data in MESSAGES]
    assert reader.integrity.messages == 20 and not reader.integrity.is_lossy
    assert list(reader) == EXPECTED, 'a second time'


@pytest.mark.parametrize('compression', list(CompressionType))
def test_messages_that_rosbag2_compressed_are_unpacked_in_chunks_of_every_kind(
    tmp_path, compression
):
    """With the spelling of rosbag2, and without its metadata.yaml."""
    packed = [(topic, time, zstandard.compress(data)) for topic, time, data in MESSAGES]
    write_mcap(tmp_path / 'bag_0.mcap', packed, compression=compression)
    assert list(BagReader(tmp_path)) == EXPECTED
    write_metadata(tmp_path, ['bag_0.mcap'], mode='MESSAGE', compression='zstd')
    assert list(BagReader(tmp_path)) == EXPECTED


@pytest.mark.parametrize('kind', ['mcap', 'db3'])
def test_a_message_that_unpacks_to_too_much_costs_itself_alone(tmp_path, monkeypatch, kind):
    limit = 2**20
    monkeypatch.setattr(records, 'UNPACKED_LIMIT', limit)
    bomb = zstandard.compress(bytes(16 * limit))
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(50))
    whole = zstandard.compress(header_cdr(3))
    bad = [bomb, unsized, whole[:-3], bomb[:4]]
    messages = [('/a', time, data) for time, data in enumerate([*bad, whole])]
    path = tmp_path / f'a.{kind}'
    write_mcap(path, messages) if kind == 'mcap' else write_db3(path, messages)
    reader = BagReader(path)
    tracemalloc.start()
    assert [m.cdr for m in reader] == [header_cdr(3)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reader.integrity.lost_messages == len(bad) and reader.integrity.is_lossy
    assert peak < 2 * limit


@pytest.mark.parametrize('kind', ['mcap', 'db3'])
def test_what_all_messages_unpack_to_is_bounded_by_the_size_of_the_file(
    tmp_path, monkeypatch, kind
):
    monkeypatch.setattr(records, 'UNPACK_FREE', 0)
    monkeypatch.setattr(records, 'UNPACK_RATIO', 10)
    packed = zstandard.compress(bytes(100_000))
    messages = [('/a', time, packed) for time in range(20)]
    path = tmp_path / f'a.{kind}'
    write_mcap(path, messages) if kind == 'mcap' else write_db3(path, messages)
    reader = BagReader(path)
    found = sum(len(m.cdr) for m in reader)
    assert 0 <= found <= 10 * path.stat().st_size
    assert reader.integrity.lost_messages + reader.integrity.messages == 20
    assert reader.integrity.lost_messages >= 10


def test_a_compression_that_nobody_knows_is_refused_by_name(tmp_path):
    write_mcap(tmp_path / 'a.mcap', MESSAGES)
    write_metadata(tmp_path, ['a.mcap'], mode='MESSAGE', compression='brotli')
    with pytest.raises(SensorDataError, match='brotli'):
        BagReader(tmp_path)


@pytest.mark.parametrize('kind', ['mcap', 'db3'])
def test_a_compressed_file_is_read_alone_and_without_its_metadata(tmp_path, kind):
    plain = tmp_path / f'a.{kind}'
    write_mcap(plain, MESSAGES) if kind == 'mcap' else write_db3(plain, MESSAGES)
    packed = tmp_path / 'bag' / f'a_0.{kind}.zstd'
    packed.parent.mkdir()
    packed.write_bytes(zstandard.compress(plain.read_bytes()))
    assert list(BagReader(packed)) == EXPECTED
    assert list(BagReader(packed.parent)) == EXPECTED
    assert [path.name for path in packed.parent.iterdir()] == [packed.name]


def test_the_unpacked_file_vanishes_with_the_reader(tmp_path, monkeypatch):
    monkeypatch.setenv('TMPDIR', str(tmp_path / 'here'))
    monkeypatch.setattr('tempfile.tempdir', None)
    (tmp_path / 'here').mkdir()
    reader = BagReader(rosbags_bag(tmp_path / 'bag', StoragePlugin.MCAP, CompressionMode.FILE))
    assert len(list(tmp_path.glob('here/*/*.mcap'))) == 1
    messages = iter(reader)
    del reader
    assert len(list(messages)) == 20, 'not before who reads has finished'
    del messages
    assert not list(tmp_path.glob('here/*'))


@pytest.mark.parametrize('how', ['cut', 'bits', 'too much'])
def test_of_a_compressed_file_that_cannot_be_unpacked_the_beginning_is_read(
    tmp_path, monkeypatch, how
):
    plain = write_mcap(tmp_path / 'a.mcap', [('/a', n, header_cdr(n) * 99) for n in range(900)],
        chunk_size=20_000, compression=CompressionType.NONE)  # fmt: skip
    options = {} if how == 'too much' else {'level': -5}
    packed = bytearray(zstandard.ZstdCompressor(**options).compress(plain.read_bytes()))
    if how == 'bits':
        packed[-2000:-1000] = bytes(1000)
    if how == 'too much':
        monkeypatch.setattr(folder, 'UNPACK_FREE', 2_000_000)
        monkeypatch.setattr(folder, 'UNPACK_RATIO', 1)
        monkeypatch.setattr(folder, '_BLOCK', 2**16)
    path = tmp_path / 'b.mcap.zstd'
    path.write_bytes(packed[: len(packed) // 2] if how == 'cut' else packed)
    reader = BagReader(path)
    found = [m.log_time_ns for m in reader]
    assert 0 < len(found) < 900 and found == sorted(found)
    assert not reader.integrity.is_finalised and reader.integrity.is_lossy


def test_a_file_that_fills_the_disk_is_not_unpacked(tmp_path, monkeypatch):
    path = rosbags_bag(tmp_path / 'bag', StoragePlugin.SQLITE3, CompressionMode.FILE)
    monkeypatch.setattr(folder, 'FREE_DISK', 2**62)
    with pytest.raises(SensorDataError, match='unpacks to more'):
        BagReader(path)
