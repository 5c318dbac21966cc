"""Lenses against OpenCV's projections: what a camera sees lies where the calibration says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from metabev_ros.errors import SensorDataError
from metabev_ros.geometry import project_points
from metabev_ros.preprocess.images import fit_image, resized_calibration
from metabev_ros.structures import CameraCalibration, DistortionModel

HEIGHT, WIDTH = 128, 352
PLUMB, RATIONAL, FISHEYE = DistortionModel
COEFFICIENTS = {
    'plumb_bob': (PLUMB, (-0.25, 0.05, 0.001, -0.001, 0.0)),
    'rational 8': (RATIONAL, (0.9, 0.2, 1e-4, -1e-4, 0.01, 1.25, 0.4, 0.05)),
    'rational 12': (
        RATIONAL,
        (0.9, 0.2, 1e-4, -1e-4, 0.01, 1.25, 0.4, 0.05, 1e-3, -1e-3, 2e-3, 1e-3),
    ),
    'rational 14': (
        RATIONAL,
        (0.9, 0.2, 1e-4, -1e-4, 0.01, 1.25, 0.4, 0.05, 1e-3, 0.0, 0.0, 1e-3, 0.02, -0.01),
    ),
    'fisheye': (FISHEYE, (-0.02, 0.005, -0.001, 0.0002)),
    'fisheye of zeros': (FISHEYE, (0.0, 0.0, 0.0, 0.0)),
    'none': (PLUMB, ()),
}
SIZES = [(1920, 1080), (1281, 963), (1000, 750), (640, 360)]


def camera(lens: str, size: tuple[int, int], focal: float = 0.45) -> CameraCalibration:
    """A camera whose focal length is a share of its width."""
    model, distortion = COEFFICIENTS[lens]
    if model is FISHEYE:
        focal = 0.30  # of 190 degrees
    width, height = size
    k = np.array(
        [[focal * width, 0, 0.503 * width], [0, focal * width * 1.01, 0.52 * height], [0, 0, 1]]
    )
    return CameraCalibration(width, height, k, np.eye(4), np.array(distortion), model)


def on_the_raw_image(calibration: CameraCalibration, points: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of (N, 3) points in the camera's frame, by OpenCV."""
    still = np.zeros(3)
    matrix, distortion = calibration.intrinsics, calibration.distortion
    if calibration.distortion_model is FISHEYE:
        project = cv2.fisheye.projectPoints
        pixels, _ = project(points.reshape(-1, 1, 3), still, still, matrix, distortion)
    else:
        pixels, _ = cv2.projectPoints(points, still, still, matrix, distortion)
    return pixels.reshape(-1, 2)


def seen_from(fitted: CameraCalibration, columns, rows) -> np.ndarray:
    """(N, 3) points at a depth of 4 m that the fitted picture shows at these pixels."""
    pixels = np.stack([np.ravel(columns), np.ravel(rows), np.ones(np.size(rows))])
    return (4 * np.linalg.inv(fitted.intrinsics) @ pixels).T


