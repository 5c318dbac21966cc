"""The optional video of a replay: cameras with boxes and the bird's-eye view, H.264."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from metabev_ros.config import RigConfig
from metabev_ros.drawing import BevView, PanelLayout, compose_panel, draw_bev, draw_boxes_on_image
from metabev_ros.errors import MissingDependencyError
from metabev_ros.geometry import transform_points
from metabev_ros.structures import PerceptionResult

HALF_LENGTH = 51.0  # metres from the ego to the upper border of the bird's-eye view
SHOWN_SCORE = 0.2


def draw_result(result: PerceptionResult, model, layout: PanelLayout) -> np.ndarray:
    """(layout.height, layout.width, 3) uint8 RGB: one sample and what was found in it."""
    sample, found = result.sample, result.detections
    shown = found.scores >= SHOWN_SCORE
    boxes, labels, scores = found.boxes[shown], found.labels[shown], found.scores[shown]
    classes = model.config.detection_classes
    images = {
        name: None
        if image is None
        else draw_boxes_on_image(image.pixels, boxes, labels, scores, image.calibration, classes)
        for name, image in sample.cameras.items()
    }
    points = None
    if sample.sweep is not None:
        points = transform_points(sample.sweep.ego_from_lidar, sample.sweep.points[:, :3])
    bev = draw_bev(
        BevView(*layout.bev_size, HALF_LENGTH),
        result.map_probabilities,
        model.config.map_grid,
        points,
        boxes,
        labels,
        scores,
        class_names=classes,
        map_classes=model.config.map_classes,
    )
    return compose_panel(
        images,
        bev,
        sample.modality,
        sample.sensors,
        f'{sample.stamp_ns / 1e9:.2f} s',
        layout=layout,
    )


class VideoWriter:
    """Writes one frame a result; appears under its name only when complete.

    Args:
        path: the .mp4 file; None draws nothing.
        rig: its LiDAR rate is the frame rate.
    """

    def __init__(self, path: Path | str | None, rig: RigConfig) -> None:
        self._path = None if path is None else Path(path)
        self._rate = rig.lidar.rate_hz
        self._layout: PanelLayout | None = None
        self._frames = None

    def add(self, result: PerceptionResult, model) -> None:
        if self._path is None:
            return
        if self._layout is None:
            camera = model.config.camera
            self._layout = PanelLayout(tile_aspect=camera.width / camera.height)
        picture = draw_result(result, model, self._layout)
        if self._frames is None:
            self._frames = self._open()
        self._frames.send(np.ascontiguousarray(picture))

    @property
    def _partial(self) -> Path:
        return self._path.with_name(f'.{os.getpid()}.{self._path.name}')

    def _open(self):
        try:
            import imageio_ffmpeg
        except ImportError as error:
            raise MissingDependencyError(
                'video', 'the package imageio-ffmpeg', 'none', 'pip install imageio-ffmpeg'
            ) from error
        self._path.parent.mkdir(parents=True, exist_ok=True)
        frames = imageio_ffmpeg.write_frames(
            str(self._partial),
            (self._layout.width, self._layout.height),
            fps=self._rate,
            codec='libx264',
            quality=6,
            macro_block_size=2,
        )
        frames.send(None)
        return frames

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self._frames is None:
            return
        self._frames.close()
        if kind is None:
            os.replace(self._partial, self._path)
        else:
            self._partial.unlink(missing_ok=True)
