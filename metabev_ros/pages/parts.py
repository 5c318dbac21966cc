"""The parts that pages are made of, as HTML."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.drawing import CLASS_COLOURS, MAP_COLOURS, MODALITY_COLOURS, STATE_COLOURS
from metabev_ros.drawing.style import TRUTH_COLOUR
from metabev_ros.errors import BackendError
from metabev_ros.pages.style import STYLE
from metabev_ros.structures import Colour, Modality, SensorState

JPEG_QUALITY = 84
# Nothing is loaded from anywhere; 'unsafe-eval' is what a plot's callbacks are made with.
POLICY = (
    "default-src 'none'; img-src data: blob:; media-src data: blob: file: 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'"
)
STATE_LEGEND = (
    (SensorState.OK, 'OK'),
    (SensorState.LATE, 'LATE'),
    (SensorState.SUSPECT, 'SUSPECT'),
    (SensorState.STALE, 'MISSING, STALE, FROZEN, INVALID, UNCALIBRATED or NO_TF'),
    (SensorState.RECOVERING, 'RECOVERING'),
    (SensorState.NEVER, 'nothing yet'),
)
SHORT_NAMES = {  # of the sensors of nuScenes, beside a plot
    'CAM_FRONT': 'front',
    'CAM_FRONT_RIGHT': 'front right',
    'CAM_BACK_RIGHT': 'back right',
    'CAM_BACK': 'back',
    'CAM_BACK_LEFT': 'back left',
    'CAM_FRONT_LEFT': 'front left',
    'LIDAR_TOP': 'LiDAR',
}


@dataclass(frozen=True)
class Picture:
    """One picture with the line that explains it."""

    name: str
    caption: str
    pixels: np.ndarray


def document(title: str, parts: Iterable[str], policy: str = POLICY) -> str:
    """A whole page.

    Args:
        title: plain text; the parts are HTML.
        policy: what the browser may load and run.
    """
    return '\n'.join(
        [
            '<!doctype html>',
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title>',
            f'<style>{STYLE}</style></head><body>',
            *parts,
            '</body></html>\n',
        ]
    )


def plot(svg: str, caption: str) -> str:
    """A plot with its caption."""
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure><img class="plot" alt="{html.escape(caption)}" '
        f'src="data:image/svg+xml;base64,{data}">'
        f'<figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def figure(picture: Picture) -> str:
    """A picture with its caption."""
    caption = html.escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="{picture_address(picture.pixels)}">'
        f'<figcaption>{caption}</figcaption></figure>'
    )


def picture_address(pixels: np.ndarray, quality: int = JPEG_QUALITY) -> str:
    """The `data:` address of (H, W, 3) uint8 RGB."""
    return f'data:image/jpeg;base64,{base64.b64encode(as_jpeg(pixels, quality)).decode()}'


def as_jpeg(pixels: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """A JPEG of (H, W, 3) uint8 RGB.

    Raises:
        BackendError: there is no encoder.
    """
    done, data = cv2.imencode(
        '.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise BackendError('page', 'a picture that OpenCV can encode', f'shape {pixels.shape}')
    return data.tobytes()


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], first_number: int = 1) -> str:
    """A table that scrolls by itself where the page is narrow.

    Args:
        heads: plain text; the cells are HTML, the first one of a row its name.
        first_number: column from which on cells are aligned as numbers.
    """

    def cell(tag: str, column: int, content: str) -> str:
        kind = ' class="number"' if column >= first_number else ''
        return f'<{tag}{kind}>{content}</{tag}>'

    head = ''.join(cell('th', column, html.escape(text)) for column, text in enumerate(heads))
    body = ''.join(
        '<tr>'
        + ''.join(cell('td' if column else 'th', column, c) for column, c in enumerate(row))
        + '</tr>'
        for row in rows
    )
    whole = f'<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="wide">{whole}</div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """(name, text) as a list."""
    items = ''.join(f'<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>' for k, v in rows)
    return f'<dl>{items}</dl>'


def pill(modality: Modality) -> str:
    """The name of a modality in its colour."""
    colour = css(MODALITY_COLOURS[modality])
    return f'<span class="pill" style="background:{colour}">{modality.name}</span>'


def css(colour: Colour) -> str:
    """A colour as style sheets take it."""
    return '#{:02x}{:02x}{:02x}'.format(*colour)


def picture_legend(has_truth: bool, has_points: bool = True) -> str:
    """A legend of all that film and pictures show, by its colour.

    Args:
        has_truth, has_points: there is truth in them, and there are the LiDAR's points.
    """
    items = [('truth', TRUTH_COLOUR, True)] if has_truth else []
    items += [(name, colour, True) for name, colour in CLASS_COLOURS.items()]
    items += [(name, colour, False) for name, colour in MAP_COLOURS.items()]
    words = {
        'truth': '<b>white: truth</b>',
        **{name: f'map: {name.replace("_", " ")}' for name in MAP_COLOURS},
    }
    texts = [(words.get(n, n.replace('_', ' ')), c, line) for n, c, line in items]
    points = [('LiDAR points: dark is low, bright is high', (120, 215, 235), False)]
    vehicle = ('the vehicle, forward is up; rings every 10 m', (240, 244, 248), False)
    return _legend([*texts, *(points if has_points else []), vehicle])


def state_legend() -> str:
    """The states of sensors and the modalities, by their colours."""
    items = [(text, STATE_COLOURS[state], False) for state, text in STATE_LEGEND]
    items += [(f'modality {m.name}', c, False) for m, c in MODALITY_COLOURS.items()]
    return _legend(items)


def _legend(items: Iterable[tuple[str, Colour, bool]]) -> str:
    """(HTML, colour, drawn as an outline) as a list that wraps."""

    def swatch(colour: Colour, is_line: bool) -> str:
        if is_line:
            return f'<span class="swatch line" style="border-color:{css(colour)}"></span>'
        return f'<span class="swatch" style="background:{css(colour)}"></span>'

    rows = ''.join(f'<li>{swatch(colour, line)}{text}</li>' for text, colour, line in items)
    return f'<ul class="legend">{rows}</ul>'


def as_json(value: object) -> str:
    """JSON that may stand inside of a script element.

    Raises:
        ValueError: for numbers that are not finite.
    """
    text = json.dumps(value, separators=(',', ':'), allow_nan=False)
    return text.replace('<', '\\u003c')
