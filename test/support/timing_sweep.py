"""A camera and a LiDAR, each at its own rate, phase and delay: what could be used, and what is.

What could be used is told from the schedule alone: `Schedule` knows nothing of the front end. A
frame could be used in the sample of a sweep when it lies in the window (at most the maximum age
before the sweep, at most the tolerance after it) and comes before the sample has to close: within
the deadline after the sweep came, and before the next sweep. Frames within a millisecond of one of
these limits count neither way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from metabev_ros.config import SensingConfig
from metabev_ros.structures import Modality
from support.fake_drive import (
    LIDAR,
    MS,
    T0,
    camera_info,
    cloud,
    front_end,
    image_number,
    numbered_image,
    play,
    rig,
    ring,
    tf_message,
    transform,
)

RATES = (5, 10, 12, 15, 20, 30)  # Hz
TOLERANCES = (25, 55, 100)  # ms
CAMERA = 'cam0'
PROMPT = 5 * MS  # delay of a sensor that is not delayed
MARGIN = 1 * MS
WARM_UP, SECONDS = 1, 3  # all rates are whole: whatever happens repeats each second


@dataclass(frozen=True)
class Timing:
    """One combination.

    Attributes:
        phase: how far the camera's frames lie before the sweeps, 0..1 of its period.
        lag: ms from a camera's stamp to its arrival, beyond `PROMPT`; negative: of the LiDAR's.
        tolerance: ms.
    """

    camera_hz: int
    lidar_hz: int
    phase: float
    lag: float
    tolerance: float

    @property
    def config(self) -> SensingConfig:
        return SensingConfig(tolerance=self.tolerance / 1000)


@dataclass(frozen=True)
class Sent:
    """One message of the schedule, times in nanoseconds."""

    number: int
    stamp: int
    arrival: int


class Schedule:
    """What is sent and when it comes; which frames each sweep's sample could hold."""

    def __init__(self, timing: Timing) -> None:
        config, period = timing.config, 1e9 / timing.camera_hz
        late, early = max(0.0, timing.lag), max(0.0, -timing.lag)
        self.frames = self._sent(timing.camera_hz, -timing.phase * period, PROMPT + late * MS)
        self.sweeps = self._sent(timing.lidar_hz, 0.0, PROMPT + early * MS)
        self.oldest = max(timing.tolerance * MS, config.max_age_periods * period)
        self._after = timing.tolerance * MS
        self._deadline = config.deadline * 1e9

    @staticmethod
    def _sent(rate: int, begin: float, delay: float) -> list[Sent]:
        stamps = [T0 + round(begin + k * 1e9 / rate) for k in range(SECONDS * rate)]
        return [Sent(k, at, at + round(delay)) for k, at in enumerate(stamps)]

    def events(self) -> list[tuple[int, str, object]]:
        found = [
            (frame.arrival, f'{CAMERA}/image', numbered_image(frame.number, frame.stamp, CAMERA))
            for frame in self.frames
        ]
        found += [
            (sweep.arrival, 'lidar/points', cloud(ring(sweep.number, 90), sweep.stamp))
            for sweep in self.sweeps
        ]
        return sorted(found, key=lambda event: event[0])

    def asked(self) -> Iterator[tuple[Sent, int]]:
        """The sweeps that count, each with the time at which its sample has to close."""
        begin, end = T0 + WARM_UP * 10**9, self.frames[-1].arrival - 300 * MS
        for sweep, after in itertools.pairwise(self.sweeps):
            if sweep.stamp >= begin and after.arrival <= end:
                yield sweep, round(min(sweep.arrival + self._deadline, after.arrival))

    def usable(self, reference: int, until: int, margin: int = MARGIN) -> list[Sent]:
        """Frames for a sample that closes at `until`; a negative margin adds the doubtful ones."""
        return [
            frame
            for frame in self.frames
            if -self._after + margin <= reference - frame.stamp <= self.oldest - margin
            and frame.arrival <= until - margin
        ]


@dataclass
class Count:
    """Samples of one or more drives.

    Attributes:
        sweeps: asked for; samples: of them, made.
        fused: samples with the camera.
        could: sweeps for which a frame could be used; used: of them, with the camera.
        nearest: samples with the camera in its nearest frame of those that had come.
        wrong: frames that could not be used and were.
        too_late: sweeps of drives in which twice in a row no frame could be used. There the camera
            is lost by the node's rule of two misses, and need not be in the samples in between.
    """

    sweeps: int = 0
    samples: int = 0
    fused: int = 0
    could: int = 0
    used: int = 0
    nearest: int = 0
    wrong: int = 0
    too_late: int = 0

    def __add__(self, other: Count) -> Count:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Count(*(a + b for a, b in pairs))


def two_sensors(timing: Timing):
    """The rig of a timing: its first camera and its LiDAR, at their rates."""
    base = rig()
    cameras = (replace(base.cameras[0], rate_hz=timing.camera_hz),)
    lidar = base.lidars[0] if hasattr(base, 'lidars') else base.lidar
    lidar = replace(lidar, rate_hz=timing.lidar_hz)
    # The code of before takes one LiDAR: the benchmark runs both.
    lidars = {'lidars': (lidar,)} if hasattr(base, 'lidars') else {'lidar': lidar}
    return replace(base, cameras=cameras, **lidars)


def drive(timing: Timing):
    """The schedule and what comes out of it: [(time, sample)]."""
    schedule = Schedule(timing)
    end = front_end(timing.config, two_sensors(timing))
    placed = tf_message(*(transform('base_link', name) for name in (CAMERA, LIDAR)))
    begin = T0 - 500 * MS
    end.push('/tf_static', placed, begin)
    end.push(f'{CAMERA}/camera_info', camera_info(CAMERA, ns=begin), begin)
    return schedule, play(end, schedule.events())


def judge(timing: Timing) -> Count:
    """Hold the samples of one drive against its schedule."""
    schedule, out = drive(timing)
    made = {sample.stamp_ns: (time, sample) for time, sample in out}
    count, lacked = Count(), False
    for sweep, until in schedule.asked():
        could = bool(schedule.usable(sweep.stamp, until))
        count.sweeps, count.could = count.sweeps + 1, count.could + could
        count.too_late += lacked and not could
        lacked = not could
        time, sample = made.get(sweep.stamp, (0, None))
        count.samples += sample is not None
        picture = None if sample is None else sample.cameras[CAMERA]
        if sample is None or picture is None:
            continue
        count.fused += sample.modality is Modality.FUSED
        count.used += could
        number = image_number(picture.pixels)
        used = [f for f in schedule.usable(sweep.stamp, time, -MARGIN) if f.number == number]
        apart = [abs(frame.stamp - sweep.stamp) for frame in schedule.usable(sweep.stamp, time)]
        limit = min(apart, default=schedule.oldest) + MARGIN
        count.wrong += not used
        count.nearest += any(abs(f.stamp - sweep.stamp) <= limit for f in used)
    if count.too_late:
        count.too_late, count.could, count.used = count.sweeps, 0, 0
    return count
