"""What an output of a random rig may be: the schedule of its seed says it."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np
from support import fake_drive
from support.fake_drive import MS, T0

from benchmark.reliability.random_rigs import MARK_SECONDS, QUIET, SECONDS, Scenario, Sent
from metabev_ros.structures import Modality, Sample, SensorReport, SensorState

FUTURE = 50 * MS
NEAR_METRES, NEAR_RADIANS = 0.05, 0.02  # of a pose to the true one
POINT_METRES = 0.08  # of a point 20 m away
USED_AS = (SensorState.OK, SensorState.SUSPECT)
SILENT = (SensorState.STALE, SensorState.NEVER, SensorState.INVALID)


@dataclass
class Oracle:
    """Says whether an output is what the schedule allows; each of its rules is an assertion.

    Attributes:
        counts: outputs of every modality, frames that served again, poses that were compensated
            and that were not, epochs.
    """

    scenario: Scenario
    counts: Counter[str] = field(default_factory=Counter)
    _by_stamp: dict[tuple[str, int], Sent] = field(default_factory=dict)
    _came: dict[str, list[Sent]] = field(default_factory=dict)
    _used: set[tuple[str, int]] = field(default_factory=set)
    _epoch_of: dict[int, int] = field(default_factory=dict)
    _went_back: set[int] = field(default_factory=set)
    _newest_ns: int = 0
    _last: tuple[int, int] | None = None
    _marks: deque[tuple[int, list[int]]] = field(default_factory=lambda: deque(maxlen=64))

    def __post_init__(self) -> None:
        self._periods = {name: t.period_ns for name, t in self.scenario.timings.items()}
        self._poses = {
            s.name: np.array(
                [
                    [1, 0, 0, 1],
                    [0, 1, 0, 0],
                    [0, 0, 1, 1.8 if 'lidar' in s.name else 1.5],
                    [0, 0, 0, 1.0],
                ]
            )
            for s in self.scenario.rig.sensors
        }
        self._has_time = {s.name: s.point_time is not None for s in self.scenario.rig.lidars}

    def tick(self, true_ns: int, arrival_ns: int) -> None:
        """The node's clock at something that reached it.

        A clock that is set back while nothing comes is not seen to go back, and needs no epoch.
        """
        if arrival_ns < self._newest_ns - round(self.scenario.config.clock_jump * 1e9):
            self._went_back.add(self.scenario.clock(true_ns)[0])
            self._newest_ns = arrival_ns
        self._newest_ns = max(self._newest_ns, arrival_ns)

    def hear(self, message: Sent) -> None:
        """A message reached the node."""
        self._by_stamp.setdefault((message.sensor, message.stamp_ns), message)
        self._came.setdefault(message.sensor, []).append(message)

    def check(self, true_ns: int, sample: Sample) -> None:
        """Hold one output against the schedule.

        Raises:
            AssertionError: which rule it breaks.
        """
        assert self._last is None or (sample.epoch, sample.stamp_ns) > self._last, 'stamps rise'
        self._last = (sample.epoch, sample.stamp_ns)
        reports = {report.name: report for report in sample.sensors}
        assert list(reports) == list(self.scenario.rig.sensor_names), 'a report for each sensor'
        used = [name for name, report in reports.items() if report.used]
        pictures = [name for name, image in sample.cameras.items() if image is not None]
        assert pictures == [name for name in used if name.startswith('cam')], 'membership'
        sweeps = [name for name in used if name.startswith('lidar')]
        assert (sample.sweep is not None) == bool(sweeps), 'membership'
        assert sample.modality is Modality.from_presence(bool(pictures), bool(sweeps)), 'modality'
        past = list(self._marks)
        known = [self._by_stamp.get((name, reports[name].stamp_ns or 0)) for name in sweeps]
        self._marks.append((sample.stamp_ns, [frame.number for frame in known if frame]))
        frames = {name: self._frame(reports[name], sample) for name in used}
        self._check_reference(sample, frames)
        self._check_epoch(sample, frames)
        for name in pictures:
            self._check_image(sample, frames[name], reports[name])
        if sweeps:
            self._check_sweep(sample, [frames[name] for name in sweeps], reports, past)
        for report in sample.sensors:
            self._check_state(report, true_ns)
        if self.scenario.is_clean and QUIET < (true_ns - T0) / 1e9 < SECONDS - 0.5:
            assert len(used) == len(reports), f'complete: {set(reports) - set(used)} is missing'
        self.counts[sample.modality.name] += 1

    def _frame(self, report: SensorReport, sample: Sample) -> Sent:
        """The message that a label says is in the sample, its stamp and age checked."""
        name, reference = report.name, sample.stamp_ns
        assert report.stamp_ns is not None, 'a stamp'
        frame = self._by_stamp.get((name, report.stamp_ns))
        assert frame is not None, f'{name}: nobody sent {report.stamp_ns}'
        assert frame.may_serve, f'{name}: a message that cannot serve'
        age = reference - frame.stamp_ns
        assert report.age_ns == age, f'{name}: age {report.age_ns}, not {age}'
        config = self.scenario.config
        tolerance = round(config.tolerance * 1e9)
        oldest = max(tolerance, round(config.max_age_periods * self._periods[name]))
        assert -tolerance <= age <= oldest, f'{name}: {age / 1e6:.1f} ms old'
        key = (name, frame.stamp_ns)
        if key in self._used or age > tolerance:
            self.counts['again'] += 1
            for other in reversed(self._came[name][-40:]):
                is_newer = other.may_count and other.clock == frame.clock
                is_newer = is_newer and other.stamp_ns > frame.stamp_ns
                ahead = other.stamp_ns - reference
                is_nearer = abs(ahead) < abs(age) and ahead <= tolerance
                assert not (is_newer and is_nearer), f'{name}: {other.number} had come'
        self._used.add(key)
        return frame

    def _check_reference(self, sample: Sample, frames: dict[str, Sent]) -> None:
        stamps = {frame.stamp_ns for frame in frames.values()}
        if sample.stamp_ns not in stamps:  # what came after it may have ruled it out
            came = [self._by_stamp.get((name, sample.stamp_ns)) for name in self._periods]
            assert any(frame is not None for frame in came), 'the reference'
        assert len({frame.clock for frame in frames.values()}) == 1, 'frames of one clock'

    def _check_epoch(self, sample: Sample, frames: dict[str, Sent]) -> None:
        clock = next(iter(frames.values())).clock
        known = self._epoch_of.get(clock)
        is_ahead = clock > 0 and self.scenario.steps[clock - 1].is_ahead
        if known is None:
            last = max(self._epoch_of, default=0)
            new = sum(self._epochs_of(number) for number in range(last, clock))
            rise = sample.epoch - self._epoch_of.get(last, 0)
            right = rise == new or (is_ahead and rise > new)
            assert right, f'{new} new epochs from clock {last} to {clock}, not {rise}'
        elif not (is_ahead and sample.epoch > known):
            assert known == sample.epoch, f'one epoch for clock {clock}: {known}, {sample.epoch}'
        self._epoch_of[clock] = sample.epoch
        self.counts['epochs'] = max(self._epoch_of)

    def _epochs_of(self, number: int) -> int:
        """Epochs that a step of the clocks must begin."""
        step = self.scenario.steps[number]
        is_hidden = step.node_ns < 0 and number + 1 not in self._went_back
        return step.epochs - is_hidden

    # --------------------------------------------------------------------------- where it was
    def _check_image(self, sample: Sample, frame: Sent, report: SensorReport) -> None:
        image = sample.cameras[frame.sensor]
        assert image is not None
        assert image.stamp_ns == frame.stamp_ns, 'the stamp of the picture'
        got = fake_drive.image_number(image.pixels)
        assert got == frame.number, f'{frame.sensor}: picture {got}, not {frame.number}'
        pose, apart = image.calibration.ego_from_camera, sample.stamp_ns - frame.stamp_ns
        static = self._poses[frame.sensor]
        if self._is_said(report, apart):
            assert np.array_equal(pose, static), f'{frame.sensor}: moved, but said not to be'
            self.counts['pose not known'] += 1
            return
        wanted = self._motion(frame.taken_ns + apart, frame.taken_ns) @ static
        off = np.linalg.norm(pose[:3, 3] - wanted[:3, 3])
        turned = np.linalg.norm(pose[:3, :3] - wanted[:3, :3]) / np.sqrt(2)
        assert off <= NEAR_METRES and turned <= NEAR_RADIANS, (
            f'{frame.sensor}: {off:.3f} m and {turned:.4f} rad off, {apart / 1e6:+.0f} ms apart'
        )
        self.counts['pose'] += 1

    def _motion(self, target_ns: int, source_ns: int) -> np.ndarray:
        return self.scenario.motion.between(target_ns, source_ns)

    def _is_said(self, report: SensorReport, apart: int) -> bool:
        """Whether a label says that the motion between frame and reference is not known."""
        said = f'over {-apart / 1e6:+.0f} ms' in report.reason
        if abs(apart) > MS and not self.scenario.knows_motion:
            assert said, 'unknown motion is said'
        return said

    def _check_sweep(
        self,
        sample: Sample,
        frames: list[Sent],
        reports: dict[str, SensorReport],
        past: list[tuple[int, list[int]]],
    ) -> None:
        sweep = sample.sweep
        assert sweep is not None and sweep.stamp_ns == sample.stamp_ns, 'the stamp of the sweep'
        marks = sweep.points[sweep.points[:, 3] > 0]
        newest = marks[marks[:, 4] == 0]
        numbers = [frame.number for frame in frames]
        assert newest[:, 3].astype(int).tolist() == numbers, (
            f'sweeps {newest[:, 3]}, not {numbers}'
        )
        for lag in np.unique(marks[marks[:, 4] > 0, 4]):
            older = [n for ns, n in past if abs((sample.stamp_ns - ns) / 1e9 - lag) < 1e-6]
            got = marks[marks[:, 4] == lag, 3].astype(int).tolist()
            assert got in older, f'sweeps {got} with a lag of {lag:.3f} s'
        for mark, frame in zip(newest, frames, strict=True):
            self._check_mark(sample, mark, frame, reports[frame.sensor])

    def _check_mark(
        self, sample: Sample, mark: np.ndarray, frame: Sent, report: SensorReport
    ) -> None:
        """Hold the first point of a sweep against where it truly was."""
        assert sample.sweep is not None
        apart = sample.stamp_ns - frame.stamp_ns
        point = np.append(fake_drive.ring(frame.number, 1)[0, :3].astype(float), 1.0)
        got = sample.sweep.ego_from_lidar @ np.append(mark[:3].astype(float), 1.0)
        if 'over' in report.reason or not self.scenario.knows_motion:
            self.counts['sweep not known'] += 1
            return
        after = round(MARK_SECONDS * 1e9) if self._has_time[frame.sensor] else 0
        motion = self._motion(frame.taken_ns + apart, frame.taken_ns + after)
        wanted = motion @ self._poses[frame.sensor] @ point
        off = np.linalg.norm(got - wanted)
        assert off <= POINT_METRES + 20 * NEAR_RADIANS, f'{frame.sensor}: {off:.3f} m off'
        self.counts['sweep placed'] += 1

    # ------------------------------------------------------------------------------ its state
    def _check_state(self, report: SensorReport, true_ns: int) -> None:
        assert report.used == (report.state in USED_AS), f'{report.name}: {report.state}'
        came = self._came.get(report.name)
        # Those samples that close when a message comes do so before it counts.
        assert report.received - len(came or ()) in (0, -1), (
            f'{report.name}: {report.received} received'
        )
        if came is None:
            assert report.state is SensorState.NEVER, f'{report.name}: {report.state}'
            return
        began = max((s.at_ns for s in self.scenario.steps if s.at_ns <= true_ns), default=0)
        silent = true_ns - max(came[-1].came_ns, began)
        if silent > 1_500 * MS + 5 * self._periods[report.name]:
            assert report.state in SILENT, f'{report.name}: silent, yet {report.state}'
