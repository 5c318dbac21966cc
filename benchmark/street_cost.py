"""What a drive through a street costs: its world, its pictures and its sweeps.

    .venv/bin/metabev-env python benchmark/street_cost.py [--rig config/rigs/nuscenes_like.yaml]

A line for each weather: processor time of each kind of event (their median) and of one second of
the drive; then where those of the pictures go. Other work on the machine makes all of it longer.
"""

from __future__ import annotations

import argparse
import cProfile
import dataclasses
import pstats
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from metabev_ros.config import RigConfig, load_config
from metabev_ros.lab.datasets.synthetic.config import Weather
from metabev_ros.lab.datasets.synthetic.presets import drive_for_rig, find_timing
from metabev_ros.lab.datasets.synthetic.timing import Event, Kind
from metabev_ros.lab.datasets.synthetic.vehicle_messages import render_event
from metabev_ros.lab.simulation.vehicle import StreetVehicleDrive
from metabev_ros.resources import DEFAULT_RIG, resource_path

WEATHERS = (Weather.SUNNY, Weather.OVERCAST, Weather.NIGHT, Weather.RAIN)
EACH, SECONDS, AFTER_NS = 12, 2.0, 300_000_000
# Functions of the simulation that are named: file, function, what it is.
STAGES = (
    ('rays.py', 'cast', 'rays'),
    ('patch.py', 'look_at', 'surfaces'),
    ('shading.py', 'scattered', 'light and shadow'),
    ('radiance.py', '_mirror', 'mirrors'),
    ('radiance.py', '_look_through', 'glass'),
    ('render.py', '_look_again', 'edges again'),
)


def timed(drive: StreetVehicleDrive, events: Sequence[Event]) -> float:
    """Median processor seconds of some events, the first of which warms up."""
    spent: list[float] = []
    for event in events:
        start = time.process_time()
        render_event(drive, event)
        spent.append(time.process_time() - start)
    return float(np.median(spent[1:]))


def stages(drive: StreetVehicleDrive, events: Sequence[Event]) -> str:
    """Shares of the time of some pictures; a stage may be within another."""
    profile = cProfile.Profile(time.process_time)
    start = time.process_time()
    profile.enable()
    for event in events:
        drive.view(event)
    profile.disable()
    whole = time.process_time() - start
    found: dict[tuple[str, str], float] = {}
    table = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (path, line, name), (_, _, _, total, _) in table.items():
        place = (Path(path).name, name)
        if place != ('rays.py', 'cast') or line > 100:  # not that of a single mesh
            found[place] = found.get(place, 0.0) + total
    named = [f'{what} {found.get((file, name), 0) / whole:.0%}' for file, name, what in STAGES]
    return ', '.join(named)


def measure(rig: Path, weather: Weather, seed: int) -> None:
    """Print the line of a weather."""
    config = dataclasses.replace(drive_for_rig(rig), weather=weather)
    start = time.process_time()
    loaded, timing = load_config(RigConfig, rig), find_timing(config.timing)
    drive = StreetVehicleDrive(loaded, seed, SECONDS, config, timing)
    built = time.process_time() - start
    whole, words = 0.0, [f'world {built:.1f} s']
    for kind in Kind:
        mine = [e for e in drive.events if e.kind is kind and e.time_ns > AFTER_NS][: EACH + 1]
        if len(mine) > 1:
            each = timed(drive, mine)
            rate = sum(e.kind is kind for e in drive.events) / SECONDS
            whole += each * rate
            words.append(f'{kind.value} {each * 1e3:.0f} ms x {rate:.0f} Hz')
    print(f'{weather.value}: {", ".join(words)}; a second {whole:.1f} s', flush=True)
    images = [e for e in drive.events if e.kind is Kind.IMAGE][:EACH]
    if images:
        print(f'    pictures: {stages(drive, images)}', flush=True)


def main() -> None:
    """Measure all weathers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rig', type=Path, default=resource_path(DEFAULT_RIG))
    parser.add_argument('--seed', type=int, default=900_103)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    for weather in WEATHERS:
        measure(given.rig, weather, given.seed)


if __name__ == '__main__':
    main()
