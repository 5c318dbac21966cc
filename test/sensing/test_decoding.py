"""Images against golden pixels: decoded exactly, or refused with a reason."""

from __future__ import annotations

import array
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_drive import image

from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.decoding import (
    MAX_PIXELS,
    compressed_size,
    decode_compressed_image,
    decode_image,
)

RGB = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def reason_of(call, *arguments) -> str:
    with pytest.raises(SensorDataError) as caught:
        call(*arguments)
    assert len(str(caught.value)) < 600
    return caught.value.reason


@pytest.mark.parametrize(
    'encoding,pixels',
    [
        ('rgb8', RGB),
        ('bgr8', RGB[..., ::-1]),
        ('8UC3', RGB[..., ::-1]),
        ('rgba8', np.dstack([RGB, np.full((6, 8), 7, np.uint8)])),
        ('bgra8', np.dstack([RGB[..., ::-1], np.full((6, 8), 7, np.uint8)])),
    ],
)
def test_row_023_colour_encodings_give_the_same_rgb_pixels(encoding, pixels):
    message = image(np.ascontiguousarray(pixels), encoding=encoding)
    assert np.array_equal(decode_image(message), RGB)


@pytest.mark.parametrize('big', [0, 1])
def test_row_023_028_grey_encodings_repeat_the_high_byte(big):
    grey = RGB[..., 0].copy()
    expected = np.repeat(grey[..., None], 3, axis=2)
    assert np.array_equal(decode_image(image(grey, encoding='mono8', is_bigendian=big)), expected)
    wide = (grey.astype(np.uint16) << 8 | 0x37).astype('>u2' if big else '<u2')
    message = image(grey, encoding='mono16', is_bigendian=big, step=16, data=wide.tobytes())
    assert np.array_equal(decode_image(message), expected)


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_row_023_bayer_patterns_of_one_colour_give_that_colour(pattern):
    colour = {'r': 200, 'g': 90, 'b': 30}
    cell = np.array([colour[c] for c in pattern], np.uint8).reshape(2, 2)
    mosaic = np.tile(cell, (4, 4))
    pixels = decode_image(image(mosaic, encoding=f'bayer_{pattern}8'))
    assert np.array_equal(pixels[3, 3], [200, 90, 30])
    assert np.array_equal(pixels[4, 3], [200, 90, 30])


@pytest.mark.parametrize('encoding,order', [('yuv422', (0, 1)), ('yuv422_yuy2', (1, 0))])
def test_row_023_yuv_of_a_grey_picture_is_grey_with_its_luma(encoding, order):
    data = np.empty((4, 6, 2), np.uint8)
    data[..., order[0]], data[..., order[1]] = 128, 126
    pixels = decode_image(image(data, encoding=encoding))
    assert np.abs(pixels.astype(int) - round((126 - 16) * 255 / 219)).max() <= 1


@pytest.mark.parametrize('padding', [1, 2, 7, 64])
@pytest.mark.parametrize('encoding', ['rgb8', 'mono8', 'bayer_rggb8'])
def test_row_026_padded_rows_are_read_right(padding, encoding):
    pixels = RGB if encoding == 'rgb8' else np.ascontiguousarray(RGB[..., 0])
    plain = image(pixels, encoding=encoding)
    row = plain.step
    padded = np.full((6, row + padding), 99, np.uint8)
    padded[:, :row] = pixels.reshape(6, row)
    message = image(pixels, encoding=encoding, step=row + padding, data=padded.tobytes())
    assert np.array_equal(decode_image(message), decode_image(plain))


@pytest.mark.parametrize(
    'kind',
    [
        bytes,
        bytearray,
        memoryview,
        lambda b: array.array('B', b),
        lambda b: np.frombuffer(b, np.uint8),
    ],
)
def test_every_buffer_type_that_ros_uses_is_taken(kind):
    assert np.array_equal(decode_image(image(RGB, data=kind(RGB.tobytes()))), RGB)


@pytest.mark.parametrize(
    'changes,reason',
    [
        ({'encoding': ''}, 'encoding'),
        ({'encoding': 'bgr9'}, 'encoding'),
        ({'encoding': 'x' * 10_000}, 'encoding'),
        ({'encoding': '\x1b[31m\n%s'}, 'encoding'),
        ({'data': b''}, 'size'),
        ({'data': b'1'}, 'size'),
        ({'data': RGB.tobytes()[:-1]}, 'size'),
        ({'data': RGB.tobytes() + b'1'}, 'size'),
        ({'data': [1, 2, 3]}, 'data'),
        ({'step': 23}, 'step'),
        ({'step': 0}, 'step'),
        ({'step': 2**31}, 'step'),
        ({'width': 0}, 'dimensions'),
        ({'height': 0}, 'dimensions'),
        ({'width': 2**31}, 'dimensions'),
        ({'height': 2**32 - 1}, 'dimensions'),
        ({'width': 2**32 - 1, 'height': 2**32 - 1}, 'dimensions'),
        ({'height': 7}, 'size'),
        ({'encoding': 'bayer_rggb8', 'width': 1, 'step': 24}, 'dimensions'),
    ],
)
def test_row_022_024_025_027_an_image_that_is_wrong_is_refused_with_its_reason(changes, reason):
    assert reason_of(decode_image, image(RGB, **changes)) == reason


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(['rgb8', 'bgra8', 'mono8', 'mono16', 'bayer_gbrg8', 'yuv422', 'huh']),
    st.integers(0, 9) | st.integers(2**31 - 1, 2**32),
    st.integers(0, 9),
    st.integers(0, 60) | st.integers(2**31, 2**32),
    st.binary(max_size=500),
    st.booleans(),
)
def test_any_image_is_decoded_or_refused(encoding, width, height, step, data, big):
    message = image(
        RGB, encoding=encoding, width=width, height=height, step=step, data=data, is_bigendian=big
    )
    try:
        pixels = decode_image(message)
    except SensorDataError:
        return
    assert pixels.shape == (height, width, 3) and pixels.dtype == np.uint8


