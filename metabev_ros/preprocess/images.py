"""Any camera image -> the network's input size, with the calibration that fits it.

Pixel centres have whole coordinates everywhere: a picture that is scaled by s has its pixel u at
(u + 0.5) s - 0.5.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from metabev_ros.errors import SensorDataError, assert_never
from metabev_ros.structures import CameraCalibration, DistortionModel

_ASPECT = 9 / 16  # height by width of the pictures that the crop is made for
_FISHEYE_SIDE = math.radians(60)  # from the axis to either side: 120 degrees across at most
_REDUCTIONS = (1, 2, 4, 8)


def resized_calibration(
    calibration: CameraCalibration, height: int, width: int
) -> tuple[CameraCalibration, int, int]:
    """The calibration after `fit_image`, and where the crop starts.

    The image is scaled so that it covers the target, then cropped: what is too wide loses both
    sides evenly, what is too high loses its top (sky), as BEVFusion's test-time crop does with
    pictures of 16:9. Of a higher picture, that of 16:9 around the principal point counts: else a
    level camera of 4:3 would show no horizon.

    A fisheye becomes a pin-hole view of its focal length, or of a longer one where that would see
    more than 60 degrees to a side: a pin-hole view of 180 degrees has no end.

    Returns:
        the calibration (no distortion), the row and the column of the resized image at which the
        crop starts.
    """
    resized = _resized_size(calibration, height, width)
    scale_x, scale_y = resized[0] / calibration.width, resized[1] / calibration.height
    k = calibration.intrinsics.copy()
    k[0] *= scale_x
    k[1] *= scale_y
    k[0, 2] += 0.5 * scale_x - 0.5
    k[1, 2] += 0.5 * scale_y - 0.5
    top, left = resized[1] - height, (resized[0] - width) // 2
    if calibration.height > calibration.width * _ASPECT:
        lowest = round(k[1, 2] + 0.5 + width * _ASPECT / 2) - height
        top = min(max(lowest, 0), top)
    k[0, 2] -= left
    k[1, 2] -= top
    if _is_fisheye(calibration):
        side = max(k[0, 2] + 0.5, width - 0.5 - k[0, 2]) / math.tan(_FISHEYE_SIDE)
        k[:2, :2] *= max(1.0, side / k[0, 0])
    fitted = dataclasses.replace(
        calibration,
        width=width,
        height=height,
        intrinsics=k,
        distortion=np.zeros(0),
        distortion_model=DistortionModel.PLUMB_BOB,
    )
    return fitted, top, left


def _resized_size(calibration: CameraCalibration, height: int, width: int) -> tuple[int, int]:
    scale = max(width / calibration.width, height / calibration.height)
    return round(calibration.width * scale), round(calibration.height * scale)


def _is_fisheye(calibration: CameraCalibration) -> bool:
    """Even with coefficients of zero a fisheye is no pin-hole camera."""
    model = calibration.distortion_model
    return model is DistortionModel.EQUIDISTANT and len(calibration.distortion) > 0


def fit_image(
    pixels: np.ndarray, calibration: CameraCalibration, height: int, width: int
) -> tuple[np.ndarray, CameraCalibration]:
    """Rectify, resize, crop.

    Args:
        pixels: (H, W, 3) uint8 RGB of the calibration's size, or of 1/2, 1/4 or 1/8 of it, rounded
            up (a decoder may have reduced the image).
        calibration: for the full-size image.
        height, width: the network's input.

    Returns:
        (height, width, 3) uint8 RGB, C-contiguous, and its calibration. What the camera does not
        see is black.

    Raises:
        SensorDataError: 'dimensions' where `pixels` have another size.
    """
    reduction = _reduction_of(pixels, calibration)
    fitted, top, left = resized_calibration(calibration, height, width)
    is_exact = calibration.width % reduction == 0 and calibration.height % reduction == 0
    if np.any(calibration.distortion) or _is_fisheye(calibration) or not is_exact:
        lens = _lens(calibration, fitted, reduction, pixels.shape)
        if lens.shrunk != (pixels.shape[1], pixels.shape[0]):
            pixels = cv2.resize(pixels, lens.shrunk, interpolation=cv2.INTER_AREA)
        return cv2.remap(pixels, lens.places, lens.fractions, cv2.INTER_LINEAR), fitted
    size = _resized_size(calibration, height, width)
    if size != (pixels.shape[1], pixels.shape[0]):
        # A decoder that reduces takes means of areas itself; what is left is less than a half.
        by_area = size[0] < pixels.shape[1] and reduction == 1
        pixels = cv2.resize(
            pixels, size, interpolation=cv2.INTER_AREA if by_area else cv2.INTER_LINEAR
        )
    pixels = pixels[top : top + height, left : left + width]
    return np.ascontiguousarray(pixels), fitted


def _reduction_of(pixels: np.ndarray, calibration: CameraCalibration) -> int:
    for reduction in _REDUCTIONS:
        size = (-(-calibration.height // reduction), -(-calibration.width // reduction))
        if pixels.shape[:2] == size:
            return reduction
    raise SensorDataError(
        'dimensions',
        'image',
        f'{calibration.width} x {calibration.height}, or a half, quarter or eighth of it',
        f'{pixels.shape[1]} x {pixels.shape[0]}',
    )


# ------------------------------------------------------------------------------- rectification
@dataclass(frozen=True, eq=False)
class Lens:
    """Maps that take a picture through a lens to the pin-hole view.

    Attributes:
        shrunk: (width, height) that the picture is first shrunk to, by the mean of areas: a remap
            looks at four pixels only, and would see a part of a picture that is much larger.
        places, fractions: cv2.remap's maps from the shrunk picture, in 1/32 of its pixels.
    """

    shrunk: tuple[int, int]
    places: np.ndarray
    fractions: np.ndarray


def _lens(
    calibration: CameraCalibration,
    fitted: CameraCalibration,
    reduction: int,
    shape: tuple[int, ...],
) -> Lens:
    return _make_lens(
        calibration.intrinsics.astype(np.float64).tobytes(),
        calibration.distortion.astype(np.float64).tobytes(),
        calibration.distortion_model,
        fitted.intrinsics.tobytes(),
        (fitted.width, fitted.height),
        (shape[1], shape[0]),
        reduction,
    )


@lru_cache(maxsize=32)
def _make_lens(
    intrinsics: bytes,
    distortion: bytes,
    model: DistortionModel,
    fitted: bytes,
    size: tuple[int, int],
    source: tuple[int, int],
    reduction: int,
) -> Lens:
    """Maps for one calibration; arrays come as bytes, which can be compared.

    Args:
        intrinsics, distortion, model: of the full-size picture.
        fitted: intrinsics of the pin-hole view.
        size: (width, height) of the view.
        source: (width, height) of the picture that comes.
        reduction: by how much it is reduced.
    """
    k, target = (np.frombuffer(each).reshape(3, 3) for each in (intrinsics, fitted))
    x, y = _bent_rays(np.frombuffer(distortion), model, target, size)
    # Not by OpenCV: it leaves out the skew.
    u = (k[0, 0] * x + k[0, 1] * y + k[0, 2] + 0.5) / reduction
    v = (k[1, 1] * y + k[1, 2] + 0.5) / reduction
    steps = np.hypot(np.diff(u, axis=1), np.diff(v, axis=1))
    shrink = max(1, int(np.median(steps) + 1e-6))
    shrunk = (-(-source[0] // shrink), -(-source[1] // shrink))
    maps = (
        _inside(u * (shrunk[0] / source[0]) - 0.5, shrunk[0]),
        _inside(v * (shrunk[1] / source[1]) - 0.5, shrunk[1]),
    )
    return Lens(shrunk, *cv2.convertMaps(*maps, cv2.CV_16SC2))


def _bent_rays(
    distortion: np.ndarray, model: DistortionModel, target: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Places where the rays of a pin-hole view meet the image plane behind the lens.

    Returns:
        (H, W) float64 x and y, in focal lengths from the principal point.
    """
    rays = (np.eye(3), distortion, np.eye(3), target, size, cv2.CV_32FC1)
    match model:
        case DistortionModel.EQUIDISTANT:
            x, y = cv2.fisheye.initUndistortRectifyMap(*rays)
        case DistortionModel.PLUMB_BOB | DistortionModel.RATIONAL_POLYNOMIAL:
            x, y = cv2.initUndistortRectifyMap(*rays)
        case _:
            assert_never(model)
    return x.astype(np.float64), y.astype(np.float64)


def _inside(places: np.ndarray, size: int) -> np.ndarray:
    """float32; places on the outer half of a border pixel move to its centre, not into black."""
    on_border = (places >= -0.5) & (places <= size - 0.5)
    return np.where(on_border, places.clip(0, size - 1), places).astype(np.float32)
