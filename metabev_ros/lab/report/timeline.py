"""The timeline that reacts: sensors, modality, outputs and latencies over the time of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from metabev_ros.drawing import MODALITY_COLOURS, STATE_COLOURS
from metabev_ros.errors import MissingDependencyError
from metabev_ros.pages.messages import Output, Status
from metabev_ros.pages.parts import SHORT_NAMES, css
from metabev_ros.structures import Modality

if TYPE_CHECKING:  # imported when a page has a timeline
    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure as Figure

_Value = TypeVar('_Value')
INK, SHADE = '#22262c', '#c9b8b8'
ROW_HEIGHT, HEAD_HEIGHT, LATENCY_HEIGHT = 26, 34, 170  # pixels
LONGEST_NAME = 13  # letters beside a row, so that a telephone has room for the rows
_SEEK = 'if (window.metabev) window.metabev.seek(cb_obj.x)'


@dataclass(frozen=True)
class TimelineRun:
    """The content of the timeline of one run.

    Attributes:
        title: above it; '' for one run alone.
        start_ns: wall clock of its zero.
        shades: (begin, end, title) in seconds, of what was done to the run.
    """

    title: str
    start_ns: int
    seconds: float
    sensors: Sequence[str]
    statuses: Sequence[Status]
    outputs: Sequence[Output]
    shades: Sequence[tuple[float, float, str]] = ()

    def at(self, wall_ns: int) -> float:
        """Seconds since the zero."""
        return (wall_ns - self.start_ns) * 1e-9


def segments(
    times: Sequence[float], values: Sequence[_Value]
) -> list[tuple[float, float, _Value]]:
    """(begin, end, value) of the stretches in which the value stays the same."""
    found: list[tuple[float, float, _Value]] = []
    begin = 0
    for index in range(1, len(times) + 1):
        if index == len(times) or values[index] != values[begin]:
            end = times[min(index, len(times) - 1)]
            found.append((times[begin], end, values[begin]))
            begin = index
    return found


def timeline(runs: Sequence[TimelineRun], cursor: float = 0.0) -> tuple[str, list[str]]:
    """The timelines of runs as HTML with all that they need, and the names of their cursors.

    Args:
        cursor: seconds at which the cursors stand until something moves them.

    Raises:
        MissingDependencyError: without Bokeh.
    """
    try:
        from bokeh.embed import components
        from bokeh.layouts import column
        from bokeh.models import Range1d, Span
        from bokeh.resources import Resources
    except ImportError as error:
        raise MissingDependencyError(
            'timeline', 'the package bokeh', 'not installed', 'pip install bokeh'
        ) from error
    end = max(run.seconds for run in runs)
    end = max(end, 0.1)
    times = Range1d(start=0.0, end=end, bounds=(0.0, end))
    plots = [plot for run in runs for plot in (_states(run, times), _latency(run, times))]
    cursors = [f'cursor{number}' for number in range(len(plots))]
    for name, plot in zip(cursors, plots, strict=True):
        plot.add_layout(
            Span(location=cursor, dimension='height', line_color=INK, line_width=1.5, name=name)
        )
    script, place = components(column(*plots, sizing_mode='stretch_width'), wrap_script=True)
    library = Resources(mode='inline', components=['bokeh']).render_js()
    return '\n'.join([library, place, script]), cursors


def _plot(run: TimelineRun, height: int, times: Any, rows: Any, tools: Any) -> Figure:
    from bokeh.models import BasicTicker, CustomJS
    from bokeh.plotting import figure

    plot = figure(
        height=height,
        x_range=times,
        y_range=rows,
        tools=tools,
        toolbar_location='above',
        sizing_mode='stretch_width',
        outline_line_color=None,
        min_border_right=12,
        output_backend='canvas',
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.toolbar.active_drag = None  # a finger scrolls the page
    plot.toolbar.active_scroll = None
    plot.grid.grid_line_color = None
    plot.axis.axis_line_color = '#c3c8cf'
    plot.axis.major_tick_line_color = None
    plot.axis.minor_tick_line_color = None
    plot.axis.major_label_text_color = INK
    plot.xaxis.ticker = BasicTicker(desired_num_ticks=6)
    plot.js_on_event('tap', CustomJS(code=_SEEK))
    return plot


def _states(run: TimelineRun, times: Any) -> Figure:
    """A row per sensor in the colour of its state, the modality, and a tick for every output."""
    from bokeh.models import FactorRange, HoverTool, Title

    names = _row_names(run.sensors)
    rows = [*names.values(), 'modality', 'outputs']
    hover = HoverTool(tooltips=[('', '@row'), ('', '@text'), ('', '@begin{0.0} to @end{0.0} s')])
    height = HEAD_HEIGHT + ROW_HEIGHT * len(rows) + (22 if run.shades else 0)
    order = FactorRange(factors=rows[::-1])
    plot = _plot(run, height, times, order, [hover, 'xbox_zoom', 'xwheel_zoom', 'reset'])
    if run.title:
        plot.title = Title(text=run.title)
    _shade(plot, run)
    strips = plot.hbar(
        y='row', left='begin', right='end', height=0.72, color='colour', source=_strips(run, names)
    )
    ticks = [run.at(output.wall_ns) for output in run.outputs]
    plot.scatter(ticks, ['outputs'] * len(ticks), marker='dash', angle=1.5708, size=11, color=INK)
    hover.renderers = [strips]
    return plot


def _row_names(sensors: Sequence[str]) -> dict[str, str]:
    """Sensor -> the text beside its row; all differ."""
    found: dict[str, str] = {}
    for name in sensors:
        short = SHORT_NAMES.get(name, name if len(name) <= LONGEST_NAME else '..' + name[-11:])
        found[name] = short if short not in found.values() else name
    return found


def _strips(run: TimelineRun, names: Mapping[str, str]) -> ColumnDataSource:
    from bokeh.models import ColumnDataSource

    beats = [status for status in run.statuses if status.is_heartbeat] or list(run.statuses)
    times = [run.at(status.wall_ns) for status in beats]
    rows: list[tuple[str, float, float, str, str]] = []
    for name, row in names.items():
        states = [next((s.state for s in b.sensors if s.name == name), None) for b in beats]
        rows += [
            (row, begin, end, css(STATE_COLOURS[state]), state.name)
            for begin, end, state in segments(times, states)
            if state is not None
        ]
    rows += [
        ('modality', begin, end, css(MODALITY_COLOURS[modality]), modality.name)
        for begin, end, modality in segments(times, [status.modality for status in beats])
    ]
    titles = ('row', 'begin', 'end', 'colour', 'text')
    return ColumnDataSource(
        {title: [row[column] for row in rows] for column, title in enumerate(titles)}
    )


def _latency(run: TimelineRun, times: Any) -> Figure:
    """Times from the stamp of every output to its publication, in the colour of its modality."""
    from bokeh.models import BasicTicker, DataRange1d, HoverTool

    hover = HoverTool(tooltips=[('', '$name'), ('', '@y{0} ms at @x{0.0} s')])
    plot = _plot(run, LATENCY_HEIGHT, times, DataRange1d(start=0), [hover, 'reset'])
    plot.xaxis.axis_label = 'seconds'
    plot.yaxis.axis_label = 'latency, ms'
    plot.yaxis.ticker = BasicTicker(desired_num_ticks=4)
    _shade(plot, run)
    labels = [status for status in run.statuses if not status.is_heartbeat]
    for modality in Modality:
        mine = [status for status in labels if status.modality is modality]
        if mine:
            plot.scatter(
                [run.at(status.wall_ns) for status in mine],
                [1e3 * status.latency_s for status in mine],
                size=5,
                color=css(MODALITY_COLOURS[modality]),
                name=modality.name,
            )
    return plot


def _shade(plot: Figure, run: TimelineRun) -> None:
    from bokeh.models import BoxAnnotation

    for begin, end, _ in run.shades:
        plot.add_layout(
            BoxAnnotation(
                left=begin,
                right=end,
                fill_color=SHADE,
                fill_alpha=0.3,
                line_color=None,
                level='underlay',  # the states stay as they are
            )
        )
