"""Parts of the video panel: banner, sensor table, legend, camera tile."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from metabev_ros.drawing.style import (
    BACKGROUND,
    DIM_COLOUR,
    MAP_COLOURS,
    MODALITY_COLOURS,
    STATE_COLOURS,
    TEXT_COLOUR,
    fit_text,
    put_text,
    text_width,
)
from metabev_ros.structures import CLASS_COLOURS, Colour, Modality, SensorReport, SensorState

PANEL_WIDTH, PANEL_BANNER, PANEL_ROW = 960, 48, 26  # pixels
CHIP_LABELS = {
    'CAM_FRONT_LEFT': 'FL',
    'CAM_FRONT': 'F',
    'CAM_FRONT_RIGHT': 'FR',
    'CAM_BACK_LEFT': 'BL',
    'CAM_BACK': 'B',
    'CAM_BACK_RIGHT': 'BR',
    'LIDAR_TOP': 'LIDAR',
}
MODALITY_TEXTS = {
    Modality.FUSED: 'FUSED',
    Modality.LIDAR: 'LIDAR ONLY',
    Modality.CAMERA: 'CAMERA ONLY',
    Modality.NONE: 'NO SENSOR',
}


def draw_banner(
    width: int,
    height: int,
    modality: Modality,
    reports: Sequence[SensorReport] = (),
    text: str = '',
) -> np.ndarray:
    """One strip: the modality in its colour, a chip per sensor in its state's colour, a text."""
    strip = np.full((height, width, 3), (30, 33, 39), dtype=np.uint8)
    size, baseline = height * 0.34, round(height * 0.66)
    pill = round(height * 3.9)
    cv2.rectangle(strip, (0, 0), (pill, height), MODALITY_COLOURS[modality], -1)
    label = MODALITY_TEXTS[modality]
    put_text(
        strip,
        label,
        (pill - text_width(label, size, True)) // 2,
        baseline,
        size,
        (255, 255, 255),
        bold=True,
    )
    left, chip_size = pill + round(height * 0.3), height * 0.25
    for report in reports:
        name = CHIP_LABELS.get(report.name, report.name)
        chip = max(text_width(name, chip_size) + 14, round(height * 0.7))
        if left + chip > width:
            break
        _chip(strip, name, left, chip, STATE_COLOURS[report.state], report.used, chip_size)
        left += chip + 6
    text = fit_text(text, chip_size, width - left - 20)
    put_text(strip, text, width - text_width(text, chip_size) - 10, baseline - 1, chip_size)
    return strip


def _chip(
    strip: np.ndarray, name: str, left: int, width: int, colour: Colour, used: bool, size: float
) -> None:
    """A filled chip for a sensor that is used, an outlined one for a sensor that is not."""
    height = len(strip)
    top, bottom = round(height * 0.22), round(height * 0.78)
    cv2.rectangle(strip, (left, top), (left + width, bottom), colour, -1 if used else 2)
    put_text(
        strip,
        name,
        left + (width - text_width(name, size)) // 2,
        round(height * 0.62),
        size,
        (255, 255, 255) if used else colour,
    )


