"""The ROS 2 node: the only rclpy code of the package."""
