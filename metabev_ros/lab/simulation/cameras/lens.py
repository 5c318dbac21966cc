"""Directions in which the pixels of any lens look."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np

from metabev_ros.lab.simulation.rays import tiles_of_grid
from metabev_ros.lab.simulation.visibility import RayTiles
from metabev_ros.structures import CameraCalibration, DistortionModel

_HALF_SPHERE = np.deg2rad(89.0)  # a fisheye sees this far from its axis


@dataclass(frozen=True)
class Lens:
    """Directions in which pixels look, in the optical frame.

    Attributes:
        direction: (H, W, 3) float32 unit vectors through the pixels' centres.
        across, down: (H, W, 3) float32 change of the direction from one pixel to the next.
        angle: (H, W) float32 radians that a pixel is wide.
        valid: (H, W) bool where the lens has an image.
    """

    direction: np.ndarray
    across: np.ndarray
    down: np.ndarray
    angle: np.ndarray
    valid: np.ndarray

    @cached_property
    def tiles(self) -> RayTiles:
        """The rays of all pixels by tile."""
        direction = self.direction.reshape(-1, 3)
        height, width = self.valid.shape
        return RayTiles(np.zeros_like(direction), direction, tiles_of_grid(height, width))


def lens_of(camera: CameraCalibration) -> Lens:
    """The lens of a camera, wherever that is mounted; kept from call to call."""
    return _lens(
        camera.width,
        camera.height,
        camera.intrinsics.astype(np.float64).tobytes(),
        np.asarray(camera.distortion, np.float64).tobytes(),
        camera.distortion_model,
    )


@lru_cache(maxsize=32)
def _lens(
    width: int, height: int, intrinsics: bytes, distortion: bytes, model: DistortionModel
) -> Lens:
    matrix = np.frombuffer(intrinsics, np.float64).reshape(3, 3)
    camera = CameraCalibration(
        width, height, matrix, np.eye(4), np.frombuffer(distortion, np.float64), model
    )
    rays, valid = pixel_rays(camera)
    rays[~valid] = (0.0, 0.0, 1.0)
    down = np.gradient(rays, axis=0) if height > 1 else np.zeros_like(rays)
    across = np.gradient(rays, axis=1) if width > 1 else np.zeros_like(rays)
    angle = np.sqrt(np.linalg.norm(across, axis=-1) * np.linalg.norm(down, axis=-1))
    return Lens(
        rays.astype(np.float32),
        across.astype(np.float32),
        down.astype(np.float32),
        angle.astype(np.float32),
        valid,
    )


def _is_fisheye(camera: CameraCalibration) -> bool:
    return camera.distortion_model is DistortionModel.EQUIDISTANT and len(camera.distortion) == 4


def pixel_rays(camera: CameraCalibration) -> tuple[np.ndarray, np.ndarray]:
    """Directions in which the pixels look.

    Returns:
        (H, W, 3) float64 unit vectors in the optical frame, and (H, W) bool where the lens has
        an image: within half a sphere, and where its polynomial can be undone.
    """
    u, v = np.meshgrid(np.arange(camera.width, dtype=float), np.arange(camera.height, dtype=float))
    pixels = np.stack([u, v], axis=-1)
    if _is_fisheye(camera):
        return _fisheye_rays(camera, pixels)
    shape = (camera.height, camera.width)
    if not np.any(camera.distortion):
        places = pixels.reshape(-1, 2)
        y = (places[:, 1] - camera.intrinsics[1, 2]) / camera.intrinsics[1, 1]
        x = places[:, 0] - camera.intrinsics[0, 2] - camera.intrinsics[0, 1] * y
        rays = np.stack([x / camera.intrinsics[0, 0], y, np.ones_like(y)], axis=-1)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        return rays.reshape(*shape, 3), np.ones(shape, dtype=bool)
    flat = pixels.reshape(-1, 1, 2)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-9)
    places = cv2.undistortPoints(
        flat, camera.intrinsics, camera.distortion, R=np.eye(3), P=np.eye(3), criteria=stop
    ).reshape(-1, 2)
    rays = np.concatenate([places, np.ones((len(places), 1))], axis=1)
    back, _ = cv2.projectPoints(
        rays, np.zeros(3), np.zeros(3), camera.intrinsics, camera.distortion
    )
    error = np.abs(back.reshape(-1, 2) - flat.reshape(-1, 2)).max(1)
    valid = np.isfinite(error) & (error < 0.1) & (np.abs(places).max(1) < 20)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return rays.reshape(*shape, 3), valid.reshape(shape)


def _fisheye_rays(camera: CameraCalibration, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kannala and Brandt's model as OpenCV has it, undone by a table of its radii."""
    k = camera.intrinsics
    y = (pixels[..., 1] - k[1, 2]) / k[1, 1]
    x = (pixels[..., 0] - k[0, 2] - k[0, 1] * y) / k[0, 0]
    radius = np.hypot(x, y)
    angle = np.linspace(0, _HALF_SPHERE, 20_001)
    k1, k2, k3, k4 = camera.distortion
    square = angle**2
    bent = angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
    rising = int(np.argmax(np.append(np.diff(bent) <= 0, True)))  # beyond it the image folds
    theta = np.interp(radius, bent[: rising + 1], angle[: rising + 1])
    scale = np.where(radius > 0, np.sin(theta) / np.maximum(radius, 1e-12), 1.0)
    rays = np.stack([x * scale, y * scale, np.cos(theta)], axis=-1)
    return rays, radius <= bent[rising]
