"""Any camera image -> the network's input size, with the calibration that fits it."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import cv2
import numpy as np

from metabev_ros.structures import CameraCalibration


def resized_calibration(
    calibration: CameraCalibration, height: int, width: int
) -> tuple[CameraCalibration, float, float]:
    """The calibration after `fit_image`, with the vertical and horizontal shift in pixels.

    The image is scaled so that it covers the target, then cropped: what is too high loses its
    top (sky), what is too wide loses both sides evenly (BEVFusion's test-time crop).

    Returns:
        the calibration (no distortion), the row and the column of the resized image at which the
        crop starts.
    """
    scale = max(width / calibration.width, height / calibration.height)
    top = round(calibration.height * scale) - height
    left = (round(calibration.width * scale) - width) // 2
    k = calibration.intrinsics.copy()
    # Pixel centres are whole numbers: u' = (u + 0.5) * scale - 0.5 - left.
    k[0] *= round(calibration.width * scale) / calibration.width
    k[1] *= round(calibration.height * scale) / calibration.height
    k[0, 2] += 0.5 * scale - 0.5 - left
    k[1, 2] += 0.5 * scale - 0.5 - top
    return (
        dataclasses.replace(
            calibration, width=width, height=height, intrinsics=k, distortion=np.zeros(0)
        ),
        top,
        left,
    )


def fit_image(
    pixels: np.ndarray, calibration: CameraCalibration, height: int, width: int
) -> tuple[np.ndarray, CameraCalibration]:
    """Rectify, resize, crop.

    Args:
        pixels: (H, W, 3) uint8 RGB; H, W may differ from the calibration's size by one whole
            factor (a decoder may have reduced the image).
        calibration: for the full-size image.
        height, width: the network's input.

    Returns:
        (height, width, 3) uint8 RGB, C-contiguous, and its calibration.
    """
    fitted, top, left = resized_calibration(calibration, height, width)
    if np.any(calibration.distortion):
        maps = _rectification(
            calibration.intrinsics.tobytes(),
            np.asarray(calibration.distortion, np.float64).tobytes(),
            fitted.intrinsics.tobytes(),
            height,
            width,
            pixels.shape[1] / calibration.width,
        )
        return cv2.remap(pixels, *maps, cv2.INTER_LINEAR), fitted
    scale = max(width / calibration.width, height / calibration.height)
    size = (round(calibration.width * scale), round(calibration.height * scale))
    if size != (pixels.shape[1], pixels.shape[0]):
        shrink = size[0] < pixels.shape[1]
        pixels = cv2.resize(
            pixels, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
        )
    pixels = pixels[top : top + height, left : left + width]
    return np.ascontiguousarray(pixels), fitted


@lru_cache(maxsize=32)
def _rectification(
    intrinsics: bytes, distortion: bytes, fitted: bytes, height: int, width: int, reduction: float
) -> tuple[np.ndarray, np.ndarray]:
    k = np.frombuffer(intrinsics).reshape(3, 3)
    target = np.frombuffer(fitted).reshape(3, 3)
    x, y = cv2.initUndistortRectifyMap(
        k, np.frombuffer(distortion), None, target, (width, height), cv2.CV_32FC1
    )
    return (x + 0.5) * reduction - 0.5, (y + 0.5) * reduction - 0.5
