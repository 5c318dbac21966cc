"""Rigs: cameras and a LiDAR as vehicles have them, drawn at random or with a given form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.simulation.lidar_models import LIDAR_MODELS, LidarModel
from metabev_ros.lab.simulation.scanning import Mounted
from metabev_ros.structures import CameraCalibration

# A body frame (x forward, y left, z up) from an optical frame (x right, y down, z forward).
BODY_FROM_OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
# Names, bearings and half fields of view in degrees of surround rigs.
_SIX = (('front', 0, 35), ('front_left', 55, 35), ('front_right', -55, 35),
        ('back_left', 110, 35), ('back_right', -110, 35), ('back', 180, 55))  # fmt: skip
_FOUR = (('front', 0, 55), ('left', 90, 55), ('right', -90, 55), ('back', 180, 55))
_FIVE = (('front', 0, 30), ('front_left', 60, 45), ('front_right', -60, 45),
         ('back_left', 140, 50), ('back_right', -140, 50))  # fmt: skip
_SEVEN = (('front', 0, 25), ('front_left', 45, 30), ('front_right', -45, 30), ('left', 99, 30),
          ('right', -99, 30), ('back_left', 153, 30), ('back_right', -153, 30))  # fmt: skip
_EIGHT = (('front', 0, 30), ('front_wide', 0, 60), ('front_left', 60, 40),
          ('front_right', -60, 40), ('back_left', 120, 40), ('back_right', -120, 40),
          ('back', 180, 35), ('left', 90, 50))  # fmt: skip
_ONE = (('front', 0, 41),)
_ARRANGEMENTS = (
    (_SIX, 0.55), (_FOUR, 0.12), (_FIVE, 0.08), (_SEVEN, 0.1), (_EIGHT, 0.07), (_ONE, 0.08),
)  # fmt: skip


_BY_COUNT = {len(cameras): cameras for cameras, _ in _ARRANGEMENTS}
_LIDARS = {model.name: model for model in LIDAR_MODELS}


@dataclass(frozen=True)
class RigForm:
    """The properties of a rig that a comparison of rigs fixes; the rest is drawn.

    Attributes:
        cameras: their number.
        lift: metres by which all sensors stand higher than drawn.
        view: factor on the half fields of view of the cameras.
        lidar: name of a model of `LIDAR_MODELS`.
    """

    cameras: int = 6
    lift: float = 0.0
    view: float = 1.0
    lidar: str = '32 beams, uneven'

    def __post_init__(self) -> None:
        require(self.cameras in _BY_COUNT, 'rig.cameras', f'{sorted(_BY_COUNT)}', self.cameras)
        require(self.lidar in _LIDARS, 'rig.lidar', f'one of {sorted(_LIDARS)}', self.lidar)
        require(-1.0 <= self.lift <= 2.0, 'rig.lift', '-1..2 m', self.lift)
        require(0.3 <= self.view <= 1.35, 'rig.view', '0.3..1.35', self.view)

    @property
    def name(self) -> str:
        """Letters, digits, - and _."""
        lidar = ''.join(c if c.isalnum() else '-' for c in self.lidar)
        lift, view = (f'{value:g}'.replace('.', '-') for value in (self.lift, self.view))
        return f'{self.cameras}_cameras_lift_{lift}_view_{view}_{lidar}'


@dataclass(frozen=True)
class TrainingRig:
    """Sensors of one vehicle.

    Attributes:
        cameras: name -> calibration of the whole picture.
        exposures: name -> seconds that it is exposed before the end of a sweep.
        lidar: the LiDAR.
        own_box: x0, x1, y0, y1, top of our own vehicle in the ego frame, metres.
    """

    cameras: dict[str, CameraCalibration]
    exposures: dict[str, float]
    lidar: Mounted
    own_box: tuple[float, float, float, float, float]


def draw_rig(rng: np.random.Generator, form: RigForm | None = None) -> TrainingRig:
    """Cameras, LiDAR and vehicle of a drive.

    Args:
        form: fixes a part; the same numbers are drawn with and without it.
    """
    length, width = rng.uniform(3.9, 5.1), rng.uniform(1.72, 2.05)
    rear, top = rng.uniform(0.8, 1.1), rng.uniform(1.45, 1.95)
    own_box = (-rear, length - rear, -width / 2, width / 2, top)
    lidar = _draw_lidar(rng, own_box, form)
    shares = np.array([share for _, share in _ARRANGEMENTS])
    arrangement = _ARRANGEMENTS[int(rng.choice(len(shares), p=shares / shares.sum()))][0]
    height = top + rng.uniform(-0.25, 0.15)
    if rng.uniform() < 0.1:
        height += rng.uniform(0.3, 1.0)  # a van or a lorry
    view = 1.0
    if form is not None:
        arrangement, height, view = _BY_COUNT[form.cameras], height + form.lift, form.view
    cameras = {}
    for name, bearing, half in arrangement:
        cameras[name] = _camera(rng, own_box, height, bearing, half * view)
    exposures = {name: float(v) for name, v in zip(cameras, _exposures(rng, cameras), strict=True)}
    return TrainingRig(cameras, exposures, lidar, own_box)


def _exposures(rng: np.random.Generator, cameras: dict[str, CameraCalibration]) -> np.ndarray:
    """Seconds before the end of the sweep: free, or as the LiDAR sweeps past, or at once."""
    kind = rng.uniform()
    if kind < 0.2:
        return np.zeros(len(cameras))
    if kind < 0.6:
        return rng.uniform(0, 0.085, len(cameras))
    return np.clip(rng.uniform(0, 0.05) + rng.uniform(-0.02, 0.02, len(cameras)), 0, 0.09)


def _camera(
    rng: np.random.Generator,
    own_box: Sequence[float],
    height: float,
    bearing: float,
    half: float,
) -> CameraCalibration:
    """One camera of 16:9 near the edge of the roof that it looks over."""
    x0, x1, y0, y1, _ = own_box
    yaw = np.deg2rad(bearing + rng.normal(0, 2.0))
    middle = np.array([(x0 + x1) / 2 + rng.uniform(-0.3, 0.5), 0.0])
    reach = np.array([(x1 - x0) * rng.uniform(0.12, 0.25), (y1 - y0) * rng.uniform(0.2, 0.4)])
    xy = middle + reach * np.array([np.cos(yaw), np.sin(yaw)])
    pitch, roll = np.deg2rad(rng.normal(0, 1.5)), np.deg2rad(rng.normal(0, 0.7))
    half_view = np.deg2rad(half * rng.uniform(0.88, 1.15))
    width, height_px = 1600, 900
    focal = width / 2 / np.tan(half_view)
    matrix = np.array(
        [
            [focal, 0, width / 2 + rng.normal(0, 12)],
            [0, focal, height_px / 2 + rng.normal(20, 30)],
            [0, 0, 1.0],
        ]
    )
    body = rotation_z(float(yaw)) @ _pitched(pitch) @ _rolled(roll)
    pose = rigid_transform(body @ BODY_FROM_OPTICAL, (*xy, height + rng.normal(0, 0.03)))
    return CameraCalibration(width, height_px, matrix, pose)


def _draw_lidar(
    rng: np.random.Generator, own_box: Sequence[float], form: RigForm | None
) -> Mounted:
    model: LidarModel = LIDAR_MODELS[int(rng.integers(len(LIDAR_MODELS)))]
    if form is not None:
        model = _LIDARS[form.lidar]
    x0, x1, _, _, top = own_box
    height = max(top + rng.uniform(0.05, 0.45), 1.55)
    if rng.uniform() < 0.1:
        height += rng.uniform(0.2, 0.9)
    if form is not None:
        height += form.lift
    x = (x0 + x1) / 2 + rng.uniform(-0.6, 0.6)
    tilt = rng.normal(0, np.deg2rad(0.8), 2) if rng.uniform() < 0.6 else np.zeros(2)
    turn = rotation_z(float(rng.uniform(-np.pi, np.pi)))
    body = _pitched(float(tilt[0])) @ _rolled(float(tilt[1])) @ turn
    pose = rigid_transform(body, (x, rng.normal(0, 0.05), height))
    rate = model.rate_hz if rng.uniform() < 0.7 else float(rng.choice([10.0, 20.0]))
    unit = replace(
        model,
        gain=float(np.exp(rng.uniform(np.log(0.7), np.log(5.0)))),
        gamma=float(rng.uniform(0.75, 1.2)),
        falloff=float(rng.uniform(0.0, 0.7)) if rng.uniform() < 0.5 else 0.0,
        reach=model.reach * float(rng.uniform(0.8, 1.25)),
        noise=model.noise * float(rng.uniform(0.6, 1.6)),
    )
    return Mounted(unit, pose, float(rng.uniform(-np.pi, np.pi)), 1 / rate)


def _pitched(angle: float) -> np.ndarray:
    """(3, 3) turn about y: nose down for positive angles."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1.0, 0], [-s, 0, c]])


def _rolled(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])
