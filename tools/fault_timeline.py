"""Draws a fault plan and what the sensing made of it: docs/images/fault_timeline.png.

    .venv/bin/metabev-env python tools/fault_timeline.py bad_day docs/images/fault_timeline.png

The upper panel is the truth of the injector, the lower one the sensors that each output names. The
drive is the scripted one of the tests, with a made-up clock: no model runs.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'test'))

from support.fake_drive import LIDAR, SENSORS, T0  # noqa: E402
from support.injected_drive import LEAD, Run, run  # noqa: E402

from metabev_ros.config import RigConfig, load_config  # noqa: E402
from metabev_ros.faults.plan import FaultPlan, find_plan  # noqa: E402
from metabev_ros.resources import resource_path  # noqa: E402
from metabev_ros.structures import SensorState  # noqa: E402

ACTIONS = {
    'passed': '#d9d9d9',
    'dropped': '#c0392b',
    'repeated': '#8e44ad',
    'damaged': '#e67e22',
    'delayed': '#2980b9',
}
USED, FLAGGED, OUT = '#2c7a4b', '#e0a800', '#f3f3f3'


def play(plan: FaultPlan, names: tuple[str, ...]) -> Run:
    """The plan on the scripted drive, whose sensors bear other names than the rig's."""
    other = dict(zip(names, SENSORS, strict=True))
    faults = [
        replace(
            fault,
            sensors=tuple(other.get(word, word) for word in fault.sensors),
            begin=fault.begin + LEAD,
            end=fault.end + LEAD,
        )
        for fault in plan.faults
    ]
    return run(*faults, seconds=max(fault.end for fault in plan.faults) + 2, check=True)


def draw(plan: FaultPlan, result: Run, names: tuple[str, ...], path: Path) -> None:
    """Two panels, one line a sensor."""
    figure, (truth, used) = plt.subplots(2, 1, figsize=(11, 6.8), sharex=True)
    for line, name in enumerate(SENSORS):
        for action, colour in ACTIONS.items():
            times = [
                (t.arrival_ns - T0) / 1e9 for t in result.truth_of(name) if t.action == action
            ]
            truth.scatter(times, [line] * len(times), color=colour, marker='|', s=90)
    for fault in plan.faults:
        truth.axvline(fault.begin, color='#999999', lw=0.6, zorder=0)
        truth.annotate(
            fault.title,
            (fault.begin, -1.0),
            fontsize=7,
            rotation=35,
            va='bottom',
            annotation_clip=False,
        )
    for sample in result.samples:
        second = (sample.stamp_ns - T0) / 1e9
        for line, report in enumerate(sample.sensors):
            flagged = report.state is SensorState.SUSPECT
            used.scatter(
                second,
                line,
                marker='|',
                s=90,
                color=(FLAGGED if flagged else USED) if report.used else OUT,
            )
    for axes, legend in (
        (truth, ACTIONS),
        (used, {'used': USED, 'used, flagged': FLAGGED, 'not used': OUT}),
    ):
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_ylim(len(names) - 0.5, -0.7)
        axes.legend(
            [plt.Line2D([], [], color=c, lw=5) for c in legend.values()],
            legend,
            loc='center left',
            bbox_to_anchor=(1.0, 0.5),
            fontsize=8,
            frameon=False,
        )
    truth.set_title('injected: the truth about every message', fontsize=9, loc='left', pad=78)
    used.set_title(
        'perceived: the sensors that each output names; a gap is an output that was not made',
        fontsize=9,
        loc='left',
    )
    used.set_xlabel('seconds')
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('plan')
    parser.add_argument('picture', type=Path)
    options = parser.parse_args()
    plan = find_plan(options.plan)
    names = load_config(RigConfig, resource_path('config/rigs/nuscenes_like.yaml')).sensor_names
    result = play(plan, names)
    draw(plan, result, names, options.picture)
    outputs = len(result.out)
    lidar_used = sum(LIDAR in sample.used_sensors for sample in result.samples)
    sys.stdout.write(f'{outputs} outputs, {lidar_used} of them with the LiDAR\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
