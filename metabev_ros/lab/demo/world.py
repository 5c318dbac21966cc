"""The held-out drive of the demonstration as a vehicle's sensors give it, and its truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from metabev_ros.config import RigConfig, load_config
from metabev_ros.faults.plan import FaultPlan, FaultType
from metabev_ros.geometry import inverse_rigid
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic.presets import drive_for_rig, find_timing
from metabev_ros.lab.datasets.synthetic.sensor_drive import SensorDrive
from metabev_ros.lab.datasets.synthetic.timing import Event, Kind
from metabev_ros.lab.datasets.synthetic.vehicle_bag import write_vehicle_bag
from metabev_ros.lab.simulation.drives import drive_through
from metabev_ros.lab.simulation.worlds import DEFAULT_WORLD, World

CRUISE = 15.0  # m/s where no turn slows the vehicle down; a street says that itself
STREET_PICTURES = 0.32  # of their size, near that in the film: rays cost more than boxes
MARGIN = 0.2  # seconds inside a fault in which its cameras still have images
NEAREST_NS = 200_000_000  # a sweep this near says who can be seen


def vehicle_drive(
    rig_path: Path, seed: int, seconds: float, world: World = DEFAULT_WORLD
) -> SensorDrive:
    """The drive of a rig by its presets, at the speed of the demonstration."""
    config = drive_for_rig(rig_path)
    if world is World.BOXES:
        config = dataclasses.replace(config, cruise=CRUISE)
    else:
        cameras = tuple(mount.scaled(STREET_PICTURES) for mount in config.cameras)
        config = dataclasses.replace(config, cameras=cameras)
    rig = load_config(RigConfig, rig_path)
    return drive_through(world, rig, seed, seconds, config, find_timing(config.timing))


def make_drive(
    path: Path,
    drive: SensorDrive,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    left_out: frozenset[int] = frozenset(),
) -> Truths:
    """Write the drive as a bag, rendered by several processes.

    Args:
        progress: called with (events written, all events).
        left_out: events that are not rendered, as `unsent_images` names them.
    """
    measured = write_vehicle_bag(
        drive, path, workers, progress, keep_truths=True, left_out=left_out
    )
    return Truths(drive, measured)


def unsent_images(drive: SensorDrive, plan: FaultPlan) -> frozenset[int]:
    """Places in `drive.events` of the images whose camera is dead by the plan when they are due.

    Its publishers are destroyed then: nobody could receive them, so they need not be rendered.
    """
    dead = [
        (frozenset(fault.sensor_names(drive.rig)), fault.begin + MARGIN, fault.end - MARGIN)
        for fault in plan.faults
        if fault.type is FaultType.DEAD
    ]
    due = [(event.log_ns - drive.start_ns) * 1e-9 for event in drive.events]
    return frozenset(
        index
        for index, event in enumerate(drive.events)
        if event.kind is Kind.IMAGE and event.source != drive.truth_source
        for names, begin, end in dead
        if event.source in names and begin < due[index] < end
    )


class Truths:
    """The truth of a drive at any of its instants.

    Args:
        drive: knows where everybody is.
        measured: stamp -> truth with what the sensors could see, at the stamps of one sensor.
    """

    def __init__(self, drive: SensorDrive, measured: Mapping[int, GroundTruth]) -> None:
        self._drive, self._measured = drive, dict(measured)
        self._stamps = np.array(sorted(self._measured), np.int64)

    def at(self, stamp_ns: int) -> GroundTruth | None:
        """The truth at a stamp of the drive; None outside of it.

        Between two measured instants boxes and map are those of the stamp itself, and who can
        be seen is that of the nearest measured one.
        """
        if stamp_ns in self._measured:
            return self._measured[stamp_ns]
        if not len(self._stamps):
            return None
        nearest = int(self._stamps[np.argmin(np.abs(self._stamps - stamp_ns))])
        if abs(nearest - stamp_ns) > NEAREST_NS:
            return None
        return self._between(stamp_ns, self._measured[nearest])

    def _between(self, stamp_ns: int, near: GroundTruth) -> GroundTruth:
        time_ns = stamp_ns - self._drive.start_ns
        event = Event(Kind.SWEEP, self._drive.truth_source, 0, time_ns, stamp_ns, stamp_ns)
        tracks = near.track_ids.tolist()
        bare = self._drive.bare_truth(event, dict(zip(tracks, near.num_lidar_pts, strict=True)))
        seen = dict(zip(tracks, near.visibility, strict=True))
        shares = [seen.get(track, 0.0) for track in bare.track_ids.tolist()]
        return dataclasses.replace(bare, visibility=np.array(shares, np.float32))


class TrueMotion:
    """The vehicle's true motion, for drawing only."""

    def __init__(self, drive: SensorDrive) -> None:
        self._drive = drive

    def between(self, target_ns: int, source_ns: int) -> np.ndarray:
        """(4, 4) ego(target)_from_ego(source) between two stamps of the drive."""
        return inverse_rigid(self._pose(target_ns)) @ self._pose(source_ns)

    def twist(self, stamp_ns: int) -> np.ndarray:
        """(3,) vx, vy in m/s and yaw rate in rad/s at a stamp, in the ego frame."""
        return self._drive.ego.velocity((stamp_ns - self._drive.start_ns) * 1e-9)

    def _pose(self, stamp_ns: int) -> np.ndarray:
        return self._drive.ego.world_from_ego((stamp_ns - self._drive.start_ns) * 1e-9)


def planned_arrivals(drive: SensorDrive) -> dict[str, dict[int, int]]:
    """Sensor name -> stamp -> when its message arrives, both on the drive's clock."""
    found: dict[str, dict[int, int]] = {sensor.name: {} for sensor in drive.rig.sensors}
    for event in drive.events:
        if event.kind in (Kind.IMAGE, Kind.SWEEP):
            found[event.source][event.stamp_ns] = event.log_ns
    return found
