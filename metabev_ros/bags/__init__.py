"""ROS 2 bags without ROS: MCAP read and written, SQLite read. Files are treated as hostile."""

from metabev_ros.bags.contents import BagIntegrity, BagMessage
from metabev_ros.bags.reader import BagReader
from metabev_ros.bags.records import MAGIC, RECORD_LIMIT
from metabev_ros.bags.writer import CHUNK_SIZE, BagWriter

__all__ = [
    'CHUNK_SIZE',
    'MAGIC',
    'RECORD_LIMIT',
    'BagIntegrity',
    'BagMessage',
    'BagReader',
    'BagWriter',
]
