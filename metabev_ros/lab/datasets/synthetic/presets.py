"""Drives and timings by name: the files of `config/drives/`."""

from __future__ import annotations

from pathlib import Path

from metabev_ros.config import load_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.synthetic.timing import TimingConfig
from metabev_ros.lab.datasets.synthetic.vehicle_config import VehicleConfig
from metabev_ros.resources import resource_path

DRIVES, TIMINGS = 'config/drives', 'config/drives/timing'


def _find(folder: str, name: str) -> Path:
    """A preset by name, or a file.

    Raises:
        ConfigError: if it is neither.
    """
    if name.endswith(('.yaml', '.yml')):
        return Path(name)
    known = sorted(path.stem for path in resource_path(folder).glob('*.yaml'))
    if name not in known:
        raise ConfigError(
            folder, f'one of {", ".join(known)}, or a .yaml file', repr(name), 'check the name'
        )
    return resource_path(f'{folder}/{name}.yaml')


def find_drive(name: str) -> VehicleConfig:
    """A drive preset of `config/drives/`, or a file.

    Raises:
        ConfigError
    """
    return load_config(VehicleConfig, _find(DRIVES, name))


def drive_for_rig(rig: Path) -> VehicleConfig:
    """The drive preset of a rig file's name; where there is none, the default one."""
    known = {path.stem for path in resource_path(DRIVES).glob('*.yaml')}
    return find_drive(rig.stem if rig.stem in known else 'nuscenes_like')


def find_timing(name: str) -> TimingConfig:
    """A timing preset of `config/drives/timing/`, or a file.

    Raises:
        ConfigError
    """
    return load_config(TimingConfig, _find(TIMINGS, name))
