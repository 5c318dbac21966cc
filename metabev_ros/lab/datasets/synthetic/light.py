"""Weather and time of day, drawn for a whole drive."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.camera import Light
from metabev_ros.lab.datasets.synthetic.config import Weather

# direct, ambient, shadow, sky top, sky low, haze range, gain, noise, windows
_KINDS = {
    Weather.SUNNY: (
        0.55,
        0.55,
        0.50,
        (92, 142, 208),
        (190, 212, 232),
        420.0,
        1.0,
        2.0,
        (70, 90, 110),
    ),
    Weather.OVERCAST: (
        0.10,
        0.80,
        0.72,
        (172, 178, 186),
        (206, 208, 210),
        260.0,
        0.92,
        2.5,
        (80, 88, 96),
    ),
    Weather.DUSK: (
        0.25,
        0.55,
        0.65,
        (88, 86, 122),
        (226, 160, 112),
        300.0,
        0.68,
        4.0,
        (120, 100, 70),
    ),
    Weather.NIGHT: (
        0.08,
        0.66,
        0.75,
        (16, 18, 34),
        (44, 44, 60),
        220.0,
        0.52,
        6.0,
        (230, 190, 110),
    ),
    Weather.RAIN: (
        0.04,
        0.72,
        0.80,
        (140, 146, 152),
        (168, 172, 176),
        110.0,
        0.80,
        3.5,
        (70, 76, 84),
    ),
}


def draw_light(rng: np.random.Generator, weather: Weather) -> Light:
    """The light of one drive; BY_SEED draws the kind too."""
    kinds = list(_KINDS)
    drawn = kinds[int(rng.choice(len(kinds), p=[0.34, 0.26, 0.14, 0.12, 0.14]))]
    kind = drawn if weather is Weather.BY_SEED else weather
    direct, ambient, shadow, top, low, haze, gain, noise, windows = _KINDS[kind]
    yaw, rise = rng.uniform(-np.pi, np.pi), np.deg2rad(rng.uniform(25, 65))
    if kind is Weather.DUSK:
        rise = np.deg2rad(rng.uniform(8, 20))
    sun = np.array([np.cos(yaw) * np.cos(rise), np.sin(yaw) * np.cos(rise), np.sin(rise)])
    tint = rng.uniform(0.94, 1.06, 3) * rng.uniform(0.88, 1.1)
    return Light(
        sun,
        direct,
        ambient,
        shadow,
        np.array(top, dtype=np.float64),
        np.array(low, dtype=np.float64),
        haze * rng.uniform(0.7, 1.4),
        gain * tint,
        noise * rng.uniform(0.7, 1.3),
        np.array(windows, dtype=np.float32),
    )
