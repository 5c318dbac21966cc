"""Decoders against golden pixels and an independent struct loop (reliability rows 22-45)."""

from __future__ import annotations

import array
import itertools
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_drive import cloud, field, image

from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.decoding import (
    MAX_PIXELS,
    compressed_size,
    decode_compressed_image,
    decode_image,
)
from metabev_ros.sensing.point_clouds import decode_point_cloud

RGB = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def reason_of(call, *arguments) -> str:
    with pytest.raises(SensorDataError) as caught:
        call(*arguments)
    assert len(str(caught.value)) < 600
    return caught.value.reason


# ------------------------------------------------------------------------------------ images
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


# ------------------------------------------------------------------------------- point clouds
POINTS = np.random.default_rng(2).uniform(-50, 50, (40, 4)).astype(np.float32)
CODES = {1: 'b', 2: 'B', 3: 'h', 4: 'H', 5: 'i', 6: 'I', 7: 'f', 8: 'd'}


def struct_loop(message) -> np.ndarray:
    """The slow, plain reading of a cloud, value by value."""
    order = '>' if message.is_bigendian else '<'
    layout = {f.name: (f.offset, CODES[f.datatype]) for f in message.fields}
    rows = []
    for row, column in itertools.product(range(message.height), range(message.width)):
        base = row * message.row_step + column * message.point_step
        rows.append(
            [
                struct.unpack_from(order + layout[name][1], message.data, base + layout[name][0])[
                    0
                ]
                if name in layout
                else 0.0
                for name in ('x', 'y', 'z', 'intensity')
            ]
            + [0.0]
        )
    points = np.array(rows, np.float64).reshape(-1, 5).astype(np.float32)
    keep = np.isfinite(points).all(axis=1) & (np.abs(points[:, :3]) <= 1000).all(axis=1)
    return points[keep]


def packed(
    values: np.ndarray,
    fields,
    point_step: int,
    height: int = 1,
    row_padding: int = 0,
    big: bool = False,
):
    """A cloud with any layout; `fields` are (name, offset, datatype), a column of values each."""
    order = '>' if big else '<'
    width = len(values) // height
    row_step = width * point_step + row_padding
    data = bytearray(np.random.default_rng(3).bytes(row_step * height))
    for index, value in enumerate(values):
        base = index // width * row_step + index % width * point_step
        for number, (_, offset, datatype) in zip(value, fields, strict=True):
            code = CODES[datatype]
            struct.pack_into(
                order + code, data, base + offset, number if code in 'fd' else int(number)
            )
    return cloud(
        np.zeros((1, 4)),
        fields=[field(*item) for item in fields],
        width=width,
        height=height,
        point_step=point_step,
        row_step=row_step,
        data=bytes(data),
        is_bigendian=big,
    )


@pytest.mark.parametrize('order', list(itertools.permutations(range(4))))
def test_row_035_any_field_order_gives_the_same_points(order):
    names = ('x', 'y', 'z', 'intensity')
    fields = [(names[i], 4 * k, 7) for k, i in enumerate(order)]
    message = packed(POINTS[:, list(order)], fields, 16)
    assert np.array_equal(decode_point_cloud(message)[:, :4], POINTS)


@pytest.mark.parametrize('big', [False, True])
@pytest.mark.parametrize('datatype', [1, 3, 5, 7, 8])
@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('height', [1, 4])
def test_row_037_038_040_any_type_padding_and_order_equals_the_struct_loop(
    big, datatype, padding, height
):
    size = struct.calcsize(CODES[datatype])
    fields = [(name, 3 + k * size, datatype) for k, name in enumerate('xyz')]
    fields += [('ring', 3 + 3 * size, 4), ('intensity', 5 + 3 * size, 2)]
    values = np.column_stack([POINTS[:, :3], np.arange(40), np.abs(POINTS[:, 3])])
    message = packed(values, fields, 11 + 3 * size, height, padding, big)
    before = bytes(message.data)
    first, second = decode_point_cloud(message), decode_point_cloud(message)
    assert np.array_equal(first, struct_loop(message)) and np.array_equal(first, second)
    assert first.dtype == np.float32 and before == message.data


def test_row_033_points_that_are_not_finite_or_absurd_are_left_out_whatever_is_dense_says():
    points = POINTS.copy()
    points[[1, 5, 9, 12], [0, 1, 2, 3]] = np.nan, np.inf, 1e38, -np.inf
    for dense in (True, False):
        out = decode_point_cloud(cloud(points, is_dense=dense))
        assert np.array_equal(out[:, :4], np.delete(POINTS, [1, 5, 9, 12], axis=0))


def test_row_036_without_intensity_that_column_is_zero():
    fields = [field(name, 4 * k) for k, name in enumerate('xyz')]
    out = decode_point_cloud(cloud(POINTS, fields=fields))
    assert np.array_equal(out[:, :3], POINTS[:, :3]) and not out[:, 3:].any()


