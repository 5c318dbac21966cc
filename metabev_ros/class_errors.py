"""Measured errors of the boxes of one class."""

from __future__ import annotations

import math
from dataclasses import dataclass

from metabev_ros.errors import ConfigError


@dataclass(frozen=True)
class ClassErrors:
    """Measured errors of a class in one branch: root mean squares over its true boxes.

    Attributes:
        boxes: how many there were.
        position: metres along x and along y.
        height: metres along z.
        yaw: radians.
        velocity: metres a second along x and along y; None where no truth had a velocity.
    """

    boxes: int
    position: float
    height: float
    yaw: float
    velocity: float | None = None

    def __post_init__(self) -> None:
        numbers = (self.position, self.height, self.yaw, self.velocity)
        if self.boxes < 1 or not all(0 < n < math.inf for n in numbers if n is not None):
            raise ConfigError(
                'ClassErrors', 'at least one box, finite errors above zero', str(self)
            )
