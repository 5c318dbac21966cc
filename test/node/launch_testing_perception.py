"""What `launch_test` runs (test_launch_files.py calls it): start, heartbeat, a clean end."""

from __future__ import annotations

import time
import unittest

import launch_testing.actions
import launch_testing.asserts
import rclpy
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare


def generate_test_description() -> LaunchDescription:
    file = [FindPackageShare('metabev_ros'), 'launch', 'perception.launch.py']
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution(file)),
        launch_arguments={'namespace': 'under_test'}.items(),
    )
    return LaunchDescription([node, launch_testing.actions.ReadyToTest()])


class Running(unittest.TestCase):
    def test_the_heartbeat_comes_and_says_that_nothing_can_be_looked_at(self) -> None:
        from metabev_ros.msg import PerceptionStatus

        rclpy.init()
        node, heard = rclpy.create_node('listener'), []
        node.create_subscription(
            PerceptionStatus, '/under_test/perception/status', heard.append, 10
        )
        end = time.monotonic() + 90
        while len(heard) < 10 and time.monotonic() < end:
            rclpy.spin_once(node, timeout_sec=0.1)
        node.destroy_node()
        rclpy.shutdown()
        self.assertGreaterEqual(len(heard), 10)
        self.assertEqual(heard[-1].modality, PerceptionStatus.MODALITY_NONE)


@launch_testing.post_shutdown_test()
class Ended(unittest.TestCase):
    def test_the_node_ended_with_zero(self, proc_info) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
