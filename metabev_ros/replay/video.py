"""The optional video of a replay: cameras with boxes and the bird's-eye view, H.264."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import numpy as np

from metabev_ros.config import CameraBranchConfig, RigConfig
from metabev_ros.drawing import BevView, PanelLayout, compose_panel, draw_bev, draw_boxes_on_image
from metabev_ros.errors import MissingDependencyError
from metabev_ros.geometry import transform_points
from metabev_ros.structures import ModelInfo, PerceptionResult

HALF_LENGTH = 51.0  # metres from the ego to the upper border of the bird's-eye view
SHOWN_SCORE = 0.2


def draw_result(result: PerceptionResult, model: ModelInfo, layout: PanelLayout) -> np.ndarray:
    """(layout.height, layout.width, 3) uint8 RGB: one sample and what was found in it."""
    sample, found = result.sample, result.detections
    shown = found.scores >= SHOWN_SCORE
    boxes, labels, scores = found.boxes[shown], found.labels[shown], found.scores[shown]
    classes = model.detection_classes
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
        model.map_grid,
        points,
        boxes,
        labels,
        scores,
        class_names=classes,
        map_classes=model.map_classes,
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
        rig: its sample rate is the frame rate.
        camera: its image size gives the aspect of a tile.
    """

    def __init__(
        self, path: Path | str | None, rig: RigConfig, camera: CameraBranchConfig
    ) -> None:
        self._path = None if path is None else Path(path)
        self._rate = rig.sample_rate_hz
        self._layout = PanelLayout(tile_aspect=camera.width / camera.height)
        self._frames: Generator[None, np.ndarray | None, None] | None = None

    def add(self, result: PerceptionResult, model: ModelInfo) -> None:
        """Add one frame; the first one opens the file."""
        if self._path is None:
            return
        picture = draw_result(result, model, self._layout)
        if self._frames is None:
            self._frames = self._open(self._path)
        self._frames.send(np.ascontiguousarray(picture))

    def _open(self, path: Path) -> Generator[None, np.ndarray | None, None]:
        try:
            import imageio_ffmpeg
        except ImportError as error:
            raise MissingDependencyError(
                'video', 'the package imageio-ffmpeg', 'none', 'pip install imageio-ffmpeg'
            ) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        # Any: its parameters are typed by their defaults, and a rate need not be an int.
        write_frames = cast(Any, imageio_ffmpeg.write_frames)
        frames: Generator[None, np.ndarray | None, None] = write_frames(
            str(_partial_path(path)),
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._frames is None or self._path is None:
            return
        self._frames.close()
        if kind is None:
            os.replace(_partial_path(self._path), self._path)
        else:
            _partial_path(self._path).unlink(missing_ok=True)


def _partial_path(path: Path) -> Path:
    return path.with_name(f'.{os.getpid()}.{path.name}')
