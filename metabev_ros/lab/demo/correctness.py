"""Correctness of the outputs: labels against the log of publications, scores against truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.faults.plan import FaultPlan
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.demo.evidence import STAMP_SLACK_NS, Evidence
from metabev_ros.lab.demo.world import Truths
from metabev_ros.lab.report.quality import Quality, QualityScores
from metabev_ros.pages.messages import Output, Status
from metabev_ros.structures import Modality

# What is measured shortly before a fault arrives after its begin, and is lost.
LONGEST_WAY_S = 0.1
# Who is nearer to a sample, and came this much before it, had to be taken.
CAME_BEFORE_NS = 20_000_000


@dataclass(frozen=True)
class LabelMeasure:
    """Every label of the run against the log of publications.

    Attributes:
        checked: outputs (detections and maps).
        wrong: one text per untrue label.
        healthy, complete: outputs while nothing failed, and those of them that all sensors made.
        passed_over: one text per output while nothing failed that holds a frame of a sensor
            although a nearer one had come before the sample began.
    """

    checked: int
    wrong: tuple[str, ...]
    healthy: int
    complete: int
    passed_over: tuple[str, ...]


# ------------------------------------------------------------------------------------- labels
def modality_of(sensors: frozenset[str], rig: RigConfig) -> Modality:
    """The modality that follows from the sensors of an output."""
    return rig.modality_of(sensors)


def check_labels(
    evidence: Evidence, plan: FaultPlan, rig: RigConfig, sensing: SensingConfig
) -> LabelMeasure:
    """Every label against what was published.

    A label is true when each sensor it names did publish a message with exactly the stamp that
    the label's age says, before the output came, and not too far from the output's stamp; when
    the modality follows from the sensors; and when the status of the same stamp says the same.
    """
    limits = age_limits(rig, sensing)
    wrong = [
        f'{output.topic} at {evidence.seconds(output.stamp_ns):.3f} s: {text}'
        for output in [*evidence.outputs, *evidence.maps]
        for text in _untrue(output, evidence, rig, limits)
    ]
    everything = frozenset(rig.sensor_names)
    healthy = healthy_outputs(evidence, plan)
    return LabelMeasure(
        len(evidence.outputs) + len(evidence.maps),
        tuple(wrong),
        len(healthy),
        sum(o.sensors == everything for o in healthy),
        tuple(text for output in healthy for text in _passed_over(output, evidence)),
    )


def age_limits(rig: RigConfig, sensing: SensingConfig) -> dict[str, tuple[int, int]]:
    """Sensor name -> least and greatest age that a label may say, nanoseconds.

    A frame may be newer than its sample by the tolerance, and older by the tolerance or, where
    it serves until the next one is due, by `max_age_periods` of its sensor.
    """
    tolerance = round(sensing.tolerance * 1e9)
    return {
        s.name: (-tolerance, max(tolerance, round(sensing.max_age_periods * 1e9 / s.rate_hz)))
        for s in rig.sensors
    }


def healthy_outputs(evidence: Evidence, plan: FaultPlan) -> list[Output]:
    """The detections of the instants at which nothing fails.

    They end with the drive: with the last message of the sensor that falls silent first.
    """
    ends = [int(stamps[-1, 0]) for stamps in evidence.published.values() if len(stamps)]
    return [
        output
        for output in evidence.outputs
        if _is_healthy(evidence.seconds(output.stamp_ns), plan)
        and output.stamp_ns <= min(ends, default=output.stamp_ns)
    ]


def _is_healthy(seconds: float, plan: FaultPlan) -> bool:
    """Nothing fails, and the start or the last recovery has had a second."""
    return seconds >= 1 and not any(
        fault.begin - LONGEST_WAY_S <= seconds < fault.end + 1 for fault in plan.faults
    )


def _untrue(
    output: Output, evidence: Evidence, rig: RigConfig, limits: dict[str, tuple[int, int]]
) -> list[str]:
    found: list[str] = []
    for sensor, age in output.ages_ns.items():
        if sensor not in evidence.published:
            found.append(f'{sensor} is no sensor of the rig')
            continue
        stamps, walls = evidence.published[sensor].T
        made = np.abs(stamps - (output.stamp_ns - age)) <= STAMP_SLACK_NS
        if not (made & (walls <= output.wall_ns)).any():
            found.append(f'{sensor} published nothing of that stamp')
        least, greatest = limits[sensor]
        if not least - STAMP_SLACK_NS <= age <= greatest + STAMP_SLACK_NS:
            found.append(f'{sensor} is {age / 1e6:.0f} ms from the stamp')
    if output.modality is not modality_of(output.sensors, rig):
        found.append(f'{output.modality.name} does not follow from {sorted(output.sensors)}')
    status = evidence.label_status(output.stamp_ns)
    if status is None:
        found.append('no status of that stamp')
    elif status.modality is not output.modality or _used(status) != output.sensors:
        found.append('the status of that stamp says something else')
    return found


def _passed_over(output: Output, evidence: Evidence) -> list[str]:
    """Sensors of which a nearer frame than the one in the output had come in good time."""
    led = [name for name, age in output.ages_ns.items() if abs(age) <= STAMP_SLACK_NS]
    begun = [_sent_at(evidence, name, output.stamp_ns) for name in led]
    if not begun:
        return [f'at {evidence.seconds(output.stamp_ns):.3f} s: no sensor has the stamp']
    found: list[str] = []
    for sensor, age in output.ages_ns.items():
        stamps, walls = evidence.published[sensor].T
        there = stamps[walls <= min(begun) - CAME_BEFORE_NS]
        nearest = np.abs(there - output.stamp_ns).min(initial=2**62)
        if nearest + STAMP_SLACK_NS < abs(age):
            found.append(
                f'at {evidence.seconds(output.stamp_ns):.3f} s: {sensor} {age / 1e6:.0f} ms old, '
                f'one {nearest / 1e6:.0f} ms off was there'
            )
    return found


def _sent_at(evidence: Evidence, sensor: str, stamp_ns: int) -> int:
    """Wall clock when a sensor published what has a stamp; the end of time for nothing."""
    stamps, walls = evidence.published[sensor].T
    return int(walls[np.abs(stamps - stamp_ns) <= STAMP_SLACK_NS].min(initial=2**62))


def _used(status: Status) -> frozenset[str]:
    return frozenset(report.name for report in status.sensors if report.used)


# ------------------------------------------------------------------------------------- scores
def truth_of(evidence: Evidence, truths: Truths, stamp_ns: int) -> GroundTruth | None:
    """The truth of an output's stamp; None where the drive has none."""
    return truths.at(evidence.truth_stamp(stamp_ns))


def score_outputs(evidence: Evidence, truths: Truths, everything: frozenset[str]) -> list[Quality]:
    """Scores per kind of output: all sensors, part of the cameras, LiDAR only, cameras only."""
    groups: dict[tuple[Modality, bool], list[int]] = {}
    for output in evidence.outputs:
        part = output.modality is Modality.FUSED and output.sensors != everything
        groups.setdefault((output.modality, part), []).append(output.stamp_ns)
    titles = {
        (Modality.FUSED, False): 'all sensors',
        (Modality.FUSED, True): 'LiDAR and part of the cameras',
        (Modality.LIDAR, False): 'LiDAR only',
        (Modality.CAMERA, False): 'cameras only',
    }
    return [
        _score(evidence, truths, title, key[0], groups[key])
        for key, title in titles.items()
        if key in groups
    ]


def _score(
    evidence: Evidence,
    truths: Truths,
    title: str,
    modality: Modality,
    stamps: list[int],
) -> Quality:
    scores = QualityScores()
    for stamp in stamps:
        truth, frame = truth_of(evidence, truths, stamp), evidence.frame(stamp)
        if truth is not None and frame is not None:
            scores.add(frame, truth)
    return scores.result(title, modality)
