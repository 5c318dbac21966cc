"""Every place in the sensing path that can fail, made to fail at its n-th use."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from unittest import mock

from metabev_ros import wire
from metabev_ros.bags import BagMessage
from metabev_ros.errors import SensorDataError
from metabev_ros.structures import Modality, Sample
from support.fake_drive import CAMERAS, LIDAR, MS, SENSORS, T0, front_end, image_number
from support.injected_drive import VEHICLE, stream

SITES = (
    'metabev_ros.wire.deserialize',
    'metabev_ros.sensing.front_end.header_stamp_ns',
    'metabev_ros.sensing.image_reader._unread',
    'metabev_ros.sensing.image_reader.CameraEyes.look',
    'metabev_ros.sensing.image_reader.CameraEyes.look_now',
    'metabev_ros.sensing.sample_maker.choose_modality',
    'metabev_ros.sensing.sample_maker.SampleMaker.make',
    'metabev_ros.sensing.camera_input.read_frame',
    'metabev_ros.sensing.camera_input.read_camera_info',
    'metabev_ros.sensing.camera_input.read_image',
    'metabev_ros.sensing.image_reader.look_at_picture',
    'metabev_ros.sensing.camera_input.CameraInput.read',
    'metabev_ros.sensing.camera_input.CameraInput.check_frozen',
    'metabev_ros.sensing.camera_input.CameraInput.place',
    'metabev_ros.sensing.camera_input.CameraInput.judge',
    'metabev_ros.sensing.image_reader.ImageReader.read',
    'metabev_ros.sensing.image_reader.ImageReader._read',
    'metabev_ros.sensing.decoding.PackedImage.fingerprint',
    'metabev_ros.sensing.decoding.PackedImage.decode',
    'metabev_ros.sensing.lidar_input.read_frame',
    'metabev_ros.sensing.lidar_input.decode_point_cloud',
    'metabev_ros.sensing.lidar_input.limit_points',
    'metabev_ros.sensing.lidar_input.LidarInput.read',
    'metabev_ros.sensing.lidar_input.LidarInput.place',
    'metabev_ros.sensing.inputs.SensorInput.accept_content',
    'metabev_ros.sensing.inputs.SensorInput.flag',
    'metabev_ros.sensing.checks.ImageCheck.check',
    'metabev_ros.sensing.checks.CloudCheck.check',
    'metabev_ros.sensing.clock.ClockWatch.went_back',
    'metabev_ros.sensing.clock.ClockWatch.has_stepped',
    'metabev_ros.sensing.clock.ClockWatch.take',
    'metabev_ros.sensing.time_offset.TimeOffset.apply',
    'metabev_ros.sensing.ego_motion.EgoMotion.motion',
    'metabev_ros.sensing.tf_tree.TfTree.update',
    'metabev_ros.sensing.tf_tree.TfTree.ego_from',
    'metabev_ros.sensing.health.SensorMonitor.check_stamp',
    'metabev_ros.sensing.health.SensorMonitor.good',
    'metabev_ros.sensing.health.SensorMonitor.trusted',
    'metabev_ros.sensing.health.SensorMonitor.looked',
    'metabev_ros.sensing.health.SensorMonitor.tick',
    'metabev_ros.sensing.health.SensorMonitor.note_skew',
    'metabev_ros.sensing.health.SensorMonitor.sample_report',
    'metabev_ros.sensing.health.SensorMonitor.is_awaited',
    'metabev_ros.sensing.synchroniser.Synchroniser.check_timely',
    'metabev_ros.sensing.synchroniser.Synchroniser.add',
    'metabev_ros.sensing.synchroniser.Synchroniser.advance',
    'metabev_ros.sensing.synchroniser.Synchroniser.settle',
    'metabev_ros.sensing.synchroniser.Synchroniser._keep',
    'metabev_ros.sensing.synchroniser.Synchroniser._choose',
    'metabev_ros.sensing.synchroniser.Synchroniser._look_at_chosen',
    'metabev_ros.sensing.synchroniser.Synchroniser._close',
)

TAIL = 0.5


@dataclass
class Failing:
    """Calls the real thing, but raises at call number `at`."""

    real: object
    at: int
    calls: int = 0
    armed: bool = True

    def __call__(self, *arguments, **keywords):
        self.calls += self.armed
        if self.armed and self.calls == self.at + 1:
            raise RuntimeError('made to fail')
        return self.real(*arguments, **keywords)


def _target(site: str):
    parts = site.split('.')
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner = importlib.import_module('.'.join(parts[:cut]))
        except ImportError:
            continue
        for name in parts[cut:-1]:
            owner = getattr(owner, name)
        return owner, parts[-1]
    raise ImportError(site)


def drive(seconds: float) -> list[BagMessage]:
    """A clean drive; calibration and transforms come a second time, as drivers repeat them.

    A /tf_static that is lost to a failing call and never sent again leaves its sensors NO_TF:
    named and left out, but not back.
    """
    messages = stream(seconds)
    again = [
        replace(m, log_time_ns=messages[0].log_time_ns + 900 * MS + k)
        for k, m in enumerate(messages[: 1 + len(CAMERAS)])
    ]
    return sorted([*messages, *again], key=lambda m: m.log_time_ns)


def fail_once(site: str, at: int, seconds: float) -> tuple[bool, list[Sample]]:
    """Run a clean drive in which one call fails, guarded as the sensing thread guards it.

    The drive goes on for `TAIL` seconds, so that everything can come back.

    Returns:
        Whether that call happened, and the samples.
    """
    owner, name = _target(site)
    failing = Failing(getattr(owner, name), at)
    out: list[Sample] = []

    def guarded(function, *arguments) -> None:
        try:
            out.extend(function(*arguments))
        except Exception:  # SensingWorker._contain counts it and goes on
            pass

    def deadline() -> int | None:
        try:
            return end.next_deadline_ns()
        except RuntimeError:  # SensingWorker._patience contains it
            return None

    def call(*arguments, **keywords):  # a function, so that it binds like the method it replaces
        return failing(*arguments, **keywords)

    with mock.patch.object(owner, name, call):
        failing.armed = False
        end = front_end(None, VEHICLE.rig())  # keeps some of its own methods
        for item in drive(seconds + TAIL):
            failing.armed = item.log_time_ns < T0 + seconds * 1e9
            while (due := deadline()) is not None and due < item.log_time_ns:
                guarded(end.poll, due)
                if deadline() == due:
                    break  # the failing call was in poll: the next message drives it on
            try:
                content = wire.deserialize(item.cdr, item.msgtype)
            except SensorDataError as error:
                guarded(end.reject, item.topic, error.reason, item.log_time_ns)
            except RuntimeError:
                continue
            else:
                guarded(end.push, item.topic, content, item.log_time_ns)
    # Behind the last sweep the cameras go on for a moment.
    end_ns = T0 + (seconds + TAIL) * 1e9 - 10 * MS
    return failing.calls > at, [sample for sample in out if sample.stamp_ns < end_ns]


def check_rules(samples: list[Sample], where: str) -> None:
    """Every label is true, data is current, stamps rise, and every sensor is used again.

    Invariants "Label first", "Nothing stale", "Rising stamps" and "Contained faults".
    """
    stamps = [sample.stamp_ns for sample in samples]
    assert stamps == sorted(set(stamps)), where
    for sample in samples:
        there = {n for n, image in sample.cameras.items() if image is not None}
        there |= {LIDAR} if sample.sweep is not None else set()
        assert set(sample.used_sensors) == there, where
        assert sample.modality is Modality.from_presence(bool(there - {LIDAR}), LIDAR in there)
        for name in there - {LIDAR}:
            image = sample.cameras[name]
            period = VEHICLE.period(name)
            assert -55 * MS <= sample.stamp_ns - image.stamp_ns <= 1.5 * period, where
            start = stream(1.0)[0].log_time_ns
            assert 0 <= image_number(image.pixels) <= (image.stamp_ns - start) // period, where
    assert set(samples[-1].used_sensors) == set(SENSORS), f'{where}: not everything is back'
