"""Drives of a rig through any world."""

from __future__ import annotations

from pathlib import Path

from metabev_ros.config import RigConfig
from metabev_ros.lab.datasets.synthetic.sensor_drive import SensorDrive
from metabev_ros.lab.datasets.synthetic.timing import TimingConfig
from metabev_ros.lab.datasets.synthetic.vehicle import VehicleDrive
from metabev_ros.lab.datasets.synthetic.vehicle_config import VehicleConfig
from metabev_ros.lab.simulation.vehicle import StreetVehicleDrive
from metabev_ros.lab.simulation.worlds import World, find_world


def drive_through(
    world: World,
    rig: RigConfig,
    seed: int,
    seconds: float,
    config: VehicleConfig,
    timing: TimingConfig,
    traffic: Path | None = None,
) -> SensorDrive:
    """A drive of a rig through a world.

    Args:
        traffic: a recorded scene, for streets only; see `StreetVehicleDrive`.

    Raises:
        ConfigError: as the drives, and for recorded traffic in another world.
    """
    if world is World.STREETS:
        return StreetVehicleDrive(rig, seed, seconds, config, timing, traffic=traffic)
    find_world(world.value, traffic)
    return VehicleDrive(rig, seed, seconds, config, timing)
