"""Image messages to pictures in two steps: check now, decode later if a sample wants it.

Every length is checked before an array is touched, and before anything is decoded.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.sensing.encodings import Encoding, find_encoding, to_rgb
from metabev_ros.sensing.image_files import file_size
from metabev_ros.sensing.messages import CompressedImage, Image
from metabev_ros.sensing.untrusted import byte_view

MAX_PIXELS = 32_000_000
REDUCTIONS = (1, 2, 4, 8)  # scales that a JPEG can be decoded at
_ROW_STEP = 16  # of the rows that a fingerprint looks at
_REDUCED = {1: 0, 2: 16, 4: 32, 8: 64}  # bits of cv2.IMREAD_REDUCED_...
# Since OpenCV 4.10 a decoder writes RGB itself.
_IN_RGB: int = getattr(cv2, 'IMREAD_COLOR_RGB', 0)


@dataclass(frozen=True)
class Rows:
    """Layout of the rows of a raw picture in its bytes.

    Attributes:
        encoding: of the pixels.
        step: bytes from row to row.
        is_bigendian: order of the bytes of 16-bit numbers.
    """

    encoding: Encoding
    step: int
    is_bigendian: bool


@dataclass(frozen=True, eq=False)
class PackedImage:
    """An image that has been checked and not decoded yet; any thread may decode it.

    Attributes:
        size: (width, height) of the full picture.
        data: (n,) uint8, a view of the message's bytes.
        rows: how a raw picture lies in `data`; None for a file.
        is_jpeg: the file is a JPEG, which decodes at reduced size.
    """

    size: tuple[int, int]
    data: np.ndarray
    rows: Rows | None = None
    is_jpeg: bool = False

    def fingerprint(self) -> bytes:
        """A checksum of the content, and its length.

        Of a file it covers every byte, of a raw picture every 16th row (all of a small one): the
        noise of a real sensor changes each of them. Two pictures that differ have the same one by
        chance once in 4e9.
        """
        content = self.data
        if self.rows is not None:
            pixels = self._raw_rows(self.rows)
            content = np.ascontiguousarray(pixels[:: max(1, min(_ROW_STEP, len(pixels) // 16))])
        return zlib.crc32(content.data).to_bytes(4, 'big') + self.data.size.to_bytes(8, 'big')

    def decode(self, reduce: int = 1) -> tuple[np.ndarray, int]:
        """The picture, and the reduction that it really has.

        Args:
            reduce: 1, 2, 4 or 8; a JPEG is decoded at 1/reduce of its size, sizes rounded up.
                All others are decoded in full.

        Returns:
            (H, W, 3) uint8 RGB, which may be a view of the message; and 1 or `reduce`.

        Raises:
            SensorDataError: 'decode'.
        """
        if self.rows is None:
            return self._decode_file(reduce if self.is_jpeg else 1)
        pixels = self._raw_rows(self.rows)
        return to_rgb(pixels, self.rows.encoding, self.rows.is_bigendian), 1

    def _raw_rows(self, rows: Rows) -> np.ndarray:
        """(R, bytes of a row) uint8 without padding."""
        return self.data.reshape(-1, rows.step)[:, : self.size[0] * rows.encoding.pixel_bytes]

    def _decode_file(self, reduce: int) -> tuple[np.ndarray, int]:
        flags = _REDUCED[reduce] | (_IN_RGB or cv2.IMREAD_COLOR)
        try:
            pixels = cv2.imdecode(self.data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error as error:
            raise _undecodable(clean_text(error)) from error
        if pixels is None:
            raise _undecodable(f'{self.data.size} bytes')
        width, height = self.size
        expected = (-(-height // reduce), -(-width // reduce), 3)
        if pixels.shape != expected:
            raise SensorDataError(
                'decode', 'CompressedImage', f'pixels {expected}', str(pixels.shape)
            )
        if not _IN_RGB:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
        return pixels, reduce


def _undecodable(got: str) -> SensorDataError:
    return SensorDataError('decode', 'CompressedImage.data', 'a file OpenCV can decode', got)


def reduction_for(size: tuple[int, int], height: int, width: int) -> int:
    """The largest reduction that leaves a picture as large as it is needed.

    Args:
        size: (width, height) of the full picture.
        height, width: of the network's input, which `preprocess.images.fit_image` covers.
    """
    scale = max(width / size[0], height / size[1])
    needed = round(size[0] * scale), round(size[1] * scale)
    return max(
        reduce
        for reduce in REDUCTIONS
        if reduce == 1 or all(-(-a // reduce) >= b for a, b in zip(size, needed, strict=True))
    )


def _check_dimensions(where: str, width: int, height: int, lowest: int = 1) -> None:
    if width < lowest or height < lowest or width * height > MAX_PIXELS:
        raise SensorDataError(
            'dimensions',
            where,
            f'{lowest} x {lowest} to {MAX_PIXELS} pixels',
            f'{width} x {height}',
        )


def read_image(message: Image) -> PackedImage:
    """Check a sensor_msgs/Image: encoding, size, row length and number of bytes.

    Raises:
        SensorDataError: 'encoding', 'dimensions', 'step', 'size' or 'data'.
    """
    encoding = find_encoding(str(message.encoding))
    width, height, step = int(message.width), int(message.height), int(message.step)
    _check_dimensions('Image', width, height, lowest=2 if encoding.is_mosaic else 1)
    _check_cells(str(message.encoding), encoding.cell, width, height)
    row = width * encoding.pixel_bytes
    if not row <= step <= 2 * row + 65536:
        raise SensorDataError('step', 'Image.step', f'{row} or a little more', str(step))
    data, size = byte_view(message.data, 'Image'), step * height * encoding.planes // 2
    if data.size != size:
        share = '' if encoding.planes == 2 else ' * 3 / 2'
        raise SensorDataError(
            'size', 'Image.data', f'step * height{share} = {size} bytes', str(data.size)
        )
    return PackedImage((width, height), data, Rows(encoding, step, bool(message.is_bigendian)))


def _check_cells(name: str, cell: tuple[int, int], width: int, height: int) -> None:
    if width % cell[0] or height % cell[1]:
        raise SensorDataError(
            'dimensions',
            'Image',
            f'multiples of {cell[0]} x {cell[1]} for {name}',
            f'{width} x {height}',
        )


def read_compressed_image(message: CompressedImage) -> PackedImage:
    """Check a sensor_msgs/CompressedImage: a complete JPEG or PNG file of a bounded size.

    The bytes decide what it is, not the `format` text.

    Raises:
        SensorDataError: 'encoding', 'dimensions', 'decode', 'size' or 'data'.
    """
    data = byte_view(message.data, 'CompressedImage')
    width, height, is_jpeg = file_size(data)
    _check_dimensions('CompressedImage', width, height)
    return PackedImage((width, height), data, is_jpeg=is_jpeg)
