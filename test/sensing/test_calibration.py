"""CameraInfo (reliability rows 58-66); TF and odometry have files of their own."""

from __future__ import annotations

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_drive import camera_info

from metabev_ros.config import CameraConfig
from metabev_ros.errors import ConfigError, SensorDataError
from metabev_ros.geometry import project_points
from metabev_ros.sensing.calibration import fixed_calibration, read_camera_info

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
        ({'distortion_model': 'equidistant', 'd': [0.1] * 4}, 'D to fit'),
        ({'distortion_model': '\x1b[2J' * 99, 'd': [0.1] * 5}, 'D to fit'),
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


def test_halved_intrinsics_put_a_point_where_the_reduced_jpeg_shows_it():
    # A white 8x8 block in a black picture: its centre, seen through both decodings.
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[24:32, 40:48] = 255
    data = cv2.imencode('.png', pixels)[1]
    half = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_2)[..., 0].astype(float)
    rows, columns = np.indices(half.shape)
    centre = np.array([(columns * half).sum(), (rows * half).sum()]) / half.sum()
    intrinsics = read_camera_info(camera_info('cam0', 96, 64), rectified=False)
    ray = np.linalg.inv(intrinsics.matrix) @ [43.5, 27.5, 1]
    seen, _ = project_points(intrinsics.halved().matrix, ray)
    assert np.allclose(seen, centre, atol=1e-6)


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


def test_a_fixed_calibration_in_the_rig_is_checked_at_start_up():
    good = {
        'width': 32,
        'height': 32,
        'intrinsics': K,
        'ego_from_camera': np.eye(4).ravel().tolist(),
    }

    def camera(**changes):
        return CameraConfig('c', 'c/image', 'c/info', 'c', calibration={**good, **changes})

    intrinsics, pose = fixed_calibration(camera())
    assert intrinsics.matrix[1, 1] == 31 and np.array_equal(pose, np.eye(4))
    for changes in (
        {'intrinsics': K[:8]},
        {'intrinsics': [0.0] * 9},
        {'extra': 1},
        {'ego_from_camera': [1.0] * 16},
        {'ego_from_camera': ['a'] * 16},
        {'intrinsics': [NAN] * 9},
    ):
        with pytest.raises(ConfigError, match='rig.cameras.c'):
            fixed_calibration(camera(**changes))
