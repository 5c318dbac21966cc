"""The plots of the report, as SVG texts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from metabev_ros.config import RigConfig
from metabev_ros.drawing import MODALITY_COLOURS, STATE_COLOURS
from metabev_ros.faults.plan import FaultPlan, FaultType, PlannedFault
from metabev_ros.lab.demo.events import NEVER_MS, EventMeasure
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.lab.demo.figures import FAINT, INK, SHADE, as_hex, as_svg, new_figure
from metabev_ros.lab.demo.measures import Measures
from metabev_ros.lab.demo.sensors import SensorMeasure
from metabev_ros.lab.demo.targets import drive_seconds
from metabev_ros.lab.report.quality import Quality
from metabev_ros.pages.parts import SHORT_NAMES
from metabev_ros.structures import Modality, SensorState

if TYPE_CHECKING:  # imported when a plot is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Value = TypeVar('_Value')
LEGEND = (
    (SensorState.OK, 'OK'),
    (SensorState.LATE, 'LATE'),
    (SensorState.SUSPECT, 'SUSPECT'),
    (SensorState.STALE, 'STALE or FROZEN'),
    (SensorState.RECOVERING, 'RECOVERING'),
    (SensorState.NEVER, 'nothing yet'),
)


def _shade_faults(axis: Axes, plan: FaultPlan, top: float, with_titles: bool = True) -> None:
    for fault in plan.faults:
        axis.axvspan(fault.begin, fault.end, color=SHADE, zorder=0, linewidth=0)
        if with_titles:
            axis.text(
                (fault.begin + fault.end) / 2,
                top,
                fault.title.replace(' die', '\ndie').replace(' freezes', '\nfreezes'),
                ha='center',
                va='bottom',
                fontsize=9,
                color=INK,
            )


def plot_timeline(evidence: Evidence, plan: FaultPlan, rig: RigConfig) -> str:
    """Per sensor what it published and what the node said of it; chosen modality; outputs."""
    names = list(rig.sensor_names)
    figure, axis = new_figure(11, 4.9)
    _shade_faults(axis, plan, -0.75)
    for row, name in enumerate(names):
        stuck = [f for f in plan.faults if _sticks(f, name, rig)]
        _plot_publications(axis, evidence, stuck, name, row)
        _plot_states(axis, evidence, name, row)
    _plot_modality(axis, evidence, len(names) + 0.35)
    stamps = [evidence.seconds(o.wall_ns) for o in evidence.outputs]
    axis.vlines(stamps, len(names) + 1.0, len(names) + 1.5, color=INK, linewidth=0.6)
    ticks = [*range(len(names)), len(names) + 0.35, len(names) + 1.25]
    axis.set_yticks(
        ticks, [*(SHORT_NAMES.get(name, name) for name in names), 'modality', 'outputs']
    )
    axis.set_ylim(len(names) + 1.75, -0.75)
    axis.set_xlim(0, drive_seconds(plan))
    axis.set_xlabel('seconds since the start of the drive', fontsize=9, color=INK)
    axis.tick_params(axis='y', length=0)
    axis.spines['left'].set_visible(False)
    _timeline_legend(figure)
    return as_svg(figure)


def _sticks(fault: PlannedFault, name: str, rig: RigConfig) -> bool:
    return fault.type is FaultType.STUCK and name in fault.sensor_names(rig)


def _plot_publications(
    axis: Axes, evidence: Evidence, faults: list[PlannedFault], name: str, row: int
) -> None:
    """Ticks above the middle: messages sent; red ones repeat a frozen picture."""
    seconds = (evidence.published[name][:, 0] - evidence.start_ns) * 1e-9
    stuck = np.zeros(len(seconds), dtype=bool)
    for fault in faults:
        stuck |= (seconds >= fault.begin) & (seconds < fault.end)
    for chosen, colour in (
        (~stuck, '#5b6470'),
        (stuck, as_hex(STATE_COLOURS[SensorState.FROZEN])),
    ):
        axis.vlines(seconds[chosen], row - 0.36, row - 0.04, color=colour, linewidth=0.5)


def _plot_states(axis: Axes, evidence: Evidence, name: str, row: int) -> None:
    """A strip below the middle in the colour of the state that the node reported."""
    times = [evidence.seconds(s.wall_ns) for s in evidence.statuses if s.is_heartbeat]
    states = [s.state(name) for s in evidence.statuses if s.is_heartbeat]
    for begin, end, state in _segments(times, states):
        axis.broken_barh(
            [(begin, end - begin)],
            (row + 0.02, 0.3),
            linewidth=0,
            facecolor=as_hex(STATE_COLOURS[state]),
        )


def _plot_modality(axis: Axes, evidence: Evidence, row: float) -> None:
    times = [evidence.seconds(s.wall_ns) for s in evidence.statuses if s.is_heartbeat]
    values = [s.modality for s in evidence.statuses if s.is_heartbeat]
    for begin, end, modality in _segments(times, values):
        axis.broken_barh(
            [(begin, end - begin)],
            (row - 0.25, 0.5),
            linewidth=0,
            facecolor=as_hex(MODALITY_COLOURS[modality]),
        )
        if end - begin > 1.2:
            axis.text(
                (max(begin, 0) + end) / 2,
                row,
                modality.name,
                ha='center',
                va='center',
                fontsize=8,
                color='white',
                fontweight='bold',
            )


def _segments(times: list[float], values: list[_Value]) -> list[tuple[float, float, _Value]]:
    """(begin, end, value) of the stretches in which the value stays the same."""
    found, begin = [], 0
    for index in range(1, len(times) + 1):
        if index == len(times) or values[index] != values[begin]:
            end = times[min(index, len(times) - 1)]
            found.append((times[begin], end, values[begin]))
            begin = index
    return found


def _timeline_legend(figure: Figure) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor='#5b6470', label='message published'),
        *(Patch(facecolor=as_hex(STATE_COLOURS[state]), label=text) for state, text in LEGEND),
    ]
    figure.legend(
        handles=handles,
        loc='outside lower center',
        ncols=len(handles),
        fontsize=8,
        frameon=False,
        handlelength=1,
        handleheight=0.8,
    )


def plot_ages(evidence: Evidence, sensors: Sequence[SensorMeasure]) -> str:
    """Per sensor the ages in the labels of all outputs, in the colour of their modality."""
    figure, axis = new_figure(11, 0.5 * len(sensors) + 1.1)
    for row, sensor in enumerate(sensors):
        width = sensor.greatest - sensor.least
        axis.broken_barh([(sensor.least, width)], (row - 0.36, 0.72), facecolor=SHADE, linewidth=0)
        _plot_ages_of(axis, evidence, sensor.name, row)
        if len(sensor.healthy_ages):
            median = float(np.median(sensor.healthy_ages))
            axis.vlines(median, row - 0.36, row + 0.36, color=INK, linewidth=1.6)
            axis.text(median, row - 0.38, f'{median:.0f}', fontsize=8, color=INK, ha='center')
    axis.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    axis.set_yticks(range(len(sensors)), [SHORT_NAMES.get(s.name, s.name) for s in sensors])
    axis.set_ylim(len(sensors) - 0.4, -0.7)
    axis.tick_params(axis='y', length=0)
    axis.set_xlabel('age of the data in an output, ms', fontsize=9, color=INK)
    figure.legend(
        *axis.get_legend_handles_labels(),
        fontsize=8,
        frameon=False,
        loc='outside upper right',
        ncols=3,
        markerscale=2,
    )
    return as_svg(figure)


def _plot_ages_of(axis: Axes, evidence: Evidence, name: str, row: int) -> None:
    for modality in (Modality.FUSED, Modality.CAMERA, Modality.LIDAR):
        held = [o for o in evidence.outputs if o.modality is modality and name in o.ages_ns]
        # Spread over the row by their order: equal ages stay apart.
        spread = row + 0.3 * (2 * (np.arange(len(held)) * 0.618 % 1) - 1)
        ages = [o.ages_ns[name] / 1e6 for o in held]
        label = modality.name if row == 0 and held else None
        colour = as_hex(MODALITY_COLOURS[modality])
        axis.plot(ages, spread, '.', markersize=3, alpha=0.7, color=colour, label=label)


def plot_delays(measures: Measures) -> str:
    """Per fault: how long until the label was right, and until all was back."""
    events = measures.events
    figure, axis = new_figure(11, 0.62 * len(events) + 1.1)
    for row, event in enumerate(events):
        _plot_event(axis, event, row)
    axis.set_yticks(range(len(events)), [event.fault.title for event in events])
    axis.set_ylim(len(events) - 0.5, -0.5)
    axis.tick_params(axis='y', length=0)
    axis.set_xlabel('milliseconds', fontsize=9, color=INK)
    figure.legend(
        *axis.get_legend_handles_labels(),
        fontsize=8,
        frameon=False,
        loc='outside upper right',
        ncols=3,
    )
    return as_svg(figure)


def _plot_event(axis: Axes, event: EventMeasure, row: int) -> None:
    """Three bars; only those of the first row are named in the legend."""
    for label, value, offset, colour in (
        ('noticed (stamp time)', event.label_stamp, -0.24, '#2e6ec8'),
        ('noticed (received)', event.label_wall, 0.0, '#8fb4e6'),
        ('recovered', event.recovery, 0.24, '#2ea05a'),
    ):
        never = value >= NEVER_MS
        length, place = 1000 if never else value, row + offset
        axis.barh(place, length, 0.2, color=colour, label=label if row == 0 else None)
        axis.annotate(
            'never' if never else f'{value:.0f} ms',
            (length, place),
            (4, 0),
            va='center',
            textcoords='offset points',
            fontsize=8,
            color=INK,
        )


def plot_latency(evidence: Evidence, plan: FaultPlan) -> str:
    """Latency of every output, from its stamp to its publication."""
    figure, axis = new_figure(11, 2.9)
    labels = [s for s in evidence.statuses if not s.is_heartbeat]
    values = [1e3 * s.latency_s for s in labels]
    top = 1.15 * max(values, default=100.0)
    _shade_faults(axis, plan, top * 1.01)
    order = sorted({s.modality for s in labels}, reverse=True)
    for modality in order:
        chosen = [s for s in labels if s.modality is modality]
        axis.plot(
            [evidence.seconds(s.stamp_ns) for s in chosen],
            [1e3 * s.latency_s for s in chosen],
            '.',
            markersize=4,
            color=as_hex(MODALITY_COLOURS[modality]),
            label=modality.name,
        )
    axis.set_xlim(0, drive_seconds(plan))
    axis.set_ylim(0, top)
    axis.set_xlabel('seconds since the start of the drive', fontsize=9, color=INK)
    axis.set_ylabel('ms', fontsize=9, color=INK)
    axis.legend(
        fontsize=8, frameon=False, loc='lower right', ncols=3, markerscale=2, handletextpad=0.2
    )
    return as_svg(figure)


def plot_quality(qualities: list[Quality]) -> str:
    """Mean AP and mean IoU per kind of output."""
    figure, axis = new_figure(11, 0.55 * len(qualities) + 1.0)
    colours = itertools.cycle((as_hex(MODALITY_COLOURS[Modality.FUSED]), '#b9c3ce'))
    for offset, (title, pick) in zip(
        (-0.17, 0.17),
        (
            ('detection: mean AP over the classes present', lambda q: q.mean_ap),
            ('map: mean IoU', lambda q: q.mean_iou),
        ),
        strict=True,
    ):
        values = [pick(quality) for quality in qualities]
        places = np.arange(len(qualities)) + offset
        axis.barh(places, values, 0.3, color=next(colours), label=title)
        for place, value in zip(places, values, strict=True):
            axis.text(value + 0.008, place, f'{value:.2f}', va='center', fontsize=8, color=INK)
    axis.set_yticks(range(len(qualities)), [f'{q.title} ({q.samples} outputs)' for q in qualities])
    axis.set_ylim(len(qualities) - 0.5, -0.5)
    axis.set_xlim(0, 1)
    axis.tick_params(axis='y', length=0)
    axis.legend(fontsize=8, frameon=False, loc='lower right')
    return as_svg(figure)
