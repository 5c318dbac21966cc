"""The live page of a running node."""

from __future__ import annotations

import html

from metabev_ros.errors import clean_text
from metabev_ros.pages.parts import document, picture_legend, state_legend
from metabev_ros.pages.scripts import SENSOR_TABLE, WATCH
from metabev_ros.pages.server import HEADERS


def live_page(node: str, with_cameras: bool) -> str:
    """The HTML; its script asks the server that it came from for states and pictures.

    Args:
        node: name, for people.
        with_cameras: there is a picture of the cameras.
    """
    name = html.escape(clean_text(node))
    cameras = (
        '<h2>Cameras</h2><figure><img id="cameras" alt="cameras with boxes" hidden></figure>'
        if with_cameras
        else ''
    )
    parts = [
        f'<h1>{name}</h1>',
        '<p id="words">Waiting for the node.</p>',
        '<div class="two"><figure><img id="ground" alt="map and boxes from above" hidden>'
        '<figcaption>Map and boxes as published; forward is up.</figcaption></figure>',
        '<div><div id="state"></div><h3>Rates and latencies</h3><dl id="rates"></dl></div></div>',
        picture_legend(has_truth=False, has_points=False),
        '<h2>The last minute</h2>',
        '<canvas id="history" height="240" style="width:100%" '
        'aria-label="states of the sensors over the last minute"></canvas>',
        state_legend(),
        cameras,
        f'<script>{SENSOR_TABLE}{WATCH}</script>',
    ]
    policy = HEADERS['Content-Security-Policy'].replace(" frame-ancestors 'none';", '')
    return document(f'{clean_text(node)}, live', parts, policy)
