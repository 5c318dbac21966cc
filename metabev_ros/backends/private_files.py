"""Files of one user: read only if nobody else can have written them, written all or nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from metabev_ros.errors import ContractError


def make_private_folder(folder: Path) -> None:
    """A folder and the missing ones above it, for this user alone."""
    for path in [*reversed(folder.parents), folder]:
        if not path.exists():
            path.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def opened_folder(folder: Path) -> Generator[int]:
    """Descriptor of a folder that is ours and that nobody else may write.

    All that follows goes through the descriptor, so it does not matter who may rename what leads
    to the folder.

    Raises:
        FileNotFoundError: if there is no such folder.
        ContractError: if it is a link, no folder, or not ours alone.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ContractError(
            str(folder), 'a folder that can be opened', str(error.strerror), 'remove what is there'
        ) from error
    try:
        _check_owner(os.fstat(descriptor), str(folder))
        yield descriptor
    finally:
        os.close(descriptor)


def read_private(folder: int, name: str, limit: int) -> bytes:
    """A plain file with one name, of ours, that nobody else can write; links are not followed.

    Raises:
        FileNotFoundError: if there is none.
        ContractError: if it is anything else, or larger than `limit` bytes.
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ContractError(
            name, 'a file that can be opened', str(error.strerror), 'remove it'
        ) from error
    with os.fdopen(descriptor, 'rb') as file:
        status = os.fstat(descriptor)
        _check_owner(status, name)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_size > limit:
            raise ContractError(
                name,
                f'a plain file of at most {limit} bytes with one name',
                f'mode {status.st_mode:o}, {status.st_nlink} names, {status.st_size} bytes',
                'remove it',
            )
        return file.read(limit)


def write_private(folder: int, name: str, content: bytes) -> None:
    """Write beside, flush to disk, rename: the name holds all of it or what it held before.

    Raises:
        OSError: if that fails; what was written so far is removed.
    """
    part = f'.{name}.part'
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=folder)  # of a writer that was killed
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    try:
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(part, dir_fd=folder)
        raise
    os.fsync(folder)


def _check_owner(status: os.stat_result, where: str) -> None:
    if status.st_uid != os.geteuid():
        raise ContractError(
            where,
            f'owned by user {os.geteuid()}',
            f'user {status.st_uid}',
            'use a cache folder of your own (XDG_CACHE_HOME)',
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ContractError(
            where,
            'writable by its owner alone',
            f'mode {stat.S_IMODE(status.st_mode):o}',
            'look at what is in it, then chmod go-w',
        )
