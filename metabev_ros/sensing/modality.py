"""Choice of the branch: what the present sensors allow and what can answer in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from metabev_ros.structures import CameraCalibration, Modality, Sample, SensorKind, SensorState

TABLES_PENDING = 'new calibration: its tables are being built'


def choose_modality(
    present: Mapping[str, bool], kinds: Mapping[str, SensorKind], min_cameras: int
) -> Modality:
    """The branch that the present sensors allow.

    Hysteresis is not here but in the sensors' states: a sensor that came back is present only
    after its re-admission.

    Args:
        present: sensor name -> whether its data can be used.
        kinds: sensor name -> kind.
        min_cameras: fewer present cameras than this make no camera branch.
    """
    names = [name for name, there in present.items() if there]
    cameras = sum(kinds[name] is SensorKind.CAMERA for name in names)
    lidar = any(kinds[name] is SensorKind.LIDAR for name in names)
    return Modality.from_presence(cameras >= min_cameras, lidar)


class CameraTables(Protocol):
    """Index tables of the camera branch, which take longer than a sample for a new calibration."""

    def come_in_time(self, calibrations: Sequence[CameraCalibration]) -> bool:
        """True if these tables are there, or come within the time that a sample can wait."""
        ...


def fall_back(sample: Sample, tables: CameraTables) -> Sample:
    """The sample as a live node runs it: LIDAR instead of FUSED while its tables are built.

    A CAMERA sample stays what it is and waits: there is nothing else to look at. Every camera that
    is left out is RECOVERING and says why.
    """
    if sample.modality is not Modality.FUSED or tables.come_in_time(
        [image.calibration for image in sample.cameras.values() if image is not None]
    ):
        return sample
    reports = tuple(
        replace(report, used=False, state=SensorState.RECOVERING, reason=TABLES_PENDING)
        if report.used and report.kind is SensorKind.CAMERA
        else report
        for report in sample.sensors
    )
    return replace(
        sample, cameras=dict.fromkeys(sample.cameras), modality=Modality.LIDAR, sensors=reports
    )
