"""What RViz and Foxglove show is published, in the type and with the QoS that they ask for.

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
from metabev_ros.config import CameraConfig, RigConfig, SensingConfig, Transport, load_config
from metabev_ros.replay.run import output_topic
from metabev_ros.resources import DEFAULT_RIG, resource_path
from metabev_ros.sensing.front_end import SensorFrontEnd

TRANSPORTS = ('compressed', 'compressedDepth', 'theora')
RIGS = sorted(path.name for path in resource_path('config/rigs').glob('*.yaml'))
NODE = '/perception/'
SHOWN = {  # by the class of the display
    'Map': 'nav_msgs/msg/OccupancyGrid',
    'MarkerArray': 'visualization_msgs/msg/MarkerArray',
    'PointCloud2': 'sensor_msgs/msg/PointCloud2',
}
PANELS = {  # names of types, by the panel
    'Image': ('Image', 'CompressedImage'),
    '3D': ('OccupancyGrid', 'MarkerArray', 'PointCloud2', 'SceneUpdate'),
    'DiagnosticSummary': ('DiagnosticArray',),
}


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


def published() -> dict[str, str]:
    """Absolute topic -> type: outputs of the node, then the sensors of the shipped rig."""
    rig = load_config(RigConfig, resource_path(DEFAULT_RIG))
    outputs = wire.OUTPUT_TYPES | {
        topic: output.msgtype for topic, output in wire.standard_outputs().items()
    }
    own = {output_topic(topic): msgtype for topic, msgtype in outputs.items()}
    return own | {
        f'/{topic}': kind
        for topic, kind in SensorFrontEnd(rig, SensingConfig(), lambda *image: image)
        .subscriptions()
        .items()
    }


def shows(display: dict[str, Any]) -> str:
    """The type that RViz's display subscribes to."""
    kind = display['Class'].rpartition('/')[2]
    if kind == 'Image':
        raw = transport_of(display['Topic']['Value']) == 'raw'
        return 'sensor_msgs/msg/Image' if raw else 'sensor_msgs/msg/CompressedImage'
    return SHOWN[kind]


def with_topics() -> list[dict[str, Any]]:
    return [display for display in rviz_displays() if 'Topic' in display]


@pytest.mark.parametrize('display', with_topics(), ids=lambda display: display['Name'])
def test_a_display_of_rviz_asks_for_a_topic_in_its_type_with_a_qos_that_matches(display) -> None:
    topic, types = display['Topic']['Value'], published()
    assert types.get(topic) == shows(display)
    is_output = topic.startswith(NODE)
    is_latched = is_output and wire.is_latched_output(topic.removeprefix(NODE))
    qos = (display['Topic']['Reliability Policy'], display['Topic']['Durability Policy'])
    durability = 'Transient Local' if is_latched else 'Volatile'
    assert qos[1] == durability
    assert qos[0] == 'Best Effort' or is_output  # a sensor's driver may be best effort


def test_rviz_shows_every_output_that_one_of_its_displays_can_show() -> None:
    kinds = {'sensor_msgs/msg/Image', *SHOWN.values()}
    own = {t for t, kind in published().items() if t.startswith(NODE) and kind in kinds}
    assert {d['Topic']['Value'] for d in with_topics() if d['Topic']['Value'] in own} == own


def panels() -> dict[str, dict[str, Any]]:
    """Foxglove's panels by their kind and number."""
    return json.loads(Path(resource_path('rviz/foxglove_layout.json')).read_text())['configById']


def foxglove_topics() -> dict[str, str]:
    """Topic -> kind of the panel of Foxglove that shows it."""
    found = {}
    for name, panel in panels().items():
        named = [*panel.get('topics', ()), panel.get('topicPath'), panel.get('topicToRender')]
        named.append(panel.get('imageMode', {}).get('imageTopic'))
        found |= {topic: name.partition('!')[0] for topic in named if topic}
    return found


def test_every_panel_of_foxglove_names_a_topic_in_a_type_that_it_can_show() -> None:
    types, shown = published(), foxglove_topics()
    assert set(shown) <= set(types)
    for topic, panel in shown.items():
        if panel in PANELS:
            assert types[topic].rpartition('/')[2] in PANELS[panel], topic
    outputs = {output_topic(topic) for topic in (*wire.OUTPUT_TYPES, *wire.standard_outputs())}
    assert {t for t in outputs if types[t] in SHOWN.values()} <= set(shown)


def test_every_curve_of_foxglove_is_a_field_of_the_topics_message() -> None:
    types, store = published(), wire.typestore().fielddefs
    paths = [path['value'] for panel in panels().values() for path in panel.get('paths', ())]
    assert paths
    for path in paths:
        topic, _, field = path.partition('.')
        assert field in [name for name, _ in store[types[topic]][1]], path


def test_every_panel_of_foxglove_has_a_place_in_the_layout() -> None:
    layout = json.loads(Path(resource_path('rviz/foxglove_layout.json')).read_text())
    waiting, placed = [layout['layout']], []
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            placed.append(part)
        else:
            waiting += [part['first'], part['second']]
    assert sorted(placed) == sorted(layout['configById'])


def test_every_camera_panel_of_foxglove_is_calibrated_by_the_rigs_own_topic() -> None:
    rig = load_config(RigConfig, resource_path(DEFAULT_RIG))
    modes = [panel.get('imageMode', {}) for panel in panels().values()]
    shown = {m['imageTopic']: m['calibrationTopic'] for m in modes if 'calibrationTopic' in m}
    assert shown == {f'/{camera.topic}': f'/{camera.info_topic}' for camera in rig.cameras}