def reduced(pixels: np.ndarray, reduction: int) -> np.ndarray:
    """As a JPEG decoder does it: the size rounded up, the last rows and columns repeated."""
    height, width = (-(-side // reduction) * reduction for side in pixels.shape[:2])
    more = ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0))
    blocks = np.pad(pixels, more, mode='edge')
    blocks = blocks.reshape(height // reduction, reduction, width // reduction, reduction, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def draw_blobs(calibration: CameraCalibration, pixels: np.ndarray, radius: float) -> np.ndarray:
    """A raw picture with a soft spot at each of (N, 2) pixels."""
    picture = np.zeros((calibration.height, calibration.width))
    reach = int(5 * radius)
    for u, v in pixels:
        rows = slice(max(0, int(v) - reach), int(v) + reach)
        columns = slice(max(0, int(u) - reach), int(u) + reach)
        y, x = np.mgrid[rows, columns]
        part = np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * radius**2))
        picture[rows, columns] += part[: picture.shape[0] - rows.start]
    return np.repeat((255 * picture.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def centre_near(picture: np.ndarray, place: np.ndarray, reach: int = 12) -> np.ndarray:
    """Centre of the brightness around a pixel."""
    u, v = np.rint(place).astype(int)
    rows = slice(max(0, v - reach), v + reach + 1)
    columns = slice(max(0, u - reach), u + reach + 1)
    y, x = (grid[rows, columns] for grid in np.mgrid[: picture.shape[0], : picture.shape[1]])
    weight = picture[rows, columns, 0].astype(float)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize('reduction', [1, 2, 4])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('lens', COEFFICIENTS)
def test_points_lie_where_the_fitted_calibration_projects_them(lens, size, reduction):
    calibration = camera(lens, size)
    fitted, _, _ = resized_calibration(calibration, HEIGHT, WIDTH)
    columns, rows = np.meshgrid([25, 100, 180, 260, 325], [25, 64, 100])
    points = seen_from(fitted, columns, rows)
    raw = on_the_raw_image(calibration, points)
    inside = ((raw > 15) & (raw < np.array(size) - 16)).all(axis=1)
    assert inside.sum() >= 9
    raw_picture = draw_blobs(calibration, raw[inside], max(2.0, size[0] / WIDTH) * 1.2)
    picture, said = fit_image(reduced(raw_picture, reduction), calibration, HEIGHT, WIDTH)
    assert picture.shape == (HEIGHT, WIDTH, 3) and picture.flags.c_contiguous
    assert np.array_equal(said.intrinsics, fitted.intrinsics) and not said.distortion.size
    assert said.distortion_model is PLUMB
    # A fisheye's edge is stretched: the outer half of a spot more than its inner half.
    limit = 0.45 if 'fisheye' in lens else 0.2
    for point in points[inside]:
        expected = project_points(said.intrinsics, point)[0]
        centre = centre_near(picture, expected)
        assert np.abs(centre - expected).max() < limit, (expected, centre)


def smooth(calibration: CameraCalibration, pixels: np.ndarray) -> np.ndarray:
    """(..., 3) brightness of a picture without edges at (..., 2) raw pixels, 0..255."""
    u = pixels[..., 0] / calibration.width
    v = pixels[..., 1] / calibration.width
    waves = [np.sin(19 * u + 3) * np.cos(23 * v), np.sin(29 * v - 13 * u), np.cos(31 * u + 7 * v)]
    return 128 + 100 * np.stack(waves, -1)


@pytest.mark.parametrize('reduction', [1, 2, 4, 8])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('lens', COEFFICIENTS)
def test_a_smooth_picture_agrees_with_its_formula_at_every_pixel(lens, size, reduction):
    calibration = camera(lens, size)
    grid = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), -1).astype(float)
    raw_picture = np.rint(smooth(calibration, grid)).astype(np.uint8)
    picture, said = fit_image(reduced(raw_picture, reduction), calibration, HEIGHT, WIDTH)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    raw = on_the_raw_image(calibration, seen_from(said, columns, rows))
    border = 2 * reduction + 2 * size[0] / WIDTH
    inside = ((raw > border) & (raw < np.array(size) - 1 - border)).all(axis=1)
    assert inside.mean() > 0.6
    error = np.abs(picture.reshape(-1, 3)[inside] - smooth(calibration, raw[inside]))
    # A pixel that is 1/100 of a wave wide loses 2 of 100 levels; one of 1/8 of 640 is wider.
    coarse = reduction * WIDTH / size[0]
    assert error.mean() < 1.5 + coarse and np.quantile(error, 0.999) < 5 + 5 * coarse**2


@pytest.mark.parametrize('lens', ['plumb_bob', 'rational 8', 'fisheye', 'none'])
def test_fine_texture_is_averaged_and_does_not_alias(lens):
    calibration = camera(lens, (1920, 1080))
    dice = np.random.default_rng(0)
    texture = dice.normal(128, 50, (1080, 1920, 3)).clip(0, 255).astype(np.uint8)
    picture, _ = fit_image(texture, calibration, HEIGHT, WIDTH)
    by_area = cv2.resize(texture, (WIDTH, 198), interpolation=cv2.INTER_AREA)
    middle = picture[20:108, 120:232].astype(float)
    assert middle.std() < 1.3 * by_area.std()


@pytest.mark.parametrize('size', [(1280, 960), (1920, 1208), (1600, 900), (1550, 2048)])
@pytest.mark.parametrize('lens', ['none', 'fisheye'])
def test_a_level_camera_shows_the_horizon_whatever_the_shape_of_its_picture(lens, size):
    calibration = camera(lens, size)
    calibration.intrinsics[1, 2] = (size[1] - 1) / 2
    fitted, _, _ = resized_calibration(calibration, HEIGHT, WIDTH)
    assert fitted.intrinsics[1, 2] == pytest.approx(HEIGHT - WIDTH * 9 / 32 - 0.5, abs=0.51)


