"""LiDARs that are built: their beams, columns, reach and what they do to an echo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config.yaml import require


@dataclass(frozen=True)
class LidarModel:
    """One kind of spinning LiDAR.

    Attributes:
        name: the kind that it is like.
        elevations: degrees of the beams, rising; beam 0 is ring 0.
        azimuths: columns of a revolution.
        rate_hz: revolutions a second that it is mostly run at.
        reach: metres to a surface that scatters a tenth of the light, at which half the rays
            come back.
        nearest: metres below which nothing is given.
        noise: standard deviation of the range, metres.
        gain: factor on the intensity; gamma: exponent on its share of 255.
        falloff: exponent of 10 m over the range on the intensity; 0 where the sensor makes up
            for the range.
        beam: radians between the edges of a ray: at an edge it sees two surfaces.
    """

    name: str
    elevations: tuple[float, ...]
    azimuths: int
    rate_hz: float = 10.0
    reach: float = 90.0
    nearest: float = 1.0
    noise: float = 0.02
    gain: float = 1.0
    gamma: float = 1.0
    falloff: float = 0.0
    beam: float = 0.003

    def __post_init__(self) -> None:
        rising = np.all(np.diff(self.elevations) > 0)
        require(bool(rising), f'lidar.{self.name}', 'elevations that rise', self.elevations)
        require(self.azimuths >= 36, f'lidar.{self.name}', 'at least 36 columns', self.azimuths)

    @property
    def beams(self) -> int:
        """Number of beams."""
        return len(self.elevations)


def _even(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(float(v) for v in np.linspace(low, high, count))


def _spread(*parts: tuple[float, float, int]) -> tuple[float, ...]:
    """Beams in bands (low, high, count), each without its upper end but for the last."""
    beams: list[float] = []
    for k, (low, high, count) in enumerate(parts):
        last = k == len(parts) - 1
        beams += [float(v) for v in np.linspace(low, high, count, endpoint=last)]
    return tuple(beams)


# Two LiDARs of 32 uneven beams, one above the other and one upside down, as one cloud.
_UNEVEN_32 = (
    -25.0, -15.639, -11.31, -8.843, -7.254, -6.148, -5.333, -4.667, -4.0, -3.667, -3.333, -3.0,
    -2.667, -2.333, -2.0, -1.667, -1.333, -1.0, -0.667, -0.333, 0.0, 0.333, 0.667, 1.0, 1.333,
    1.667, 2.333, 3.333, 4.667, 7.0, 10.333, 15.0,
)  # fmt: skip

LIDAR_MODELS: tuple[LidarModel, ...] = (
    LidarModel('16 beams', _even(-15, 15, 16), 1800, 10.0, 70.0, 0.9, 0.02),
    LidarModel('32 beams, low', _even(-30.67, 10.67, 32), 1084, 20.0, 75.0, 1.0, 0.02),
    LidarModel('32 beams, uneven', _UNEVEN_32, 1800, 10.0, 90.0, 1.0, 0.02),
    LidarModel(
        '64 beams, two blocks',
        _spread((-24.33, -8.83, 32), (-8.33, 2.0, 32)),
        2048,
        10.0,
        90.0,
        1.5,
        0.015,
    ),
    LidarModel(
        '2 x 32 beams, uneven',
        tuple(sorted((*_UNEVEN_32, *(0.17 - v for v in _UNEVEN_32)))),
        1800,
        10.0,
        90.0,
        1.0,
        0.02,
    ),
    LidarModel('64 beams, even', _even(-22.5, 22.5, 64), 1024, 10.0, 70.0, 0.5, 0.025),
    LidarModel(
        '64 beams, dense horizon',
        _spread((-25, -14, 4), (-14, -6, 8), (-6, 2, 48), (2, 15, 4)),
        1800,
        10.0,
        110.0,
        0.5,
        0.02,
    ),
    LidarModel('128 beams, even', _even(-22.5, 22.5, 128), 1024, 10.0, 80.0, 0.5, 0.02),
    LidarModel(
        '128 beams, dense horizon',
        _spread((-25, -10, 12), (-10, -6, 12), (-6, 3, 88), (3, 15, 16)),
        1800,
        10.0,
        130.0,
        0.5,
        0.015,
    ),
)
