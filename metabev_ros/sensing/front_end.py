"""The way in: messages of a rig's sensors become labelled samples.

Deterministic: the same `push` and `poll` calls give the same samples. A push first does what was
due before the message arrived, at its own time, so polling in between changes nothing. Nothing
that a message contains is raised: it is counted, with its reason, at its sensor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.sensing.checks import GOOD, Verdict
from metabev_ros.sensing.clock import ClockWatch
from metabev_ros.sensing.health import to_ns
from metabev_ros.sensing.inputs import CameraInput, LidarInput, PrepareImage, Reading
from metabev_ros.sensing.modality import choose_modality
from metabev_ros.sensing.synchroniser import Collected, Synchroniser
from metabev_ros.sensing.transforms import OdometryBuffer, TfTree
from metabev_ros.sensing.untrusted import header_stamp_ns
from metabev_ros.structures import (
    CameraImage,
    Modality,
    Sample,
    SensorReport,
    SensorState,
)

_IGNORED = ('duplicate', 'backwards', 'old', 'late')
_HELD = {'calibration': SensorState.UNCALIBRATED, 'transform': SensorState.NO_TF}
_STILL_NS = 1_000_000  # images this close to the reference need no ego motion
# What injects faults says so here; a sample made after that bears the mark until a restart.
INJECTION_TOPIC, INJECTION_TYPE = 'fault_injection', 'std_msgs/msg/String'


class SensorFrontEnd:
    """Decoding, calibration, health, synchronisation and modality choice of one rig.

    Not thread-safe: one thread calls it.

    Args:
        rig: the sensors.
        config: deadlines and thresholds.
        prepare_image: (pixels, calibration) -> the same at the network's input size.
        reduce: 2 decodes compressed images at half size; choose it when the network's input is
            at most half as wide as the camera's image.
    """

    def __init__(
        self, rig: RigConfig, config: SensingConfig, prepare_image: PrepareImage, reduce: int = 1
    ) -> None:
        self._rig, self._config = rig, config
        self._cameras = {
            camera.name: CameraInput(camera, config, prepare_image, reduce)
            for camera in rig.cameras
        }
        self._lidar = LidarInput(rig.lidar, config)
        self._inputs = {**self._cameras, rig.lidar.name: self._lidar}
        self._monitors = {name: item.monitor for name, item in self._inputs.items()}
        self._tf = TfTree(rig.ego_frame)
        self._odometry = OdometryBuffer(rig.ego_frame)
        self._clock = ClockWatch(config)
        self._synchroniser = Synchroniser(
            self._monitors, tuple(self._cameras), rig.lidar.name, config, self._make_sample
        )
        self._handlers = self._make_handlers()
        self.epoch = 0
        self.rejected_other = 0  # unusable messages that belong to no sensor (TF, odometry)
        self.injection = ''  # what injects faults into the inputs; '' when nothing does

    def _make_handlers(self) -> dict[str, tuple[str | None, Callable]]:
        """Topic -> (sensor name or None, handler(message) -> samples)."""
        handlers = {
            'tf': (None, lambda message: self._on_tf(message, static=False)),
            'tf_static': (None, lambda message: self._on_tf(message, static=True)),
            self._rig.odometry_topic: (None, self._on_odometry),
            INJECTION_TOPIC: (None, self._on_injection),
        }
        for camera in self._rig.cameras:
            handlers[camera.topic] = (camera.name, self._sensor_handler(camera.name))
            if not self._cameras[camera.name].is_fixed:
                handlers[camera.info_topic] = (None, self._info_handler(camera.name))
        handlers[self._rig.lidar.topic] = (
            self._rig.lidar.name,
            self._sensor_handler(self._rig.lidar.name),
        )
        return {topic.lstrip('/'): handler for topic, handler in handlers.items()}

    def subscriptions(self) -> dict[str, str]:
        """Topic -> message type of everything this front end wants to hear."""
        topics = {}
        for camera in self._rig.cameras:
            kind = 'CompressedImage' if camera.topic.endswith('compressed') else 'Image'
            topics[camera.topic] = f'sensor_msgs/msg/{kind}'
            if not self._cameras[camera.name].is_fixed:
                topics[camera.info_topic] = 'sensor_msgs/msg/CameraInfo'
        topics[self._rig.lidar.topic] = 'sensor_msgs/msg/PointCloud2'
        topics[self._rig.odometry_topic] = 'nav_msgs/msg/Odometry'
        topics[INJECTION_TOPIC] = INJECTION_TYPE
        return {**topics, '/tf': 'tf2_msgs/msg/TFMessage', '/tf_static': 'tf2_msgs/msg/TFMessage'}

    # --------------------------------------------------------------------------------- events
    def push(self, topic: str, message, arrival_ns: int) -> list[Sample]:
        """Take one message; topics nobody asked for are passed over.

        Args:
            topic: with or without a leading slash.
            message: object with the field names of the topic's ROS type.
            arrival_ns: when it arrived, on the clock that the stamps are of.

        Returns:
            The samples that closed, oldest first.
        """
        samples = self.poll(arrival_ns)
        sensor, handler = self._handlers.get(topic.lstrip('/'), (None, None))
        if handler is None:
            return samples
        try:
            return samples + handler(message)
        except SensorDataError as error:
            return samples + self._refuse(sensor, error)
        except Exception as error:  # a message must never end the node, whatever it does
            return samples + self._refuse(
                sensor,
                SensorDataError(
                    'internal',
                    topic,
                    'a message of its type',
                    clean_text(f'{type(error).__name__}: {error}'),
                ),
            )

    def reject(self, topic: str, reason: str, arrival_ns: int) -> list[Sample]:
        """Count a message that could not even be deserialised."""
        samples = self.poll(arrival_ns)
        sensor, _ = self._handlers.get(topic.lstrip('/'), (None, None))
        if sensor is not None:
            self._monitors[sensor].received += 1
        return samples + self._refuse(sensor, SensorDataError(reason, topic, 'a message', ''))

    def poll(self, now_ns: int) -> list[Sample]:
        """Close what is due until now."""
        if self._clock.went_back(now_ns):
            self._begin_epoch()
        return self._synchroniser.advance(self._clock.now_ns)

    def next_deadline_ns(self) -> int | None:
        """When `poll` has something to do even if nothing arrives; None when it has not."""
        return self._synchroniser.next_deadline_ns()

    def reports(self, now_ns: int) -> tuple[SensorReport, ...]:
        """The state of every sensor, in rig order; call `poll(now_ns)` first."""
        self._synchroniser.tick(now_ns)
        return tuple(monitor.report(now_ns) for monitor in self._monitors.values())

    def modality(self, now_ns: int) -> Modality:
        """The branch that the sensors' states allow now."""
        self._synchroniser.tick(now_ns)
        present = {name: monitor.state.is_usable for name, monitor in self._monitors.items()}
        return choose_modality(present, self._rig.kinds, self._config.min_cameras)

    def _begin_epoch(self) -> None:
        self.epoch += 1
        self._clock.reset()
        self._tf.clear_dynamic()
        self._odometry.clear()
        self._synchroniser.reset(self._clock.now_ns)
        for item in self._inputs.values():
            item.pending = None
            item.monitor.new_epoch(self._clock.now_ns)

    # ------------------------------------------------------------------------------- messages
    def _sensor_handler(self, name: str) -> Callable:
        def handle(message) -> list[Sample]:
            item = self._inputs[name]
            item.monitor.received += 1
            stamp = header_stamp_ns(message.header)
            self._check_time(name, stamp)
            reading = item.read(message, stamp, self._clock.now_ns)
            self._synchroniser.heard(self._clock.now_ns)
            return self._use(name, reading)

        return handle

    def _info_handler(self, name: str) -> Callable:
        def handle(message) -> list[Sample]:
            try:
                self._cameras[name].read_info(message)
            except SensorDataError as error:
                self._monitors[name].ignored(f'{error.reason}: {error.got}')
                return []
            return self._retry(name)

        return handle

    def _on_tf(self, message, static: bool) -> list[Sample]:
        for frame, error in self._tf.update(message, static):
            self.rejected_other += 1
            for item in self._inputs.values():
                if item.frame == frame:
                    item.monitor.ignored(f'{error.reason}: {error.got}')
        return [sample for name in self._inputs for sample in self._retry(name)]

    def _on_odometry(self, message) -> list[Sample]:
        self._odometry.update(message, self._clock.now_ns + to_ns(self._config.future_tolerance))
        return []

    def _on_injection(self, message) -> list[Sample]:
        self.injection = clean_text(message.data) or 'without a name'
        return []

    def _check_time(self, name: str, stamp_ns: int) -> None:
        """Refuse a stamp that cannot be current; begin a new epoch where all jumped back."""
        monitor, now = self._monitors[name], self._clock.now_ns
        if self._clock.all_went_back(name, stamp_ns, monitor.newest_ns):
            self._begin_epoch()
        monitor.check_stamp(stamp_ns, now)
        self._clock.check_lag(stamp_ns)
        if name in self._cameras and not self._synchroniser.is_timely(stamp_ns, now):
            behind = self._synchroniser.skew_ns(stamp_ns) / 1e6
            raise SensorDataError(
                'late', 'header.stamp', 'a frame in time', f'{behind:.0f} ms behind'
            )

    def _use(self, name: str, reading: Reading) -> list[Sample]:
        """Give a decoded frame to the synchroniser, or keep it until it is calibrated."""
        item, now = self._inputs[name], self._clock.now_ns
        item.pending = None
        if reading.verdict.state in (SensorState.INVALID, SensorState.FROZEN):
            item.monitor.bad(reading.verdict.state, reading.verdict.reason, now, reading.stamp_ns)
            return self._give_up(name)
        try:
            frame = item.place(reading, self._tf)
        except SensorDataError as error:
            if error.reason not in _HELD:
                raise
            item.pending = reading
            item.monitor.held(_HELD[error.reason], f'{error.where}: {error.got}', now)
            return self._give_up(name) if item.monitor.ever else []
        verdict = reading.verdict
        if verdict is GOOD and item.changed:
            verdict = Verdict(SensorState.SUSPECT, item.changed)
        if not item.monitor.good(reading.stamp_ns, now, verdict, self._is_needed(name)):
            return self._give_up(name)
        if isinstance(frame, CameraImage):
            return self._synchroniser.add_image(name, frame, now)
        return self._synchroniser.add_sweep(frame, now)

    def _is_needed(self, name: str) -> bool:
        """Whether fewer than half of the other sensors are well."""
        others = [monitor for other, monitor in self._monitors.items() if other != name]
        return 2 * sum(monitor.state.is_usable for monitor in others) < len(others)

    def _retry(self, name: str) -> list[Sample]:
        """Calibration came: place the frame that waited for it, if it is still current."""
        reading = self._inputs[name].pending
        if reading is None:
            return []
        age = self._clock.now_ns - reading.arrival_ns
        limit = self._config.max_age_periods * self._monitors[name].nominal_ns
        if age > limit or not self._synchroniser.is_timely(reading.stamp_ns, self._clock.now_ns):
            self._inputs[name].pending = None
            return []
        return self._use(name, reading)

    def _refuse(self, name: str | None, error: SensorDataError) -> list[Sample]:
        """Count a message that cannot be used."""
        if name is None:
            self.rejected_other += 1
            return []
        reason = f'{error.reason}: {error.got}' if error.got else error.reason
        monitor = self._monitors[name]
        if error.reason in _IGNORED:
            monitor.ignored(reason)
            return []
        if error.reason in _HELD:
            monitor.rejected += 1
            monitor.held(_HELD[error.reason], reason, self._clock.now_ns)
        else:
            monitor.bad(SensorState.INVALID, reason, self._clock.now_ns)
        return self._give_up(name)

    def _give_up(self, name: str) -> list[Sample]:
        if self._monitors[name].lost:
            self._synchroniser.drop(name)
        return self._synchroniser.refuse(name, self._clock.now_ns)

    # -------------------------------------------------------------------------------- samples
    def _make_sample(self, collected: Collected) -> Sample | None:
        """Label what a sample closed with; None where that makes no branch."""
        lidar = self._rig.lidar.name
        present = dict.fromkeys(self._monitors, False)
        present.update(dict.fromkeys(collected.images, True))
        present[lidar] = collected.sweep is not None
        modality = choose_modality(present, self._rig.kinds, self._config.min_cameras)
        if modality is Modality.NONE:
            return None
        reference = collected.reference_ns
        cameras: dict[str, CameraImage | None] = dict.fromkeys(self._cameras)
        reports = []
        for name, monitor in self._monitors.items():
            used, note = None, ''
            if name == lidar and collected.sweep is not None:
                used = collected.sweep.stamp_ns
            elif name in collected.images and modality.has_camera:
                cameras[name], note = self._compensate(collected.images[name], reference)
                used = cameras[name].stamp_ns
                if collected.sweep is not None:
                    monitor.note_skew(used - reference)
            elif name in collected.images:
                note = f'fewer than {self._config.min_cameras} cameras'
            reports.append(monitor.sample_report(reference, used, note))
        return Sample(
            reference,
            cameras,
            collected.sweep,
            modality,
            tuple(reports),
            self.epoch,
            self.injection,
        )

    def _compensate(self, image: CameraImage, reference_ns: int) -> tuple[CameraImage, str]:
        """The image with `ego_from_camera` for the ego frame at the reference stamp."""
        apart = image.stamp_ns - reference_ns
        if abs(apart) <= _STILL_NS:
            return image, ''
        motion = self._odometry.motion(reference_ns, image.stamp_ns)
        if motion is None:
            return image, f'no odometry over {apart / 1e6:+.0f} ms'
        pose = motion @ image.calibration.ego_from_camera
        return replace(image, calibration=replace(image.calibration, ego_from_camera=pose)), ''
