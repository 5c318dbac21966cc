"""Small drives through a street: a rig with a lens of each kind and a LiDAR that is tilted."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np

from metabev_ros.config import (
    CameraConfig,
    EgoBox,
    LidarConfig,
    PointTime,
    RigConfig,
    Transport,
)
from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.datasets.synthetic.config import Weather
from metabev_ros.lab.datasets.synthetic.timing import Event, Kind, SensorTiming, TimingConfig
from metabev_ros.lab.datasets.synthetic.vehicle_config import (
    CameraMount,
    LidarMount,
    OdometryNoise,
    VehicleConfig,
)
from metabev_ros.lab.simulation.vehicle import StreetVehicleDrive
from metabev_ros.structures import DistortionModel

SEED, SECONDS = 39, 1.6
LENSES = ('ideal', 'plumb', 'rational', 'fisheye')
EXACT = OdometryNoise(0, 0, 0, 0, 0, 0)
OWN_BOX = EgoBox(-1.0, 3.7, -0.95, 0.95, -0.5, 1.75)


def tilted() -> np.ndarray:
    """(4, 4) pose of a LiDAR on the left side that leans 25 degrees outwards and 10 forward."""
    roll, pitch = np.deg2rad(-25), np.deg2rad(10)
    over = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    down = np.array(
        [[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]]
    )
    return rigid_transform(rotation_z(0.7) @ down @ over, (1.2, 0.7, 1.9))


def street_rig() -> RigConfig:
    """Four cameras and two LiDARs, of which `side` is tilted."""
    cameras = tuple(
        CameraConfig(
            name=name,
            topic=f'{name}/image',
            frame=name,
            transport=Transport.RAW if name == 'plumb' else Transport.COMPRESSED,
            rectified=name == 'ideal',
            info_topic=f'{name}/info',
        )
        for name in LENSES
    )
    lidars = (
        LidarConfig('top', 'top/points', 'top', point_time=PointTime('time')),
        LidarConfig(
            'side',
            'side/points',
            'side',
            ego_from_lidar=tuple(tilted().reshape(-1).tolist()),
            point_time=PointTime('time'),
        ),
    )
    return RigConfig(cameras, lidars, ego_box=OWN_BOX)


def street_config() -> VehicleConfig:
    """Small pictures and few columns; odometry without errors."""
    bent: dict[str, tuple[DistortionModel, tuple[float, ...]]] = {
        'ideal': (DistortionModel.PLUMB_BOB, ()),
        'plumb': (DistortionModel.PLUMB_BOB, (-0.2, 0.05, 0.0005, -0.0003, -0.004)),
        'rational': (
            DistortionModel.RATIONAL_POLYNOMIAL,
            (0.3, 0.05, 0.0004, -0.0002, 0.01, 0.6, 0.1, 0.02),
        ),
        'fisheye': (DistortionModel.EQUIDISTANT, (0.012, -0.004, 0.002, -0.0006)),
    }
    mounts = tuple(
        CameraMount(
            name,
            (1.4, 0.0, 1.5),
            yaw=yaw,
            pitch=2.0,
            width=240,
            height=136,
            focal=75.0 if name == 'fisheye' else 140.0,
            distortion_model=bent[name][0],
            distortion=bent[name][1],
        )
        for name, yaw in zip(LENSES, (0.0, 60.0, -60.0, 180.0), strict=True)
    )
    lidars = (
        LidarMount('top', (0.94, 0.0, 1.84), azimuths=360),
        LidarMount('side', beams=16, lowest=-15, highest=15, azimuths=180, last=90.0),
    )
    return VehicleConfig(weather=Weather.OVERCAST, odometry=EXACT, cameras=mounts, lidars=lidars)


@cache
def street_drive(readout: float = 0.0, seed: int = SEED, spin: bool = True) -> StreetVehicleDrive:
    """The drive, kept for all tests of a process."""
    timing = TimingConfig(spin=spin, cameras=SensorTiming(readout=readout))
    return StreetVehicleDrive(street_rig(), seed, SECONDS, street_config(), timing)


def short_drive(
    seed: int = SEED, seconds: float = 0.22, traffic: Path | None = None
) -> StreetVehicleDrive:
    """One camera and both LiDARs, for bags."""
    rig = dataclasses.replace(street_rig(), cameras=street_rig().cameras[1:2])
    return StreetVehicleDrive(rig, seed, seconds, street_config(), TimingConfig(), traffic=traffic)


def event_near(drive: StreetVehicleDrive, source: str, t: float) -> Event:
    """The measurement of a sensor that is nearest to a time."""
    mine = [e for e in drive.events if e.source == source and e.kind in (Kind.IMAGE, Kind.SWEEP)]
    return min(mine, key=lambda event: abs(event.time_ns * 1e-9 - t))
