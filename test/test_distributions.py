"""Messages have the same fields in every ROS distribution that is supported, and in newer ones."""

from __future__ import annotations

import re

import pytest
from rosbags.typesys import Stores, get_typestore

from metabev_ros import wire
from metabev_ros.config import RigConfig, SensingConfig, load_config
from metabev_ros.resources import resource_path
from metabev_ros.sensing.front_end import SensorFrontEnd


def definition(store, msgtype: str) -> dict[str, list]:
    """Fields of a type and of all types inside of it, by type."""
    found, waiting = {}, [msgtype]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = [(field, str(kind)) for field, kind in store.fielddefs[name][1]]
            waiting += [
                inner for _, kind in found[name] for inner in re.findall(r"'(\w+/msg/\w+)'", kind)
            ]
    return found


@pytest.mark.parametrize(
    'other',
    [Stores.ROS2_HUMBLE, Stores.ROS2_KILTED, Stores.LATEST],
    ids=['humble', 'kilted', 'newest'],
)
def test_every_input_and_output_has_the_same_fields_in_another_distribution(other):
    rig = load_config(RigConfig, resource_path('config/rigs/nuscenes_like.yaml'))
    inputs = SensorFrontEnd(rig, SensingConfig(), lambda *image: image).subscriptions()
    types = {*inputs.values(), *wire.OUTPUT_TYPES.values(), 'sensor_msgs/msg/Image'}
    foreign = sorted(name for name in types if not name.startswith('metabev_ros/'))
    assert len(foreign) >= 9
    jazzy, store = get_typestore(Stores.ROS2_JAZZY), get_typestore(other)
    for name in foreign:
        assert definition(store, name) == definition(jazzy, name), name
