"""Noise of the boxes of each branch, set near what `benchmark/tracking.py` measures of a model.

Cameras see where an object is to the left and right, and guess how far away: their error lies
along the ray and grows with the distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.structures import Modality


@dataclass(frozen=True)
class BoxNoise:
    """Deviations of a box of one branch.

    Attributes:
        along, along_share: metres along the ray from the ego, and their share of the distance.
        across, across_share: the same across the ray.
        height: metres, of z.
        yaw: radians.
    """

    along: float
    along_share: float
    across: float
    across_share: float
    height: float
    yaw: float

    def __post_init__(self) -> None:
        for name in ('along', 'across', 'height', 'yaw'):
            value = getattr(self, name)
            require(0 < value <= 100, f'BoxNoise.{name}', 'in (0, 100]', value)
        for name in ('along_share', 'across_share'):
            value = getattr(self, name)
            require(0 <= value <= 1, f'BoxNoise.{name}', '0..1', value)

    def covariances(self, positions: np.ndarray) -> np.ndarray:
        """Covariances of centres.

        Args:
            positions: (M, 3) metres in the ego frame.

        Returns:
            (M, 3, 3) float64 of x, y, z in the ego frame, square metres.
        """
        reach = np.hypot(positions[:, 0], positions[:, 1])
        along = (self.along + self.along_share * reach) ** 2
        across = (self.across + self.across_share * reach) ** 2
        angle = np.arctan2(positions[:, 1], positions[:, 0])
        c, s = np.cos(angle), np.sin(angle)
        made = np.zeros((len(positions), 3, 3))
        made[:, 0, 0] = along * c * c + across * s * s
        made[:, 1, 1] = along * s * s + across * c * c
        made[:, 0, 1] = made[:, 1, 0] = (along - across) * c * s
        made[:, 2, 2] = self.height**2
        return made


_WITH_LIDAR = BoxNoise(0.25, 0.005, 0.2, 0.005, 0.2, 0.2)
BOX_NOISE = {
    Modality.FUSED: _WITH_LIDAR,
    Modality.LIDAR: _WITH_LIDAR,
    Modality.CAMERA: BoxNoise(0.5, 0.05, 0.3, 0.02, 0.3, 0.4),
}
