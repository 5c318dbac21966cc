"""Draw docs/images/modalities.jpg: one held-out instant with all sensors and without some.

.venv/bin/metabev-env python tools/modalities_picture.py [SEED]
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from metabev_ros.drawing import BevView, draw_banner, draw_bev, draw_boxes_on_image
from metabev_ros.geometry import transform_points
from metabev_ros.lab.datasets.samples import restrict_to, sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path
from metabev_ros.structures import Modality

SHOWN_SCORE = 0.25
SHOWN_CAMERAS = ('CAM_FRONT_LEFT', 'CAM_FRONT', 'CAM_FRONT_RIGHT')
WIDTH, BANNER = 560, 44
TARGET = Path(__file__).resolve().parent.parent / 'docs' / 'images' / 'modalities.jpg'


def column(pipeline: Pipeline, frame, modality: Modality) -> np.ndarray:
    """Banner, three cameras (black when dead) with the boxes found, bird's-eye view."""
    sample = restrict_to(sample_from_frame(frame, pipeline.prepare_image), modality)
    result = pipeline(sample)
    keep = result.detections.scores >= SHOWN_SCORE
    found = [
        array[keep]
        for array in (result.detections.boxes, result.detections.labels, result.detections.scores)
    ]
    tiles = []
    for name in SHOWN_CAMERAS:
        image = np.zeros_like(frame.images[name]) + 24
        if sample.cameras[name] is not None:
            image = draw_boxes_on_image(frame.images[name], *found, frame.calibrations[name])
        size = (WIDTH // 3, WIDTH // 3 * image.shape[0] // image.shape[1])
        tiles.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    row = np.hstack(tiles)
    row = np.pad(row, ((0, 0), (0, WIDTH - row.shape[1]), (0, 0)))
    points = None
    if sample.sweep is not None:
        points = transform_points(frame.ego_from_lidar, frame.points[:, :3])
    truth = frame.ground_truth
    bev = draw_bev(
        BevView(WIDTH, WIDTH, 45.0),
        result.map_probabilities,
        points=points,
        boxes=found[0],
        labels=found[1],
        scores=found[2],
        truth=truth.boxes[truth.num_lidar_pts > 0],
    )
    banner = draw_banner(WIDTH, BANNER, sample.modality, sample.sensors)
    return np.vstack([banner, row, bev])


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 900_300
    pipeline = Pipeline.load(resource_path('models/metabev_nano'))
    frame = SyntheticDrive(seed, DriveConfig(frames=1))[0]
    columns = [
        column(pipeline, frame, m) for m in (Modality.FUSED, Modality.LIDAR, Modality.CAMERA)
    ]
    gap = np.full((columns[0].shape[0], 6, 3), 255, np.uint8)
    picture = np.hstack([columns[0], gap, columns[1], gap, columns[2]])
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(TARGET), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(TARGET)


if __name__ == '__main__':
    main()
