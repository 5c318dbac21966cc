"""Plays a bag to the perception node, as soon as that is active, and shows the outputs in RViz.

ros2 launch metabev_ros replay.launch.py bag:=/path/to/bag

The arguments of perception.launch.py are taken too: rig, model, params_file, namespace, ...
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown, matches_action
from launch.events.process import ShutdownProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

HERE = Path(__file__).parent
READY = 0  # exit code of wait_until_active when the node is active
REFUSED = 2  # exit code of the perception node, as in perception.launch.py

ARGUMENTS = (
    ('bag', 'bag folder or .mcap file'),
    ('rate', 'playing speed', '1.0'),
    ('loop', 'start again at the end: true or false', 'false'),
    ('player', 'rosbag2 (ros2 bag play) or metabev (the player of this package)', 'rosbag2'),
    ('ready_timeout', 'seconds that the node may need until it is active', '300'),
    ('end_with_bag', 'end the whole launch with the bag: true or false', 'true'),
    ('rviz', 'show the outputs in RViz: true or false', 'true'),
)


def player_command(bag: str, rate: str, loop: bool, player: str) -> list[str]:
    """The command that plays the bag with its time on /clock.

    Raises:
        ValueError: the player is unknown.
    """
    ours = ['ros2', 'run', 'metabev_ros', 'metabev', 'play', bag, '--clock', '--rate', rate]
    commands = {
        'rosbag2': ['ros2', 'bag', 'play', bag, '--clock', '100', '--rate', rate],
        'metabev': ours,
    }
    if player not in commands:
        raise ValueError(f'player: expected {" or ".join(commands)}, got {player!r}')
    return commands[player] + (['--loop'] if loop else [])


def start_player(context, *args, **kwargs) -> list:
    """The player: after the node is active, not at all if it never is."""
    value = {name: LaunchConfiguration(name).perform(context) for name, *_ in ARGUMENTS}
    name = LaunchConfiguration('name').perform(context)
    play = ExecuteProcess(
        cmd=player_command(
            value['bag'], value['rate'], value['loop'].lower() == 'true', value['player']
        ),
        output='screen',
    )
    wait = Node(
        package='metabev_ros',
        executable='wait_until_active',
        namespace=LaunchConfiguration('namespace'),
        arguments=[name, '--timeout', value['ready_timeout']],
        output='screen',
    )

    def after_wait(event, context) -> list:
        if event.returncode == READY:
            return [play]
        return [LogInfo(msg=f'{name} is not active: the bag is not played')]

    def after_any(event, context) -> list:
        is_ours = isinstance(event.action, LifecycleNode) and event.returncode == REFUSED
        if not is_ours or event.action.node_name.rsplit('/', 1)[-1] != name:
            return []
        return [EmitEvent(event=ShutdownProcess(process_matcher=matches_action(wait)))]

    handlers = [
        OnProcessExit(target_action=wait, on_exit=after_wait),
        OnProcessExit(on_exit=after_any),
    ]
    if value['end_with_bag'].lower() == 'true':
        end = EmitEvent(event=Shutdown(reason='the bag has ended'))
        handlers.append(OnProcessExit(target_action=play, on_exit=[end]))
    return [*map(RegisterEventHandler, handlers), wait]


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(
            name, description=description, default_value=default[0] if default else None
        )
        for name, description, *default in ARGUMENTS
    ]
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / 'perception.launch.py')),
        launch_arguments=[('use_sim_time', 'true')],
    )
    return LaunchDescription([*declared, node, OpaqueFunction(function=start_player)])
