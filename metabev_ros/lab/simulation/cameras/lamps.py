"""Light that is made: street lamps and headlights, as fields over the ground.

A field holds at each place the sum of the lamps' directions, each as long as its light is strong.
What it gives a surface is the part along the normal. That costs a look-up, however many lamps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.simulation.cameras.light import Light
from metabev_ros.lab.simulation.cameras.noise import look_up
from metabev_ros.lab.simulation.cameras.scene import Moment
from metabev_ros.lab.simulation.cameras.vectors import dot, length
from metabev_ros.structures import DETECTION_CLASSES

_SODIUM, _WHITE = np.array([1.0, 0.62, 0.30]), np.array([1.0, 0.93, 0.82])
_HEAD = np.array([1.0, 0.96, 0.88])
_STREET_REACH, _HEAD_REACH = 26.0, 45.0  # metres
_STREET_LIGHT, _HEAD_LIGHT = 11.0, 30.0  # light at one metre
_OWN_LIGHT = 60.0
_SIGHT = 90.0  # metres from the ego within which lamps are looked at
_CELL = 1.0  # metres of a field
_VEHICLES = [DETECTION_CLASSES.index(n) for n in ('car', 'truck', 'bus', 'construction_vehicle')]
_MOVING = 0.3  # m/s
_OWN = ((3.6, 0.7, 0.7), (3.6, -0.7, 0.7))  # metres in the ego frame


@dataclass(frozen=True)
class Field:
    """Light over the ground.

    Attributes:
        low: (2,) world metres of the middle of the first cell.
        towards: (R, C, 3) float32 direction from which light comes, as long as it is strong.
        colour: (3,) float32.
        level: metres above the ground up to which it is whole; it halves every `level` above.
    """

    low: np.ndarray
    towards: np.ndarray
    colour: np.ndarray
    level: float

    def on(self, place: np.ndarray, normal: np.ndarray, height: np.ndarray) -> np.ndarray:
        """(N, 3) float32 light on surfaces.

        Args:
            place, normal: (N, 3) float32; height: (N,) metres above the ground.
        """
        at = (place[:, :2] - self.low.astype(np.float32)) * np.float32(1 / _CELL)
        towards = look_up(self.towards, at[:, 0], at[:, 1])
        strength = np.maximum(dot(towards, normal), 0) + np.float32(0.12) * length(towards)
        strength *= np.exp2(-np.maximum(height * np.float32(1 / self.level) - 1, 0))
        return strength[:, None] * self.colour


@dataclass(frozen=True)
class Lamps:
    """All lamps that are on around the ego.

    Attributes:
        street, heads: fields of street lamps and of other vehicles' headlights.
        own: (2, 3) float32 places of the ego's headlights; ahead, up: (3,) its directions.
        own_colour: (3,) float32 light at one metre.
    """

    street: Field
    heads: Field
    own: np.ndarray
    ahead: np.ndarray
    up: np.ndarray
    own_colour: np.ndarray

    def on(self, place: np.ndarray, normal: np.ndarray, height: np.ndarray) -> np.ndarray:
        """(N, 3) float32 light of street lamps and other vehicles."""
        return self.street.on(place, normal, height) + self.heads.on(place, normal, height)

    def own_on(self, place: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """(N, 3) float32 light of the ego's headlights."""
        total = np.zeros(len(place), np.float32)
        middle = self.own.mean(0)
        rows = np.flatnonzero((place - middle) @ self.ahead > 0)
        beam = _beam(self.own.mean(0), self.ahead, self.up, place[rows])
        facing = np.maximum(dot(unit_to(middle, place[rows]), normal[rows]), 0)
        total[rows] = beam * (np.float32(0.1) + np.float32(0.9) * facing)
        # What is right before the lamps would otherwise outshine everything.
        total /= 1 + total * np.float32(40)
        return total[:, None] * self.own_colour


