"""Images against golden pixels: decoded exactly, or refused with a reason."""

from __future__ import annotations

import array
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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
    read_compressed_image,
    read_image,
    reduction_for,
)
from metabev_ros.sensing.encodings import ENCODINGS, find_encoding

RGB = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def decode_image(message) -> np.ndarray:
    return read_image(message).decode()[0]


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
def test_row_023_028_grey_encodings_are_scaled_as_cv_bridge_does(big):
    grey = RGB[..., 0].copy()
    expected = np.repeat(grey[..., None], 3, axis=2)
    assert np.array_equal(decode_image(image(grey, encoding='mono8', is_bigendian=big)), expected)
    every = np.arange(65536).reshape(256, 256)
    data = every.astype('>u2' if big else '<u2').tobytes()
    shape = np.zeros((256, 256), np.uint8)
    for encoding in ('mono16', '16UC1'):
        message = image(shape, encoding=encoding, is_bigendian=big, step=512, data=data)
        pixels = decode_image(message)
        # cv_bridge: convertTo(CV_8U, 255. / 65535.), which rounds to the nearest.
        assert np.array_equal(pixels[..., 1], np.rint(every * (255 / 65535)))
        assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize('big', [0, 1])
@pytest.mark.parametrize(
    'encoding,order',
    [
        ('rgb16', (0, 1, 2)),
        ('bgr16', (2, 1, 0)),
        ('16UC3', (2, 1, 0)),
        ('rgba16', (0, 1, 2, 0)),
        ('bgra16', (2, 1, 0, 0)),
        ('16UC4', (2, 1, 0, 0)),
    ],
)
def test_sixteen_bit_colours_are_scaled_as_cv_bridge_does(encoding, order, big):
    wide = np.random.default_rng(3).integers(0, 65536, (6, 8, 3))
    data = np.ascontiguousarray(wide[..., order], dtype='>u2' if big else '<u2').tobytes()
    message = image(
        RGB, encoding=encoding, is_bigendian=big, step=16 * len(order), data=b'1' + data
    )
    message.data = memoryview(message.data)[1:]  # at an odd address
    assert np.array_equal(decode_image(message), np.rint(wide * (255 / 65535)))


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_row_023_bayer_patterns_of_one_colour_give_that_colour(pattern):
    colour = {'r': 200, 'g': 90, 'b': 30}
    cell = np.array([colour[c] for c in pattern], np.uint8).reshape(2, 2)
    mosaic = np.tile(cell, (4, 4))
    pixels = decode_image(image(mosaic, encoding=f'bayer_{pattern}8'))
    assert np.array_equal(pixels[3, 3], [200, 90, 30])
    assert np.array_equal(pixels[4, 3], [200, 90, 30])


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('big', [0, 1])
def test_a_bayer_pattern_of_16_bits_is_interpolated_first_and_scaled_then(pattern, big):
    mosaic = np.random.default_rng(4).integers(0, 65536, (8, 10)).astype(np.uint16)
    opencv_name = {'rggb': 'BG', 'bggr': 'RG', 'gbrg': 'GR', 'grbg': 'GB'}[pattern]
    colours = cv2.cvtColor(mosaic, getattr(cv2, f'COLOR_Bayer{opencv_name}2RGB'))
    data = mosaic.astype('>u2' if big else '<u2').tobytes()
    message = image(
        np.zeros((8, 10), np.uint8),
        encoding=f'bayer_{pattern}16',
        is_bigendian=big,
        step=20,
        data=data,
    )
    assert np.array_equal(decode_image(message), np.rint(colours * (255 / 65535)))
    if big == 0:
        assert np.array_equal(decode_image(message)[3, 3], bilinear(mosaic, pattern, 3, 3))


def bilinear(mosaic: np.ndarray, pattern: str, row: int, column: int) -> list[int]:
    """RGB of a pixel of a Bayer mosaic: the mean of the nearest of each colour."""
    colours = []
    for colour in 'rgb':
        near = [
            (abs(y - row) + abs(x - column), int(mosaic[y, x]))
            for y in range(row - 1, row + 2)
            for x in range(column - 1, column + 2)
            if pattern[y % 2 * 2 + x % 2] == colour
        ]
        values = [value for distance, value in near if distance == min(near)[0]]
        colours.append(round(np.floor(np.mean(values) + 0.5) * 255 / 65535))
    return colours


@pytest.mark.parametrize(
    'encoding,order',
    [('yuv422', (0, 1)), ('uyvy', (0, 1)), ('yuv422_yuy2', (1, 0)), ('yuyv', (1, 0))],
)
def test_row_023_yuv_of_a_grey_picture_is_grey_with_its_luma(encoding, order):
    data = np.empty((4, 6, 2), np.uint8)
    data[..., order[0]], data[..., order[1]] = 128, 126
    pixels = decode_image(image(data, encoding=encoding))
    assert np.abs(pixels.astype(int) - round((126 - 16) * 255 / 219)).max() <= 1


