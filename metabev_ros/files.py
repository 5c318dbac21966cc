"""Files that are whole or not there, and files whose content is what was promised."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from metabev_ros.errors import ContractError


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A name beside `path` to write a file to, which takes the place of `path` at the end.

    A write that fails or is interrupted leaves the old file. What a killed process leaves ends in
    `.part`: no reader takes it for the file.

    Raises:
        OSError: if the file cannot be forced to the disk or renamed.
    """
    path = Path(path)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        yield part
        with open(part, 'rb+') as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as a whole: an interrupted write leaves the old one."""
    with replacing(path) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text as a whole: an interrupted write leaves the old one."""
    with replacing(path) as part:
        part.write_text(text, encoding='utf-8')


def sha256_of(path: Path) -> str:
    """Hex digest of a file of a model.

    Raises:
        ContractError: if it cannot be read.
    """
    return hashlib.sha256(_read(path)).hexdigest()


def read_checked(path: Path, digest: str) -> bytes:
    """The bytes of a file whose SHA-256 is `digest`: what was checked is what is used.

    Raises:
        ContractError: if it is missing or differs.
    """
    content = _read(path)
    actual = hashlib.sha256(content).hexdigest()
    if actual != digest:
        raise ContractError(
            str(path),
            f'SHA-256 {digest[:16]}...',
            f'{actual[:16]}...',
            'the file was changed after its export: export the model again',
        )
    return content


def _read(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ContractError(
            str(path),
            'a readable file',
            str(error.strerror),
            'run `metabev export` for this model',
        ) from error
