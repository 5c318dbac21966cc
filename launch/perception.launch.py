"""Starts the perception node: configured, activated and started again should it ever die.

ros2 launch metabev_ros perception.launch.py rig:=/path/rig.yaml remap:='odom:=/vehicle/odom'

Nothing that happens to the node ends the launch that includes this file, unless that asks for it
with `shutdown_on_refusal:=true`.
"""

import os
from pathlib import Path

import yaml
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown, matches_action
from launch.events.process import ShutdownProcess
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

SHARE = Path(__file__).parent.parent
STOPPED = 0  # exit code after a signal or the lifecycle transition `shutdown`: as it was asked
REFUSED = 2  # exit code of a node whose parameters or model are wrong: starting again is no cure
# Variables that name a profile of Fast DDS, of newer and of older versions.
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')

ARGUMENTS = (
    (
        'params_file',
        str(SHARE / 'config/perception.param.yaml'),
        'parameter file; the arguments below win over it',
    ),
    ('rig', '', 'rig YAML file: names, topics, frames and rates of the sensors'),
    ('model', '', 'model folder, or the name of a model of this package'),
    ('backend', '', 'inference runtime'),
    ('provider', '', 'device of the runtime'),
    ('name', 'perception', 'node name; the outputs are <namespace>/<name>/detections and so on'),
    ('namespace', '', 'namespace of the node, and of the topics in the rig file'),
    ('remap', '', 'topics to rename, as "from:=to from:=to"'),
    (
        'qos',
        '',
        'QoS of single topics, as "/points.subscription.reliability:=reliable", more with spaces',
    ),
    ('autostart', 'true', 'configure and activate; false leaves it to a lifecycle manager'),
    ('respawn', 'true', 'start the node again when it dies'),
    (
        'shutdown_on_refusal',
        'false',
        'end the whole launch when the node refuses its configuration',
    ),
    ('use_sim_time', 'false', 'take the time from /clock, as when a bag is played'),
    ('log_level', 'info', 'debug, info, warn, error'),
    ('rviz', 'false', 'show the outputs in RViz'),
)
# An empty argument must not hide what the parameter file says.
OPTIONAL = ('rig', 'model', 'backend', 'provider')


def parse_pairs(name: str, text: str) -> list[tuple[str, str]]:
    """'a:=b c:=d' -> [('a', 'b'), ('c', 'd')].

    Raises:
        ValueError: for anything else.
    """
    pairs = []
    for word in text.split():
        source, separator, target = word.partition(':=')
        if not (source and separator and target):
            raise ValueError(f'{name}: expected "a:=b c:=d", got {word!r}')
        pairs.append((source, target))
    return pairs


def is_true(name: str, text: str) -> bool:
    """Reads an argument that is true or false.

    Raises:
        ValueError: it is neither.
    """
    if text.lower() not in ('true', 'false'):
        raise ValueError(f'{name}: expected true or false, got {text!r}')
    return text.lower() == 'true'


def dds_profile() -> dict[str, str]:
    """Shared memory that is large enough for images; a profile of the user's own is respected."""
    if any(os.environ.get(name) for name in PROFILE_VARIABLES):
        return {}
    return dict.fromkeys(PROFILE_VARIABLES, str(SHARE / 'config/fastdds_profile.xml'))


def parameters(value: dict[str, str]) -> list:
    """The parameter file, and what the arguments say beside it."""
    overrides = {name: value[name] for name in OPTIONAL if value[name]}
    overrides |= {name: is_true(name, value[name]) for name in ('autostart', 'use_sim_time')}
    for name, text in parse_pairs('qos', value['qos']):
        overrides[f'qos_overrides.{name}'] = yaml.safe_load(text)
    return [value['params_file'], overrides]


def start_node(context, *args, **kwargs) -> list:
    """The node, and what its exit codes mean for it and for the launch."""
    value = {name: LaunchConfiguration(name).perform(context) for name, *_ in ARGUMENTS}
    ends_all = is_true('shutdown_on_refusal', value['shutdown_on_refusal'])
    node = LifecycleNode(
        package='metabev_ros',
        executable='perception_node',
        name=value['name'],
        namespace=value['namespace'],
        parameters=parameters(value),
        remappings=parse_pairs('remap', value['remap']),
        ros_arguments=['--log-level', value['log_level']],
        additional_env=dds_profile(),
        respawn=is_true('respawn', value['respawn']),
        respawn_delay=2.0,
        output='screen',
        emulate_tty=True,
    )

    def after_exit(event, context) -> list:
        if event.returncode not in (STOPPED, REFUSED):
            return []
        actions = [EmitEvent(event=ShutdownProcess(process_matcher=matches_action(node)))]
        if event.returncode == REFUSED:
            reason = f'{node.node_name} refused to start, and is not started again'
            actions.append(LogInfo(msg=reason))
            if ends_all:
                actions.append(EmitEvent(event=Shutdown(reason=reason)))
        return actions

    return [RegisterEventHandler(OnProcessExit(target_action=node, on_exit=after_exit)), node]


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    rviz = Node(
        package='rviz2',
        executable='rviz2',
        name='rviz2',
        arguments=['-d', str(SHARE / 'rviz/perception.rviz')],
        parameters=[{'use_sim_time': LaunchConfiguration('use_sim_time')}],
        condition=IfCondition(LaunchConfiguration('rviz')),
    )
    return LaunchDescription([*declared, OpaqueFunction(function=start_node), rviz])
