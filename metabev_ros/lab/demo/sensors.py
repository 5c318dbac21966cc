"""Rates and ages of the sensors in a run: what they sent, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config import CameraConfig, LidarConfig, RigConfig, SensingConfig
from metabev_ros.faults.plan import FaultPlan
from metabev_ros.lab.demo.correctness import age_limits, healthy_outputs
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.pages.messages import Output

_GAP = 2.5  # periods; a longer pause between two messages is none of the sensor's rate


@dataclass(frozen=True)
class SensorMeasure:
    """One sensor. Ages are those that labels say: stamp of the output minus its own, ms.

    Attributes:
        nominal_hz: by the rig file.
        published_hz: by the stamps of what it sent, the pauses of the plan left out.
        reported_hz: by the node, the median of its labels while nothing failed.
        way: from a stamp to the publication of its message, median, ms.
        least, greatest: the ages that a label may say, ms.
        ages: (N,) of all outputs that hold it.
        healthy_ages: (M,) of those while nothing failed.
        again: share of the healthy outputs whose frame of it an earlier output held too.
    """

    name: str
    nominal_hz: float
    published_hz: float
    reported_hz: float
    way: float
    least: float
    greatest: float
    ages: np.ndarray
    healthy_ages: np.ndarray
    again: float


def measure_sensors(
    evidence: Evidence, plan: FaultPlan, rig: RigConfig, sensing: SensingConfig
) -> tuple[SensorMeasure, ...]:
    """Every sensor of the rig, in its order."""
    healthy = healthy_outputs(evidence, plan)
    limits = age_limits(rig, sensing)
    return tuple(_one(evidence, healthy, sensor, limits[sensor.name]) for sensor in rig.sensors)


def _one(
    evidence: Evidence,
    healthy: list[Output],
    sensor: CameraConfig | LidarConfig,
    limits: tuple[int, int],
) -> SensorMeasure:
    name, pairs = sensor.name, evidence.published[sensor.name]
    return SensorMeasure(
        name,
        sensor.rate_hz,
        _rate(pairs[:, 0], sensor.rate_hz),
        _reported(evidence, healthy, name),
        float(np.median(pairs[:, 1] - pairs[:, 0])) / 1e6 if len(pairs) else 0.0,
        limits[0] / 1e6,
        limits[1] / 1e6,
        _ages(evidence.outputs, name),
        _ages(healthy, name),
        _again(healthy, name),
    )


def _rate(stamps: np.ndarray, nominal_hz: float) -> float:
    """Messages a second between messages that follow each other."""
    gaps = np.diff(stamps) * 1e-9
    gaps = gaps[gaps < _GAP / nominal_hz]
    return float(len(gaps) / gaps.sum()) if len(gaps) else 0.0


def _reported(evidence: Evidence, healthy: list[Output], name: str) -> float:
    """Median of the rates in the labels of the healthy outputs."""
    found = [
        report.rate_hz
        for output in healthy
        if (status := evidence.label_status(output.stamp_ns)) is not None
        for report in status.sensors
        if report.name == name
    ]
    return float(np.median(found)) if found else 0.0


def _ages(outputs: list[Output], name: str) -> np.ndarray:
    return np.array([o.ages_ns[name] / 1e6 for o in outputs if name in o.ages_ns])


def _again(outputs: list[Output], name: str) -> float:
    """Share of the outputs whose frame is not newer than that of the output before."""
    stamps = [o.stamp_ns - o.ages_ns[name] for o in outputs if name in o.ages_ns]
    same = np.diff(np.array(sorted(stamps), np.int64)) < 1_000_000
    return float(same.mean()) if len(same) else 0.0
