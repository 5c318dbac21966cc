"""A vehicle's drive as an MCAP bag: on the rig's topics, in the order of arrival.

The truth is on /ground_truth/*, as in `bag`, at the stamps of `SensorDrive.truth_source`; there
/ground_truth/odometry says where the vehicle is, without the errors of its odometry.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2

from metabev_ros import wire
from metabev_ros.bags import BagWriter
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.synthetic import bag_messages as made
from metabev_ros.lab.datasets.synthetic.bag import (
    TRUTH_DETECTIONS,
    TRUTH_MAP,
    TRUTH_OBJECTS,
    TRUTH_ODOMETRY,
)
from metabev_ros.lab.datasets.synthetic.sensor_drive import SensorDrive, with_visibility
from metabev_ros.lab.datasets.synthetic.timing import Event, Kind
from metabev_ros.lab.datasets.synthetic.vehicle_messages import (
    TF_TYPE,
    OutMessage,
    Rendered,
    message_of,
    render_event,
)

IN_FLIGHT = 6  # events per worker that wait or are being rendered


class VehicleBag:
    """The messages of a drive, rendered by several processes.

    Args:
        workers: processes; the bytes do not depend on it.
        keep_truths: a quarter of a megabyte for each stamp.
        left_out: places in the drive's events of images that are neither rendered nor written;
            the truth then counts nobody as seen by them.

    Attributes:
        truths: stamp in nanoseconds -> truth of what was taken so far, where they are kept.
    """

    def __init__(
        self,
        drive: SensorDrive,
        workers: int = 1,
        keep_truths: bool = False,
        left_out: frozenset[int] = frozenset(),
    ) -> None:
        self.drive, self._workers, self._keeps_truths = drive, workers, keep_truths
        self._left_out = left_out
        self.truths: dict[int, GroundTruth] = {}

    def __len__(self) -> int:
        return len(self.drive.events)

    def __iter__(self) -> Iterator[tuple[OutMessage, ...]]:
        """Yield the messages of each event, in the order of arrival, and before all `/tf_static`.

        The truth of an event follows its message.
        """
        mounts = self._static_mounts()
        if mounts:
            yield (mounts,)
        if self._workers < 2:
            yield from self._walk(lambda index: render_event(self.drive, self.drive.events[index]))
            return
        # `spawn`: a forked child could inherit a lock that a thread of this process holds.
        with ProcessPoolExecutor(
            self._workers, get_context('spawn'), _enter_worker, (self.drive,)
        ) as pool:
            wanted = [index for index in range(len(self)) if index not in self._left_out]
            ahead = _Ahead(pool, wanted, IN_FLIGHT * self._workers)
            try:
                yield from self._walk(ahead.take)
            finally:
                ahead.cancel()

    def _walk(self, render: Callable[[int], Rendered]) -> Iterator[tuple[OutMessage, ...]]:
        shots = _Shots(self.drive)
        early: dict[int, Rendered] = {}  # images that a truth needed before they arrived
        for index, event in enumerate(self.drive.events):
            done = self._done(index, early, render)
            shots.keep(index, done.seen)
            messages = done.messages
            if done.truth is not None:
                newest = shots.newest(event.time_ns)
                for other in newest:
                    if not shots.has(other):
                        early[other] = self._done(other, {}, render)
                        shots.keep(other, early[other].seen)
                truth = with_visibility(done.truth, [shots.of(other) for other in newest])
                if self._keeps_truths:
                    self.truths[event.stamp_ns] = truth
                messages += tuple(self._truth_messages(event, truth))
            yield messages

    def _done(
        self, index: int, early: dict[int, Rendered], render: Callable[[int], Rendered]
    ) -> Rendered:
        if index in self._left_out:
            return Rendered((), {}, None)
        return early.pop(index, None) or render(index)

    def _truth_messages(self, event: Event, truth: GroundTruth) -> Iterator[OutMessage]:
        ego = self.drive.rig.ego_frame
        boxes = made.truth_boxes(event.stamp_ns, truth, ego)
        yield message_of(TRUTH_DETECTIONS, wire.OUTPUT_TYPES[wire.DETECTIONS], event, boxes)
        objects = made.truth_objects(event.stamp_ns, truth, ego)
        yield message_of(TRUTH_OBJECTS, 'sensor_msgs/msg/PointCloud2', event, objects)
        t = event.time_ns * 1e-9
        pose, velocity = self.drive.odometry.true_pose(t), self.drive.ego.velocity(t)
        place = made.odometry(event.stamp_ns, pose, velocity, ('world', ego))
        yield message_of(TRUTH_ODOMETRY, 'nav_msgs/msg/Odometry', event, place)
        layers = made.truth_map(event.stamp_ns, truth, ego)
        yield message_of(TRUTH_MAP, wire.OUTPUT_TYPES[wire.BEV_MAP], event, layers)

    def _static_mounts(self) -> OutMessage | None:
        """/tf_static of the sensors whose pose the rig file leaves to TF."""
        rig, mounts, start = self.drive.rig, self.drive.mounts, self.drive.start_ns
        links = [
            (rig.ego_frame, camera.frame, mounts.cameras[camera.name].ego_from_camera)
            for camera in rig.cameras
            if camera.ego_from_camera is None
        ]
        links += [
            (rig.ego_frame, lidar.frame, mounts.poses[lidar.name])
            for lidar in rig.lidars
            if lidar.ego_from_lidar is None
        ]
        if not links:
            return None
        cdr = wire.serialize(made.transforms(start, links), TF_TYPE)
        return OutMessage('/tf_static', TF_TYPE, start, cdr)


class _Shots:
    """Whom the newest images show, by the index of their events; older ones are forgotten."""

    def __init__(self, drive: SensorDrive) -> None:
        self._seen: dict[int, dict[int, tuple[int, int]]] = {}
        self._times: dict[str, list[tuple[int, int]]] = {}
        for index, event in enumerate(drive.events):
            if event.kind is Kind.IMAGE:
                self._times.setdefault(event.source, []).append((event.time_ns, index))
        for times in self._times.values():
            times.sort()
        self._order = {
            index: (source, place)
            for source, times in self._times.items()
            for place, (_, index) in enumerate(times)
        }
        self._first = dict.fromkeys(self._times, 0)

    def newest(self, time_ns: int) -> list[int]:
        """Index of the newest image of each camera, not after a time; times never fall."""
        found: list[int] = []
        for source, times in self._times.items():
            place = bisect.bisect_right(times, time_ns, key=lambda pair: pair[0]) - 1
            if place < 0:
                continue
            for _, index in times[self._first[source] : place]:
                self._seen.pop(index, None)
            self._first[source] = place
            found.append(times[place][1])
        return found

    def keep(self, index: int, seen: dict[int, tuple[int, int]]) -> None:
        source, place = self._order.get(index, ('', -1))
        if source and place >= self._first[source]:
            self._seen[index] = seen

    def has(self, index: int) -> bool:
        return index in self._seen

    def of(self, index: int) -> dict[int, tuple[int, int]]:
        return self._seen[index]


class _Ahead:
    """Events rendered ahead by a pool, in their order; `wanted` are all that will be taken."""

    def __init__(self, pool: ProcessPoolExecutor, wanted: list[int], depth: int) -> None:
        self._pool, self._wanted, self._depth = pool, wanted, depth
        self._next = 0
        self._waiting: dict[int, Future[Rendered]] = {}

    def take(self, index: int) -> Rendered:
        """Give what an event became; each is taken once."""
        while self._next < len(self._wanted) and (
            self._wanted[self._next] <= index or len(self._waiting) < self._depth
        ):
            ahead = self._wanted[self._next]
            self._waiting[ahead] = self._pool.submit(_render, ahead)
            self._next += 1
        return self._waiting.pop(index).result()

    def cancel(self) -> None:
        for future in self._waiting.values():
            future.cancel()


_drive: SensorDrive | None = None  # of a worker process


def _enter_worker(drive: SensorDrive) -> None:
    global _drive
    cv2.setNumThreads(1)  # the workers share the cores already
    _drive = drive


def _render(index: int) -> Rendered:
    assert _drive is not None  # `_enter_worker` set it
    return render_event(_drive, _drive.events[index])


def write_vehicle_bag(
    drive: SensorDrive,
    path: Path | str,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    keep_truths: bool = False,
    left_out: frozenset[int] = frozenset(),
) -> dict[int, GroundTruth]:
    """Write all messages; the file appears under its name when complete.

    Args:
        workers: processes that render; the bytes do not depend on it.
        progress: called with (events written, all events).
        keep_truths: return them; else nothing.
        left_out: as of `VehicleBag`.

    Returns:
        Stamp in nanoseconds -> truth.
    """
    bag = VehicleBag(drive, workers, keep_truths, left_out)
    with BagWriter(path) as writer:
        for index, messages in enumerate(bag):
            for message in messages:
                writer.write(message.topic, message.msgtype, message.log_ns, message.cdr)
            if progress is not None:
                progress(min(index + 1, len(bag)), len(bag))
    return bag.truths