def test_a_float64_beyond_float32_is_left_out_not_made_infinite():
    fields = [(name, 8 * k, 8) for k, name in enumerate('xyz')]
    values = np.array([[1e300, 0, 0], [1, 2, 3]])
    assert np.array_equal(decode_point_cloud(packed(values, fields, 24))[:, :3], [[1, 2, 3]])


XYZ = [field('x', 0), field('y', 4), field('z', 8)]


@pytest.mark.parametrize(
    'changes,reason',
    [
        ({'data': b''}, 'size'),
        ({'data': POINTS.tobytes()[:-1]}, 'size'),
        ({'width': 41}, 'layout'),
        ({'height': 2}, 'size'),
        ({'width': 2**31}, 'dimensions'),
        ({'width': 2**32 - 1, 'height': 2**32 - 1}, 'dimensions'),
        ({'point_step': 0}, 'layout'),
        ({'point_step': 12}, 'layout'),
        ({'point_step': 2**32}, 'layout'),
        ({'row_step': 0}, 'layout'),
        ({'row_step': 639}, 'layout'),
        ({'row_step': 2**31}, 'layout'),
        ({'fields': XYZ[:2]}, 'fields'),
        ({'fields': []}, 'fields'),
        ({'fields': [*XYZ, field('x', 12)]}, 'fields'),
        ({'fields': [*XYZ, field('intensity', 10)]}, 'layout'),
        ({'fields': [*XYZ, field('far', 2**31)]}, 'layout'),
        ({'fields': [*XYZ, field('before', -4)]}, 'layout'),
        ({'fields': [*XYZ, field('many', 12, 7, 2**31)]}, 'layout'),
        ({'fields': [field('x', 0, 9), *XYZ[1:]]}, 'fields'),
        ({'fields': [field('x', 0, 7, 0), *XYZ[1:]]}, 'fields'),
        ({'fields': [*XYZ[:2], field('z', 8, 7, 2)]}, 'fields'),
        ({'fields': [field('f', k) for k in range(100_000)]}, 'fields'),
        ({'fields': [*XYZ, field('n' * 1_000_000, 12, 99)]}, 'fields'),
    ],
)
def test_row_039_040_041_042_043_a_cloud_that_is_wrong_is_refused_with_its_reason(changes, reason):
    assert reason_of(decode_point_cloud, cloud(POINTS, **changes)) == reason


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_cloud_is_decoded_as_the_struct_loop_reads_it_or_refused(data):
    draw = data.draw
    names = draw(st.permutations(['x', 'y', 'z', 'intensity', 'ring', 'time']))
    fields = [
        field(name, draw(st.integers(0, 40)), draw(st.integers(1, 8)))
        for name in names[: draw(st.integers(3, 6))]
    ]
    width, height = draw(st.integers(0, 5)), draw(st.integers(0, 3))
    point_step = draw(st.integers(20, 60))
    row_step = width * point_step + draw(st.integers(-1, 9))
    size = max(0, row_step * height + draw(st.sampled_from([0, 0, 0, -1, 1])))
    message = cloud(
        POINTS,
        fields=fields,
        width=width,
        height=height,
        point_step=point_step,
        row_step=row_step,
        data=np.random.default_rng(size).bytes(size),
        is_bigendian=draw(st.booleans()),
    )
    try:
        points = decode_point_cloud(message)
    except SensorDataError:
        return
    with np.errstate(all='ignore'):
        expected = struct_loop(message)
    assert np.array_equal(points, expected)


def test_a_cloud_read_by_the_reference_library_is_the_same():
    point_cloud2 = pytest.importorskip('sensor_msgs_py.point_cloud2')
    message = cloud(POINTS)
    reference = point_cloud2.read_points_numpy(message, ['x', 'y', 'z', 'intensity'])
    assert np.array_equal(decode_point_cloud(message)[:, :4], reference)


def test_an_image_read_by_the_reference_library_is_the_same():
    rosbags_image = pytest.importorskip('rosbags.image')
    for encoding in ('rgb8', 'bgr8', 'mono8'):
        pixels = RGB if encoding != 'mono8' else np.ascontiguousarray(RGB[..., 0])
        message = image(pixels, encoding=encoding)
        message.data = np.frombuffer(message.data, np.uint8)
        message.__msgtype__ = 'sensor_msgs/msg/Image'
        reference = rosbags_image.message_to_cvimage(message, 'rgb8')
        assert np.array_equal(decode_image(message), reference), encoding


def test_no_assert_statement_guards_the_input(repo_root):
    for path in (repo_root / 'metabev_ros' / 'sensing').glob('*.py'):
        with open(path, encoding='utf-8') as lines:
            assert not any(line.strip().startswith('assert ') for line in lines), path.name