def draw_sensor_table(width: int, height: int, reports: Sequence[SensorReport]) -> np.ndarray:
    """One row per sensor: name, state, age of its data, rate, reason."""
    table = np.full((height, width, 3), BACKGROUND, dtype=np.uint8)
    row = max(1, min(26, height // max(len(reports), 1)))
    size = row * 0.42
    columns = [round(width * share) for share in (0.015, 0.27, 0.42, 0.53, 0.64)]
    for index, report in enumerate(reports):
        base = index * row + round(row * 0.7)
        colour = STATE_COLOURS[report.state]
        cv2.circle(
            table,
            (columns[0] + 5, base - round(size / 2)),
            round(row * 0.2),
            colour,
            -1,
            cv2.LINE_AA,
        )
        put_text(
            table,
            fit_text(report.name, size, columns[1] - columns[0] - 20),
            columns[0] + 18,
            base,
            size,
        )
        put_text(table, report.state.name, columns[1], base, size, colour)
        age = '-' if report.age_ns is None else f'{report.age_ns / 1e6:.0f} ms'
        put_text(table, age, columns[2], base, size, DIM_COLOUR)
        put_text(table, f'{report.rate_hz:.1f} Hz', columns[3], base, size, DIM_COLOUR)
        put_text(
            table,
            fit_text(report.reason, size, width - columns[4] - 4),
            columns[4],
            base,
            size,
            DIM_COLOUR,
        )
    return table


def draw_sensor_panel(
    modality: Modality, reports: Sequence[SensorReport], text: str
) -> np.ndarray:
    """The modality, a text and the table of the sensors: what a vehicle's display shows of them.

    Returns:
        (H, PANEL_WIDTH, 3) uint8 RGB, of the same size for all samples of a rig.
    """
    banner = draw_banner(PANEL_WIDTH, PANEL_BANNER, modality, text=text)
    return np.concatenate(
        [banner, draw_sensor_table(PANEL_WIDTH, PANEL_ROW * len(reports), reports)]
    )


def draw_legend(width: int, height: int) -> np.ndarray:
    """Colours of the detection classes (outlined) and map classes (filled), five a row."""
    legend = np.full((height, width, 3), BACKGROUND, dtype=np.uint8)
    cell = width // 5
    rows = [
        *((name, colour, False) for name, colour in CLASS_COLOURS.items()),
        *((name, colour, True) for name, colour in MAP_COLOURS.items()),
    ]
    for index, (name, colour, filled) in enumerate(rows):
        left, top = index % 5 * cell + 12, index // 5 * 22 + 6
        cv2.rectangle(legend, (left, top), (left + 12, top + 10), colour, -1 if filled else 2)
        put_text(legend, fit_text(name, 9, cell - 24), left + 18, top + 10, 9, DIM_COLOUR)
    return legend


def fitted(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale an image into (height, width), its aspect kept, on the background."""
    scale = min(width / image.shape[1], height / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    inter = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    tile = np.full((height, width, 3), BACKGROUND, dtype=np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=inter)
    return tile


def camera_tile(
    name: str, image: np.ndarray | None, report: SensorReport | None, width: int, height: int
) -> np.ndarray:
    """A camera's picture with its name, or a hatched tile that says MISSING and why."""
    if image is None:
        tile = _missing_tile(width, height, report)
    else:
        tile = fitted(image, width, height)
    state = (
        report.state if report else SensorState.OK if image is not None else SensorState.MISSING
    )
    tag = name if image is None or state == SensorState.OK else f'{name}  {state.name}'
    cv2.rectangle(tile, (2, 2), (14 + text_width(tag, 9), 18), (0, 0, 0), -1)
    end = put_text(tile, name, 8, 14, 9, TEXT_COLOUR)
    put_text(tile, tag[len(name) :], end, 14, 9, STATE_COLOURS[state])
    thickness = 1 if state == SensorState.OK else 3
    cv2.rectangle(tile, (0, 0), (width - 1, height - 1), STATE_COLOURS[state], thickness)
    return tile


def _missing_tile(width: int, height: int, report: SensorReport | None) -> np.ndarray:
    tile = np.full((height, width, 3), (52, 22, 24), dtype=np.uint8)
    for left in range(-height, width, 18):
        cv2.line(tile, (left, height), (left + height, 0), (76, 30, 33), 5, cv2.LINE_AA)
    size = min(20.0, height / 5)
    put_text(
        tile,
        'MISSING',
        (width - text_width('MISSING', size, True)) // 2,
        height // 2 + round(size / 2),
        size,
        (255, 205, 205),
        bold=True,
    )
    if report is not None:
        text = f'{report.state.name} {report.reason}'.strip()
        text = fit_text(text, 10, width - 12)
        put_text(
            tile,
            text,
            (width - text_width(text, 10)) // 2,
            height // 2 + round(size) + 12,
            10,
            (235, 170, 170),
        )
    return tile
