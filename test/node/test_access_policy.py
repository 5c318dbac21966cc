"""The SROS2 policy lists what the running node has, no more and no less."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET

import pytest
from support import rig_messages

from metabev_ros.node.access_policy import access_policy

pytestmark = pytest.mark.ros


def listed(permission: str, sim_time: bool = False) -> set[str]:
    """Full names that the policy of the test rig permits."""
    root = ET.fromstring(access_policy(rig_messages.rig(), sim_time=sim_time))
    names = [
        child.text for block in root.iter() if block.get(permission) == 'ALLOW' for child in block
    ]
    return {
        name.replace('~', '/perception') if name.startswith('~') else f'/{name.lstrip("/")}'
        for name in names
    }


def stable(read) -> set[str]:
    """Discovery takes a while: what is seen twice in a row, a second apart."""
    before = None
    for _ in range(30):
        try:
            seen = {name for name, _ in read('perception', '/')}
        except Exception as error:  # the class is private to rclpy: not discovered yet
            seen = str(error)
        if isinstance(seen, set) and seen and seen == before:
            return seen
        before = seen
        time.sleep(1)
    raise AssertionError('the graph does not settle')


def test_the_policy_is_what_the_running_node_subscribes_publishes_and_serves(live_node, graph):
    node = graph.node
    assert stable(node.get_subscriber_names_and_types_by_node) == listed('subscribe')
    assert stable(node.get_publisher_names_and_types_by_node) == listed('publish')
    served = stable(node.get_service_names_and_types_by_node)
    assert served | {'/perception/get_type_description'} == listed('reply')  # not in Humble
    assert not stable(node.get_subscriber_names_and_types_by_node) & {'/clock'}


def test_only_a_replay_policy_lets_the_node_hear_the_clock():
    assert listed('subscribe', sim_time=True) - listed('subscribe') == {'/clock'}


def test_the_node_may_not_ask_any_service_nor_publish_an_input():
    assert not listed('request')
    # A bond is one topic for both sides, where the package is installed.
    assert listed('publish') & listed('subscribe') <= {'/bond'}
