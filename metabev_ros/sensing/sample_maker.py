"""The label of a sample: what is in it, what is not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.sensing.ego_motion import EgoMotion
from metabev_ros.sensing.frames import CameraFrame, Collected, Frame, LidarFrame
from metabev_ros.sensing.health import SensorMonitor
from metabev_ros.sensing.modality import choose_modality
from metabev_ros.sensing.sweeps import (
    NO_POINT_TIME,
    SweepHistory,
    moved_points,
    points_in_ego,
)
from metabev_ros.structures import CameraImage, Modality, Sample, SensorReport, Sweep

_STILL_NS = 1_000_000  # this close to the reference, an unknown motion is not worth a note
# A vehicle that stands: its odometry's noise must not make new view tables for every sample. With
# 550 pixels of focal length this is less than 0.4 pixels a metre away.
_STILL_METRES, _STILL_RADIANS = 0.0005, 0.0002
EGO = np.eye(4)


@dataclass(frozen=True)
class _Used:
    """One sensor's part of a sample: the stamp of its frame, and what is to be said of it."""

    stamp_ns: int
    note: str


class SampleMaker:
    """Turns collected frames into labelled samples.

    Args:
        monitors: sensor name -> its health, in rig order.
        motion: the motion of the ego frame between two stamps.
        sweeps: sweeps that the network takes as one.

    Attributes:
        epoch: counts how often the clock of the stamps began anew.
        injection: what injects faults into the inputs; '' when nothing does.
        passed_over: samples that nobody wanted.
    """

    def __init__(
        self,
        rig: RigConfig,
        config: SensingConfig,
        monitors: Mapping[str, SensorMonitor],
        motion: EgoMotion,
        sweeps: int,
    ) -> None:
        self._rig, self._min_cameras = rig, config.min_cameras
        self._monitors, self._motion = monitors, motion
        self._history = SweepHistory(sweeps)
        self._is_plain = sweeps == 1
        self.epoch = 0
        self.injection = ''
        self.passed_over = 0

    def begin_epoch(self) -> None:
        """Forget what belongs to the old clock."""
        self.epoch += 1
        self._history.clear()

    def make(self, collected: Collected[Frame]) -> Sample | None:
        """Label what a sample closed with; None where that makes no branch.

        Called at the moment of closing, when the monitors say what is true then.
        """
        frames, reference = collected.frames, collected.reference_ns
        present = {name: name in frames for name in self._monitors}
        modality = choose_modality(present, self._rig.kinds, self._min_cameras)
        if modality is Modality.NONE:
            return None
        if not collected.is_wanted:
            self.passed_over += 1
            if not self._is_plain:
                self._sweep(frames, reference)  # later samples hold these points too
            return None
        sweep, used = self._sweep(frames, reference)
        cameras: dict[str, CameraImage | None] = {c.name: None for c in self._rig.cameras}
        refused: dict[str, str] = {}
        for name, frame in frames.items():
            if not isinstance(frame, CameraFrame) or frame.image is None:
                continue
            if modality.has_camera:
                cameras[name], note = self._compensate(frame.image, reference)
                used[name] = _Used(frame.stamp_ns, note)
            else:
                refused[name] = f'fewer than {self._min_cameras} cameras'
        reports = self._reports(reference, used, refused)
        return Sample(
            reference,
            cameras,
            sweep,
            modality,
            reports,
            self.epoch,
            self.injection,
            self._motion.poses(reference),
            None if self._rig.ego_box is None else self._rig.ego_box.footprint,
        )

    def _reports(
        self, reference: int, used: Mapping[str, _Used], refused: Mapping[str, str]
    ) -> tuple[SensorReport, ...]:
        reports: list[SensorReport] = []
        for name, monitor in self._monitors.items():
            part = used.get(name)
            stamp, note = (part.stamp_ns, part.note) if part else (None, refused.get(name, ''))
            reports.append(monitor.sample_report(reference, stamp, note))
        return tuple(reports)

    # ------------------------------------------------------------------------------ ego motion
    def _compensate(self, image: CameraImage, reference: int) -> tuple[CameraImage, str]:
        """The image with `ego_from_camera` for the ego frame at the reference stamp, and a note.

        The note says where the motion in between is not known.
        """
        apart = image.stamp_ns - reference
        if apart == 0:
            return image, ''
        motion = self._motion.motion(reference, image.stamp_ns)
        if motion is None:
            return image, self._unknown_motion(apart)
        if _stands(motion):
            return image, ''
        pose = motion @ image.calibration.ego_from_camera
        return replace(image, calibration=replace(image.calibration, ego_from_camera=pose)), ''

    def _unknown_motion(self, apart: int) -> str:
        if abs(apart) <= _STILL_NS:
            return ''
        why = self._motion.problem or 'no odometry'
        return f'{why} over {apart / 1e6:+.0f} ms'

    def _sweep(
        self, frames: Mapping[str, Frame], reference: int
    ) -> tuple[Sweep | None, dict[str, _Used]]:
        """All LiDARs' points as one sweep at the reference, and what is to be said of each."""
        found = {n: f for n, f in frames.items() if isinstance(f, LidarFrame)}
        used = {name: _Used(frame.stamp_ns, frame.note) for name, frame in found.items()}
        if not found:
            return None, used
        if self._is_plain and len(found) == 1:
            (frame,) = found.values()
            if frame.is_still and frame.stamp_ns == reference:
                return Sweep(reference, frame.points, frame.ego_from_lidar), used
        clouds: list[np.ndarray] = []
        for name, frame in found.items():
            points, note = self._points_at(frame, reference)
            clouds.append(points)
            if frame.note and frame.seconds is None:
                note = note.removeprefix(NO_POINT_TIME).lstrip(', ')  # it has said why
            used[name] = _Used(frame.stamp_ns, _joined(frame.note, note))
        cloud = clouds[0] if len(clouds) == 1 else np.concatenate(clouds)
        self._history.add(reference, cloud)
        points, note = self._history.merged(reference, self._motion.motion)
        if note:
            used = {n: _Used(u.stamp_ns, _joined(u.note, note)) for n, u in used.items()}
        return Sweep(reference, points, EGO), used

    def _points_at(self, frame: LidarFrame, reference: int) -> tuple[np.ndarray, str]:
        """(P, 5) points of one LiDAR in the ego frame at the reference, and a note."""
        points, note = points_in_ego(
            frame.points, frame.seconds, frame.stamp_ns, frame.ego_from_lidar, self._motion.motion
        )
        apart = frame.stamp_ns - reference
        if apart == 0:
            return points, note
        motion = self._motion.motion(reference, frame.stamp_ns)
        if motion is None:
            return points, _joined(note, self._unknown_motion(apart))
        return moved_points(points, motion), note


def _joined(*notes: str) -> str:
    return ', '.join(filter(None, notes))


def _stands(motion: np.ndarray) -> bool:
    """Tell whether a motion is no more than the noise of a vehicle's odometry that stands."""
    turned = float(np.linalg.norm(motion[:3, :3] - EGO[:3, :3])) / np.sqrt(2)
    return float(np.linalg.norm(motion[:3, 3])) < _STILL_METRES and turned < _STILL_RADIANS
