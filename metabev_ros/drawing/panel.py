"""The video panel: banner, six cameras in two rows, sensor table and legend, BEV at the side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.drawing.panel_parts import (
    camera_tile,
    draw_banner,
    draw_legend,
    draw_sensor_table,
    fitted,
)
from metabev_ros.drawing.style import BACKGROUND, fit_text, put_text
from metabev_ros.errors import ConfigError
from metabev_ros.structures import Modality, SensorReport

CAMERA_ORDER = (
    'CAM_FRONT_LEFT',
    'CAM_FRONT',
    'CAM_FRONT_RIGHT',
    'CAM_BACK_LEFT',
    'CAM_BACK',
    'CAM_BACK_RIGHT',
)


@dataclass(frozen=True)
class PanelLayout:
    """Sizes in pixels, all even (video encoders need it).

    Attributes:
        bev_width: width of the BEV at the right.
        tile_aspect: width over height of the camera tiles; give the images' own.
        camera_order: tiles left to right, front row first; cameras of other names follow.
    """

    width: int = 1280
    height: int = 720
    banner_height: int = 52
    bev_width: int = 512
    tile_aspect: float = 16 / 9
    camera_order: tuple[str, ...] = CAMERA_ORDER

    def __post_init__(self) -> None:
        for name in ('width', 'height', 'banner_height', 'bev_width'):
            if getattr(self, name) % 2 or getattr(self, name) <= 0:
                raise ConfigError(
                    f'PanelLayout.{name}', 'a positive even number', str(getattr(self, name))
                )
        if self.tile_height * 2 + self.banner_height > self.height:
            raise ConfigError(
                'PanelLayout',
                'room for two rows of cameras',
                f'{self.height} rows',
                'raise height or bev_width',
            )

    @property
    def bev_size(self) -> tuple[int, int]:
        """(width, height) of the BEV picture."""
        return self.bev_width, self.height - self.banner_height

    @property
    def tile_width(self) -> int:
        """Width of one camera tile, pixels."""
        return (self.width - self.bev_width) // 3

    @property
    def tile_height(self) -> int:
        """Height of one camera tile, pixels."""
        return round(self.tile_width / self.tile_aspect)


def compose_panel(
    images: Mapping[str, np.ndarray | None],
    bev: np.ndarray,
    modality: Modality,
    reports: Sequence[SensorReport] = (),
    text: str = '',
    lines: Sequence[str] = (),
    inset: np.ndarray | None = None,
    layout: PanelLayout | None = None,
) -> np.ndarray:
    """One picture for a video: (layout.height, layout.width, 3) uint8 RGB, always the same size.

    Args:
        images: camera name -> RGB picture of any size, None where the camera gave nothing. At
            most six are shown.
        bev: of size `layout.bev_size` for a sharp picture; scaled if not.
        text: right end of the banner (time, sample, latency).
        lines: free text below the sensor table.
        inset: a picture (say a timeline) for the space that is left below the text.
    """
    layout = layout or PanelLayout()
    panel = np.full((layout.height, layout.width, 3), BACKGROUND, dtype=np.uint8)
    banner = layout.banner_height
    panel[:banner] = draw_banner(layout.width, banner, modality, reports, text)
    panel[banner:, layout.width - layout.bev_width :] = fitted(bev, *layout.bev_size)
    by_name = {report.name: report for report in reports}
    order = [name for name in layout.camera_order if name in images]
    order += [name for name in images if name not in order]
    width, height = layout.tile_width, layout.tile_height
    for index, name in enumerate(order[:6]):
        top, left = banner + index // 3 * height, index % 3 * width
        panel[top : top + height, left : left + width] = camera_tile(
            name, images[name], by_name.get(name), width, height
        )
    lower = panel[banner + 2 * height :, : layout.width - layout.bev_width]
    _draw_lower_left(lower, reports, lines, inset)
    return panel


def _draw_lower_left(
    panel: np.ndarray,
    reports: Sequence[SensorReport],
    lines: Sequence[str],
    inset: np.ndarray | None,
) -> None:
    """Sensor table, text, inset and legend in the space below the cameras, as far as it goes."""
    top, width = 0, panel.shape[1]
    top += 10
    legend_top = len(panel) - 94
    table_height = min(26 * len(reports), max(legend_top - top, 0))
    if reports and table_height > 0:
        panel[top : top + table_height, :width] = draw_sensor_table(width, table_height, reports)
    base = top + table_height + 24
    for line in lines:
        if base > legend_top - 4:
            break
        put_text(panel, fit_text(line, 12, width - 24), 12, base, 12)
        base += 22
    if inset is not None and legend_top - base >= 20:
        panel[base - 8 : legend_top - 8] = fitted(inset, width, legend_top - base)
    if legend_top > top:
        panel[legend_top:, :width] = draw_legend(width, len(panel) - legend_top)
