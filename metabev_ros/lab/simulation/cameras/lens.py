"""Directions in which the pixels of any lens look."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from metabev_ros.lab.datasets.synthetic.lens import pixel_rays
from metabev_ros.lab.simulation.rays import tiles_of_grid
from metabev_ros.lab.simulation.visibility import RayTiles
from metabev_ros.structures import CameraCalibration, DistortionModel


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
