"""JSON of data sets, which nobody vouches for: read in pieces, and bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from metabev_ros.errors import ConfigError, clean_text

AGAIN = 'unpack or download the data set again'
_CHUNK = 1 << 20  # characters
_ROW_LIMIT = 4 << 20  # characters of one row
_FILE_LIMIT = 1 << 29  # bytes of a file that is read as a whole
_TEXT_LIMIT = 512
_SPACE = re.compile(r'[ \t\r\n]*')


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file that holds a JSON list of objects, one after the other.

    The file is never in memory as a whole: the largest table of nuScenes has a gigabyte.

    Raises:
        ConfigError: for a file that is missing or holds something else.
    """
    count = 0
    try:
        with open(path, encoding='utf-8') as file:
            rows = _Rows(file)
            rows.expect('[')
            more = rows.sign() != ']'
            while more:
                row = rows.take()
                if not isinstance(row, dict):
                    raise ValueError(f'{clean_text(repr(row))} where an object should be')
                yield row
                count += 1
                if more := rows.sign() == ',':
                    rows.expect(',')
            rows.expect(']')
            if rows.sign():
                raise ValueError('more text behind the list')
    except FileNotFoundError as error:
        raise missing_file(path) from error
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f'after row {count}', error) from error


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ConfigError: for a file that is missing, too large or no JSON.
    """
    try:
        if path.stat().st_size > _FILE_LIMIT:
            raise ConfigError(str(path), f'at most {_FILE_LIMIT} bytes', str(path.stat().st_size))
        return json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise missing_file(path) from error
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, '', error) from error


def missing_file(path: Path) -> ConfigError:
    """The error of a file of a data set that is not there."""
    return ConfigError(clean_text(path, 300), 'a file of the data set', 'no such file', AGAIN)


def _damaged(path: Path, place: str, error: Exception) -> ConfigError:
    got = ' '.join(('damaged', place, f'({type(error).__name__}: {clean_text(error, 120)})'))
    return ConfigError(clean_text(path, 300), 'JSON', got.replace('  ', ' '), AGAIN)


class _Rows:
    """Values of a JSON list in a file that is read in pieces."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._at = file, '', 0
        self._decode = json.JSONDecoder().raw_decode

    def sign(self) -> str:
        """The next character that is no white space; '' at the end. It is not taken."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ''

    def expect(self, sign: str) -> None:
        """Take a character.

        Raises:
            ValueError: for another one.
        """
        if self.sign() != sign:
            raise ValueError(f'{self.sign()!r} where {sign!r} should be')
        self._at += 1

    def take(self) -> Any:
        """Take a value.

        Raises:
            ValueError: for something else, and for a value that is too long.
        """
        self.sign()
        while True:
            try:
                value, self._at = self._decode(self._text, self._at)
                return value
            except ValueError:  # perhaps only cut off where the piece ends
                if len(self._text) - self._at > _ROW_LIMIT or not self._fill():
                    raise

    def _fill(self) -> bool:
        more = self._file.read(_CHUNK)
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)


def text(value: object) -> str:
    """A short text.

    Raises:
        ValueError
    """
    if not isinstance(value, str) or len(value) > _TEXT_LIMIT:
        raise ValueError(f'{clean_text(repr(value))} is no short text')
    return value


def texts(value: object) -> tuple[str, ...]:
    """A list of short texts.

    Raises:
        ValueError
    """
    if not isinstance(value, list):
        raise ValueError(f'{clean_text(repr(value))} is no list')
    return tuple(text(item) for item in value)


def whole(value: object) -> int:
    """A whole number that fits 64 bits.

    Raises:
        ValueError
    """
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise ValueError(f'{clean_text(repr(value))} is no whole number')
    return value


def numbers(value: object, count: int) -> tuple[float, ...]:
    """A list of so many finite numbers.

    Raises:
        ValueError
    """
    if not isinstance(value, list) or len(value) != count:
        raise ValueError(f'{clean_text(repr(value))} is no list of {count} numbers')
    return tuple(number(item) for item in value)


def number(value: object) -> float:
    """A finite number of a size that metres, pixels and seconds have.

    Raises:
        ValueError
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise ValueError(f'{clean_text(repr(value))} is no finite number')
    return float(value)
