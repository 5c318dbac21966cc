"""What the sensors of a vehicle give at one event, whichever world they are in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OWN = -2  # owner of the points on our own vehicle


@dataclass(frozen=True)
class View:
    """One image, and whom it shows.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        owner: (H, W) int32 track id of each pixel, -1 elsewhere.
        seen: track id -> (pixels that show the actor, pixels it would cover alone).
    """

    pixels: np.ndarray
    owner: np.ndarray
    seen: dict[int, tuple[int, int]]


@dataclass(frozen=True)
class Sweep:
    """Returns of one sweep in the order of its columns.

    Attributes:
        xyz: (P, 3) float32 in the LiDAR frame at the time of each point, metres.
        intensity: (P,) float32 0..255; lag: (P,) float32 seconds, at most 0.
        ring: (P,) uint16; owner: (P,) actor row, OWN on our own vehicle, -1 elsewhere.
    """

    xyz: np.ndarray
    intensity: np.ndarray
    lag: np.ndarray
    ring: np.ndarray
    owner: np.ndarray

    def counts(self, tracks: np.ndarray) -> dict[int, int]:
        """Track id -> points on the actor, of (M,) track ids of the rows; who has none is not."""
        found = np.bincount(self.owner[self.owner >= 0], minlength=len(tracks))
        return {int(tracks[k]): int(found[k]) for k in np.flatnonzero(found)}
