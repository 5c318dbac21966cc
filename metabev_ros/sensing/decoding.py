"""Image messages to RGB arrays; every length is checked before an array is touched.

Encodings of sensor_msgs/Image that are taken: rgb8, bgr8, rgba8, bgra8, mono8, mono16, 8UC1,
8UC3 (BGR, as cv_bridge reads it), 16UC1, yuv422 / uyvy, yuv422_yuy2 / yuyv and the four
bayer_*8 patterns. All others are refused.
"""

from __future__ import annotations

import cv2
import numpy as np

from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.sensing.messages import CompressedImage, Image
from metabev_ros.sensing.untrusted import byte_view

MAX_PIXELS = 32_000_000
_MAX_COMPRESSED_BYTES = 64_000_000

# encoding: (bytes per pixel, cvtColor code to RGB or None)
_ENCODINGS = {
    'rgb8': (3, None),
    'bgr8': (3, cv2.COLOR_BGR2RGB),
    '8UC3': (3, cv2.COLOR_BGR2RGB),
    'rgba8': (4, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, cv2.COLOR_BGRA2RGB),
    'mono8': (1, cv2.COLOR_GRAY2RGB),
    '8UC1': (1, cv2.COLOR_GRAY2RGB),
    'mono16': (2, cv2.COLOR_GRAY2RGB),
    '16UC1': (2, cv2.COLOR_GRAY2RGB),
    'yuv422': (2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (2, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': (2, cv2.COLOR_YUV2RGB_YUY2),
    # OpenCV names a pattern by its second row's second and third pixel: its BG is ROS's rggb.
    'bayer_rggb8': (1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': (1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': (1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': (1, cv2.COLOR_BayerGB2RGB),
}
_SIXTEEN_BIT = ('mono16', '16UC1')
_CELL_OF_TWO = ('yuv', 'uyvy', 'yuyv', 'bayer')


def _check_dimensions(where: str, width: int, height: int, lowest: int = 1) -> None:
    if width < lowest or height < lowest or width * height > MAX_PIXELS:
        raise SensorDataError(
            'dimensions',
            where,
            f'{lowest} x {lowest} to {MAX_PIXELS} pixels',
            f'{width} x {height}',
        )


def decode_image(message: Image) -> np.ndarray:
    """sensor_msgs/Image -> (H, W, 3) uint8 RGB; may be a view of the message.

    Raises:
        SensorDataError: 'encoding', 'dimensions', 'step', 'size', 'data' or 'decode'.
    """
    encoding = str(message.encoding)
    if encoding not in _ENCODINGS:
        raise SensorDataError(
            'encoding', 'Image.encoding', f'one of {sorted(_ENCODINGS)}', clean_text(encoding)
        )
    pixel_bytes, code = _ENCODINGS[encoding]
    width, height, step = int(message.width), int(message.height), int(message.step)
    in_cells = encoding.startswith(_CELL_OF_TWO)
    _check_dimensions('Image', width, height, lowest=2 if in_cells else 1)
    if encoding.startswith(_CELL_OF_TWO[:3]) and width % 2:
        raise SensorDataError('dimensions', 'Image.width', f'even for {encoding}', str(width))
    row = width * pixel_bytes
    if not row <= step <= 2 * row + 65536:
        raise SensorDataError('step', 'Image.step', f'{row} or a little more', str(step))
    data = byte_view(message.data, 'Image')
    if data.size != step * height:
        raise SensorDataError(
            'size', 'Image.data', f'step * height = {step * height} bytes', str(data.size)
        )
    rows = data.reshape(height, step)[:, :row]
    if encoding in _SIXTEEN_BIT:  # the high byte is the 8-bit value
        swapped = bool(message.is_bigendian)
        pixels = rows[:, 0 if swapped else 1 :: 2]
    elif pixel_bytes == 1:
        pixels = rows
    else:
        pixels = rows.reshape(height, width, pixel_bytes)
    pixels = np.ascontiguousarray(pixels)
    return pixels if code is None else _convert(pixels, code)


def _convert(pixels: np.ndarray, code: int) -> np.ndarray:
    try:
        return cv2.cvtColor(pixels, code)
    except cv2.error as error:
        raise SensorDataError(
            'decode', 'Image', 'pixels OpenCV can convert', clean_text(error)
        ) from error


def compressed_size(data: np.ndarray) -> tuple[int, int]:
    """(width, height) from the header of a complete JPEG or PNG file, (n,) uint8.

    Raises:
        SensorDataError: 'encoding' if it is neither, 'decode' if it is cut short or has no
            header, 'dimensions' if it is too large.
    """
    if not 0 < data.size <= _MAX_COMPRESSED_BYTES:
        raise SensorDataError(
            'size', 'CompressedImage.data', f'1 to {_MAX_COMPRESSED_BYTES} bytes', str(data.size)
        )
    head = data[:8].tobytes()
    if head.startswith(b'\xff\xd8\xff'):
        width, height = _jpeg_size(data)
    elif head == b'\x89PNG\r\n\x1a\n':
        width, height = _png_size(data)
    else:
        raise SensorDataError(
            'encoding', 'CompressedImage.data', 'a JPEG or PNG file', f'first bytes {head.hex()}'
        )
    _check_dimensions('CompressedImage', width, height)
    return width, height


def _jpeg_size(data: np.ndarray) -> tuple[int, int]:
    # libjpeg fills a file that ends early with grey and succeeds: look for the end marker first.
    if not data[-4096:].tobytes().rstrip(b'\0').endswith(b'\xff\xd9'):
        raise SensorDataError(
            'decode',
            'CompressedImage.data',
            'a JPEG with its end marker',
            f'{data.size} bytes that end early',
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
    raise SensorDataError('decode', 'CompressedImage.data', 'a JPEG with a frame header', 'none')


def _png_size(data: np.ndarray) -> tuple[int, int]:
    complete = data[-4096:].tobytes().rstrip(b'\0').endswith(b'IEND\xaeB`\x82')
    if data.size < 45 or data[12:16].tobytes() != b'IHDR' or not complete:
        raise SensorDataError(
            'decode', 'CompressedImage.data', 'a complete PNG', f'{data.size} bytes that end early'
        )
    return (
        int.from_bytes(data[16:20].tobytes(), 'big'),
        int.from_bytes(data[20:24].tobytes(), 'big'),
    )


def decode_compressed_image(
    message: CompressedImage, reduce: int = 1
) -> tuple[np.ndarray, tuple[int, int]]:
    """sensor_msgs/CompressedImage (JPEG or PNG) -> RGB pixels and the file's own size.

    The bytes decide what it is, not the `format` text. The size is read from the header before
    anything is decoded.

    Args:
        message: its `data` holds the file.
        reduce: 2 decodes at half size (faster; for a target at most half as wide), 1 in full.

    Returns:
        (H, W, 3) uint8 RGB, and (width, height) of the file before reduction.

    Raises:
        SensorDataError: 'encoding', 'dimensions', 'size', 'data' or 'decode'.
    """
    data = byte_view(message.data, 'CompressedImage')
    width, height = compressed_size(data)
    flag = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2}[reduce]
    try:
        pixels = cv2.imdecode(data, flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise SensorDataError(
            'decode', 'CompressedImage.data', 'a file OpenCV can decode', clean_text(error)
        ) from error
    if pixels is None:
        raise SensorDataError(
            'decode', 'CompressedImage.data', 'a file OpenCV can decode', f'{data.size} bytes'
        )
    expected = (-(-height // reduce), -(-width // reduce), 3)
    if pixels.shape != expected:
        raise SensorDataError('decode', 'CompressedImage', f'pixels {expected}', str(pixels.shape))
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels), (width, height)
