"""Point clouds against an independent struct loop: decoded exactly, or refused with a reason."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_drive import T0, cloud, field

from metabev_ros.config import EgoBox, PointTime, TimeUnit
from metabev_ros.errors import SensorDataError
from metabev_ros.geometry import rigid_transform, rotation_z, transform_points
from metabev_ros.sensing.point_clouds import decode_point_cloud, without_box

POINTS = np.random.default_rng(2).uniform(-50, 50, (40, 4)).astype(np.float32)
CODES = {1: 'b', 2: 'B', 3: 'h', 4: 'H', 5: 'i', 6: 'I', 7: 'f', 8: 'd'}


def reason_of(call, *arguments) -> str:
    with pytest.raises(SensorDataError) as caught:
        call(*arguments)
    assert len(str(caught.value)) < 600
    return caught.value.reason


def points_of(message) -> np.ndarray:
    return decode_point_cloud(message)[0]


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
    assert np.array_equal(points_of(message)[:, :4], POINTS)


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
    first, second = points_of(message), points_of(message)
    assert np.array_equal(first, struct_loop(message)) and np.array_equal(first, second)
    assert first.dtype == np.float32 and before == message.data


def test_row_033_points_that_are_not_finite_or_absurd_are_left_out_whatever_is_dense_says():
    points = POINTS.copy()
    points[[1, 5, 9, 12], [0, 1, 2, 3]] = np.nan, np.inf, 1e38, -np.inf
    for dense in (True, False):
        out = points_of(cloud(points, is_dense=dense))
        assert np.array_equal(out[:, :4], np.delete(POINTS, [1, 5, 9, 12], axis=0))


def test_row_036_without_intensity_that_column_is_zero():
    fields = [field(name, 4 * k) for k, name in enumerate('xyz')]
    out = points_of(cloud(POINTS, fields=fields))
    assert np.array_equal(out[:, :3], POINTS[:, :3]) and not out[:, 3:].any()


def test_a_float64_beyond_float32_is_left_out_not_made_infinite():
    fields = [(name, 8 * k, 8) for k, name in enumerate('xyz')]
    values = np.array([[1e300, 0, 0], [1, 2, 3]])
    assert np.array_equal(points_of(packed(values, fields, 24))[:, :3], [[1, 2, 3]])


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
        ({'fields': [*XYZ, field('intensity', 2**31)]}, 'layout'),
        ({'fields': [*XYZ, field('i', -4)]}, 'layout'),
        ({'fields': [*XYZ, field('intensity', 12, 7, 2**31)]}, 'fields'),
        ({'fields': [field('x', 0, 9), *XYZ[1:]]}, 'fields'),
        ({'fields': [field('x', 0, 7, 0), *XYZ[1:]]}, 'fields'),
        ({'fields': [*XYZ[:2], field('z', 8, 7, 2)]}, 'fields'),
        ({'fields': [field('f', k) for k in range(100_000)]}, 'fields'),
        ({'fields': [*XYZ[:2], field('n' * 1_000_000, 12, 99)]}, 'fields'),
        ({'fields': [*XYZ, field('intensity', 12), field('intensity', 12)]}, 'fields'),
    ],
)
def test_row_039_040_041_042_043_a_cloud_that_is_wrong_is_refused_with_its_reason(changes, reason):
    assert reason_of(decode_point_cloud, cloud(POINTS, **changes)) == reason


@pytest.mark.parametrize(
    'fields',
    [
        [*XYZ, field('_', 12, 2, 0), field('_', 13, 2, 3)],
        [*XYZ, field('rgb', 12), field('rgba', 12, 6)],
        [*XYZ, field('wide', 12, 2, 400), field('early', 2, 4)],
        [field('', 8, 0, 0), *XYZ, field('intensity_', 12, 99)],
    ],
    ids=['padding twice', 'rgb over rgba', 'beyond the point', 'unknown type'],
)
def test_fields_that_are_not_used_may_be_anything(fields):
    out = points_of(cloud(POINTS, fields=fields))
    assert np.array_equal(out[:, :3], POINTS[:, :3]) and not out[:, 3:].any()


# ----------------------------------------------------------------------------- per-point time
STAMP = T0 + 123_456_789
LAGS = np.linspace(-0.1, 0.0, len(POINTS))
XYZT = [('x', 0), ('y', 4), ('z', 8)]
US, NS = TimeUnit.MICROSECONDS, TimeUnit.NANOSECONDS


@pytest.mark.parametrize(
    'point_time,datatype,values,exact',
    [
        (PointTime('t'), 7, LAGS, 1e-8),
        (PointTime('t', US), 5, np.rint(LAGS * 1e6), 1e-6),
        (PointTime('t', NS), 5, np.rint(LAGS * 1e9), 1e-8),
        (PointTime('t', NS), 6, np.rint(-LAGS * 1e9), 1e-8),
        (PointTime('t', absolute=True), 8, STAMP / 1e9 + LAGS, 5e-7),
        (PointTime('t', US, True), 8, STAMP / 1e3 + LAGS * 1e6, 1e-6),
        (PointTime('t', NS, True), 8, float(STAMP) + LAGS * 1e9, 5e-7),
    ],
    ids=['s', 'us', 'ns', 'unsigned ns', 'absolute s', 'absolute us', 'absolute ns'],
)
@pytest.mark.parametrize('big', [False, True])
def test_each_point_has_its_time_from_the_stamp_to_less_than_a_microsecond(
    point_time, datatype, values, exact, big
):
    layout = [(*item, 7) for item in XYZT] + [('t', 12, datatype)]
    message = packed(np.column_stack([POINTS[:, :3].astype(float), values]), layout, 20, big=big)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(STAMP, 10**9)
    points, seconds, note = decode_point_cloud(message, point_time)
    assert note == '' and seconds is not None and seconds.dtype == np.float32
    expected = -LAGS if datatype == 6 else LAGS
    assert np.abs(seconds - expected).max() <= exact
    assert np.array_equal(points[:, :3], POINTS[:, :3]) and not points[:, 4].any()


def timed(times) -> object:
    layout = [(*item, 7) for item in XYZT] + [('t', 12, 8)]
    return packed(np.column_stack([POINTS[:, :3].astype(float), times]), layout, 20)


def test_a_point_that_is_left_out_takes_its_time_along():
    message = timed(LAGS)
    data = bytearray(message.data)
    for index in (3, 17):
        struct.pack_into('<f', data, 20 * index, np.nan)
    struct.pack_into('<d', data, 20 * 17 + 12, np.nan)  # what has no place may have no time
    message.data = bytes(data)
    points, seconds, note = decode_point_cloud(message, PointTime('t'))
    assert note == '' and seconds is not None
    assert np.allclose(seconds, np.delete(LAGS, [3, 17]), atol=1e-8)
    assert np.array_equal(points[:, :3], np.delete(POINTS[:, :3], [3, 17], axis=0))


@pytest.mark.parametrize(
    'times,word',
    [
        (LAGS + 1.7e9, '1.7e+09 s'),
        (LAGS * 1e6, '1e+05 s'),
        (np.where(np.arange(40) == 7, 1.5, LAGS), '1.5 s'),
        (np.where(np.arange(40) == 7, np.nan, LAGS), 'nan s'),
        (np.where(np.arange(40) == 7, -np.inf, LAGS), 'inf s'),
    ],
)
def test_times_that_cannot_be_true_are_not_used_and_that_is_said(times, word):
    points, seconds, note = decode_point_cloud(timed(times), PointTime('t'))
    assert seconds is None and len(points) == 40
    assert note.startswith("no per-point time: 't' is") and word in note


@pytest.mark.parametrize(
    'more',
    [
        [],
        [field('time', 12, 7, 2)],
        [field('time', 12, 9)],
        [field('time', 13)],
        [field('time', -4)],
        [field('time', 12), field('time', 12)],
    ],
)
def test_a_cloud_without_a_sound_field_of_the_times_is_used_and_that_is_said(more):
    message = cloud(POINTS, fields=[*XYZ, *more])
    points, seconds, note = decode_point_cloud(message, PointTime('time'))
    assert seconds is None and np.array_equal(points[:, :3], POINTS[:, :3])
    assert note == "no per-point time: no field 'time' of one number"
    assert decode_point_cloud(message)[1:] == (None, '')


def test_an_empty_cloud_with_times_is_empty():
    message = cloud(np.zeros((0, 4)), fields=[*XYZ, field('t', 12)])
    points, seconds, note = decode_point_cloud(message, PointTime('t'))
    assert points.shape == (0, 5) and seconds is not None and not len(seconds) and note == ''


def test_intensities_are_scaled_and_one_that_overflows_costs_its_point():
    points = np.abs(POINTS)
    points[4, 3] = 3e38
    out, _, _ = decode_point_cloud(cloud(points), intensity_scale=255 / 65535)
    assert np.allclose(out[:, 3], points[:, 3] / 257, rtol=1e-6) and len(out) == 40
    out, _, _ = decode_point_cloud(cloud(points), intensity_scale=100.0)
    assert len(out) == 39 and np.isfinite(out).all()


# ----------------------------------------------------------------------------- own vehicle
BOX = EgoBox(-1.0, 3.7, -0.95, 0.95, -0.5, 1.75)


@pytest.mark.parametrize('turn', [0.0, 0.3, np.pi / 2, -2.5])
def test_returns_of_the_vehicle_itself_are_left_out_wherever_the_lidar_sits(turn):
    dice = np.random.default_rng(5)
    pose = rigid_transform(rotation_z(turn), (0.9, -0.2, 1.8))
    points = dice.uniform(-6, 6, (20_000, 5)).astype(np.float32)
    placed = transform_points(pose, points[:, :3].astype(np.float64))
    low, high = np.array([-1.0, -0.95, -0.5]), np.array([3.7, 0.95, 1.75])
    own = ((placed >= low) & (placed <= high)).all(axis=1)
    assert 50 < own.sum() < 1000
    seconds = np.arange(len(points), dtype=np.float32)
    rest, times = without_box(points, seconds, BOX, pose)
    assert np.array_equal(rest, points[~own]) and np.array_equal(times, seconds[~own])


def test_a_sweep_without_own_returns_is_the_same_array():
    points = np.full((10, 5), 30, np.float32)
    assert without_box(points, None, BOX, np.eye(4))[0] is points
    rest, times = without_box(points[:0], None, BOX, np.eye(4))
    assert rest.shape == (0, 5) and times is None


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
        points = points_of(message)
    except SensorDataError:
        return
    with np.errstate(all='ignore'):
        expected = struct_loop(message)
    assert np.array_equal(points, expected)


def test_a_cloud_read_by_the_reference_library_is_the_same():
    point_cloud2 = pytest.importorskip('sensor_msgs_py.point_cloud2')
    message = cloud(POINTS)
    reference = point_cloud2.read_points_numpy(message, ['x', 'y', 'z', 'intensity'])
    assert np.array_equal(points_of(message)[:, :4], reference)
