"""CameraInfo, TF and odometry (reliability rows 58-66)."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_drive import camera_info

from metabev_ros.config import CameraConfig, IntrinsicsConfig, Transport
from metabev_ros.errors import ConfigError, SensorDataError
from metabev_ros.sensing.calibration import fixed_intrinsics, fixed_pose, read_camera_info
from metabev_ros.structures import DistortionModel

K = [30.0, 0, 16, 0, 31.0, 15, 0, 0, 1]
NAN = math.nan


def refused(**changes) -> str:
    with pytest.raises(SensorDataError) as caught:
        read_camera_info(camera_info('cam0', **changes), rectified=False)
    assert caught.value.reason == 'calibration'
    return str(caught.value)


@pytest.mark.parametrize(
    'changes,word',
    [
        ({'k': [0.0] * 9}, 'uncalibrated'),
        ({'k': [NAN, *K[1:]]}, 'NaN'),
        ({'k': [5e-324, *K[1:]]}, 'focal'),
        ({'k': [K[0], -1e308, *K[2:]]}, 'skew'),
        ({'k': [-30.0, *K[1:]]}, 'focal'),
        ({'k': [1e9, *K[1:]]}, 'focal'),
        ({'k': [*K[:2], 1e5, *K[3:]]}, 'principal'),
        ({'k': [*K[:8], 7.0]}, 'last row'),
        ({'k': K[:4]}, '9 numbers'),
        ({'d': [0.1] * 3}, 'D to fit'),
        ({'d': [0.1] * 1_000_000}, '14'),
        ({'d': [NAN] * 5}, 'finite'),
        ({'d': [1e9] * 5}, 'finite'),
        ({'d': [0.1] * 8}, 'D to fit'),
        ({'distortion_model': 'rational_polynomial', 'd': [0.1] * 5}, 'D to fit'),
        ({'distortion_model': 'equidistant', 'd': [0.1] * 5}, 'D to fit'),
        ({'distortion_model': 'equidistant', 'd': []}, 'D to fit'),
        ({'distortion_model': 'equidistant', 'd': [-0.9, 0, 0, 0]}, 'angles in order'),
        ({'distortion_model': 'equidistant', 'd': [0.1] * 4, 'k': [5.0, *K[1:]]}, 'equidistant'),
        ({'distortion_model': '\x1b[2J' * 99, 'd': [0.1] * 5}, 'a distortion model of'),
        ({'width': 0}, 'size'),
        ({'height': 2**32 - 1}, 'size'),
        ({'roi': SimpleNamespace(x_offset=20, y_offset=0, width=20, height=4)}, 'region'),
        ({'binning_x': 33}, 'binning'),
    ],
)
def test_row_063_065_a_camera_info_that_cannot_be_trusted_is_refused(changes, word):
    message = refused(**changes)
    assert word in message and len(message) < 400 and '\x1b' not in message


def test_row_064_an_image_of_another_size_than_its_camera_info_is_refused():
    intrinsics = read_camera_info(camera_info('cam0'), rectified=False)
    assert intrinsics.for_size(32, 32) is intrinsics
    with pytest.raises(SensorDataError, match='32 x 32'):
        intrinsics.for_size(64, 32)


def test_row_064_binning_and_region_of_interest_describe_the_image_that_is_sent():
    roi = SimpleNamespace(x_offset=4, y_offset=8, width=24, height=16)
    info = camera_info('cam0', k=K, roi=roi, binning_x=2, binning_y=4)
    intrinsics = read_camera_info(info, rectified=False)
    assert (intrinsics.width, intrinsics.height) == (12, 4)
    assert np.allclose(intrinsics.matrix, [[15, 0, 6], [0, 31 / 4, 7 / 4], [0, 0, 1]])


def test_rectified_topics_use_p_and_no_distortion_and_raw_ones_k_and_d():
    p = [40.0, 0, 15, 0, 0, 41.0, 14, 0, 0, 0, 1, 0]
    info = camera_info('cam0', k=K, p=p, d=[0.1, 0, 0, 0, 0])
    rectified = read_camera_info(info, rectified=True)
    raw = read_camera_info(info, rectified=False)
    assert rectified.matrix[0, 0] == 40 and not rectified.distortion.size
    assert raw.matrix[0, 0] == 30 and raw.distortion.tolist() == [0.1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    'name', ['omnidirectional', 'mei', 'double_sphere', 'eucm', 'ftheta', 'Scaramuzza']
)
@pytest.mark.parametrize('d', [[0.1] * 5, [0.0] * 5], ids=['with D', 'with zeros'])
def test_a_lens_that_cannot_be_undistorted_is_refused_by_name_with_what_to_do(name, d):
    message = refused(distortion_model=name, d=d)
    assert repr(name) in message and '`rectified: true`' in message
    info = camera_info('cam0', distortion_model=name, d=d)
    assert not read_camera_info(info, rectified=True).distortion.size


@pytest.mark.parametrize(
    'name,length,model',
    [
        ('plumb_bob', 4, DistortionModel.PLUMB_BOB),
        ('plumb_bob', 5, DistortionModel.PLUMB_BOB),
        ('rational_polynomial', 8, DistortionModel.RATIONAL_POLYNOMIAL),
        ('rational_polynomial', 12, DistortionModel.RATIONAL_POLYNOMIAL),
        ('rational_polynomial', 14, DistortionModel.RATIONAL_POLYNOMIAL),
        ('equidistant', 4, DistortionModel.EQUIDISTANT),
        ('fisheye', 4, DistortionModel.EQUIDISTANT),
    ],
)
def test_every_length_of_d_that_ros_defines_is_read(name, length, model):
    d = [0.01 * (k + 1) for k in range(length)]
    intrinsics = read_camera_info(camera_info('cam0', distortion_model=name, d=d), rectified=False)
    assert intrinsics.distortion_model is model
    kept = [*d, 0.0] if (name, length) == ('plumb_bob', 4) else d
    assert intrinsics.distortion.tolist() == kept


def test_a_fisheye_without_coefficients_is_still_no_pin_hole_camera():
    info = camera_info('cam0', distortion_model='equidistant', d=[0.0] * 4)
    assert read_camera_info(info, rectified=False).distortion.tolist() == [0.0] * 4
    info = camera_info('cam0', distortion_model='plumb_bob', d=[0.0] * 5)
    assert not read_camera_info(info, rectified=False).distortion.size


def test_a_fisheye_may_see_behind_itself_where_a_pin_hole_camera_may_not():
    k = [8.0, 0, 16, 0, 8.0, 16, 0, 0, 1]  # 32 pixels: 229 degrees
    info = camera_info('cam0', distortion_model='equidistant', d=[0.0] * 4, k=k)
    assert read_camera_info(info, rectified=False).matrix[0, 0] == 8


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats() | st.sampled_from([0.0, 1.0, 30.0]), min_size=9, max_size=9),
    st.lists(st.floats(), max_size=9),
    st.integers(0, 2**32 - 1),
    st.integers(0, 50),
    st.text(max_size=20),
    st.booleans(),
)
def test_any_camera_info_is_finite_intrinsics_or_refused(k, d, width, height, model, rectified):
    info = camera_info('cam0', k=k, d=d, width=width, height=height, distortion_model=model)
    try:
        with np.errstate(all='ignore'):
            intrinsics = read_camera_info(info, rectified)
    except SensorDataError:
        return
    assert np.isfinite(intrinsics.matrix).all() and intrinsics.matrix[0, 0] > 0


def camera(rectified: bool = False, **changes) -> CameraConfig:
    given = {'width': 32, 'height': 32, 'matrix': tuple(K)}
    intrinsics = IntrinsicsConfig(**{**given, **changes})
    return CameraConfig('c', 'c/image', 'c', Transport.RAW, rectified, intrinsics=intrinsics)


def test_fixed_intrinsics_of_the_rig_file_come_with_their_distortion():
    read = fixed_intrinsics(camera(distortion=(0.1, 0.0, 0.0, 0.0)))
    assert read is not None and read.matrix[1, 1] == 31 and (read.width, read.height) == (32, 32)
    assert read.distortion.tolist() == [0.1, 0, 0, 0, 0]
    fisheye = DistortionModel.EQUIDISTANT
    read = fixed_intrinsics(camera(distortion_model=fisheye, distortion=(0.1, 0.0, 0.0, 0.0)))
    assert read is not None and read.distortion_model is fisheye and read.distortion.size == 4
    read = fixed_intrinsics(camera(rectified=True, distortion_model=fisheye))
    assert read is not None and not read.distortion.size
    by_message = CameraConfig('c', 'c/image', 'c', Transport.RAW, False, 'c/info')
    assert fixed_intrinsics(by_message) is None


@pytest.mark.parametrize(
    'changes',
    [
        {'matrix': tuple(K[:8])},
        {'matrix': (0.0,) * 9},
        {'matrix': (NAN,) * 9},
        {'width': 0},
        {'distortion': (0.1,) * 3},
        {'distortion': (NAN,) * 5},
        {'distortion_model': DistortionModel.EQUIDISTANT},
        {'rectified': True, 'distortion': (0.1,) * 5},
    ],
)
def test_fixed_intrinsics_that_are_none_stop_the_start(changes):
    with pytest.raises(ConfigError, match=r'rig\.cameras\.c\.intrinsics'):
        fixed_intrinsics(camera(**changes))


def test_a_fixed_pose_in_the_rig_is_checked_at_start_up():
    assert np.array_equal(fixed_pose('rig', np.eye(4).ravel()), np.eye(4))
    for values in ([1.0] * 16, ['a'] * 16, [NAN] * 16, [1.0] * 3):
        with pytest.raises(ConfigError, match='rig'):
            fixed_pose('rig', values)
