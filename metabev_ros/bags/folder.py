"""The files that a bag is made of, in their order; compressed ones are unpacked."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, cast

import zstandard

from metabev_ros.bags.contents import BagIntegrity
from metabev_ros.bags.records import UNPACK_FREE, UNPACK_RATIO, UNPACKED_LIMIT
from metabev_ros.config.yaml import load_yaml
from metabev_ros.errors import ConfigError, SensorDataError, clean_text

KINDS = ('.mcap', '.db3')  # the last parts of files' names
PACKED = '.zstd'  # behind them where rosbag2 compressed the whole file
METADATA = 'metadata.yaml'
METADATA_LIMIT = 2**20  # bytes; a bag of 1000 files and 100 topics has some 300 000
FREE_DISK = 2**30  # bytes that unpacking leaves free
_BLOCK = 2**20
_NAMES_TOLD = 5


@dataclass(frozen=True)
class BagFiles:
    """The files of a bag.

    Attributes:
        kind: one of KINDS.
        paths: in their order; some may be missing.
        counts: topic -> messages in all files, by metadata.yaml.
    """

    kind: str
    paths: tuple[Path, ...]
    counts: Mapping[str, int] = field(default_factory=dict[str, int])


def find_files(path: Path, integrity: BagIntegrity) -> BagFiles:
    """The files of a bag that is a file or a folder.

    Raises:
        SensorDataError: reason 'bag' where there is none that can be read.
    """
    if path.is_dir():
        return _described(path, integrity) or _in_folder(path)
    if not path.is_file():
        raise SensorDataError('bag', str(path), 'an existing file or folder', 'nothing there')
    return BagFiles(_kind(path.name, path), (path,))


def _kind(name: str, path: Path) -> str:
    kind = PurePath(name.removesuffix(PACKED)).suffix
    if kind not in KINDS:
        raise SensorDataError('bag', str(path), f'files that end in {KINDS}', clean_text(name))
    return kind


def _in_folder(folder: Path) -> BagFiles:
    """All files of one kind, in the order of the numbers in their names."""
    for end in (*KINDS, *(kind + PACKED for kind in KINDS)):
        found = sorted(folder.glob(f'*{end}'), key=_numbered)
        if found:
            return BagFiles(end.removesuffix(PACKED), tuple(found))
    raise SensorDataError('bag', str(folder), f'files that end in {KINDS}', 'none')


def _numbered(path: Path) -> list[tuple[int, str]]:
    """A key that sorts name_2 before name_10."""
    parts = re.split(r'([0-9]+)', path.name)
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in parts]


def _described(folder: Path, integrity: BagIntegrity) -> BagFiles | None:
    """The files that metadata.yaml names; None where it names none.

    Raises:
        SensorDataError: they are compressed in a way that nobody knows.
    """
    path = folder / METADATA
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > METADATA_LIMIT:
            raise ConfigError(str(path), f'at most {METADATA_LIMIT} bytes', 'more')
        found = load_yaml(path)['rosbag2_bagfile_information']
        names = [PurePath(str(name)).name for name in found['relative_file_paths']]
        mode = str(found.get('compression_mode') or 'none').lower()
        compression = str(found.get('compression_format'))
        counts = _counts(found)
    except (ConfigError, KeyError, TypeError, AttributeError, ValueError) as error:
        integrity.notes.append(f'{METADATA} is not used: {clean_text(error, 200)}')
        return None
    if mode != 'none' and compression != 'zstd':
        raise SensorDataError('bag', str(path), 'compression zstd', clean_text(compression))
    if not names:
        return None
    kind = _kind(names[0], path)
    paths = [folder / name for name in dict.fromkeys(names)]
    others = {path.name for end in (kind, kind + PACKED) for path in folder.glob(f'*{end}')}
    if more := sorted(others.difference(names)):
        shown = ', '.join(clean_text(name) for name in more[:_NAMES_TOLD])
        integrity.notes.append(f'{len(more)} files that {METADATA} does not name ({shown})')
    return BagFiles(kind, tuple(paths), counts)


def _counts(found: Mapping[str, Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in cast('list[dict[str, Any]]', found.get('topics_with_message_count') or []):
        counts[str(entry['topic_metadata']['name'])] = int(entry['message_count'])
    return counts


def unpack_file(path: Path, target: Path) -> str:
    """Unpack a compressed file, no more of it than there is room for.

    Returns:
        Why `target` is not all of it; '' where it is.
    """
    limit = UNPACK_FREE + UNPACK_RATIO * path.stat().st_size
    room = min(limit, shutil.disk_usage(target.parent).free - FREE_DISK)
    unpacker = zstandard.ZstdDecompressor(max_window_size=UNPACKED_LIMIT)
    with path.open('rb') as packed, target.open('wb') as file:
        stream = unpacker.stream_reader(packed, read_across_frames=True)
        try:
            while block := stream.read(_BLOCK):
                room -= len(block)
                if room < 0:
                    return f'it unpacks to more than {target.stat().st_size} bytes'
                file.write(block)
        except zstandard.ZstdError as error:
            return clean_text(error, 200)
    return ''
