"""SROS2 policy (version 0.2.0) of what the node may hear and say, made from a rig file.

Made on a machine that has the packages of the vehicle: a node that can bond (bond.py) does, and it
offers the outputs whose message types it has. The node needs no more than this: with
`ROS_SECURITY_STRATEGY=Enforce` everything else is refused by the middleware. Topics of other nodes
are theirs to permit.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from metabev_ros import wire
from metabev_ros.config import RigConfig
from metabev_ros.node.bond import TOPIC as BOND
from metabev_ros.node.bond import can_bond
from metabev_ros.node.publishers import private_name
from metabev_ros.node.ros_support import has_message_type
from metabev_ros.sensing.topics import rig_topics

# Of every rclpy lifecycle node.
LIFECYCLE_SERVICES = (
    'change_state',
    'get_available_states',
    'get_available_transitions',
    'get_state',
    'get_transition_graph',
)
PARAMETER_SERVICES = (
    'describe_parameters',
    'get_parameter_types',
    'get_parameters',
    'list_parameters',
    'set_parameters',
    'set_parameters_atomically',
)
TYPE_SERVICE = 'get_type_description'  # from Iron on
NODE_TOPICS = ('/rosout', '/parameter_events', '~/transition_event')


def access_policy(
    rig: RigConfig, namespace: str = '/', node: str = 'perception', sim_time: bool = False
) -> str:
    """The policy as XML.

    Args:
        sim_time: also listen to /clock; for replay only: on a vehicle a false clock is an attack.
    """
    bond = [BOND] if can_bond() else []
    heard = [*rig_topics(rig), *bond, *(['/clock'] if sim_time else [])]
    standard = wire.standard_outputs().items()
    offered = [topic for topic, output in standard if has_message_type(output.msgtype)]
    said = [
        *bond,
        *(private_name(topic) for topic in (*wire.OUTPUT_TYPES, *offered)),
        *NODE_TOPICS,
    ]
    policy = ET.Element('policy', version='0.2.0')
    enclave = ET.SubElement(
        ET.SubElement(policy, 'enclaves'), 'enclave', path=f'{namespace.rstrip("/")}/{node}'
    )
    profile = ET.SubElement(ET.SubElement(enclave, 'profiles'), 'profile', ns=namespace, node=node)
    for tag, child, permission, names in (
        ('topics', 'topic', 'subscribe', heard),
        ('topics', 'topic', 'publish', said),
        (
            'services',
            'service',
            'reply',
            [f'~/{name}' for name in (*LIFECYCLE_SERVICES, *PARAMETER_SERVICES, TYPE_SERVICE)],
        ),
    ):
        block = ET.SubElement(profile, tag, {permission: 'ALLOW'})
        for name in sorted(set(names)):
            ET.SubElement(block, child).text = name
    ET.indent(policy)
    return ET.tostring(policy, encoding='unicode', xml_declaration=True) + '\n'
