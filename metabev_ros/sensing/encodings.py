"""Encodings of sensor_msgs/Image, and rows of pixels in one of them to RGB.

What cv_bridge converts to rgb8 gives the same bytes here. Beyond that come nv12 and nv21, uyvy
and yuyv under their new names, and OpenCV's own types, read as grey or as blue, green, red.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.errors import SensorDataError, clean_text


@dataclass(frozen=True)
class Encoding:
    """Layout of one encoding.

    Attributes:
        channels: numbers of one pixel in its row.
        code: cv2.cvtColor's to RGB; None for RGB.
        wide: the numbers have 16 bits.
        cell: (width, height) in pixels of what is stored together; sizes are its multiples.
        is_mosaic: each pixel has one colour, in a pattern of 2 x 2.
        planes: rows of data for two rows of pixels: 3 where colours follow in a plane of their
            own at half the resolution.
    """

    channels: int
    code: int | None
    wide: bool = False
    cell: tuple[int, int] = (1, 1)
    is_mosaic: bool = False
    planes: int = 2

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel in its row."""
        return self.channels * (2 if self.wide else 1)


def _bayer(code: int, wide: bool = False) -> Encoding:
    return Encoding(1, code, wide, is_mosaic=True)


_UYVY = Encoding(2, cv2.COLOR_YUV2RGB_UYVY, cell=(2, 1))
_YUYV = Encoding(2, cv2.COLOR_YUV2RGB_YUY2, cell=(2, 1))
_BGR, _BGRA = cv2.COLOR_BGR2RGB, cv2.COLOR_BGRA2RGB
_RGBA, _GREY = cv2.COLOR_RGBA2RGB, cv2.COLOR_GRAY2RGB
ENCODINGS = {
    'rgb8': Encoding(3, None),
    'rgb16': Encoding(3, None, wide=True),
    'bgr8': Encoding(3, _BGR),
    'bgr16': Encoding(3, _BGR, wide=True),
    'rgba8': Encoding(4, _RGBA),
    'rgba16': Encoding(4, _RGBA, wide=True),
    'bgra8': Encoding(4, _BGRA),
    'bgra16': Encoding(4, _BGRA, wide=True),
    'mono8': Encoding(1, _GREY),
    'mono16': Encoding(1, _GREY, wide=True),
    '8UC1': Encoding(1, _GREY),
    '8UC3': Encoding(3, _BGR),
    '8UC4': Encoding(4, _BGRA),
    '16UC1': Encoding(1, _GREY, wide=True),
    '16UC3': Encoding(3, _BGR, wide=True),
    '16UC4': Encoding(4, _BGRA, wide=True),
    'uyvy': _UYVY,
    'yuv422': _UYVY,
    'yuyv': _YUYV,
    'yuv422_yuy2': _YUYV,
    'nv12': Encoding(1, cv2.COLOR_YUV2RGB_NV12, cell=(2, 2), planes=3),
    'nv21': Encoding(1, cv2.COLOR_YUV2RGB_NV21, cell=(2, 2), planes=3),
    # OpenCV names a pattern by its second row's second and third pixel: its BG is ROS's rggb.
    'bayer_rggb8': _bayer(cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': _bayer(cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': _bayer(cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': _bayer(cv2.COLOR_BayerGB2RGB),
    'bayer_rggb16': _bayer(cv2.COLOR_BayerBG2RGB, wide=True),
    'bayer_bggr16': _bayer(cv2.COLOR_BayerRG2RGB, wide=True),
    'bayer_gbrg16': _bayer(cv2.COLOR_BayerGR2RGB, wide=True),
    'bayer_grbg16': _bayer(cv2.COLOR_BayerGB2RGB, wide=True),
}
_REFUSED = {  # beginnings of names that are known, and why they are no picture here
    '32F': 'floating-point numbers, as of a depth image',
    '64F': 'floating-point numbers, as of a depth image',
    '32S': 'signed numbers, as of labels or disparities',
    '16S': 'signed numbers, as of labels or disparities',
    '8S': 'signed numbers, as of labels or disparities',
    'nv24': 'a plane of full-size colours, which OpenCV does not read',
}


def find_encoding(name: str) -> Encoding:
    """The layout of a named encoding.

    Raises:
        SensorDataError: 'encoding'.
    """
    found = ENCODINGS.get(name)
    if found is None:
        why = next((f': {text}' for start, text in _REFUSED.items() if name.startswith(start)), '')
        raise SensorDataError(
            'encoding',
            'Image.encoding',
            f'one of {sorted(ENCODINGS)}',
            f'{clean_text(name)!r}{why}',
        )
    return found


def to_rgb(rows: np.ndarray, encoding: Encoding, is_bigendian: bool) -> np.ndarray:
    """Rows of a picture, padding cut off, to RGB.

    16 bits become 8 as cv_bridge makes them: times 255 / 65535, to the nearest; the high byte
    alone differs by one in a quarter of the values. A mosaic is interpolated before.

    Args:
        rows: (R, bytes of a row) uint8; R is the height, or 3 / 2 of it with a colour plane.
        encoding: their layout.
        is_bigendian: order of the bytes of 16-bit numbers.

    Returns:
        (H, W, 3) uint8; may be a view of `rows`.

    Raises:
        SensorDataError: 'decode'.
    """
    count, channels = len(rows), encoding.channels
    pixels = np.ascontiguousarray(rows)
    if encoding.wide:
        pixels = pixels.view('>u2' if is_bigendian else '<u2').astype(np.uint16, copy=False)
    pixels = pixels.reshape((count, -1) if channels == 1 else (count, -1, channels))
    try:
        if not encoding.is_mosaic:
            pixels = _narrow(pixels)
        if encoding.code is not None:
            pixels = cv2.cvtColor(pixels, encoding.code)
        return _narrow(pixels)
    except cv2.error as error:
        raise SensorDataError(
            'decode', 'Image', 'pixels OpenCV can convert', clean_text(error)
        ) from error


def _narrow(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.dtype == np.uint8 else cv2.convertScaleAbs(pixels, alpha=255 / 65535)