def bt601(y, u, v) -> list[float]:
    """RGB of one YUV triple in video range (ITU-R BT.601)."""
    y, u, v = 255 / 219 * (y - 16), u - 128, v - 128
    return [y + 1.596 * v, y - 0.391 * u - 0.813 * v, y + 2.018 * u]


@pytest.mark.parametrize('encoding,cell', [('uyvy', 'uyvy'), ('yuyv', 'yuyv'), ('yuv422', 'uyvy')])
def test_colours_of_packed_yuv_are_those_of_the_standard(encoding, cell):
    values = {'y': 120, 'u': 100, 'v': 150}
    data = np.tile(np.array([values[c] for c in cell], np.uint8), (4, 3)).reshape(4, 6, 2)
    pixels = decode_image(image(data, encoding=encoding))
    assert np.abs(pixels - np.array(bt601(120, 100, 150))).max() <= 1.5


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('encoding,order', [('nv12', (100, 150)), ('nv21', (150, 100))])
def test_planes_of_colours_at_half_size_are_read_behind_those_of_brightness(
    encoding, order, padding
):
    luma = np.random.default_rng(6).integers(40, 200, (6, 8)).astype(np.uint8)
    rows = np.vstack([luma, np.tile(np.array(order, np.uint8), (3, 4))])
    data = np.pad(rows, ((0, 0), (0, padding))).tobytes()
    message = image(luma, encoding=encoding, step=8 + padding, data=data)
    assert message.height == 6 and read_image(message).size == (8, 6)
    expected = np.stack(bt601(luma.astype(float), 100, 150), -1)
    assert np.abs(decode_image(message) - expected.clip(0, 255)).max() <= 1.5


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
        ({'encoding': '32FC1', 'step': 32}, 'encoding'),
        ({'encoding': 'nv12', 'step': 8}, 'size'),
        ({'encoding': 'nv12', 'step': 8, 'height': 5}, 'dimensions'),
        ({'encoding': 'uyvy', 'step': 24, 'width': 7}, 'dimensions'),
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
    assert reason_of(read_image, image(RGB, **changes)) == reason


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([*ENCODINGS, 'huh']),
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
        packed = read_image(message)
    except SensorDataError:
        return
    assert packed.fingerprint() == read_image(message).fingerprint()
    pixels, _ = packed.decode(4)
    assert pixels.shape == (height, width, 3) and pixels.dtype == np.uint8


# -------------------------------------------------------------------------------- compressed
SMOOTH = cv2.resize(RGB, (96, 64), interpolation=cv2.INTER_CUBIC)


def file_of(kind: str, pixels: np.ndarray = SMOOTH) -> bytes:
    return cv2.imencode(kind, pixels[..., ::-1])[1].tobytes()


def compressed(data) -> SimpleNamespace:
    return SimpleNamespace(format='jpeg', data=data)


def test_a_png_gives_its_exact_rgb_pixels_and_a_jpeg_nearly():
    packed = read_compressed_image(compressed(file_of('.png')))
    assert np.array_equal(packed.decode()[0], SMOOTH) and packed.size == (96, 64)
    packed = read_compressed_image(compressed(file_of('.jpg')))
    assert np.abs(packed.decode()[0].astype(int) - SMOOTH).mean() < 8 and packed.size == (96, 64)


