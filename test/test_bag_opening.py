"""Large MCAP files are opened without being unpacked; what they announce is checked when read."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib

import pytest
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.writer import CompressionType, IndexType
from support.bag_files import HEADER, header_cdr, write_mcap

from metabev_ros import bags
from metabev_ros.bags import BagReader, merge, scan

MESSAGES = [('/ab'[: 2 + n % 2], 1000 - n // 7, header_cdr(n)) for n in range(300)]
TOPICS = [('/a', HEADER, 'ros2msg', b''), ('/ab', HEADER, 'ros2msg', b'')]
CHUNK_BODY = 9  # bytes from a record's begin to its body


def write_bag(path, **options):
    return write_mcap(path, MESSAGES, TOPICS, chunk_size=900, **options)


def records_of(data, opcode):
    """Offsets of the records of one kind at the top level of a file."""
    found, at = [], len(bags.MAGIC)
    while at + 9 <= len(data) - len(bags.MAGIC):
        kind, length = struct.unpack_from('<BQ', data, at)
        found += [at] if kind == opcode else []
        at += 9 + length
    return found


@pytest.fixture
def unpacked(monkeypatch):
    """Counts the chunks that are unpacked."""
    calls = []
    for module in (scan, merge):
        real = module.unpack_chunk
        monkeypatch.setattr(
            module, 'unpack_chunk', lambda chunk, real=real: calls.append(1) or real(chunk)
        )
    return calls


@pytest.mark.parametrize('compression', list(CompressionType))
def test_an_indexed_file_is_opened_without_a_chunk_and_read_chunk_by_chunk(
    tmp_path, unpacked, compression
):
    path = write_bag(tmp_path / 'a.mcap', compression=compression)
    chunks = len(records_of(path.read_bytes(), Opcode.CHUNK))
    reader = BagReader(path)
    assert not unpacked and reader.integrity.messages == 300
    assert reader.counts == {'/a': 150, '/ab': 150}
    messages = iter(reader)
    next(messages)
    assert 0 < len(unpacked) < 6 < chunks
    assert 1 + len(list(messages)) == 300 and len(unpacked) == chunks


@pytest.mark.parametrize('compression', list(CompressionType))
def test_opened_by_its_index_or_scanned_a_file_gives_what_the_mcap_package_gives(
    tmp_path, unpacked, compression
):
    path = write_bag(tmp_path / 'a.mcap', compression=compression)
    with path.open('rb') as file:
        theirs = [
            (channel.topic, message.log_time, message.data)
            for _, channel, message in make_reader(file).iter_messages()
        ]
    indexed = [(m.topic, m.log_time_ns, m.cdr) for m in BagReader(path)]
    options = {'index_types': IndexType.NONE}
    plain = BagReader(write_bag(tmp_path / 'b.mcap', compression=compression, **options))
    assert len(unpacked) > 0
    assert indexed == [(m.topic, m.log_time_ns, m.cdr) for m in plain]
    assert sorted(indexed) == sorted(theirs)


def patched(path, offset, form, value):
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ('opcode', 'offset', 'form', 'value', 'why'),
    [
        (Opcode.CHUNK, CHUNK_BODY, '<Q', 995, 'another time'),  # begins later: at 993
        (Opcode.CHUNK, CHUNK_BODY + 8, '<Q', 994, 'another time'),  # ends sooner: at 995
        (Opcode.CHUNK, CHUNK_BODY + 16, '<Q', 10_000, 'declared'),  # unpacks to more
        (Opcode.CHUNK, CHUNK_BODY + 24, '<I', 1, 'CRC'),
        (Opcode.MESSAGE_INDEX, 0, '<B', 0x7F, 'other messages'),  # hides the second topic
    ],
)
def test_a_chunk_that_is_not_what_it_announces_is_refused_when_it_is_read(
    tmp_path, opcode, offset, form, value, why
):
    path = write_bag(tmp_path / 'a.mcap')
    places = records_of(path.read_bytes(), opcode)
    record = places[5 if opcode == Opcode.MESSAGE_INDEX else 2]
    reader = BagReader(patched(path, record + offset, form, value))
    assert not reader.integrity.bad_chunks
    found = [m.log_time_ns for m in reader]
    assert found == sorted(found) and 250 < len(found) < 300
    assert reader.integrity.bad_chunks == 1 and why in reader.integrity.describe()
    assert reader.integrity.messages == len(found)
    assert len(list(reader)) == len(found) and reader.integrity.bad_chunks == 1


def test_a_chunk_that_defines_other_topics_than_the_summary_is_refused(tmp_path):
    path = write_mcap(tmp_path / 'a.mcap', MESSAGES[:9], TOPICS, compression=CompressionType.NONE)
    data = bytearray(path.read_bytes())
    at = data.index(b'\x02\x00\x00\x00/a\x03\x00\x00\x00cdr')
    data[at + 5 : at + 6] = b'b'
    (chunk,) = records_of(data, Opcode.CHUNK)
    struct.pack_into('<I', data, chunk + CHUNK_BODY + 24, 0)
    path.write_bytes(data)
    reader = BagReader(path)
    assert list(reader) == [] and 'other topics' in reader.integrity.describe()


@pytest.mark.parametrize('damage', ['crc', 'begin', 'schemas'])
def test_a_summary_that_is_not_sound_or_not_whole_is_not_believed(tmp_path, unpacked, damage):
    options = {'repeat_schemas': False} if damage == 'schemas' else {}
    path = write_bag(tmp_path / 'a.mcap', **options)
    footer = len(path.read_bytes()) - len(bags.MAGIC) - 20
    if damage == 'crc':
        patched(path, footer + 16, '<I', 1234)
    if damage == 'begin':
        patched(path, footer, '<Q', 2**40)
    reader = BagReader(path)
    assert unpacked, 'all of it is scanned'
    assert len(list(reader)) == 300 and not reader.integrity.is_lossy


def sparse_bag(path, chunks, size):
    """Uncompressed chunks that are holes in a file, with an index and a summary by hand."""

    def record(opcode, body):
        return struct.pack('<BQ', opcode, len(body)) + body

    def text(value):
        return struct.pack('<I', len(value)) + value

    definitions = record(3, struct.pack('<H', 1) + text(HEADER.encode()) + text(b'') + text(b''))
    definitions += record(
        4, struct.pack('<HH', 1, 1) + text(b'/a') + text(b'cdr') + struct.pack('<I', 0)
    )
    message = record(5, struct.pack('<HIQQ', 1, 0, 5, 5) + header_cdr(5))
    index = record(7, struct.pack('<HI', 1, 16) + bytes(16))
    with path.open('wb') as file:
        file.write(bags.MAGIC + record(1, text(b'ros2') + text(b'')))
        for _ in range(chunks):
            head = struct.pack('<QQQII', 5, 5, size, 0, 0) + struct.pack('<Q', size)
            file.write(struct.pack('<BQ', 6, len(head) + size) + head + message)
            # What is left is one record of an unknown kind: a hole in the file.
            rest = size - len(message) - 9
            file.write(struct.pack('<BQ', 0x7F, rest))
            file.seek(rest, 1)
            file.write(index)
        file.write(record(15, bytes(4)))
        begin = file.tell()
        footer = struct.pack('<BQQQ', 2, 20, begin, 0)
        crc = zlib.crc32(footer, zlib.crc32(definitions))
        file.write(definitions + footer + struct.pack('<I', crc) + bags.MAGIC)
    return path


def test_a_bag_of_a_hundred_gigabytes_is_opened_in_seconds_and_megabytes(tmp_path):
    path = sparse_bag(tmp_path / 'a.mcap', chunks=1600, size=64 * 2**20)
    assert path.stat().st_size > 100e9
    code = (
        'import resource, sys\n'
        'from metabev_ros.bags import BagReader\n'
        'def used():\n'
        '    usage = resource.getrusage(resource.RUSAGE_SELF)\n'
        '    peak = open("/proc/self/status").read().split("VmHWM:")[1].split()[0]\n'
        '    return int(peak), usage.ru_utime + usage.ru_stime\n'
        'before = used()\n'
        'assert BagReader(sys.argv[1]).integrity.messages == 1600\n'
        'print(*(new - old for new, old in zip(used(), before)))\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code, str(path)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-500:]
    kilobytes, seconds = map(float, done.stdout.split())
    assert kilobytes < 20 * 1024 and seconds < 5, done.stdout
