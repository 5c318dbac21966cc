"""The Kalman filter of many tracks at once: constant velocity over ground, a height that wanders.

State: x, y, z, vx, vy in a frame at rest. Bar-Shalom, Li and Kirubarajan, Estimation with
Applications to Tracking and Navigation (2001): the model is that of section 6.2.2 (white noise
acceleration), the correction that of section 5.2 in Joseph's form, which keeps covariances
positive. AB3DMOT (Weng et al., IROS 2020) has the same model.
"""

from __future__ import annotations

import numpy as np

STATE, MEASURED = 5, 3
_POSITION, _VELOCITY = np.array([0, 1]), np.array([3, 4])


def predict(
    mean: np.ndarray, covariance: np.ndarray, seconds: float, density: np.ndarray, climb: float
) -> tuple[np.ndarray, np.ndarray]:
    """Places of N objects later.

    Args:
        mean: (N, 5).
        covariance: (N, 5, 5).
        seconds: 0 or more.
        density: (N,) of the acceleration's noise, m2/s3.
        climb: of the height's noise, m2/s.

    Returns:
        Mean and covariance then. Two steps give what one of their sum gives.
    """
    step = np.eye(STATE)
    step[_POSITION, _VELOCITY] = seconds
    grown = step @ covariance @ step.T
    for place, speed in zip(_POSITION, _VELOCITY, strict=True):
        grown[:, place, place] += density * seconds**3 / 3
        grown[:, place, speed] += density * seconds**2 / 2
        grown[:, speed, place] += density * seconds**2 / 2
        grown[:, speed, speed] += density * seconds
    grown[:, 2, 2] += climb * seconds
    return mean @ step.T, grown


def correct(
    mean: np.ndarray, covariance: np.ndarray, measured: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """N states after a measured position each.

    Args:
        mean: (N, 5).
        covariance: (N, 5, 5).
        measured: (N, 3) x, y, z.
        noise: (N, 3, 3) its covariance, positive.

    Returns:
        Mean and covariance, (N, 5) and (N, 5, 5).
    """
    seen = covariance[:, :, :MEASURED]
    gain = seen @ np.linalg.inv(covariance[:, :MEASURED, :MEASURED] + noise)
    innovation = measured - mean[:, :MEASURED]
    corrected = mean + np.einsum('nij,nj->ni', gain, innovation)
    kept = np.tile(np.eye(STATE), (len(mean), 1, 1))
    kept[:, :, :MEASURED] -= gain
    turned = np.swapaxes
    spread = kept @ covariance @ turned(kept, 1, 2) + gain @ noise @ turned(gain, 1, 2)
    return corrected, (spread + turned(spread, 1, 2)) / 2
