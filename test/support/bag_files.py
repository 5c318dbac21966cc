"""Bags made by the mcap package, sqlite3 and zstandard alone, as rosbag2 lays them out."""

from __future__ import annotations

import sqlite3

import yaml
from mcap.writer import Writer as McapWriter

from metabev_ros import wire

HEADER = 'std_msgs/msg/Header'
SQLITE_TABLES = """
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL,
  metadata TEXT NOT NULL);
CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
  serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL,
  type_description_hash TEXT NOT NULL);
CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL,
  encoding TEXT NOT NULL, encoded_message_definition TEXT NOT NULL,
  type_description_hash TEXT NOT NULL);
CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,
  timestamp INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
INSERT INTO schema VALUES (4, 'jazzy');
"""
HUMBLE_TABLES = """
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL,
  metadata TEXT NOT NULL);
CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
  serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);
CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,
  timestamp INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
INSERT INTO schema VALUES (3, 'humble');
"""


def header_cdr(number: int) -> bytes:
    """A std_msgs/Header whose stamp is `number` nanoseconds."""
    return wire.serialize(wire.header(number, f'frame {number}'), HEADER)


def write_mcap(path, messages, topics=(('/a', HEADER, 'ros2msg', b''),), **options):
    """An MCAP file of (topic, log time, bytes); topics are (name, type, language, text)."""
    with path.open('wb') as file:
        writer = McapWriter(file, **options)
        writer.start(profile='ros2')
        channels = {
            name: writer.register_channel(
                name, 'cdr', writer.register_schema(msgtype, language, text)
            )
            for name, msgtype, language, text in topics
        }
        for topic, time, data in messages:
            writer.add_message(channels[topic], time, data, time)
        writer.finish()
    return path


def write_db3(path, messages, topics=(('/a', HEADER),), definitions=(), tables=SQLITE_TABLES):
    """An SQLite file of (topic, time, bytes); topics are (name, type[, encoding])."""
    with sqlite3.connect(path) as database:
        database.executescript(tables)
        width = len(database.execute('PRAGMA table_info(topics)').fetchall())
        for key, (name, msgtype, *encoding) in enumerate(topics, 1):
            row = (key, name, msgtype, *(encoding or ['cdr']), '', '')[:width]
            database.execute(f'INSERT INTO topics VALUES ({",".join("?" * width)})', row)
        for msgtype, language, text in definitions:
            database.execute(
                'INSERT INTO message_definitions VALUES (NULL, ?, ?, ?, ?)',
                (msgtype, language, text, ''),
            )
        keys = {name: key for key, (name, *_) in enumerate(topics, 1)}
        database.executemany(
            'INSERT INTO messages VALUES (NULL, ?, ?, ?)',
            ((keys[topic], time, data) for topic, time, data in messages),
        )
    database.close()
    return path


def write_metadata(folder, names, storage='mcap', mode='', compression='', counts=()):
    """A metadata.yaml with these files, as rosbag2 writes it (version 5)."""
    found = {
        'version': 5,
        'storage_identifier': storage,
        'duration': {'nanoseconds': 1},
        'starting_time': {'nanoseconds_since_epoch': 0},
        'message_count': sum(count for _, _, count in counts),
        'topics_with_message_count': [
            {
                'topic_metadata': {
                    'name': name,
                    'type': msgtype,
                    'serialization_format': 'cdr',
                    'offered_qos_profiles': '',
                },
                'message_count': count,
            }
            for name, msgtype, count in counts
        ],
        'compression_format': compression,
        'compression_mode': mode,
        'relative_file_paths': list(names),
    }
    text = yaml.safe_dump({'rosbag2_bagfile_information': found})
    (folder / 'metadata.yaml').write_text(text)
    return folder
