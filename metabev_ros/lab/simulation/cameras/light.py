"""Weather and time of day of a drive, as its cameras see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.lab.datasets.synthetic.config import Weather
from metabev_ros.lab.simulation.cameras.character import Character, draw_character

_SHARES = {
    Weather.SUNNY: 0.36,
    Weather.OVERCAST: 0.24,
    Weather.DUSK: 0.12,
    Weather.NIGHT: 0.14,
    Weather.RAIN: 0.14,
}
_FOGGY = 0.15  # share of overcast drives


@dataclass(frozen=True)
class Light:
    """Light, air and water of a drive, and the make of its cameras.

    Light is linear: 1 is about a white wall under a bright overcast sky.

    Attributes:
        weather: what was drawn.
        sun: (3,) float32 unit vector towards the sun (at night the moon), world frame.
        sun_colour: (3,) float32 light of the sun on a surface at right angles to it.
        softness: radians that the sun is wide, as its shadows show.
        zenith, horizon: (3,) float32 colours of the sky.
        cover: share of the sky under clouds, 0..1; thickness: how grey these are, 0..1.
        cloud_seed: which clouds.
        haze: metres to 63 % haze.
        wet: share of the ground that mirrors, 0..1; rain: strength of falling rain, 0..1.
        lamps: light of street lamps and headlights, 0 by day.
        lit: share of windows with light behind them, 0..1.
        character: what the cameras make of it.
    """

    weather: Weather
    sun: np.ndarray
    sun_colour: np.ndarray
    softness: float
    zenith: np.ndarray
    horizon: np.ndarray
    cover: float
    thickness: float
    cloud_seed: float
    haze: float
    wet: float
    rain: float
    lamps: float
    lit: float
    character: Character

    def __post_init__(self) -> None:
        require(0 <= self.wet <= 1, 'light.wet', 'between 0 and 1', self.wet)
        require(0 <= self.rain <= 1, 'light.rain', 'between 0 and 1', self.rain)
        require(self.haze > 1, 'light.haze', 'more than 1 m', self.haze)
        require(abs(float(np.linalg.norm(self.sun)) - 1) < 1e-3, 'light.sun', 'length 1', self.sun)

    @property
    def ambient(self) -> np.ndarray:
        """(3,) float32 light of the whole sky on a level surface."""
        clear = 0.55 * self.zenith + 0.45 * self.horizon
        grey = self.cloud_colour
        return (clear * (1 - 0.7 * self.cover) + grey * 0.7 * self.cover).astype(np.float32)

    @property
    def cloud_colour(self) -> np.ndarray:
        """(3,) float32 colour of the lit side of clouds."""
        grey = self.horizon.mean() * np.ones(3, np.float32)
        return (grey * 0.9 + 0.22 * self.sun_colour).astype(np.float32)


def draw_light(rng: np.random.Generator, weather: Weather | None = None) -> Light:
    """The light of one drive.

    Args:
        weather: fixed, or drawn where it is None or `BY_SEED`.
    """
    kinds = list(_SHARES)
    drawn = kinds[int(rng.choice(len(kinds), p=list(_SHARES.values())))]
    kind = drawn if weather in (None, Weather.BY_SEED) else weather
    make = {
        Weather.SUNNY: _sunny,
        Weather.OVERCAST: _overcast,
        Weather.DUSK: _dusk,
        Weather.NIGHT: _night,
        Weather.RAIN: _rain,
    }[kind]
    return make(rng)


def _towards(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    yaw, rise = rng.uniform(-np.pi, np.pi), np.deg2rad(rng.uniform(low, high))
    return np.array(
        [np.cos(yaw) * np.cos(rise), np.sin(yaw) * np.cos(rise), np.sin(rise)], np.float32
    )


def _rgb(values: tuple[float, float, float], scale: float = 1.0) -> np.ndarray:
    return np.array(values, np.float32) * np.float32(scale)


def _sunny(rng: np.random.Generator) -> Light:
    sun = _towards(rng, 22, 70)
    warm = float(np.clip(1.6 - sun[2] * 1.4, 0.25, 1.0))
    clear = rng.uniform(0, 1)
    return Light(
        Weather.SUNNY,
        sun,
        _rgb((1.0, 0.95 - 0.07 * warm, 0.88 - 0.22 * warm), rng.uniform(2.1, 2.9)),
        np.deg2rad(0.15),
        _rgb((0.22, 0.42, 0.85), rng.uniform(0.65, 0.9)),
        _rgb((0.78, 0.9, 1.05), rng.uniform(0.85, 1.15)),
        float(rng.uniform(0.1, 0.7)) if clear > 0.2 else 0.05,
        rng.uniform(0.1, 0.6),
        rng.uniform(0, 1000),
        np.exp(rng.uniform(np.log(500), np.log(3000))),
        float(rng.uniform(0.2, 0.6)) if rng.uniform() < 0.08 else 0.0,  # after a shower
        0.0,
        0.0,
        0.03,
        draw_character(rng),
    )


def _overcast(rng: np.random.Generator) -> Light:
    haze = np.exp(rng.uniform(np.log(250), np.log(1500)))
    if rng.uniform() < _FOGGY:
        haze = rng.uniform(45, 130)
    cool = rng.uniform(0.94, 1.04)
    return Light(
        Weather.OVERCAST,
        _towards(rng, 30, 70),
        _rgb((1.0, 0.98, 0.95), rng.uniform(0.0, 0.35)),
        np.deg2rad(9.0),
        _rgb((0.78 * cool, 0.82, 0.88), rng.uniform(0.7, 1.0)),
        _rgb((0.95 * cool, 0.97, 1.0), rng.uniform(0.85, 1.1)),
        rng.uniform(0.85, 1.0),
        rng.uniform(0.3, 0.9),
        rng.uniform(0, 1000),
        haze,
        float(rng.uniform(0.1, 0.5)) if rng.uniform() < 0.2 else 0.0,
        0.0,
        0.15 if rng.uniform() < 0.3 else 0.0,
        0.1,
        draw_character(rng),
    )


def _dusk(rng: np.random.Generator) -> Light:
    sun = _towards(rng, 2.5, 11)
    return Light(
        Weather.DUSK,
        sun,
        _rgb((1.0, 0.62, 0.32), rng.uniform(0.6, 1.4)),
        np.deg2rad(0.25),
        _rgb((0.2, 0.27, 0.48), rng.uniform(0.4, 0.7)),
        _rgb((1.0, 0.72, 0.52), rng.uniform(0.45, 0.7)),
        rng.uniform(0.2, 0.8),
        rng.uniform(0.2, 0.6),
        rng.uniform(0, 1000),
        np.exp(rng.uniform(np.log(250), np.log(1200))),
        0.0,
        0.0,
        rng.uniform(0.3, 0.8),
        rng.uniform(0.15, 0.4),
        draw_character(rng),
    )


def _night(rng: np.random.Generator) -> Light:
    raining = rng.uniform() < 0.25
    town = rng.uniform(0.5, 1.5)  # light that the sky throws back
    return Light(
        Weather.NIGHT,
        _towards(rng, 25, 70),
        _rgb((0.7, 0.8, 1.0), 0.004),
        np.deg2rad(0.15),
        _rgb((0.012, 0.014, 0.024), town * 0.2),
        _rgb((0.05, 0.042, 0.04), town * 0.22),
        rng.uniform(0.1, 0.9),
        0.6,
        rng.uniform(0, 1000),
        np.exp(rng.uniform(np.log(200), np.log(900))),
        float(rng.uniform(0.4, 0.9)) if raining else 0.0,
        float(rng.uniform(0.2, 0.8)) if raining else 0.0,
        1.0,
        rng.uniform(0.15, 0.45),
        draw_character(rng),
    )


def _rain(rng: np.random.Generator) -> Light:
    dark = rng.uniform(0.35, 0.8)
    return Light(
        Weather.RAIN,
        _towards(rng, 30, 70),
        _rgb((1.0, 1.0, 1.0), 0.03),
        np.deg2rad(9.0),
        _rgb((0.72, 0.77, 0.84), dark * 0.9),
        _rgb((0.86, 0.89, 0.94), dark),
        rng.uniform(0.9, 1.0),
        rng.uniform(0.5, 1.0),
        rng.uniform(0, 1000),
        np.exp(rng.uniform(np.log(150), np.log(700))),
        rng.uniform(0.45, 0.95),
        rng.uniform(0.25, 1.0),
        rng.uniform(0.3, 0.7),
        0.25,
        draw_character(rng),
    )
