"""Result of a check: a verdict on each sensor, and everything that was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metabev_ros.config import RigConfig
from metabev_ros.lab.rig_check.findings import Finding, Severity
from metabev_ros.lab.rig_check.look import Placed
from metabev_ros.lab.rig_check.motion import Motion


@dataclass(frozen=True)
class SensorVerdict:
    """One sensor of the report.

    Attributes:
        name, kind, topic: 'camera' or 'lidar'.
        messages: seen in the bag.
        rate_hz: measured, 0 where it is not known.
        findings: of this sensor.
    """

    name: str
    kind: str
    topic: str
    messages: int
    rate_hz: float
    findings: tuple[Finding, ...]

    @property
    def is_usable(self) -> bool:
        """Tell whether the node would use it, and would be right to."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)


@dataclass(frozen=True)
class RigReport:
    """Result of a check.

    Attributes:
        bag: path; seconds: its length.
        rig: that was checked; None where a bag holds no sensor.
        sensors: in the order of the rig.
        findings: all of them.
        choices: what was chosen for a new rig file, in words.
        motion: of the vehicle; placed: name -> place.
    """

    bag: str
    seconds: float
    rig: RigConfig | None
    sensors: tuple[SensorVerdict, ...]
    findings: tuple[Finding, ...]
    choices: tuple[str, ...]
    motion: Motion
    placed: Mapping[str, Placed]

    @property
    def is_good(self) -> bool:
        """Tell whether there is a sensor, and nothing is wrong."""
        return bool(self.sensors) and all(
            finding.severity is Severity.NOTE for finding in self.findings
        )