def unit_to(lamp: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(N, 3) float32 directions from places to a lamp."""
    delta = lamp - place
    return delta / np.maximum(length(delta), np.float32(1e-3))[:, None]


def lamps_around(
    moment: Moment, street: np.ndarray, ego: np.ndarray, ground: float, light: Light
) -> Lamps:
    """The lamps that are on near the ego.

    Args:
        street: (L, 3) places of street lamps; ego: (4, 4) world_from_ego.
        ground: metres of the ground at the ego.
    """
    low = ego[:2, 3] - _SIGHT
    side = int(2 * _SIGHT / _CELL)
    tone = _SODIUM if int(light.cloud_seed) % 2 else _WHITE
    own = (np.array(_OWN) @ ego[:3, :3].T + ego[:3, 3]).astype(np.float32)
    ahead, up = ego[:3, 0].astype(np.float32), ego[:3, 2].astype(np.float32)
    return Lamps(
        Field(
            low,
            _street_field(street, low, side, ground),
            (tone * _STREET_LIGHT * light.lamps).astype(np.float32),
            5.0,
        ),
        Field(
            low,
            _head_field(moment, low, side),
            (_HEAD * _HEAD_LIGHT * light.lamps).astype(np.float32),
            0.9,
        ),
        own,
        ahead,
        up,
        (_HEAD * _OWN_LIGHT * light.lamps).astype(np.float32),
    )


def _cells(
    centre: np.ndarray, reach: float, low: np.ndarray, side: int
) -> tuple[slice, slice, np.ndarray] | None:
    """The cells within `reach` of a place, and their middles (r, c, 2) float32."""
    x0, y0 = np.maximum(np.floor((centre - reach - low) / _CELL), 0).astype(int)
    x1, y1 = np.minimum(np.ceil((centre + reach - low) / _CELL), side).astype(int)
    if x1 <= x0 or y1 <= y0:
        return None
    x = (low[0] + np.arange(x0, x1) * _CELL).astype(np.float32)
    y = (low[1] + np.arange(y0, y1) * _CELL).astype(np.float32)
    return slice(y0, y1), slice(x0, x1), np.stack(np.meshgrid(x, y), axis=-1)


def _street_field(street: np.ndarray, low: np.ndarray, side: int, ground: float) -> np.ndarray:
    field = np.zeros((side, side, 3), np.float32)
    for lamp in street:
        found = _cells(lamp[:2].astype(np.float64), _STREET_REACH, low, side)
        if found is None:
            continue
        rows, columns, middle = found
        delta = np.empty((*middle.shape[:2], 3), np.float32)
        delta[..., :2] = lamp[:2] - middle
        delta[..., 2] = max(float(lamp[2]) - ground, 2.5)
        square = np.einsum('...i,...i->...', delta, delta)
        away = np.sqrt(square)
        aim = delta[..., 2] / away
        share = np.clip(aim + 0.1, 0, 1) * np.clip(2.2 - 1.4 * aim, 0, 1.5)
        share *= np.clip(1 - away / np.float32(_STREET_REACH), 0, 1) / (square + 0.6)
        field[rows, columns] += (share / away)[..., None] * delta
    return field


def _head_field(moment: Moment, low: np.ndarray, side: int) -> np.ndarray:
    """Field of the lights of vehicles that drive: both lamps as one."""
    field = np.zeros((side, side, 3), np.float32)
    movers = moment.movers
    speed = np.linalg.norm(movers.velocity, axis=1)
    for k in np.flatnonzero(np.isin(moment.labels, _VEHICLES) & (speed > _MOVING)):
        matrix = movers.world_from_box[k]
        ahead = matrix[:3, 0] / np.linalg.norm(matrix[:3, 0])
        up = matrix[:3, 2] / np.linalg.norm(matrix[:3, 2])
        lamp = (matrix @ np.array([0.52, 0.0, -0.5, 1.0]))[:3] + 0.65 * up
        found = _cells(lamp[:2] + ahead[:2] * _HEAD_REACH / 2, _HEAD_REACH * 0.55, low, side)
        if found is None:
            continue
        rows, columns, middle = found
        flat = middle.reshape(-1, 2)
        place = np.concatenate([flat, np.full((len(flat), 1), lamp[2] - 0.6)], axis=1)
        place = place.astype(np.float32)
        beam = _beam(lamp.astype(np.float32), ahead, up, place)
        towards = unit_to(lamp.astype(np.float32), place) * beam[:, None]
        field[rows, columns] += towards.reshape(*middle.shape[:2], 3)
    return field


def _beam(lamp: np.ndarray, ahead: np.ndarray, up: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(N,) float32 strength of a dipped beam: wide to the sides, cut off above."""
    delta = place - lamp
    square = dot(delta, delta)
    away = np.sqrt(square) + np.float32(1e-3)
    aim = (delta @ ahead.astype(np.float32)) / away
    rise = (delta @ up.astype(np.float32)) / away
    cut = np.clip(1 - (rise + np.float32(0.02)) * 18, 0.03, 1)
    drop = np.exp(np.minimum(rise, 0) * 5)
    side = np.exp((aim - 1) * 9) + np.float32(0.25) * np.exp((aim - 1) * 2.2)
    fade = np.clip(1 - away / np.float32(2 * _HEAD_REACH), 0, 1)
    return np.where(aim > 0.05, side * cut * drop * fade / (square + 8), 0).astype(np.float32)
