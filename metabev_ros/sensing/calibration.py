"""CameraInfo to intrinsics, with everything that cannot be trusted refused."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metabev_ros.config import CameraConfig
from metabev_ros.errors import ConfigError, SensorDataError, clean_text
from metabev_ros.sensing.messages import CameraInfo
from metabev_ros.structures import DistortionModel

_MAX_FOCAL = 1e6
# Of an image, in focal lengths: 179.8 degrees of a pin-hole view, 360 degrees of a fisheye.
_MAX_WIDTHS = {model: 1000.0 for model in DistortionModel} | {
    DistortionModel.EQUIDISTANT: 2 * math.pi
}
_LENGTHS = {
    DistortionModel.PLUMB_BOB: (4, 5),
    DistortionModel.RATIONAL_POLYNOMIAL: (8, 12, 14),
    DistortionModel.EQUIDISTANT: (4,),
}
_NAMES = {
    **{model.value: model for model in DistortionModel},
    'fisheye': DistortionModel.EQUIDISTANT,
}
_NO_DISTORTION = ('', 'none')  # models of a CameraInfo without D
_FISHEYE_USED = math.radians(70)  # from the axis; the pin-hole view of a fisheye sees no more
_ELSE = 'undistort in the driver and say `rectified: true`'


@dataclass(frozen=True)
class Intrinsics:
    """A camera without its pose.

    Attributes:
        width, height: of the images these numbers are for.
        matrix: (3, 3) float64 pixels.
        distortion: plumb_bob (5,), rational_polynomial (8, 12 or 14) or equidistant (4,);
            empty when there is none.
        distortion_model: what they are coefficients of.
    """

    width: int
    height: int
    matrix: np.ndarray
    distortion: np.ndarray
    distortion_model: DistortionModel = DistortionModel.PLUMB_BOB

    def for_size(self, width: int, height: int) -> Intrinsics:
        """The same, once it is checked that images of this size fit.

        Raises:
            SensorDataError: 'calibration'.
        """
        if (width, height) != (self.width, self.height):
            raise SensorDataError(
                'calibration',
                'image size',
                f'{self.width} x {self.height} as in CameraInfo',
                f'{width} x {height}',
            )
        return self


def read_camera_info(message: CameraInfo, rectified: bool) -> Intrinsics:
    """sensor_msgs/CameraInfo -> intrinsics of the images it comes with.

    Args:
        message: CameraInfo; its binning and region of interest are applied.
        rectified: the images are free of distortion: P counts and D does not; else K and D.

    Raises:
        SensorDataError: 'calibration'.
    """
    width, height = int(message.width), int(message.height)
    if not (1 <= width <= 65535 and 1 <= height <= 65535):
        raise _refused('a size', f'{width} x {height}')
    k = np.asarray(message.k, dtype=np.float64)
    p = np.asarray(message.p, dtype=np.float64)
    if k.shape != (9,) or p.shape != (12,):
        raise _refused('9 numbers in K and 12 in P', f'{k.shape} and {p.shape}')
    if k[0] == 0:
        raise _refused('a calibrated camera', 'K[0] == 0, which means uncalibrated')
    matrix = k.reshape(3, 3)
    if rectified:
        model, distortion = DistortionModel.PLUMB_BOB, np.zeros(0)
        if p[0] != 0:
            matrix = p.reshape(3, 4)[:, :3]
    else:
        model, distortion = _read_distortion(message)
    matrix, width, height = _crop_and_bin(message, matrix.copy(), width, height)
    _check_matrix(matrix, width, height, model)
    return Intrinsics(width, height, matrix, distortion, model)


def _refused(expected: str, got: str) -> SensorDataError:
    return SensorDataError('calibration', 'CameraInfo', expected, got)


def _read_distortion(message: CameraInfo) -> tuple[DistortionModel, np.ndarray]:
    name, length = str(message.distortion_model), len(message.d)
    if length > 14:
        raise _refused('at most 14 distortion coefficients', str(length))
    values = np.asarray(message.d, dtype=np.float64)
    if name.lower() in _NO_DISTORTION and not values.any():  # NaN counts as true
        return DistortionModel.PLUMB_BOB, np.zeros(0)
    model = _NAMES.get(name.lower())
    if model is None:
        got = f'{clean_text(name)!r} with {length} numbers'
        raise _refused(f'a distortion model of {sorted(_NAMES)}; for any other, {_ELSE}', got)
    return model, _check_distortion(model, values)


def _check_distortion(model: DistortionModel, values: np.ndarray) -> np.ndarray:
    """The coefficients as OpenCV takes them; empty where there is no distortion.

    A fisheye keeps its zeros: it is none of a pin-hole camera without them.
    """
    is_fisheye = model is DistortionModel.EQUIDISTANT
    if not is_fisheye and not values.any():  # NaN counts as true
        return np.zeros(0)
    if len(values) not in _LENGTHS[model]:
        lengths = ', '.join(map(str, _LENGTHS[model]))
        raise _refused(f'D to fit {model.value}: {lengths} numbers', f'{len(values)} numbers')
    if not (np.abs(values) < 1e4).all():
        raise _refused('finite distortion coefficients', str(values[:5]))
    if is_fisheye:
        angles = np.linspace(0, _FISHEYE_USED, 71)
        bent = angles * (1 + np.polyval([*values[::-1], 0.0], angles**2))
        if np.diff(bent).min() <= 0:
            raise _refused(
                'D that keeps angles in order up to 70 degrees from the axis', str(values)
            )
    is_short = model is DistortionModel.PLUMB_BOB and len(values) == 4
    return np.append(values, 0.0) if is_short else values


def _crop_and_bin(
    message: CameraInfo, matrix: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, int, int]:
    """Apply CameraInfo's region of interest, then its binning (the order of image_geometry)."""
    roi = message.roi
    if roi.width and roi.height:
        if roi.x_offset + roi.width > width or roi.y_offset + roi.height > height:
            raise _refused(
                'a region of interest inside the image',
                f'{roi.width} x {roi.height} at {roi.x_offset}, {roi.y_offset}',
            )
        matrix[0, 2] -= roi.x_offset
        matrix[1, 2] -= roi.y_offset
        width, height = int(roi.width), int(roi.height)
    bin_x, bin_y = max(1, int(message.binning_x)), max(1, int(message.binning_y))
    if bin_x > width or bin_y > height:
        raise _refused('binning smaller than the image', f'{bin_x} x {bin_y}')
    matrix[0] /= bin_x
    matrix[1] /= bin_y
    return matrix, width // bin_x, height // bin_y


