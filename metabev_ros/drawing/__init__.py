"""Pictures with numpy and OpenCV: boxes on camera images, bird's-eye view, the video panel.

Every picture is (H, W, 3) uint8 RGB. BEV pictures: ego x (forward) points up, ego y (left) points
left, so what is left of the vehicle is left in the picture.
"""

from metabev_ros.drawing.bev import BevView, draw_bev, draw_map
from metabev_ros.drawing.boxes import draw_boxes_on_image
from metabev_ros.drawing.overlay import draw_cameras, draw_overlay
from metabev_ros.drawing.panel import PanelLayout, compose_panel
from metabev_ros.drawing.panel_parts import draw_banner, draw_sensor_panel, draw_sensor_table
from metabev_ros.drawing.style import (
    MAP_COLOURS,
    MODALITY_COLOURS,
    STATE_COLOURS,
    put_text,
)
from metabev_ros.structures import CLASS_COLOURS, class_colour

__all__ = [
    'CLASS_COLOURS',
    'MAP_COLOURS',
    'MODALITY_COLOURS',
    'STATE_COLOURS',
    'BevView',
    'PanelLayout',
    'class_colour',
    'compose_panel',
    'draw_banner',
    'draw_bev',
    'draw_boxes_on_image',
    'draw_cameras',
    'draw_map',
    'draw_overlay',
    'draw_sensor_panel',
    'draw_sensor_table',
    'put_text',
]
