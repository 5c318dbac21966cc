"""Pictures of the robustness comparison: radar of the headline settings, curves over degrees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from metabev_ros.errors import MissingDependencyError
from metabev_ros.files import replacing
from metabev_ros.lab.datasets.corruptions import ALL, CLEAN, HEADLINE, Setting
from metabev_ros.lab.evaluation.model_results import ModelResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.projections.polar import PolarAxes

COLOURS = ('#1b6ca8', '#d1495b', '#3f8f4f', '#8a5ea8', '#c9871f', '#4f5d68')
IN_DOMAIN = '_in_domain'
FIGURES = (('nds', 'NDS'), ('miou', 'mIoU'))
_SPOKES = {
    'lf': 'LiDAR field\n120°',
    'mo': 'objects\nmissing',
    'br': '4 beams',
    'vd': '6 views\nblack',
    'vn': '6 views\nnoise',
    'oo': 'occlusion',
    'mc': 'no\ncamera',
    'ml': 'no\nLiDAR',
}
_CURVES = {
    'lf': ('LiDAR field kept', '{:g}°'),
    'mo': ('objects missing', '{:g}'),
    'br': ('beams, central', '{:g}'),
    'br_even': ('beams, evenly spaced', '{:g}'),
    'vd': ('views black', '{:g}'),
    'vn': ('views noise', '{:g}'),
}
_BEYOND = {
    'frozen': ('views frozen 0.5 s', '{:g}'),
    'jitter': ('miscalibration', '{:g}°'),
    'skew': ('time skew, ms', '{:g}'),
    'fog': ('fog, visibility m', '{:g}'),
    'night': ('share of light', '{:g}'),
    'points': ('points lost', '{:g}'),
    'iid': ('chance of sensor loss', '{:g}'),
    'several': ('combination no.', '{:g}'),
}


def _figure(size: tuple[float, float]) -> Figure:
    """Figure without pyplot's global state."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            'robustness report', 'matplotlib', 'not installed', 'pip install matplotlib'
        ) from error
    figure = Figure(figsize=size, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def styles(results: Sequence[ModelResults]) -> dict[str, dict]:
    """Line and marker by name: a colour per model, dashed where it was trained on the failures."""
    bases = list(dict.fromkeys(r.name.removesuffix(IN_DOMAIN) for r in results))
    found = {}
    for r in results:
        colour = COLOURS[bases.index(r.name.removesuffix(IN_DOMAIN)) % len(COLOURS)]
        trained = r.name.endswith(IN_DOMAIN)
        found[r.name] = {
            'color': colour,
            'linestyle': '--' if trained else '-',
            'linewidth': 1.8,
            'marker': 'o',
            'markersize': 4,
            'markerfacecolor': 'white' if trained else colour,
        }
    return found


def plot_radar(results: Sequence[ModelResults], path: Path) -> None:
    """One spoke per headline setting, one line per model; dotted: the model's clean score."""
    figure = _figure((11, 5.6))
    angles = np.linspace(0, 2 * np.pi, len(HEADLINE), endpoint=False)
    style = styles(results)
    for place, (name, title) in enumerate(FIGURES, 1):
        axis = cast(
            'PolarAxes',
            figure.add_subplot(
                1, 2, place, projection='polar', theta_offset=np.pi / 2, theta_direction=-1
            ),
        )
        top = 0.1
        for r in results:
            values = _values(r, HEADLINE, name)
            axis.plot(
                np.append(angles, angles[0]),
                np.append(values, values[0]),
                label=r.name,
                **style[r.name],
            )
            axis.fill(angles, np.nan_to_num(values), color=style[r.name]['color'], alpha=0.08)
            clean = _values(r, [CLEAN], name)[0]
            circle = np.linspace(0, 2 * np.pi, 100)
            axis.plot(circle, np.full(100, clean), ':', color=style[r.name]['color'], linewidth=1)
            top = np.nanmax([top, clean, *values])
        axis.set_ylim(0, min(1.0, np.ceil(top * 10 + 0.5) / 10))
        axis.set_xticks(angles, [_SPOKES[s.code] for s in HEADLINE], fontsize=9)
        axis.set_rlabel_position(180 / len(HEADLINE))
        axis.tick_params(axis='y', labelsize=7)
        axis.tick_params(axis='x', pad=10)
        axis.set_title(title, pad=18)
    _legend(figure, figure.axes[-1], ' (dotted: without failure)')
    _save(figure, path)


def plot_curves(results: Sequence[ModelResults], path: Path) -> None:
    """The paper's settings over their degrees, from clean to worst."""
    _plot_grid(results, path, _CURVES, 3)


def plot_beyond(results: Sequence[ModelResults], path: Path) -> None:
    """The settings beyond the paper's."""
    _plot_grid(results, path, _BEYOND, 4)


def _plot_grid(results: Sequence[ModelResults], path: Path, panels: dict, columns: int) -> None:
    rows = -(-len(panels) // columns)
    figure = _figure((3.6 * columns, 2.5 * rows * len(FIGURES)))
    axes = figure.subplots(rows * len(FIGURES), columns, squeeze=False, sharey='row')
    style = styles(results)
    for index, (code, (title, label)) in enumerate(panels.items()):
        settings = _degrees(code)
        names = ['clean', *(label.format(s.degree) for s in settings if s is not CLEAN)]
        for part, (name, unit) in enumerate(FIGURES):
            axis = axes[index // columns * len(FIGURES) + part, index % columns]
            for r in results:
                values = _values(r, settings, name)
                joined = code != 'several'  # combinations have no order
                axis.plot(
                    range(len(values)),
                    values,
                    label=r.name,
                    **{**style[r.name], **({} if joined else {'linestyle': 'none'})},
                )
            axis.set_xticks(range(len(names)), names, fontsize=8)
            axis.grid(alpha=0.3)
            axis.set_title(f'{unit}: {title}', fontsize=9)
    for axis in axes.flat:
        axis.set_visible(bool(axis.lines))
    for row in axes:
        row[0].set_ylim(0, 1.03 * row[0].get_ylim()[1])  # shared, all lines are there
    _legend(figure, axes[0, 0], '')
    _save(figure, path)


def _degrees(code: str) -> list[Setting]:
    """From clean on; harmless degrees are the clean point itself."""
    worse = [s for s in ALL if s.code == code and not s.is_harmless]
    return [CLEAN, *worse]


def _values(results: ModelResults, settings: Sequence[Setting], figure: str) -> np.ndarray:
    """NaN where a setting was not evaluated."""
    return np.array(
        [results.figures.get(s.id, {}).get(figure, np.nan) for s in settings], dtype=np.float64
    )


def _legend(figure: Figure, axis: Axes, note: str) -> None:
    handles, names = axis.get_legend_handles_labels()
    shown = [name.replace(IN_DOMAIN, ', in-domain') for name in names]
    figure.legend(
        handles,
        shown,
        loc='outside lower center',
        ncols=min(4, len(shown)),
        title=f'models{note}' if note else None,
        fontsize=9,
    )


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as part:
        figure.savefig(part, format='png', dpi=110)
