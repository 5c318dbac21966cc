"""The way in: messages of a rig's sensors become labelled samples.

A message is checked by what it costs little to look at, placed on the vehicle and kept. What a
sample is to hold is decoded, judged and prepared for the network when the sample closes
(`_on_image`, `_on_points`, `CameraEyes.look`).

Deterministic: the same `push` and `poll` calls give the same samples. A push first does what was
due before the message arrived, at its own time, so polling in between changes nothing. Nothing
that a message contains is raised: it is counted, with its reason, at its sensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.errors import SensorDataError, assert_never, clean_text
from metabev_ros.sensing.camera_input import CameraInput
from metabev_ros.sensing.checks import GOOD, Verdict
from metabev_ros.sensing.ego_motion import EgoMotion
from metabev_ros.sensing.image_reader import CameraEyes, ImageReader, ImageSize, PrepareImage
from metabev_ros.sensing.inputs import Reading, SensorInput
from metabev_ros.sensing.lidar_input import LidarInput
from metabev_ros.sensing.modality import choose_modality
from metabev_ros.sensing.sample_maker import SampleMaker
from metabev_ros.sensing.synchroniser import Synchroniser
from metabev_ros.sensing.tf_tree import TfTree
from metabev_ros.sensing.timeline import Timeline, told
from metabev_ros.sensing.topics import Content, Topic, rig_topics
from metabev_ros.sensing.untrusted import header_stamp_ns
from metabev_ros.structures import Modality, Sample, SensorReport, SensorState

_HELD = {'calibration': SensorState.UNCALIBRATED, 'transform': SensorState.NO_TF}


class SensorFrontEnd:
    """Decoding, calibration, health, synchronisation and modality choice of one rig.

    Not thread-safe: one thread calls it.

    Args:
        rig: the sensors.
        config: deadlines and thresholds.
        prepare_image: (pixels, calibration) -> the same at the network's input size.
        image_size: that size; images are then decoded no larger than it needs. None: whole.
        sweeps: that the network takes as one.

    Attributes:
        rejected_other: unusable messages that belong to no sensor (TF, odometry).
        is_wanted: asked whenever a sample closes: whether it will be used. Images of one that
            will not are not decoded, and it is counted. A bag's samples are all wanted.
    """

    def __init__(
        self,
        rig: RigConfig,
        config: SensingConfig,
        prepare_image: PrepareImage,
        image_size: ImageSize | None = None,
        sweeps: int = 1,
    ) -> None:
        self._rig, self._config = rig, config
        self._cameras = {camera.name: CameraInput(camera, config) for camera in rig.cameras}
        self._lidars = {lidar.name: LidarInput(lidar, rig.ego_box, config) for lidar in rig.lidars}
        self._inputs: dict[str, CameraInput | LidarInput] = {**self._cameras, **self._lidars}
        self._monitors = {name: item.monitor for name, item in self._inputs.items()}
        reader = ImageReader(prepare_image, image_size, config.decode_threads)
        self._eyes = CameraEyes(self._cameras, reader)
        frames = [item.frame for item in self._inputs.values()]
        self._tf = TfTree(rig.ego_frame, [*frames, *filter(None, [rig.motion_frame])])
        self._motion = EgoMotion(rig.ego_frame, rig.motion_frame, self._tf)
        self._maker = SampleMaker(rig, config, self._monitors, self._motion, sweeps)
        self._synchroniser = Synchroniser(
            self._monitors, config, self._eyes.look, self._maker.make, lambda: self.is_wanted()
        )
        self._timeline = Timeline(self._monitors, self._synchroniser, config, self._begin_epoch)
        self._clock = self._timeline.clock
        self._topics = {name.lstrip('/'): topic for name, topic in rig_topics(rig).items()}
        self.rejected_other = 0
        self.is_wanted: Callable[[], bool] = lambda: True

    @property
    def epoch(self) -> int:
        """Number of times that the clock of the stamps began anew."""
        return self._maker.epoch

    @property
    def passed_over(self) -> int:
        """Number of samples that nobody wanted."""
        return self._maker.passed_over

    @property
    def injection(self) -> str:
        """Name of the plan that injects faults into the inputs; '' when nothing does."""
        return self._maker.injection

    @property
    def time_offsets(self) -> dict[str, int]:
        """Nanoseconds that are added to each sensor's stamps; 0 while they are measured."""
        return {name: item.offset.offset_ns or 0 for name, item in self._inputs.items()}

    def subscriptions(self) -> dict[str, str]:
        """Topic -> message type of everything this front end wants to hear."""
        return {name: topic.msgtype for name, topic in rig_topics(self._rig).items()}

    # --------------------------------------------------------------------------------- events
    def push(self, topic: str, message: Any, arrival_ns: int) -> list[Sample]:
        """Take one message; topics nobody asked for are passed over.

        Args:
            topic: with or without a leading slash.
            message: object with the field names of the topic's ROS type.
            arrival_ns: when it arrived, on the clock that the stamps are of.

        Returns:
            The samples that closed, oldest first.
        """
        samples = self.poll(arrival_ns)
        known = self._topics.get(topic.lstrip('/'))
        if known is None:
            return samples
        try:
            return samples + self._take(known, message)
        except SensorDataError as error:
            return samples + self._refuse(known, error)
        except Exception as error:  # a message must never end the node, whatever it does
            text = clean_text(f'{type(error).__name__}: {error}')
            internal = SensorDataError('internal', topic, 'a message of its type', text)
            return samples + self._refuse(known, internal)

    def _take(self, topic: Topic, message: Any) -> list[Sample]:
        match topic.content:
            case Content.IMAGE:
                return self._on_image(self._cameras[topic.sensor], message)
            case Content.POINTS:
                return self._on_points(self._lidars[topic.sensor], message)
            case Content.CAMERA_INFO:
                return self._on_camera_info(self._cameras[topic.sensor], message)
            case Content.TF | Content.TF_STATIC:
                return self._on_tf(message, topic.content is Content.TF_STATIC)
            case Content.ODOMETRY:
                latest_ns = self._clock.latest_ns
                self._motion.update_odometry(message, latest_ns)
                return []
            case Content.INJECTION:
                self._maker.injection = clean_text(message.data) or 'without a name'
                return []
            case _:
                assert_never(topic.content)

    def reject(self, topic: str, reason: str, arrival_ns: int) -> list[Sample]:
        """Count a message that could not even be deserialised."""
        samples = self.poll(arrival_ns)
        known = self._topics.get(topic.lstrip('/'))
        if known is None:
            self.rejected_other += 1
            return samples
        if known.is_data:
            self._monitors[known.sensor].received += 1
        return samples + self._refuse(known, SensorDataError(reason, topic, 'a message', ''))

    def poll(self, now_ns: int) -> list[Sample]:
        """Close what is due until now."""
        return self._timeline.poll(now_ns)

    def next_deadline_ns(self) -> int | None:
        """Time at which `poll` has something to do even if nothing arrives; None for none."""
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

    def ego_poses(self, now_ns: int) -> dict[str, np.ndarray]:
        """The vehicle's poses now, as in `Sample.ego_poses`; empty where they are not known."""
        return self._motion.poses(now_ns)

    def _begin_epoch(self) -> None:
        self._maker.begin_epoch()
        self._tf.clear_dynamic()
        self._motion.clear()
        for item in self._inputs.values():
            item.pending = None

    # ------------------------------------------------------------------------ images and sweeps
    def _on_image(self, camera: CameraInput, message: Any) -> list[Sample]:
        now_ns = self._clock.now_ns
        stamp_ns = self._check_time(camera, message)
        packed = camera.read(message)
        verdict = camera.check_frozen(packed)
        self._synchroniser.leadership.heard(now_ns)
        return self._use_image(camera, Reading(stamp_ns, now_ns, packed, verdict))

    def _use_image(self, camera: CameraInput, reading: Reading[Any]) -> list[Sample]:
        """Go on with an image; one that was held for its calibration comes here again."""
        monitor, now_ns = camera.monitor, self._clock.now_ns
        if not camera.accept_content(reading):
            return self._timeline.give_up(monitor)
        try:
            frame = camera.place(reading, self._tf)
        except SensorDataError as error:
            return self._hold(camera, reading, error)
        verdict = camera.flag(reading.verdict)
        if monitor.is_well and verdict is GOOD:
            monitor.trusted(reading.stamp_ns, now_ns)
        else:
            verdict = self._eyes.look_now(monitor.name, frame, verdict)
            if verdict.state is SensorState.INVALID:
                monitor.bad(verdict.state, verdict.reason, reading.arrival_ns, reading.stamp_ns)
                return self._timeline.give_up(monitor)
            if not monitor.good(reading.stamp_ns, now_ns, verdict, self._is_needed(camera)):
                return self._timeline.give_up(monitor)
        return self._synchroniser.add(monitor.name, frame, now_ns)

    def _on_points(self, lidar: LidarInput, message: Any) -> list[Sample]:
        now_ns = self._clock.now_ns
        stamp_ns = self._check_time(lidar, message)
        cloud, verdict = lidar.read(message)
        self._synchroniser.leadership.heard(now_ns)
        return self._use_sweep(lidar, Reading(stamp_ns, now_ns, cloud, verdict))

    def _use_sweep(self, lidar: LidarInput, reading: Reading[Any]) -> list[Sample]:
        """Go on with a decoded sweep; one that was held for its transform comes here again."""
        monitor, now_ns = lidar.monitor, self._clock.now_ns
        if not lidar.accept_content(reading):
            return self._timeline.give_up(monitor)
        try:
            frame = lidar.place(reading, self._tf)
        except SensorDataError as error:
            return self._hold(lidar, reading, error)
        verdict: Verdict = lidar.flag(reading.verdict)
        if not monitor.good(reading.stamp_ns, now_ns, verdict, self._is_needed(lidar)):
            return self._timeline.give_up(monitor)
        return self._synchroniser.add(monitor.name, frame, now_ns)

    def _check_time(self, item: SensorInput[Any], message: Any) -> int:
        """Count a frame and give its stamp.

        Raises:
            SensorDataError: for a stamp that cannot be current.
        """
        monitor, now_ns = item.monitor, self._clock.now_ns
        monitor.received += 1
        usual_ns = self._clock.offset_ns or 0
        stamp_ns = item.offset.apply(header_stamp_ns(message.header), now_ns, usual_ns)
        self._timeline.check(monitor, stamp_ns, item.offset.note)
        return stamp_ns

    def _is_needed(self, item: SensorInput[Any]) -> bool:
        """True where fewer than half of the other sensors are well."""
        others = [monitor for monitor in self._monitors.values() if monitor is not item.monitor]
        return 2 * sum(monitor.state.is_usable for monitor in others) < len(others)

    # ---------------------------------------------------------------------------- calibration
    def _hold(
        self, item: SensorInput[Any], reading: Reading[Any], error: SensorDataError
    ) -> list[Sample]:
        """Keep a frame until it is calibrated.

        Raises:
            SensorDataError: the given one, if it does not say that calibration is missing.
        """
        if error.reason not in _HELD:
            raise error
        item.pending = reading
        item.monitor.held(_HELD[error.reason], f'{error.where}: {error.got}', self._clock.now_ns)
        return self._timeline.give_up(item.monitor) if item.monitor.ever else []

    def _retry(self, item: CameraInput | LidarInput) -> list[Sample]:
        """Calibration came: use the frame that waited for it, if it is still current."""
        reading, now_ns = item.pending, self._clock.now_ns
        if reading is None:
            return []
        limit = self._config.max_age_periods * item.monitor.nominal_ns
        try:
            self._synchroniser.check_timely(
                item.monitor.name, reading.stamp_ns, reading.arrival_ns
            )
        except SensorDataError:
            limit = -1
        if now_ns - reading.arrival_ns > limit:
            item.pending = None
            return []
        if isinstance(item, CameraInput):
            return self._use_image(item, reading)
        return self._use_sweep(item, reading)

    def _on_camera_info(self, camera: CameraInput, message: Any) -> list[Sample]:
        try:
            camera.read_info(message)
        except SensorDataError as error:
            camera.monitor.ignored(f'{error.reason}: {error.got}')
            return []
        return self._retry(camera)

    def _on_tf(self, message: Any, static: bool) -> list[Sample]:
        for frame, error in self._tf.update(message, static):
            self.rejected_other += 1
            for item in self._inputs.values():
                if item.frame == frame:
                    item.monitor.ignored(f'{error.reason}: {error.got}')
        return [sample for item in self._inputs.values() for sample in self._retry(item)]

    # -------------------------------------------------------------------------------- refusals
    def _refuse(self, topic: Topic, error: SensorDataError) -> list[Sample]:
        """Count a message that cannot be used."""
        if not topic.is_data:
            self.rejected_other += 1
            return []
        item = self._inputs[topic.sensor]
        if error.reason not in _HELD:
            return self._timeline.refuse(item.monitor, error)
        item.monitor.rejected += 1
        item.monitor.held(_HELD[error.reason], told(error), self._clock.now_ns)
        return self._timeline.give_up(item.monitor)
