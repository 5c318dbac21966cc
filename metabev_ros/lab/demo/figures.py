"""The look of the plots, and their way into SVG texts."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from metabev_ros.errors import MissingDependencyError

if TYPE_CHECKING:  # imported when a plot is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, SHADE = '#22262c', '#8b929c', '#f1ecec'


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure and its axes, without pyplot's global state."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            'demo report', 'matplotlib', 'not installed', 'pip install matplotlib'
        ) from error
    matplotlib.rcParams['svg.hashsalt'] = 'metabev'  # the same plot gives the same text
    figure = Figure(figsize=(width, height), layout='constrained')
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    for side in ('top', 'right'):
        axis.spines[side].set_visible(False)
    for side in ('left', 'bottom'):
        axis.spines[side].set_color('#c3c8cf')
    axis.tick_params(colors=INK, labelsize=9, length=3, color='#c3c8cf')
    return figure, axis


def as_svg(figure: Figure) -> str:
    """The text of an SVG file."""
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg', metadata={'Date': None})
    return buffer.getvalue()


def as_hex(colour: tuple[int, int, int]) -> str:
    """A colour as matplotlib takes it."""
    return '#{:02x}{:02x}{:02x}'.format(*colour)
