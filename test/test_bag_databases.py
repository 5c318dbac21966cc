"""SQLite bags made by hand: of every age, without an index, damaged, and hostile."""

from __future__ import annotations

import shutil
import sqlite3

import pytest
from support.bag_files import (
    HEADER,
    HUMBLE_TABLES,
    SQLITE_TABLES,
    header_cdr,
    write_db3,
    write_mcap,
)

from metabev_ros.bags import BagMessage, BagReader, database
from metabev_ros.errors import SensorDataError

OWN = 'my_msgs/msg/Own'
FOXY_TABLES = """
CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
  serialization_format TEXT NOT NULL);
CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,
  timestamp INTEGER NOT NULL, data BLOB NOT NULL);
"""


@pytest.mark.parametrize('tables', [SQLITE_TABLES, HUMBLE_TABLES, FOXY_TABLES])
def test_bags_of_every_distribution_are_read_in_the_order_of_time_and_row(tmp_path, tables):
    times = [5, 3, 3, 9, 1, 7, 3]
    messages = [('/a', time, header_cdr(number)) for number, time in enumerate(times)]
    reader = BagReader(write_db3(tmp_path / 'a.db3', messages, tables=tables))
    expected = sorted((time, number) for number, time in enumerate(times))
    assert list(reader) == [BagMessage('/a', HEADER, t, header_cdr(n)) for t, n in expected]
    assert reader.counts == {'/a': 7} and not reader.integrity.is_lossy


@pytest.mark.parametrize('tables', [SQLITE_TABLES, HUMBLE_TABLES])
def test_a_type_that_the_bag_does_not_define_is_read_like_any_other(tmp_path, tables):
    """Humble defines no type; Jazzy writes 'unknown' where it found no definition."""
    has_definitions = tables is SQLITE_TABLES
    path = write_db3(
        tmp_path / 'a.db3',
        [('/own', 1, b'\0\1\0\0\5'), ('/a', 2, header_cdr(2))],
        (('/own', OWN), ('/a', 'std_msgs/Header')),
        [(OWN, 'unknown', ''), (HEADER, 'ros2msg', 'string frame_id')] * has_definitions,
        tables,
    )
    reader = BagReader(path)
    assert list(reader) == [
        BagMessage('/own', OWN, 1, b'\0\1\0\0\5'),
        BagMessage('/a', HEADER, 2, header_cdr(2)),
    ]
    assert reader.schemas.get(OWN, '') == ''
    assert (reader.schemas.get(HEADER) == 'string frame_id') is has_definitions


def test_row_109_times_at_the_limits_are_read_and_impossible_ones_counted(tmp_path):
    times = [0, 2**63 - 1, -1, -(2**63), 'soon', 2.5]
    reader = BagReader(write_db3(tmp_path / 'a.db3', [('/a', time, b'') for time in times]))
    assert [m.log_time_ns for m in reader] == [0, 2**63 - 1]
    assert reader.integrity.lost_messages == 4


def test_messages_without_a_topic_are_counted_and_those_of_a_foreign_encoding_named(tmp_path):
    path = write_db3(
        tmp_path / 'a.db3',
        [('/a', 1, b'x'), ('/json', 2, b'{}')],
        (('/a', HEADER), ('/json', HEADER, 'json')),
    )
    with sqlite3.connect(path) as file:
        file.execute("INSERT INTO messages VALUES (NULL, 77, 3, x'00')")
    reader = BagReader(path)
    assert [m.topic for m in reader] == ['/a'] and reader.integrity.lost_messages == 1
    assert set(reader.integrity.skipped_topics) == {'/json'}


@pytest.mark.parametrize(
    'attack',
    [
        'CREATE VIEW messages AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) '
        'SELECT i AS id, 1 AS topic_id, i AS timestamp, zeroblob(1000000000) AS data FROM n',
        'CREATE VIRTUAL TABLE messages USING fts5(topic_id, timestamp, data)',
        'CREATE TABLE messages(id TEXT PRIMARY KEY, topic_id, timestamp, data) WITHOUT ROWID',
    ],
)
def test_messages_that_are_no_plain_table_are_refused(tmp_path, attack):
    path = write_db3(tmp_path / 'a.db3', [])
    with sqlite3.connect(path) as file:
        file.execute('DROP TABLE messages')
        file.execute(attack)
    try:
        assert list(BagReader(path)) == []
    except SensorDataError as error:
        assert 'without messages' in str(error)


