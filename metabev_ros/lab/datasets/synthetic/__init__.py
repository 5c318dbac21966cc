"""A procedural world: streets, traffic, a vehicle's sensors, and the truth about all of it."""

from metabev_ros.lab.datasets.synthetic.bag import write_bag
from metabev_ros.lab.datasets.synthetic.config import DriveConfig, Weather
from metabev_ros.lab.datasets.synthetic.drive import DriveFrame, SyntheticDrive
from metabev_ros.lab.datasets.synthetic.presets import drive_for_rig, find_drive, find_timing
from metabev_ros.lab.datasets.synthetic.timing import TimingConfig
from metabev_ros.lab.datasets.synthetic.vehicle import VehicleDrive
from metabev_ros.lab.datasets.synthetic.vehicle_bag import VehicleBag, write_vehicle_bag
from metabev_ros.lab.datasets.synthetic.vehicle_config import VehicleConfig

__all__ = [
    'DriveConfig',
    'DriveFrame',
    'SyntheticDrive',
    'TimingConfig',
    'VehicleBag',
    'VehicleConfig',
    'VehicleDrive',
    'Weather',
    'drive_for_rig',
    'find_drive',
    'find_timing',
    'write_bag',
    'write_vehicle_bag',
]
