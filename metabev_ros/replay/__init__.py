"""Bag in, bag out, without ROS: the node's sensing, pipeline and encoding on recorded data."""
