import cv2
import numpy as np
import pytest

from metabev_ros.geometry import project_points
from metabev_ros.preprocess.images import fit_image
from metabev_ros.structures import CameraCalibration


def calibration(width, height, distortion=()):
    intrinsics = np.array(
        [[0.8 * width, 0, 0.51 * width], [0, 0.8 * width, 0.54 * height], [0, 0, 1]]
    )
    return CameraCalibration(width, height, intrinsics, np.eye(4), np.array(distortion))


@pytest.mark.parametrize('size', [(1600, 900), (704, 256), (352, 128), (640, 480), (1280, 300)])
def test_a_projected_point_stays_on_its_image_content(size):
    width, height = size
    camera = calibration(width, height)
    point = np.array([[0.35, 0.02, 2.0]])
    (u, v), _ = project_points(camera.intrinsics, point)[0][0], None
    image = np.zeros((height, width, 3), np.uint8)
    yy, xx = np.mgrid[:height, :width]
    radius = max(width / 100, 4)
    image[..., 0] = 255 * np.exp(-((xx - u) ** 2 + (yy - v) ** 2) / (2 * radius**2))
    fitted, scaled = fit_image(image, camera, 128, 352)
    assert fitted.shape == (128, 352, 3) and (scaled.width, scaled.height) == (352, 128)
    weight = fitted[..., 0].astype(float)
    yy, xx = np.mgrid[:128, :352]
    centroid = np.array([(xx * weight).sum(), (yy * weight).sum()]) / weight.sum()
    expected = project_points(scaled.intrinsics, point)[0][0]
    np.testing.assert_allclose(centroid, expected, atol=0.25)


def test_a_reduced_image_fits_the_same_calibration():
    rng = np.random.default_rng(0)
    full = cv2.GaussianBlur(rng.integers(0, 256, (900, 1600, 3), dtype=np.uint8), (0, 0), 12)
    half = cv2.resize(full, (800, 450), interpolation=cv2.INTER_AREA)
    a, ca = fit_image(full, calibration(1600, 900), 128, 352)
    b, cb = fit_image(half, calibration(1600, 900), 128, 352)
    np.testing.assert_array_equal(ca.intrinsics, cb.intrinsics)
    assert np.abs(a.astype(int) - b).max() <= 3


def test_distortion_is_removed():
    camera = calibration(640, 480, (-0.25, 0.05, 0.001, -0.001, 0.0))
    point = np.array([[0.5, 0.15, 2.0]])
    pixel, _ = cv2.projectPoints(
        point, np.zeros(3), np.zeros(3), camera.intrinsics, camera.distortion
    )
    u, v = pixel.reshape(2)
    yy, xx = np.mgrid[:480, :640]
    image = np.zeros((480, 640, 3), np.uint8)
    image[..., 1] = 255 * np.exp(-((xx - u) ** 2 + (yy - v) ** 2) / 50)
    fitted, scaled = fit_image(image, camera, 128, 352)
    weight = fitted[..., 1].astype(float)
    yy, xx = np.mgrid[:128, :352]
    centroid = np.array([(xx * weight).sum(), (yy * weight).sum()]) / weight.sum()
    np.testing.assert_allclose(centroid, project_points(scaled.intrinsics, point)[0][0], atol=0.3)
    assert not np.any(scaled.distortion)