def test_data_that_is_computed_is_not_asked_for(tmp_path):
    path = write_db3(tmp_path / 'a.db3', [])
    with sqlite3.connect(path) as file:
        file.execute('DROP TABLE messages')
        file.execute(
            'CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, '
            'data BLOB GENERATED ALWAYS AS (zeroblob(900000000)) VIRTUAL)'
        )
        file.executemany('INSERT INTO messages VALUES (?, 1, 1)', ((n,) for n in range(5)))
    reader = BagReader(path)
    assert list(reader) == [] and reader.integrity.lost_messages == 5


def test_a_message_that_is_too_long_costs_itself_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(database, 'RECORD_LIMIT', 1000)
    messages = [('/a', 1, bytes(1001)), ('/a', 2, bytes(1000))]
    reader = BagReader(write_db3(tmp_path / 'a.db3', messages))
    assert [len(m.cdr) for m in reader] == [1000] and reader.integrity.lost_messages == 1


def test_an_index_that_lies_costs_the_messages_it_lies_about(tmp_path):
    path = write_db3(tmp_path / 'a.db3', [('/a', time, header_cdr(time)) for time in range(9)])
    with sqlite3.connect(path) as file:
        file.execute('ALTER TABLE messages ADD lie INTEGER')
        file.execute('UPDATE messages SET lie = timestamp')
        file.execute('UPDATE messages SET lie = 100 - timestamp WHERE timestamp % 3 = 0')
        file.execute('DROP INDEX timestamp_idx')
        file.execute('CREATE INDEX timestamp_idx ON messages(lie)')
        file.execute('PRAGMA writable_schema = ON')
        file.execute("UPDATE sqlite_master SET sql = replace(sql, 'lie', 'timestamp') "
            "WHERE name = 'timestamp_idx'")  # fmt: skip
    reader = BagReader(path)
    assert [m.log_time_ns for m in reader] == [1, 2, 4, 5, 7, 8]
    assert reader.integrity.lost_messages == 3


def test_a_file_that_gives_more_rows_than_it_can_hold_ends_there(tmp_path, monkeypatch):
    path = write_db3(tmp_path / 'a.db3', [('/a', time, b'') for time in range(1000)])
    monkeypatch.setattr(database, 'ROW_BYTES', path.stat().st_size // 100)
    reader = BagReader(path)
    assert len(list(reader)) == 100
    assert 'more than it has bytes' in reader.integrity.broken_files['a.db3']


def test_the_work_of_a_query_is_bounded(tmp_path, monkeypatch):
    """Sorting without an index is the most that a sound file asks for."""
    monkeypatch.setattr(database, 'STEPS_FREE', 0)
    monkeypatch.setattr(database, '_STEPS_TOLD', 1000)
    messages = [('/a', 20_000 - time, b'') for time in range(20_000)]
    path = write_db3(tmp_path / 'a.db3', messages, tables=FOXY_TABLES)
    assert len(list(BagReader(path))) == 20_000
    monkeypatch.setattr(database, 'STEPS_PER_ROW', 1)
    reader = BagReader(path)
    assert list(reader) == [] and reader.integrity.broken_files


def test_what_a_recorder_that_died_had_not_put_into_its_file_is_read(tmp_path):
    path = tmp_path / 'live' / 'a.db3'
    path.parent.mkdir()
    write_db3(path, [('/a', 1, header_cdr(1))])
    recorder = sqlite3.connect(path)
    recorder.execute('PRAGMA journal_mode = WAL')
    recorder.execute('INSERT INTO messages VALUES (NULL, 1, 2, ?)', (header_cdr(2),))
    recorder.commit()
    shutil.copytree(path.parent, tmp_path / 'dead')
    recorder.close()
    reader = BagReader(tmp_path / 'dead' / 'a.db3')
    assert [m.log_time_ns for m in reader] == [1, 2] and not reader.integrity.is_finalised


@pytest.mark.parametrize('name', ['what?.db3', '100%25#a b.db3'])
def test_names_that_mean_something_in_an_address_are_names(tmp_path, name):
    write_db3(tmp_path / name, [('/a', 1, header_cdr(1))])
    assert len(list(BagReader(tmp_path / name))) == 1


@pytest.mark.parametrize('spelling', ['std_msgs/Header', 'std_msgs/msg/Header'])
def test_both_spellings_of_a_type_are_one_type(tmp_path, spelling):
    other = 'std_msgs/Header' if spelling == HEADER else HEADER
    folder = tmp_path / 'bag'
    folder.mkdir()
    for number, name in enumerate((spelling, other)):
        write_mcap(
            folder / f'{number}.mcap',
            [('/a', number, header_cdr(number))],
            [('/a', name, 'ros2msg', b'string frame_id')],
        )
    reader = BagReader(folder)
    assert reader.topics == {'/a': HEADER} and reader.schemas == {HEADER: 'string frame_id'}
    assert [m.msgtype for m in reader] == [HEADER, HEADER]
    assert not reader.integrity.skipped_topics