@pytest.mark.parametrize('reduce', [1, 2, 4, 8])
def test_a_jpeg_is_decoded_at_the_reduced_size_and_a_png_in_full(reduce):
    odd = np.ascontiguousarray(SMOOTH[:63, :95])
    packed = read_compressed_image(compressed(file_of('.jpg', odd)))
    pixels, applied = packed.decode(reduce)
    assert pixels.shape == (-(-63 // reduce), -(-95 // reduce), 3) and packed.size == (95, 63)
    assert applied == reduce
    blocks = SMOOTH[:56, :88].reshape(56 // reduce, reduce, 88 // reduce, reduce, 3)
    means = blocks.mean(axis=(1, 3))
    inside = pixels[: means.shape[0], : means.shape[1]]
    assert np.abs(inside - means).mean() < 8  # red is red and blue is blue, at every size
    png = read_compressed_image(compressed(file_of('.png', odd)))
    pixels, applied = png.decode(reduce)
    assert np.array_equal(pixels, odd) and applied == 1


def test_an_undamaged_file_whose_picture_is_of_another_size_than_its_header_is_refused():
    data = bytearray(file_of('.jpg'))
    at = data.index(b'\xff\xc0')
    packed = read_compressed_image(compressed(bytes(data)))
    data[at + 5 : at + 9] = struct.pack('>HH', 32, 48)
    with pytest.raises(SensorDataError, match='pixels'):
        replace(packed, data=np.frombuffer(bytes(data), np.uint8)).decode()


@pytest.mark.parametrize(
    'size,reduce',
    [
        ((1920, 1080), 4),
        ((1600, 900), 4),
        ((2880, 1860), 8),
        ((704, 396), 2),
        ((702, 395), 1),
        ((352, 198), 1),
        ((64, 48), 1),
        # As large as it is needed in both directions: tall and wide pictures.
        ((2000, 130), 1),
        ((360, 4000), 1),
    ],
)
def test_a_picture_is_reduced_as_far_as_the_network_allows(size, reduce):
    assert reduction_for(size, 128, 352) == reduce


@pytest.mark.parametrize('encoding', ['rgb8', 'jpeg'])
def test_a_fingerprint_tells_pictures_apart_and_the_same_one_again(encoding):
    def packed(pixels):
        if encoding == 'jpeg':
            return read_compressed_image(compressed(file_of('.jpg', pixels)))
        return read_image(image(pixels))

    dice = np.random.default_rng(7)
    noisy = [
        (SMOOTH + dice.normal(0, 2, SMOOTH.shape)).clip(0, 255).astype(np.uint8) for _ in range(50)
    ]
    prints = {packed(pixels).fingerprint() for pixels in noisy}
    assert len(prints) == 50
    assert packed(noisy[0].copy()).fingerprint() in prints
    tiny = np.zeros((9, 8, 3), np.uint8)
    other = tiny.copy()
    other[5, 5, 1] = 1
    assert read_image(image(tiny)).fingerprint() != read_image(image(other)).fingerprint()


def test_pictures_are_decoded_by_many_threads_at_once_as_by_one():
    packed = [read_compressed_image(compressed(file_of('.jpg', SMOOTH + k))) for k in range(8)]
    alone = [image.decode(2)[0] for image in packed]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda k: packed[k % 8].decode(2)[0], range(200)))
    assert all(np.array_equal(pixels, alone[k % 8]) for k, pixels in enumerate(together))


@pytest.mark.parametrize('kind', ['.jpg', '.png'])
def test_row_030_a_file_cut_anywhere_is_refused(kind):
    data = file_of(kind)
    for cut in range(0, len(data) - 1, max(1, len(data) // 200)):
        reasons = ('decode', 'encoding', 'size')
        assert reason_of(read_compressed_image, compressed(data[:cut])) in reasons
        # Not by the mercy of the decoder, which may fill the rest with grey: before it.


def test_row_030_a_png_bomb_is_refused_from_its_header_alone():
    data = bytearray(file_of('.png'))
    data[16:24] = struct.pack('>II', 60_000, 60_000)
    assert 60_000**2 > MAX_PIXELS
    assert reason_of(read_compressed_image, compressed(bytes(data))) == 'dimensions'


def test_a_jpeg_that_claims_a_huge_size_is_refused_from_its_header_alone():
    data = bytearray(file_of('.jpg'))
    at = data.index(b'\xff\xc0')
    data[at + 5 : at + 9] = struct.pack('>HH', 65_000, 65_000)
    assert reason_of(read_compressed_image, compressed(bytes(data))) == 'dimensions'


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
    assert reason_of(read_compressed_image, compressed(data)) in ('encoding', 'decode')


def test_row_030_mutated_files_are_decoded_or_refused_but_never_raise_anything_else():
    rng = np.random.default_rng(5)
    outcomes = set()
    for kind in ('.jpg', '.png'):
        original = np.frombuffer(file_of(kind), np.uint8)
        for _ in range(150):
            data = original.copy()
            data[rng.integers(0, len(data), 8)] = rng.integers(0, 256, 8)
            try:
                pixels, _ = read_compressed_image(compressed(data)).decode()
                outcomes.add('decoded')
                assert pixels.ndim == 3 and pixels.size <= 3 * MAX_PIXELS
            except SensorDataError as error:
                outcomes.add(error.reason)
    assert outcomes >= {'decoded', 'decode'}


REFERENCE = ['rgb8', 'bgr8', 'mono8', 'rgba8', 'bgra8', 'bayer_rggb8', 'bayer_bggr8']
REFERENCE += ['bayer_gbrg8', 'bayer_grbg8', 'yuv422', 'yuv422_yuy2']


@pytest.mark.parametrize('encoding', REFERENCE)
def test_an_image_read_by_the_reference_library_is_the_same(encoding):
    rosbags_image = pytest.importorskip('rosbags.image')
    channels = find_encoding(encoding).channels
    pixels = np.random.default_rng(8).integers(0, 256, (6, 8, channels)).astype(np.uint8)
    message = image(pixels, encoding=encoding)
    message.data = np.frombuffer(message.data, np.uint8)
    message.__msgtype__ = 'sensor_msgs/msg/Image'
    reference = rosbags_image.message_to_cvimage(message, 'rgb8')
    assert np.array_equal(decode_image(message), reference)


@pytest.mark.parametrize('name', ['32FC1', '64FC1', '16SC1', '32SC1', 'nv24'])
def test_what_is_no_picture_is_refused_by_name_with_the_reason(name):
    with pytest.raises(SensorDataError, match=rf"'{name}': (floating|signed|a plane)"):
        find_encoding(name)
