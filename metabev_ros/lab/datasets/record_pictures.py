"""Pictures of records: boxes on images and points, to see at a glance whether they lie there."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from metabev_ros.drawing import BevView, PanelLayout, compose_panel, draw_bev, draw_boxes_on_image
from metabev_ros.errors import OutputError
from metabev_ros.geometry import transform_points
from metabev_ros.lab.datasets.record_folder import RecordFolder
from metabev_ros.lab.datasets.sample_record import SampleRecord, read_record
from metabev_ros.lab.datasets.summary import spread_over
from metabev_ros.structures import CameraCalibration

_LAYOUT = PanelLayout(width=1600, height=640, bev_width=600, tile_aspect=704 / 256)
_VIEW = BevView(*_LAYOUT.bev_size)


def draw_record(record: SampleRecord) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the cameras with boxes, and points, map and boxes from above.

    Boxes with a LiDAR point have the colour of their class; the others, and what is ignored, are
    thin outlines.
    """
    seen = record.num_lidar_pts > 0
    height, width = record.pixels.shape[1:3]
    images: dict[str, np.ndarray | None] = {}
    for i, name in enumerate(record.cameras):
        calibration = CameraCalibration(
            width, height, record.intrinsics[i], record.ego_from_camera[i]
        )
        images[name] = draw_boxes_on_image(
            record.pixels[i],
            record.boxes[seen],
            record.labels[seen],
            None,
            calibration,
            with_text=False,
        )
    cloud = transform_points(record.ego_from_lidar, record.points[:, :3].astype(np.float64))
    layers = record.map_layers
    if record.map_known is not None:
        layers = layers & record.map_known
    outlines = np.concatenate([record.boxes[~seen, :7], record.ignored])
    bev = draw_bev(
        _VIEW,
        layers,
        points=cloud,
        boxes=record.boxes[seen],
        labels=record.labels[seen],
        truth=outlines,
    )
    reports = record.sample.sensors
    text = f'{record.scene}  {record.token}'
    return compose_panel(images, bev, record.modality, reports, text, layout=_LAYOUT)


def write_pictures(folder: RecordFolder, count: int) -> list[Path]:
    """Draw some records, spread over the folder, into its `pictures/`.

    Raises:
        OutputError: where one cannot be written.
    """
    pictures = folder.folder / 'pictures'
    pictures.mkdir(exist_ok=True)
    written: list[Path] = []
    for path in spread_over(folder.paths, count):
        picture = pictures / f'{path.parent.name}_{path.stem}.png'
        ok, data = cv2.imencode('.png', draw_record(read_record(path))[..., ::-1])
        try:
            if not ok:
                raise OSError('not encoded')
            picture.write_bytes(data.tobytes())
        except OSError as error:
            raise OutputError.of(picture, error) from error
        written.append(picture)
    return written
