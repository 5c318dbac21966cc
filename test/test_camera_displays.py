"""Every camera that RViz and Foxglove show is one that the shipped rig sends, under its own name.

RViz takes the transport from the last part of a topic's name: `compressed`, `compressedDepth` and
`theora` are transports of the topic before it, everything else is a raw image
(rviz_default_plugins, get_transport_from_topic.cpp).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from metabev_ros import wire
from metabev_ros.config import CameraConfig, RigConfig, Transport, load_config
from metabev_ros.resources import DEFAULT_RIG, resource_path

TRANSPORTS = ('compressed', 'compressedDepth', 'theora')
RIGS = sorted(path.name for path in resource_path('config/rigs').glob('*.yaml'))
NODE = '/perception/'


def transport_of(topic: str) -> str:
    """What RViz and image_transport take a topic's name for."""
    last = topic.rpartition('/')[2]
    return last if last in TRANSPORTS else 'raw'


def fits(camera: CameraConfig) -> bool:
    return (
        transport_of(camera.topic)
        == {
            Transport.RAW: 'raw',
            Transport.COMPRESSED: 'compressed',
        }[camera.transport]
    )


def rviz_displays() -> list[dict[str, Any]]:
    """All displays, those in groups too."""
    content = yaml.safe_load(resource_path('rviz/perception.rviz').read_text())
    waiting, found = list(content['Visualization Manager']['Displays']), []
    while waiting:
        display = waiting.pop(0)
        found.append(display)
        waiting += display.get('Displays', [])
    return found


def rviz_topics(kind: str) -> list[str]:
    return [d['Topic']['Value'] for d in rviz_displays() if d['Class'].endswith(f'/{kind}')]


@pytest.mark.parametrize('name', RIGS)
def test_a_camera_topic_of_a_shipped_rig_is_named_as_image_transport_names_it(name: str) -> None:
    rig = load_config(RigConfig, resource_path(f'config/rigs/{name}'))
    assert [camera.topic for camera in rig.cameras if not fits(camera)] == []


def test_every_camera_display_of_rviz_names_a_topic_that_the_rig_publishes() -> None:
    rig = load_config(RigConfig, resource_path(DEFAULT_RIG))
    shown = [topic for topic in rviz_topics('Image') if not topic.startswith(NODE)]
    assert sorted(shown) == sorted(f'/{camera.topic}' for camera in rig.cameras)


def test_every_other_display_names_an_output_and_grids_are_asked_for_as_latched() -> None:
    outputs = {f'{NODE}{topic}' for topic in (*wire.OUTPUT_TYPES, *wire.standard_outputs())}
    shown = {topic for kind in ('Map', 'MarkerArray') for topic in rviz_topics(kind)}
    shown |= {topic for topic in rviz_topics('Image') if topic.startswith(NODE)}
    assert shown <= outputs
    latched = [topic for topic in wire.standard_outputs() if wire.is_latched_output(topic)]
    grids = {f'{NODE}{topic}' for topic in latched}
    assert set(rviz_topics('Map')) == grids | {f'{NODE}{wire.DRIVABLE_AREA}'}
    for display in rviz_displays():
        if display['Class'].endswith('/Map'):
            assert display['Topic']['Durability Policy'] == 'Transient Local', display['Name']


def test_every_camera_panel_of_foxglove_names_a_topic_that_the_rig_publishes() -> None:
    rig = load_config(RigConfig, resource_path(DEFAULT_RIG))
    panels = json.loads(Path(resource_path('rviz/foxglove_layout.json')).read_text())['configById']
    modes = [panel.get('imageMode', {}) for panel in panels.values()]
    shown = [mode['imageTopic'] for mode in modes if 'imageTopic' in mode]
    assert shown and set(shown) <= {f'/{camera.topic}' for camera in rig.cameras}
