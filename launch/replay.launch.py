"""Plays a bag to the perception node and shows what it sees in RViz.

ros2 launch metabev_ros replay.launch.py bag:=/path/to/bag
"""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

START_DELAY = 5.0  # seconds for the node to load its model before the first message

ARGUMENTS = (
    ('bag', 'bag folder or .mcap file'),
    ('rate', 'playing speed', '1.0'),
    ('loop', 'start again at the end: true or false', 'false'),
    ('player', 'rosbag2 (ros2 bag play) or metabev (the player of this package)', 'rosbag2'),
    ('rviz', 'show RViz: true or false', 'true'),
    ('rig', 'rig YAML file', ''),
    ('model', 'model folder, or the name of a model of this package', ''),
    ('remap', 'topics to rename, as "from:=to from:=to"', ''),
)


def player_command(bag: str, rate: str, loop: bool, player: str) -> list[str]:
    """The command that plays the bag with its time on /clock.

    Raises:
        ValueError: the player is unknown.
    """
    commands = {
        'rosbag2': ['ros2', 'bag', 'play', bag, '--clock', '100', '--rate', rate],
        'metabev': [
            'ros2',
            'run',
            'metabev_ros',
            'metabev',
            'play',
            bag,
            '--clock',
            '--rate',
            rate,
        ],
    }
    if player not in commands:
        raise ValueError(f'player: expected {" or ".join(commands)}, got {player!r}')
    return commands[player] + (['--loop'] if loop else [])


def start_player(context, *args, **kwargs) -> list:
    """The player, and the end of everything when it has played the bag."""
    value = {
        name: LaunchConfiguration(name).perform(context)
        for name in ('bag', 'rate', 'loop', 'player')
    }
    play = ExecuteProcess(
        cmd=player_command(
            value['bag'], value['rate'], value['loop'].lower() == 'true', value['player']
        ),
        output='screen',
    )
    at_end = OnProcessExit(
        target_action=play, on_exit=[EmitEvent(event=Shutdown(reason='the bag has ended'))]
    )
    return [RegisterEventHandler(at_end), TimerAction(period=START_DELAY, actions=[play])]


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(
            name, description=description, default_value=default[0] if default else None
        )
        for name, description, *default in ARGUMENTS
    ]
    share = FindPackageShare('metabev_ros')
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([share, 'launch', 'perception.launch.py'])
        ),
        launch_arguments=[
            ('use_sim_time', 'true'),
            *((name, LaunchConfiguration(name)) for name in ('rig', 'model', 'remap')),
        ],
    )
    rviz = Node(
        package='rviz2',
        executable='rviz2',
        name='rviz2',
        arguments=['-d', PathJoinSubstitution([share, 'rviz', 'perception.rviz'])],
        parameters=[{'use_sim_time': True}],
        condition=IfCondition(LaunchConfiguration('rviz')),
    )
    return LaunchDescription([*arguments, node, rviz, OpaqueFunction(function=start_player)])
