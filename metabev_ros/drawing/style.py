"""Colours and text shared by the pictures."""

from __future__ import annotations

import cv2
import numpy as np

from metabev_ros.structures import Colour, Modality, SensorState

MAP_COLOURS: dict[str, Colour] = {
    'drivable_area': (62, 70, 84),
    'ped_crossing': (112, 92, 160),
    'walkway': (62, 104, 84),
    'stop_line': (196, 70, 70),
    'carpark_area': (58, 90, 138),
    'divider': (222, 204, 120),
}
MODALITY_COLOURS: dict[Modality, Colour] = {
    Modality.FUSED: (46, 160, 90),
    Modality.LIDAR: (46, 110, 200),
    Modality.CAMERA: (205, 140, 30),
    Modality.NONE: (200, 50, 50),
}
STATE_COLOURS: dict[SensorState, Colour] = {
    **dict.fromkeys(SensorState, (205, 60, 60)),
    SensorState.OK: (60, 175, 100),
    SensorState.LATE: (200, 190, 70),
    SensorState.SUSPECT: (225, 150, 50),
    SensorState.RECOVERING: (90, 150, 220),
    SensorState.NEVER: (110, 110, 118),
}
TRUTH_COLOUR: Colour = (235, 240, 245)
BACKGROUND: Colour = (20, 22, 27)
TEXT_COLOUR: Colour = (225, 228, 232)
DIM_COLOUR: Colour = (130, 136, 146)
FONT = cv2.FONT_HERSHEY_SIMPLEX
SUBPIXEL_BITS = 4  # fixed-point coordinates: lines end where the projection says


def put_text(
    image: np.ndarray,
    text: str,
    left: int,
    baseline: int,
    height: float,
    colour: Colour = TEXT_COLOUR,
    bold: bool = False,
) -> int:
    """Write one line of about `height` pixels in place; returns the column where it ends."""
    scale = height / 22.0  # a Hershey capital is 22 pixels high at scale 1
    thickness = 2 if bold else 1
    cv2.putText(image, text, (left, baseline), FONT, scale, colour, thickness, cv2.LINE_AA)
    return left + text_width(text, height, bold)


def text_width(text: str, height: float, bold: bool = False) -> int:
    """Columns that `put_text` needs."""
    return cv2.getTextSize(text, FONT, height / 22.0, 2 if bold else 1)[0][0]


def fit_text(text: str, height: float, width: int) -> str:
    """The text cut (with two dots) to `width` pixels."""
    if text_width(text, height) <= width:
        return text
    while text and text_width(text + '..', height) > width:
        text = text[:-1]
    return text + '..' if text else ''