def _check_matrix(
    matrix: np.ndarray, width: int, height: int, model: DistortionModel = DistortionModel.PLUMB_BOB
) -> None:
    if not np.isfinite(matrix).all():
        raise _refused('finite intrinsics', 'NaN or infinity')
    fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    widths = _MAX_WIDTHS[model]
    if not (width / widths < fx < _MAX_FOCAL and height / widths < fy < _MAX_FOCAL):
        raise _refused(
            f'positive focal lengths that fit {model.value} ({width / widths:.4g} pixels or more)',
            f'{fx:.4g}, {fy:.4g}',
        )
    if abs(matrix[0, 1]) > fx:
        raise _refused('axes that are about square', f'skew {matrix[0, 1]:.4g}')
    if not (-width < cx < 2 * width and -height < cy < 2 * height):
        raise _refused('a principal point near the image', f'{cx:.4g}, {cy:.4g}')
    if abs(matrix[2] - (0, 0, 1)).max() > 1e-6 or matrix[1, 0] != 0:
        raise _refused('a pin-hole matrix (last row 0 0 1)', str(matrix[2]))


def fixed_intrinsics(camera: CameraConfig) -> Intrinsics | None:
    """The intrinsics of the rig file, None when it gives none.

    Raises:
        ConfigError: if they are no calibration.
    """
    given = camera.intrinsics
    if given is None:
        return None
    where = f'rig.cameras.{camera.name}.intrinsics'
    if camera.rectified and any(given.distortion):
        raise ConfigError(
            f'{where}.distortion',
            'none with `rectified: true`',
            f'{len(given.distortion)} numbers',
            'leave out the one or the other',
        )
    if not (1 <= given.width <= 65535 and 1 <= given.height <= 65535):
        raise ConfigError(where, 'width and height in 1..65535', f'{given.width}, {given.height}')
    matrix = _numbers(f'{where}.matrix', given.matrix, 3)
    model, distortion = given.distortion_model, np.zeros(0)
    try:
        if camera.rectified:
            model = DistortionModel.PLUMB_BOB
        else:
            distortion = _check_distortion(model, np.asarray(given.distortion, np.float64))
        _check_matrix(matrix, given.width, given.height, model)
    except SensorDataError as error:
        raise ConfigError(where, error.expected, error.got, 'correct the rig file') from error
    return Intrinsics(given.width, given.height, matrix, distortion, model)


def fixed_pose(where: str, values: ArrayLike) -> np.ndarray:
    """(4, 4) float64 rigid transform of 16 row-major numbers.

    Raises:
        ConfigError: if it is not rigid.
    """
    pose = _numbers(where, values, 4)
    rotation = pose[:3, :3]
    if (
        np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3
        or np.linalg.det(rotation) < 0
        or np.abs(pose[3] - (0, 0, 0, 1)).max() > 1e-9
    ):
        raise ConfigError(where, 'a rigid transform', str(pose.tolist()), 'correct the rig file')
    return pose


def _numbers(where: str, values: ArrayLike, size: int) -> np.ndarray:
    try:
        matrix = np.asarray(values, dtype=np.float64).reshape(size, size)
    except (TypeError, ValueError) as error:
        raise ConfigError(where, f'{size * size} numbers', str(error)) from error
    if not np.isfinite(matrix).all():
        raise ConfigError(where, 'finite numbers', str(values))
    return matrix
