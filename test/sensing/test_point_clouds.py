"""Point clouds against an independent struct loop: decoded exactly, or refused with a reason."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_drive import cloud, field

from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.point_clouds import decode_point_cloud

POINTS = np.random.default_rng(2).uniform(-50, 50, (40, 4)).astype(np.float32)
CODES = {1: 'b', 2: 'B', 3: 'h', 4: 'H', 5: 'i', 6: 'I', 7: 'f', 8: 'd'}


def reason_of(call, *arguments) -> str:
    with pytest.raises(SensorDataError) as caught:
        call(*arguments)
    assert len(str(caught.value)) < 600
    return caught.value.reason


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
