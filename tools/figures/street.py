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


def draw_street(
    seed: int, style: Style, weather: Weather, second: float, camera: str, path: Path
) -> None:
    """One picture of 1600 x 900 pixels.

    Args:
        camera: a name of the synthetic rig, such as CAM_FRONT.
        second: of the drive.
    """
    street = build_street(seed, _SECONDS, style)
    light = draw_light(np.random.default_rng([seed, 31]), weather)
    # What the camera's JPEG loses would be lost twice in a file that is a JPEG itself.
    light = replace(light, character=replace(light.character, quality=95))
    view = camera_calibrations(DriveConfig(image_width=1600, image_height=900))[camera]
    rng = np.random.default_rng([seed, 32])
    shot = render(street, street.instant(second), [view], light, rng, supersampling=5)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    if not cv2.imwrite(str(path), shot.pixels[..., ::-1], quality):
        raise OSError(f'{path}: the picture could not be written; is the folder writable?')
