"""The timeline of the demonstration that moves its film, and the states beside the film."""

from __future__ import annotations

from typing import Any

from metabev_ros.config import RigConfig
from metabev_ros.faults.plan import FaultPlan
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.lab.demo.targets import drive_seconds
from metabev_ros.lab.report.gathering import FilmTimes
from metabev_ros.lab.report.player import player_part
from metabev_ros.lab.report.timeline import TimelineRun, timeline
from metabev_ros.pages.messages import Status
from metabev_ros.pages.states import plain_status

HELD_NS = 200_000_000  # an output is shown for so long if no newer one comes


def moving_timeline(
    evidence: Evidence, plan: FaultPlan, rig: RigConfig, times: FilmTimes
) -> tuple[str, str]:
    """The timeline and the script that moves it with the film, as HTML."""
    first = plan.faults[0].begin - 1.0  # all sensors are live, as in the poster
    run = TimelineRun(
        '',
        evidence.start_ns,
        drive_seconds(plan),
        rig.sensor_names,
        evidence.statuses,
        evidence.outputs,
        [(fault.begin, fault.end, fault.title) for fault in plan.faults],
    )
    lines, cursors = timeline([run], first)
    return lines, player_part(times, [_states(evidence, times)], cursors, times.number(first))


def _states(evidence: Evidence, times: FilmTimes) -> dict[str, Any]:
    """The label of the output in every picture of the film, else the newest heartbeat."""
    statuses: list[dict[str, Any]] = []
    at: list[int] = []
    shown: Status | None = None
    for number in range(times.count):
        now = evidence.start_ns + round(times.seconds(number) * 1e9)
        stamp = evidence.output_before(now, HELD_NS)
        said = None if stamp is None else evidence.label_status(stamp)
        said = said or evidence.last_heartbeat(now)
        if said is not None and said is not shown:
            shown = said
            statuses.append(plain_status(said))
        at.append(len(statuses) - 1)
    return {'statuses': statuses, 'at': at}
