"""The sky: a gradient, clouds, the sun and the glow around it."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.cameras.light import Light
from metabev_ros.lab.simulation.cameras.noise import noise

_SUN_COSINE = np.float32(np.cos(np.deg2rad(0.9)))
_SUN = np.float32(60.0)  # brightness of the disc against what it gives a surface
_OCTAVES = ((1.0, 0.5), (0.47, 0.27), (0.21, 0.15), (0.095, 0.08))


def sky(direction: np.ndarray, light: Light, disc: bool = True) -> np.ndarray:
    """(N, 3) float32 light from (N, 3) unit directions.

    Args:
        disc: with the sun itself, not only its glow.
    """
    up = direction[:, 2]
    low = np.exp(-np.maximum(up, 0) * np.float32(3.6))[:, None]
    colour = light.zenith + (light.horizon - light.zenith) * low
    towards = direction @ light.sun
    glow = np.exp((towards - 1) * np.float32(9)) * np.float32(0.16)
    glow += np.exp((towards - 1) * np.float32(160)) * np.float32(0.5)
    glow *= np.float32(1 - 0.75 * light.cover * light.thickness)
    colour += glow[:, None] * light.sun_colour
    above = np.flatnonzero(up > 0.015)
    hidden = np.zeros(len(up), np.float32)
    if light.cover > 0.02 and len(above):
        hidden[above] = _clouds(colour, above, direction, towards, light)
    if disc and light.softness < 0.05:
        seen = np.flatnonzero((towards > _SUN_COSINE) & (up > 0))
        strength = _SUN * np.clip(1 - hidden[seen] * 1.1, 0, 1)[:, None]
        colour[seen] += strength * light.sun_colour
    below = np.flatnonzero(up < 0)
    colour[below] *= np.maximum(1 + up[below] * 6, 0.45)[:, None]
    return colour


def _clouds(
    colour: np.ndarray, rows: np.ndarray, direction: np.ndarray, towards: np.ndarray, light: Light
) -> np.ndarray:
    """Puts clouds into some rows of `colour`; gives how much they hide there."""
    look = direction[rows]
    reach = np.float32(1.0) / (look[:, 2] + np.float32(0.10))
    x = look[:, 0] * reach + np.float32(light.cloud_seed * 7.3)
    y = look[:, 1] * reach + np.float32(light.cloud_seed * 3.1)
    shape = np.zeros(len(rows), np.float32)
    for length, weight in _OCTAVES:
        shape += np.float32(weight) * noise(x, y, length * 1.3)
    lit = np.float32(0.5) * noise(
        x - np.float32(0.12 * light.sun[0]), y - np.float32(0.12 * light.sun[1]), 1.3
    )
    # The share `cover` of a normal distribution lies above the edge.
    edge = np.float32(0.6 * (1.0 - 2.0 * light.cover))
    density = np.clip((shape - edge) * np.float32(1.6), 0, 1)
    density = density * density * (3 - 2 * density)
    fade = np.clip(look[:, 2] * np.float32(9), 0, 1)  # far clouds drown in the haze
    hidden = density * fade
    # A closed cover has little shape.
    relief = 0.4 * (1 - 0.7 * light.cover)
    depth = 0.5 * light.thickness * (1 - 0.75 * light.cover)
    shade = np.float32(0.8) + np.float32(relief) * (shape - lit) - np.float32(depth) * density
    shade = np.clip(shade, 0.2, 1.15)
    bright = light.cloud_colour * shade[:, None]
    # Against the sun the edges of clouds shine.
    rim = np.exp((towards[rows] - 1) * np.float32(14)) * (1 - density) * density
    bright += (rim * np.float32(1.2))[:, None] * light.sun_colour
    colour[rows] += (bright - colour[rows]) * hidden[:, None]
    return hidden
