"""Starts the perception node: configured, activated and started again should it ever die.

ros2 launch metabev_ros perception.launch.py rig:=/path/rig.yaml remap:='odom:=/vehicle/odom'
"""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown, matches_action
from launch.events.process import ShutdownProcess
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.substitutions import FindPackageShare

STOPPED = 0  # exit code after a signal or the lifecycle transition `shutdown`: as it was asked
REFUSED = 2  # exit code of a node whose parameters or model are wrong: starting again is no cure

ARGUMENTS = (
    (
        'params_file',
        PathJoinSubstitution([FindPackageShare('metabev_ros'), 'config', 'perception.param.yaml']),
        'parameter file; the arguments below win over it',
    ),
    ('rig', '', 'rig YAML file: names, topics, frames and rates of the sensors'),
    ('model', '', 'model folder, or the name of a model of this package'),
    ('backend', '', 'inference runtime'),
    ('name', 'perception', 'node name; the outputs are <namespace>/<name>/detections and so on'),
    ('namespace', '', 'namespace of the node, and of the topics in the rig file'),
    ('remap', '', 'topics to rename, as "from:=to from:=to"'),
    ('autostart', 'true', 'configure and activate; false leaves it to a lifecycle manager'),
    ('respawn', 'true', 'start the node again when it dies'),
    ('use_sim_time', 'false', 'take the time from /clock, as when a bag is played'),
    ('log_level', 'info', 'debug, info, warn, error'),
)


def parse_remappings(text: str) -> list[tuple[str, str]]:
    """'a:=b c:=d' -> [('a', 'b'), ('c', 'd')].

    Raises:
        ValueError: for anything else.
    """
    pairs = []
    for word in text.split():
        source, separator, target = word.partition(':=')
        if not (source and separator and target):
            raise ValueError(f'remap: expected "from:=to from:=to", got {word!r}')
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


def start_node(context, *args, **kwargs) -> list:
    """The node, and an end of the whole launch when the node refuses its configuration."""
    value = {name: LaunchConfiguration(name).perform(context) for name, *_ in ARGUMENTS}
    # An empty argument must not hide what the parameter file says.
    overrides = {name: value[name] for name in ('rig', 'model', 'backend') if value[name]}
    overrides |= {name: is_true(name, value[name]) for name in ('autostart', 'use_sim_time')}
    node = LifecycleNode(
        package='metabev_ros',
        executable='perception_node',
        name=value['name'],
        namespace=value['namespace'],
        parameters=[value['params_file'], overrides],
        remappings=parse_remappings(value['remap']),
        ros_arguments=['--log-level', value['log_level']],
        respawn=is_true('respawn', value['respawn']),
        respawn_delay=2.0,
        output='screen',
        emulate_tty=True,
    )

    def end_if_refused(event, context) -> list:
        if event.returncode == STOPPED:  # not the launch: it may hold other nodes
            return [EmitEvent(event=ShutdownProcess(process_matcher=matches_action(node)))]
        if event.returncode != REFUSED:
            return []
        return [EmitEvent(event=Shutdown(reason='the perception node refused to start'))]

    return [RegisterEventHandler(OnProcessExit(target_action=node, on_exit=end_if_refused)), node]


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start_node)])
