"""The look that all pictures share, and where they lie."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use('Agg')  # before pyplot, whoever imports it

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGES = ROOT / 'docs' / 'images'
RESULTS = ROOT / 'docs' / 'results'

FUSED, CAMERA, LIDAR = '#2ea05a', '#2e6ec8', '#cd8c1e'  # of a modality, or of its sensor
GOOD, FLAGGED, BAD, NEUTRAL, FAINT = '#2c7a4b', '#e0a800', '#c0392b', '#7f8c8d', '#e6e6e6'
TITLE, TEXT, SMALL = 9, 8, 7  # points
DPI = 90

plt.rcParams.update(
    {
        'axes.titlesize': TITLE,
        'axes.labelsize': TEXT,
        'xtick.labelsize': TEXT,
        'ytick.labelsize': TEXT,
        'legend.fontsize': TEXT,
        'grid.alpha': 0.3,
    }
)


def mark(colour: str, marker: str = 'o', **look: str) -> Line2D:
    """A mark for a legend."""
    return Line2D([], [], color=colour, marker=marker, linestyle='', **look)


def bar(colour: str) -> Line2D:
    """A short thick line for a legend."""
    return Line2D([], [], color=colour, linewidth=5)


def name_lines(axes: Axes, names: list[str]) -> None:
    """One line of the picture a name, the first on top."""
    axes.set_yticks(range(len(names)), names, fontsize=SMALL)
    axes.set_ylim(len(names) - 0.5, -0.5)


def save(figure: Figure, path: Path) -> None:
    """Write a picture and say where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    print(path)