def test_the_view_of_a_wide_fisheye_ends_at_60_degrees_to_each_side():
    calibration = camera('fisheye of zeros', (1280, 800))
    calibration.intrinsics[0, 0] = calibration.intrinsics[1, 1] = 1280 / np.radians(220)
    fitted, _, _ = resized_calibration(calibration, HEIGHT, WIDTH)
    edges = seen_from(fitted, [-0.5, WIDTH - 0.5], [60, 60])
    angles = np.degrees(np.arctan2(edges[:, 0], edges[:, 2]))
    assert np.abs(angles).max() == pytest.approx(60, abs=1e-6) and np.abs(angles).min() > 58
    # A narrower one keeps its focal length.
    calibration.intrinsics[0, 0] = calibration.intrinsics[1, 1] = 900
    fitted, _, _ = resized_calibration(calibration, HEIGHT, WIDTH)
    assert fitted.intrinsics[0, 0] == pytest.approx(900 * WIDTH / 1280)


def test_a_fisheye_is_not_taken_for_a_pin_hole_camera_where_its_coefficients_are_zero():
    pixels = np.random.default_rng(1).integers(0, 256, (360, 640, 3), dtype=np.uint8)
    bent, _ = fit_image(pixels, camera('fisheye of zeros', (640, 360)), HEIGHT, WIDTH)
    flat, _ = fit_image(pixels, camera('none', (640, 360)), HEIGHT, WIDTH)
    assert not np.array_equal(bent, flat)


def test_what_a_camera_does_not_see_is_black_and_its_border_is_not():
    lens = camera('plumb_bob', (640, 360))
    white = np.full((360, 640, 3), 255, np.uint8)
    for distortion in ((-0.25, 0.05, 0, 0, 0), (0.25, 0, 0, 0, 0), (1e-9, 0, 0, 0, 0)):
        calibration = CameraCalibration(
            640, 360, lens.intrinsics, np.eye(4), np.array(distortion), PLUMB
        )
        picture, said = fit_image(white, calibration, HEIGHT, WIDTH)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        raw = on_the_raw_image(calibration, seen_from(said, columns, rows))
        inside = ((raw >= -0.4) & (raw <= (639.4, 359.4))).all(axis=1)
        outside = ((raw < -3) | (raw > (642, 362))).any(axis=1)
        assert (picture.reshape(-1, 3)[inside] == 255).all()
        assert not picture.reshape(-1, 3)[outside].any()


def test_a_skew_of_the_axes_is_kept():
    calibration = camera('plumb_bob', (1280, 720))
    calibration.intrinsics[0, 1] = 20.0
    fitted, _, _ = resized_calibration(calibration, HEIGHT, WIDTH)
    point = seen_from(fitted, [200], [90])
    # OpenCV projects without skew: the raw pixel is put together by hand.
    plain = CameraCalibration(
        1280, 720, np.eye(3), np.eye(4), calibration.distortion, calibration.distortion_model
    )
    x, y = on_the_raw_image(plain, point)[0]
    raw = calibration.intrinsics[:2] @ [x, y, 1]
    picture, said = fit_image(draw_blobs(calibration, raw[None], 5), calibration, HEIGHT, WIDTH)
    assert np.abs(centre_near(picture, np.array([200, 90])) - (200, 90)).max() < 0.1
    assert said.intrinsics[0, 1] != 0


def test_a_picture_that_is_no_reduction_of_the_calibrated_one_is_refused():
    with pytest.raises(SensorDataError, match='640 x 360, or a half') as caught:
        fit_image(np.zeros((180, 321, 3), np.uint8), camera('none', (640, 360)), HEIGHT, WIDTH)
    assert caught.value.reason == 'dimensions'


def test_many_threads_may_rectify_at_once():
    pixels = np.random.default_rng(2).integers(0, 256, (360, 640, 3), dtype=np.uint8)
    cameras = [camera(lens, (640, 360)) for lens in ('plumb_bob', 'fisheye', 'rational 12')] * 20
    alone = [fit_image(pixels, each, HEIGHT, WIDTH)[0] for each in cameras[:3]]
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(lambda each: fit_image(pixels, each, HEIGHT, WIDTH)[0], cameras))
    for k, picture in enumerate(pictures):
        assert np.array_equal(picture, alone[k % 3])
