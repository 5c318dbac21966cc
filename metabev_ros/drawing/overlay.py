"""The cameras of a sample with the boxes that were found: one picture for all of them."""

from __future__ import annotations

import numpy as np

from metabev_ros.drawing.boxes import draw_boxes_on_image
from metabev_ros.drawing.panel_parts import camera_tile, draw_banner
from metabev_ros.drawing.style import BACKGROUND
from metabev_ros.structures import ModelInfo, PerceptionResult

TILES_ABREAST = 3
TILE_WIDTH, TILE_HEIGHT = 480, 270  # pixels
BANNER_HEIGHT = 40


def draw_cameras(
    result: PerceptionResult, model: ModelInfo, least_score: float
) -> dict[str, np.ndarray | None]:
    """Camera name -> (H, W, 3) uint8 RGB with boxes; None where the sample has no image of it."""
    found = result.detections
    shown = found.scores >= least_score
    boxes, labels, scores = found.boxes[shown], found.labels[shown], found.scores[shown]
    classes = model.detection_classes
    return {
        name: None
        if image is None
        else draw_boxes_on_image(image.pixels, boxes, labels, scores, image.calibration, classes)
        for name, image in result.sample.cameras.items()
    }


def draw_overlay(result: PerceptionResult, model: ModelInfo, least_score: float) -> np.ndarray:
    """All cameras in the rig's order below a banner that names the modality.

    Returns:
        (H, W, 3) uint8 RGB, of the same size for all samples of a rig.
    """
    pictures = draw_cameras(result, model, least_score)
    sample = result.sample
    reports = {report.name: report for report in sample.sensors}
    rows = -(-len(pictures) // TILES_ABREAST)
    width = TILES_ABREAST * TILE_WIDTH
    whole = np.full((BANNER_HEIGHT + rows * TILE_HEIGHT, width, 3), BACKGROUND, np.uint8)
    text = f'{sample.stamp_ns / 1e9:.2f} s'
    whole[:BANNER_HEIGHT] = draw_banner(
        width, BANNER_HEIGHT, sample.modality, sample.sensors, text
    )
    for index, (name, picture) in enumerate(pictures.items()):
        top = BANNER_HEIGHT + index // TILES_ABREAST * TILE_HEIGHT
        left = index % TILES_ABREAST * TILE_WIDTH
        whole[top : top + TILE_HEIGHT, left : left + TILE_WIDTH] = camera_tile(
            name, picture, reports.get(name), TILE_WIDTH, TILE_HEIGHT
        )
    return whole
