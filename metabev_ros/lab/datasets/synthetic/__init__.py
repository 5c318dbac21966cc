"""A procedural world: streets, traffic, a nuScenes-like rig, and the truth about all of it."""

from metabev_ros.lab.datasets.synthetic.bag import write_bag
from metabev_ros.lab.datasets.synthetic.config import DriveConfig, Weather
from metabev_ros.lab.datasets.synthetic.drive import DriveFrame, SyntheticDrive

__all__ = ['DriveConfig', 'DriveFrame', 'SyntheticDrive', 'Weather', 'write_bag']