# -------------------------------------------------------------------------------- compressed
SMOOTH = cv2.resize(RGB, (96, 64), interpolation=cv2.INTER_CUBIC)


def file_of(kind: str, pixels: np.ndarray = SMOOTH) -> bytes:
    return cv2.imencode(kind, pixels[..., ::-1])[1].tobytes()


def compressed(data) -> SimpleNamespace:
    return SimpleNamespace(format='jpeg', data=data)


def test_a_png_gives_its_exact_rgb_pixels_and_a_jpeg_nearly():
    pixels, size = decode_compressed_image(compressed(file_of('.png')))
    assert np.array_equal(pixels, SMOOTH) and size == (96, 64)
    pixels, size = decode_compressed_image(compressed(file_of('.jpg')))
    assert np.abs(pixels.astype(int) - SMOOTH).mean() < 8 and size == (96, 64)


def test_reduced_decoding_halves_the_picture_and_tells_the_full_size():
    odd = np.ascontiguousarray(SMOOTH[:63, :95])
    pixels, size = decode_compressed_image(compressed(file_of('.jpg', odd)), reduce=2)
    assert pixels.shape == (32, 48, 3) and size == (95, 63)


@pytest.mark.parametrize('kind', ['.jpg', '.png'])
def test_row_030_a_file_cut_anywhere_is_refused(kind):
    data = file_of(kind)
    for cut in range(0, len(data) - 1, max(1, len(data) // 200)):
        reasons = ('decode', 'encoding', 'size')
        assert reason_of(decode_compressed_image, compressed(data[:cut])) in reasons
        # Not by the mercy of the decoder, which may fill the rest with grey: before it.
        assert reason_of(compressed_size, np.frombuffer(data[:cut], np.uint8)) in reasons


def test_row_030_a_png_bomb_is_refused_from_its_header_alone():
    data = bytearray(file_of('.png'))
    data[16:24] = struct.pack('>II', 60_000, 60_000)
    assert 60_000**2 > MAX_PIXELS
    assert reason_of(decode_compressed_image, compressed(bytes(data))) == 'dimensions'


def test_a_jpeg_that_claims_a_huge_size_is_refused_from_its_header_alone():
    data = bytearray(file_of('.jpg'))
    at = data.index(b'\xff\xc0')
    data[at + 5 : at + 9] = struct.pack('>HH', 65_000, 65_000)
    assert reason_of(decode_compressed_image, compressed(bytes(data))) == 'dimensions'


@pytest.mark.parametrize(
    'data',
    [
        b'no image at all',
        b'\xff\xd8\xff',
        b'\x89PNG\r\n\x1a\n',
        b'\xff\xd8\xff\xd9',
        b'GIF89a' + bytes(50),
    ],
)
def test_ten_bytes_that_are_no_picture_are_refused(data):
    assert reason_of(decode_compressed_image, compressed(data)) in ('encoding', 'decode')


def test_row_030_mutated_files_are_decoded_or_refused_but_never_raise_anything_else():
    rng = np.random.default_rng(5)
    outcomes = set()
    for kind in ('.jpg', '.png'):
        original = np.frombuffer(file_of(kind), np.uint8)
        for _ in range(150):
            data = original.copy()
            data[rng.integers(0, len(data), 8)] = rng.integers(0, 256, 8)
            try:
                pixels, _ = decode_compressed_image(compressed(data))
                outcomes.add('decoded')
                assert pixels.ndim == 3 and pixels.size <= 3 * MAX_PIXELS
            except SensorDataError as error:
                outcomes.add(error.reason)
    assert outcomes >= {'decoded', 'decode'}


def test_an_image_read_by_the_reference_library_is_the_same():
    rosbags_image = pytest.importorskip('rosbags.image')
    for encoding in ('rgb8', 'bgr8', 'mono8'):
        pixels = RGB if encoding != 'mono8' else np.ascontiguousarray(RGB[..., 0])
        message = image(pixels, encoding=encoding)
        message.data = np.frombuffer(message.data, np.uint8)
        message.__msgtype__ = 'sensor_msgs/msg/Image'
        reference = rosbags_image.message_to_cvimage(message, 'rgb8')
        assert np.array_equal(decode_image(message), reference), encoding
