"""The sweep of timings: every combination a cell, old code beside new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from figures import style

SHARES = LinearSegmentedColormap.from_list('shares', [style.BAD, style.FLAGGED, style.GOOD])
SHARES.set_bad(style.FAINT)
NAMES = {'before': 'code of before', 'now': 'code of now'}

Line = Mapping[str, Any]  # one combination: its timing, and what was counted


def _values(lines: Sequence[Line], name: str) -> list[float]:
    return sorted({line[name] for line in lines})


def _cells(lines: Sequence[Line]) -> np.ndarray:
    """Share of usable frames used; a block a pair of rates, in it phases down and lags across."""
    cameras, lidars = _values(lines, 'camera_hz'), _values(lines, 'lidar_hz')
    phases, lags = _values(lines, 'phase'), _values(lines, 'lag')
    cells = np.full((len(cameras) * len(phases), len(lidars) * len(lags)), np.nan)
    for line in lines:
        row = cameras.index(line['camera_hz']) * len(phases) + phases.index(line['phase'])
        column = lidars.index(line['lidar_hz']) * len(lags) + lags.index(line['lag'])
        if line['could']:
            cells[row, column] = 100 * line['used'] / line['could']
    return cells


def _draw(axes: Axes, lines: Sequence[Line], title: str) -> Any:
    cameras, lidars = _values(lines, 'camera_hz'), _values(lines, 'lidar_hz')
    high, wide = len(_values(lines, 'phase')), len(_values(lines, 'lag'))
    shown = axes.imshow(_cells(lines), cmap=SHARES, vmin=0, vmax=100, aspect='auto')
    for k in range(1, len(cameras)):
        axes.axhline(k * high - 0.5, color='white', linewidth=2)
    for k in range(1, len(lidars)):
        axes.axvline(k * wide - 0.5, color='white', linewidth=2)
    axes.set_yticks((np.arange(len(cameras)) + 0.5) * high - 0.5, [f'{hz:g}' for hz in cameras])
    axes.set_xticks((np.arange(len(lidars)) + 0.5) * wide - 0.5, [f'{hz:g}' for hz in lidars])
    could, used = sum(line['could'] for line in lines), sum(line['used'] for line in lines)
    axes.set_title(f'{title}: {100 * used / could:.1f} % of what could be used')
    return shown


def draw_timing_sweep(measured: Mapping[str, Sequence[Line]], path: Path) -> None:
    """Old code above, new code below, a column a tolerance.

    Args:
        measured: 'before', 'now' -> the lines of `benchmark/timing_sweep.py`.
    """
    codes = [code for code in NAMES if code in measured]
    tolerances = _values(measured['now'], 'tolerance')
    figure, panels = plt.subplots(
        len(codes),
        len(tolerances),
        figsize=(14, 4.4 * len(codes)),
        layout='constrained',
        squeeze=False,
    )
    for code, row in zip(codes, panels, strict=True):
        for tolerance, axes in zip(tolerances, row, strict=True):
            lines = [line for line in measured[code] if line['tolerance'] == tolerance]
            shown = _draw(axes, lines, f'{NAMES[code]}, tolerance {tolerance:g} ms')
        row[0].set_ylabel('camera, Hz; in each block the phase, from 0 down')
    for axes in panels[-1]:
        axes.set_xlabel("LiDAR, Hz; in each block its lag (left) to the camera's (right)")
    figure.colorbar(
        shown, ax=panels, label='samples with the camera, % of those that could', pad=0.01
    )
    figure.suptitle(
        'Each cell a drive. Grey: no frame could be used, or twice in a row none could',
        fontsize=style.TITLE,
    )
    style.save(figure, path)
