"""Headers of JPEG and PNG files: what can be known before anything is decoded."""

from __future__ import annotations

import numpy as np

from metabev_ros.errors import SensorDataError

_MAX_BYTES = 64_000_000
_WHERE = 'CompressedImage.data'
_PNG = b'\x89PNG\r\n\x1a\n'


def file_size(data: np.ndarray) -> tuple[int, int, bool]:
    """Width, height, and whether it is a JPEG, from the header of a complete JPEG or PNG file.

    Args:
        data: (n,) uint8.

    Raises:
        SensorDataError: 'size', 'encoding' if it is neither, 'decode' if it is cut short or has no
            header.
    """
    if not 0 < data.size <= _MAX_BYTES:
        raise SensorDataError('size', _WHERE, f'1 to {_MAX_BYTES} bytes', str(data.size))
    head = data[:8].tobytes()
    if head.startswith(b'\xff\xd8\xff'):
        return *_jpeg_size(data), True
    if head == _PNG:
        return *_png_size(data), False
    raise SensorDataError('encoding', _WHERE, 'a JPEG or PNG file', f'first bytes {head.hex()}')


def _jpeg_size(data: np.ndarray) -> tuple[int, int]:
    # libjpeg fills a file that ends early with grey and succeeds: look for the end marker first.
    if not data[-4096:].tobytes().rstrip(b'\0').endswith(b'\xff\xd9'):
        raise SensorDataError(
            'decode', _WHERE, 'a JPEG with its end marker', f'{data.size} bytes that end early'
        )
    at = 2
    while at + 9 <= data.size and data[at] == 0xFF:
        marker = int(data[at + 1])
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height = int(data[at + 5]) << 8 | int(data[at + 6])
            return int(data[at + 7]) << 8 | int(data[at + 8]), height
        at += 2 + (int(data[at + 2]) << 8 | int(data[at + 3]))
    raise SensorDataError('decode', _WHERE, 'a JPEG with a frame header', 'none')


def _png_size(data: np.ndarray) -> tuple[int, int]:
    complete = data[-4096:].tobytes().rstrip(b'\0').endswith(b'IEND\xaeB`\x82')
    if data.size < 45 or data[12:16].tobytes() != b'IHDR' or not complete:
        raise SensorDataError(
            'decode', _WHERE, 'a complete PNG', f'{data.size} bytes that end early'
        )
    return (
        int.from_bytes(data[16:20].tobytes(), 'big'),
        int.from_bytes(data[20:24].tobytes(), 'big'),
    )
