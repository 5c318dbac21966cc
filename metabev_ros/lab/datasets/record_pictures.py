"""Pictures of records: boxes on images and points, to see at a glance whether they lie there."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from metabev_ros.drawing import BevView, draw_bev, draw_boxes_on_image
from metabev_ros.drawing.panel_parts import fitted
from metabev_ros.drawing.style import BACKGROUND, DIM_COLOUR, TEXT_COLOUR, put_text
from metabev_ros.errors import OutputError
from metabev_ros.geometry import inverse_rigid, rigid_transform, rotation_z, transform_points
from metabev_ros.lab.datasets.record_folder import RecordFolder
from metabev_ros.lab.datasets.sample_record import SampleRecord, read_record
from metabev_ros.lab.datasets.summary import spread_over
from metabev_ros.structures import DETECTION_CLASSES, CameraCalibration, class_colour

_WIDTH, _BANNER = 1600, 32
_BEV = BevView(640, 640)
_CLOSE_UPS, _TILE = 10, 160  # number, pixels
_SHOWN = 4.0  # metres from the middle of a box to the border of its close-up, at least


def draw_record(record: SampleRecord) -> np.ndarray:
    """(H, 1600, 3) uint8 RGB: points, map and boxes from above; cameras with boxes; close-ups.

    Boxes with a LiDAR point have the colour of their class; the others, and what is ignored, are
    thin outlines. A close-up shows a box and its points from above, and below it from its side:
    the nearest objects with points.
    """
    cloud = transform_points(record.ego_from_lidar, record.points[:, :3].astype(np.float64))
    cloud = cloud[record.points[:, 4] == 0]
    picture = np.full((_BANNER + _BEV.height + 2 * _TILE, _WIDTH, 3), BACKGROUND, np.uint8)
    put_text(picture, f'{record.scene}  {record.token}', 10, 22, 14, TEXT_COLOUR)
    below = _BANNER + _BEV.height
    picture[_BANNER:below, : _BEV.width] = _from_above(record, cloud)
    picture[_BANNER:below, _BEV.width :] = _cameras(record, _WIDTH - _BEV.width, _BEV.height)
    seen = np.flatnonzero(record.num_lidar_pts > 0)
    nearest = seen[np.argsort(np.hypot(*record.boxes[seen, :2].T))][:_CLOSE_UPS]
    for place, row in enumerate(nearest):
        left = place * _TILE
        name = DETECTION_CLASSES[int(record.labels[row])]
        above, side = _close_up(record.boxes[row].astype(np.float64), cloud, name)
        picture[below : below + _TILE, left : left + _TILE] = above
        picture[below + _TILE :, left : left + _TILE] = side
    return picture


def _from_above(record: SampleRecord, cloud: np.ndarray) -> np.ndarray:
    seen = record.num_lidar_pts > 0
    layers = record.map_layers
    if record.map_known is not None:
        layers = layers & record.map_known
    return draw_bev(
        _BEV,
        layers,
        points=cloud,
        boxes=record.boxes[seen],
        labels=record.labels[seen],
        truth=np.concatenate([record.boxes[~seen, :7], record.ignored]),
    )


def _cameras(record: SampleRecord, width: int, height: int) -> np.ndarray:
    """The cameras in columns that fill the place as well as they can."""
    area = np.full((height, width, 3), BACKGROUND, np.uint8)
    if not record.cameras:
        return area
    seen, count = record.num_lidar_pts > 0, len(record.cameras)
    size = record.pixels.shape[1:3]
    columns = min(
        range(1, count + 1),
        key=lambda n: -min(width / n / size[1], height / math.ceil(count / n) / size[0]),
    )
    tile = width // columns, height // math.ceil(count / columns)
    for i, name in enumerate(record.cameras):
        calibration = CameraCalibration(
            size[1], size[0], record.intrinsics[i], record.ego_from_camera[i]
        )
        image = draw_boxes_on_image(
            record.pixels[i],
            record.boxes[seen],
            record.labels[seen],
            None,
            calibration,
            with_text=False,
        )
        top, left = i // columns * tile[1], i % columns * tile[0]
        area[top : top + tile[1], left : left + tile[0]] = fitted(image, *tile)
        age = record.camera_ages_ns[i] / 1e6
        put_text(area, f'{name}  {age:.0f} ms', left + 6, top + 14, 9, TEXT_COLOUR)
    return area


def _close_up(box: np.ndarray, cloud: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A box and the points around it, from above and from its left side; it heads to the right."""
    near = cloud[np.abs(cloud[:, :2] - box[:2]).max(1) < box[3:5].max() / 2 + _SHOWN]
    ego_from_box = rigid_transform(rotation_z(float(box[6])), box[:3])
    points = transform_points(inverse_rigid(ego_from_box), near)
    scale = _TILE / 2 / max(_SHOWN, float(box[3:5].max()) / 2 + 1)
    views: list[np.ndarray] = []
    for axis, size in ((1, box[4]), (2, box[5])):
        view = np.full((_TILE, _TILE, 3), BACKGROUND, np.uint8)
        inside = np.abs(points[:, 2]) < box[5] / 2 + 0.5 if axis == 1 else np.abs(points[:, 1]) < 2
        places = np.rint(_TILE / 2 + points[inside][:, (0, axis)] * (scale, -scale)).astype(int)
        places = places[((places >= 0) & (places < _TILE)).all(1)]
        view[places[:, 1], places[:, 0]] = TEXT_COLOUR
        half = np.rint(np.array([box[3], size]) / 2 * scale).astype(int)
        middle = _TILE // 2
        corner = (middle - int(half[0]), middle - int(half[1]))
        other = (middle + int(half[0]), middle + int(half[1]))
        cv2.rectangle(view, corner, other, class_colour(name), 1)
        cv2.line(view, (middle, middle), (other[0], middle), class_colour(name), 1)
        views.append(view)
        cv2.line(view, (_TILE - 1, 0), (_TILE - 1, _TILE), DIM_COLOUR, 1)
    put_text(views[0], f'{name}  {np.hypot(box[0], box[1]):.0f} m', 4, 12, 9, DIM_COLOUR)
    return views[0], views[1]


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
