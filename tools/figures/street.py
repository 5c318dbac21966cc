"""Pictures that the cameras of the simulated world take: by day, at night, in rain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from metabev_ros.lab.datasets.synthetic.config import DriveConfig, Weather
from metabev_ros.lab.datasets.synthetic.rig import camera_calibrations
from metabev_ros.lab.simulation.building import build_street
from metabev_ros.lab.simulation.cameras.light import draw_light
from metabev_ros.lab.simulation.cameras.render import render
from metabev_ros.lab.simulation.style import Style

_QUALITY = 88
_SECONDS = 12.0
_FOUR = (
    (2, Style.DOWNTOWN, Weather.SUNNY),
    (5, Style.ARTERIAL, Weather.NIGHT),
    (7, Style.RESIDENTIAL, Weather.RAIN),
    (11, Style.INDUSTRIAL, Weather.DUSK),
)


def draw_street(
    seed: int, style: Style, weather: Weather, second: float, camera: str, path: Path
) -> None:
    """One picture of 1600 x 900 pixels.

    Args:
        camera: a name of the synthetic rig, such as CAM_FRONT.
        second: of the drive.
    """
    _write(path, street_picture(seed, style, weather, second, camera))


def draw_streets(path: Path) -> None:
    """Four pictures in one, of 800 x 450 pixels each."""
    shots = [
        cv2.resize(
            street_picture(*which, 4.0, 'CAM_FRONT'),
            None,
            fx=0.5,
            fy=0.5,
            interpolation=cv2.INTER_AREA,
        )
        for which in _FOUR
    ]
    _write(path, np.vstack([np.hstack(shots[:2]), np.hstack(shots[2:])]))


def street_picture(
    seed: int, style: Style, weather: Weather, second: float, camera: str
) -> np.ndarray:
    """(900, 1600, 3) uint8 RGB; the arguments of `draw_street`."""
    street = build_street(seed, _SECONDS, style)
    light = draw_light(np.random.default_rng([seed, 31]), weather)
    # What the camera's JPEG loses would be lost twice in a file that is a JPEG itself.
    light = replace(light, character=replace(light.character, quality=95))
    view = camera_calibrations(DriveConfig(image_width=1600, image_height=900))[camera]
    rng = np.random.default_rng([seed, 32])
    return render(street, street.instant(second), [view], light, rng, supersampling=5)[0].pixels


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    if not cv2.imwrite(str(path), pixels[..., ::-1], quality):
        raise OSError(f'{path}: the picture could not be written; is the folder writable?')
