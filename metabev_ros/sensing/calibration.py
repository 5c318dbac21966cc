"""CameraInfo to intrinsics, with everything that cannot be trusted refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metabev_ros.config import CameraConfig
from metabev_ros.errors import ConfigError, SensorDataError, clean_text
from metabev_ros.sensing.messages import CameraInfo

_MAX_FOCAL = 1e6
_MAX_WIDTHS = 1000.0  # of an image in focal lengths: 179.8 degrees
# distortion model: allowed lengths of D; both are one polynomial family in OpenCV
_DISTORTION_LENGTHS = {'': (0,), 'plumb_bob': (0, 4, 5), 'rational_polynomial': (8,)}


@dataclass(frozen=True)
class Intrinsics:
    """A camera without its pose.

    Attributes:
        width, height: of the images these numbers are for.
        matrix: (3, 3) float64 pixels.
        distortion: plumb_bob (5,) or rational (8,); empty when there is none.
    """

    width: int
    height: int
    matrix: np.ndarray
    distortion: np.ndarray

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

    def halved(self) -> Intrinsics:
        """For an image decoded at half size; pixel centres have integer coordinates."""
        matrix = self.matrix.copy()
        matrix[:2] *= 0.5
        matrix[:2, 2] -= 0.25
        return Intrinsics(-(-self.width // 2), -(-self.height // 2), matrix, self.distortion)


def read_camera_info(message: CameraInfo, rectified: bool) -> Intrinsics:
    """sensor_msgs/CameraInfo -> intrinsics of the images it comes with.

    Args:
        message: CameraInfo; its binning and region of interest are applied.
        rectified: the images are rectified (topic `image_rect...`): P counts and D does not;
            else K and D.

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
    distortion = _read_distortion(message)
    matrix = k.reshape(3, 3)
    if rectified:
        distortion = np.zeros(0)
        if p[0] != 0:
            matrix = p.reshape(3, 4)[:, :3]
    matrix, width, height = _crop_and_bin(message, matrix.copy(), width, height)
    _check_matrix(matrix, width, height)
    return Intrinsics(width, height, matrix, distortion)


def _refused(expected: str, got: str) -> SensorDataError:
    return SensorDataError('calibration', 'CameraInfo', expected, got)


def _read_distortion(message: CameraInfo) -> np.ndarray:
    model, length = str(message.distortion_model), len(message.d)
    if length > 14:
        raise _refused('at most 14 distortion coefficients', str(length))
    distortion = np.asarray(message.d, dtype=np.float64)
    if not distortion.any():  # false for NaN: NaN counts as true
        return np.zeros(0)
    if length not in _DISTORTION_LENGTHS.get(model, ()):
        raise _refused(
            f'D to fit one of {sorted(filter(None, _DISTORTION_LENGTHS))}',
            f'{clean_text(model)} with {length} numbers',
        )
    if not (np.abs(distortion) < 1e4).all():
        raise _refused('finite distortion coefficients', str(distortion[:5]))
    return np.append(distortion, 0.0) if length == 4 else distortion


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


def _check_matrix(matrix: np.ndarray, width: int, height: int) -> None:
    if not np.isfinite(matrix).all():
        raise _refused('finite intrinsics', 'NaN or infinity')
    fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    if not (width / _MAX_WIDTHS < fx < _MAX_FOCAL and height / _MAX_WIDTHS < fy < _MAX_FOCAL):
        raise _refused('positive focal lengths', f'{fx:.4g}, {fy:.4g}')
    if abs(matrix[0, 1]) > fx:
        raise _refused('axes that are about square', f'skew {matrix[0, 1]:.4g}')
    if not (-width < cx < 2 * width and -height < cy < 2 * height):
        raise _refused('a principal point near the image', f'{cx:.4g}, {cy:.4g}')
    if abs(matrix[2] - (0, 0, 1)).max() > 1e-6 or matrix[1, 0] != 0:
        raise _refused('a pin-hole matrix (last row 0 0 1)', str(matrix[2]))


def fixed_calibration(camera: CameraConfig) -> tuple[Intrinsics, np.ndarray] | None:
    """(intrinsics, (4, 4) ego_from_camera) of the rig file, None when it gives none.

    Raises:
        ConfigError: if what it gives is incomplete or no calibration.
    """
    if camera.calibration is None:
        return None
    where = f'rig.cameras.{camera.name}.calibration'
    keys = {'width', 'height', 'intrinsics', 'ego_from_camera'}
    if set(camera.calibration) != keys:
        raise ConfigError(where, f'the keys {sorted(keys)}', f'{sorted(camera.calibration)}')
    width, height = camera.calibration['width'], camera.calibration['height']
    matrix = _numbers(f'{where}.intrinsics', camera.calibration['intrinsics'], 3)
    try:
        _check_matrix(matrix, width, height)
    except SensorDataError as error:
        raise ConfigError(where, error.expected, error.got, 'correct the rig file') from error
    pose = fixed_pose(f'{where}.ego_from_camera', camera.calibration['ego_from_camera'])
    return Intrinsics(width, height, matrix, np.zeros(0)), pose


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
