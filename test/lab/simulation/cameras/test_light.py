"""Weather of a drive, its sky, and the response of its cameras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.synthetic.config import Weather
from metabev_ros.lab.simulation.cameras.light import draw_light
from metabev_ros.lab.simulation.cameras.optics import develop
from metabev_ros.lab.simulation.cameras.sky import sky


def test_every_weather_is_drawn_and_a_fixed_one_is_kept() -> None:
    rng = np.random.default_rng(0)
    drawn = {draw_light(rng).weather for _ in range(200)}
    assert drawn == set(Weather) - {Weather.BY_SEED}
    assert draw_light(rng, Weather.RAIN).rain > 0
    assert draw_light(rng, Weather.SUNNY).lamps == 0


def test_the_sky_is_brightest_where_the_sun_is() -> None:
    light = replace(draw_light(np.random.default_rng(1), Weather.SUNNY), cover=0.0)
    aside = np.cross(light.sun, [0, 0, 1])
    aside /= np.linalg.norm(aside)
    look = np.stack([light.sun, 0.98 * light.sun + 0.2 * aside, -light.sun * (1, 1, -1)])
    bright = sky(look.astype(np.float32), light).mean(1)
    assert bright[0] > 5 * bright[1] > 5 * bright[2] * 0.2
    assert bright[1] > bright[2]


def test_light_that_cannot_be_is_refused() -> None:
    light = draw_light(np.random.default_rng(2), Weather.OVERCAST)
    with pytest.raises(ConfigError, match=r'light\.wet'):
        replace(light, wet=1.5)
    with pytest.raises(ConfigError, match=r'light\.sun'):
        replace(light, sun=np.array([0, 0, 2.0]))


def test_noise_grows_with_the_gain() -> None:
    light = draw_light(np.random.default_rng(3), Weather.OVERCAST)
    make = replace(light.character, exposure=1.0, sharpen=0.0, dirt=0, vignette=0.0, blur=0.0)
    light = replace(light, character=make)
    spread = [
        develop(np.full((90, 160, 3), level, np.float32), light, np.random.default_rng(0)).std()
        for level in (0.4, 0.01)
    ]
    assert spread[1] > 1.5 * spread[0]
