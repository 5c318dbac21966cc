"""The text of a new rig file, and of a report for programs."""

from __future__ import annotations

from typing import Any

import yaml

from metabev_ros.config import RigConfig, to_plain
from metabev_ros.errors import clean_text
from metabev_ros.lab.rig_check.findings import Finding
from metabev_ros.lab.rig_check.report import RigReport

_LINE = 200  # characters of a comment that holds names out of a bag


def rig_text(rig: RigConfig, bag: str, choices: tuple[str, ...]) -> str:
    """YAML that `load_config(RigConfig, ...)` reads, with what was chosen as comments."""
    lines = [f'# Made by metabev check-rig from {clean_text(bag, _LINE)}. All keys: docs/rig.md']
    lines += [f'# {clean_text(choice, _LINE)}' for choice in choices]
    body = yaml.safe_dump(to_plain(rig), sort_keys=False, allow_unicode=False)
    return '\n'.join(lines) + '\n' + body


def report_plain(report: RigReport) -> dict[str, Any]:
    """The report as what JSON can hold."""
    return {
        'bag': report.bag,
        'seconds': round(report.seconds, 3),
        'ok': report.is_good,
        'sensors': [
            {
                'name': sensor.name,
                'kind': sensor.kind,
                'topic': sensor.topic,
                'messages': sensor.messages,
                'rate_hz': round(sensor.rate_hz, 3),
                'usable': sensor.is_usable,
                'findings': [finding.kind.value for finding in sensor.findings],
            }
            for sensor in report.sensors
        ],
        'findings': [_plain(finding) for finding in report.findings],
        'choices': list(report.choices),
        'rig': to_plain(report.rig) if report.rig is not None else None,
    }


def _plain(finding: Finding) -> dict[str, str]:
    return {
        'kind': finding.kind.value,
        'severity': finding.severity.value,
        'sensor': finding.sensor,
        'where': finding.where,
        'expected': finding.expected,
        'got': finding.got,
        'remedy': finding.remedy,
    }
