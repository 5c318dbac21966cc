"""The label of a sample: what is in it, what is not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.sensing.ego_motion import EgoMotion
from metabev_ros.sensing.health import SensorMonitor
from metabev_ros.sensing.modality import choose_modality
from metabev_ros.structures import CameraImage, Modality, Sample, SensorReport, Sweep

_STILL_NS = 1_000_000  # images this close to the reference need no ego motion


@dataclass(frozen=True)
class Collected:
    """Frames that one sample closed with; no frame is ever in two of them."""

    reference_ns: int
    images: Mapping[str, CameraImage]
    sweep: Sweep | None


class SampleMaker:
    """Turns collected frames into labelled samples.

    Args:
        monitors: sensor name -> its health, in rig order.
        odometry: the motion of the ego frame between two stamps.

    Attributes:
        epoch: counts how often the clock of the stamps began anew.
        injection: what injects faults into the inputs; '' when nothing does.
    """

    def __init__(
        self,
        rig: RigConfig,
        config: SensingConfig,
        monitors: Mapping[str, SensorMonitor],
        odometry: EgoMotion,
    ) -> None:
        self._rig, self._min_cameras = rig, config.min_cameras
        self._monitors, self._odometry = monitors, odometry
        self.epoch = 0
        self.injection = ''

    def make(self, collected: Collected) -> Sample | None:
        """Label what a sample closed with; None where that makes no branch.

        Called at the moment of closing, when the monitors say what is true then.
        """
        lidar, sweep = self._rig.lidar.name, collected.sweep
        present = {name: name in collected.images for name in self._monitors}
        present[lidar] = sweep is not None
        modality = choose_modality(present, self._rig.kinds, self._min_cameras)
        if modality is Modality.NONE:
            return None
        reference = collected.reference_ns
        cameras: dict[str, CameraImage | None] = {c.name: None for c in self._rig.cameras}
        reports: list[SensorReport] = []
        for name, monitor in self._monitors.items():
            used, note = None, ''
            image = collected.images.get(name)
            if name == lidar and sweep is not None:
                used = sweep.stamp_ns
            elif image is not None and modality.has_camera:
                cameras[name], note = self._compensate(image, reference)
                used = image.stamp_ns
                if sweep is not None:
                    monitor.note_skew(used - reference)
            elif image is not None:
                note = f'fewer than {self._min_cameras} cameras'
            reports.append(monitor.sample_report(reference, used, note))
        return Sample(
            reference, cameras, sweep, modality, tuple(reports), self.epoch, self.injection
        )

    def _compensate(self, image: CameraImage, reference_ns: int) -> tuple[CameraImage, str]:
        """The image with `ego_from_camera` for the ego frame at the reference stamp, and a note.

        The note says where the motion in between is not known.
        """
        apart = image.stamp_ns - reference_ns
        if abs(apart) <= _STILL_NS:
            return image, ''
        motion = self._odometry.motion(reference_ns, image.stamp_ns)
        if motion is None:
            return image, f'no odometry over {apart / 1e6:+.0f} ms'
        pose = motion @ image.calibration.ego_from_camera
        return replace(image, calibration=replace(image.calibration, ego_from_camera=pose)), ''
