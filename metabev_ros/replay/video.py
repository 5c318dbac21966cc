"""The optional video of a replay: cameras with boxes and the bird's-eye view, H.264."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import numpy as np

from metabev_ros.config import CameraBranchConfig, RigConfig
from metabev_ros.drawing import BevView, PanelLayout, compose_panel, draw_bev, draw_cameras
from metabev_ros.errors import ConfigError, MissingDependencyError, OutputError, clean_text
from metabev_ros.geometry import transform_points
from metabev_ros.structures import ModelInfo, PerceptionResult

HALF_LENGTH = 51.0  # metres from the ego to the upper border of the bird's-eye view
SHOWN_SCORE = 0.2


def draw_result(result: PerceptionResult, model: ModelInfo, layout: PanelLayout) -> np.ndarray:
    """(layout.height, layout.width, 3) uint8 RGB: one sample and what was found in it."""
    sample, found = result.sample, result.detections
    shown = found.scores >= SHOWN_SCORE
    boxes, labels, scores = found.boxes[shown], found.labels[shown], found.scores[shown]
    images = draw_cameras(result, model, SHOWN_SCORE)
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
        class_names=model.detection_classes,
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

    A video that fails half-way is given up; it never ends what it was drawn beside.

    Args:
        path: the .mp4 file; None draws nothing.
        rig: its sample rate is the frame rate.
        camera: its image size gives the aspect of a tile.

    Attributes:
        failure: why it was given up; '' where it was not.
    """

    def __init__(
        self, path: Path | str | None, rig: RigConfig, camera: CameraBranchConfig
    ) -> None:
        self._path = None if path is None else Path(path)
        self._rate = rig.sample_rate_hz
        self._layout = PanelLayout(tile_aspect=camera.width / camera.height)
        self._frames: Generator[None, np.ndarray | None, None] | None = None
        self.failure = ''

    def add(self, result: PerceptionResult, model: ModelInfo) -> None:
        """Add one frame; the first one opens the file."""
        if self._path is None or self.failure:
            return
        picture = draw_result(result, model, self._layout)
        try:
            if self._frames is None:
                self._frames = self._open(self._path)
            self._frames.send(np.ascontiguousarray(picture))
        except (OSError, StopIteration) as error:
            self._give_up(str(error).partition('\n')[0] or 'the encoder ended')

    def _open(self, path: Path) -> Generator[None, np.ndarray | None, None]:
        import imageio_ffmpeg

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

    def _give_up(self, why: str) -> None:
        """Leave nothing of the video, and say why."""
        self.failure = clean_text(why, 200)
        if self._path is not None:
            if self._frames is not None:
                with contextlib.suppress(OSError):
                    self._frames.close()
            _partial_path(self._path).unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        """Try the place before anything is drawn.

        Raises:
            ConfigError: no .mp4 file is named.
            MissingDependencyError: there is no encoder.
            OutputError: nothing can be written there.
        """
        path = self._path
        if path is None:
            return self
        if path.suffix.lower() != '.mp4':
            raise ConfigError('video', 'the name of an .mp4 file', clean_text(path))
        try:
            import imageio_ffmpeg  # noqa: F401  # pyright: ignore[reportUnusedImport]
        except ImportError as error:
            raise MissingDependencyError(
                'video', 'the package imageio-ffmpeg', 'none', 'pip install imageio-ffmpeg'
            ) from error
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, 'a folder has this name')
            _partial_path(path).touch()
            _partial_path(path).unlink()
        except OSError as error:
            raise OutputError.of(path, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._frames is None or self._path is None or self.failure:
            return
        partial = _partial_path(self._path)
        if kind is not None:
            self._give_up('the run ended before it was complete')
            return
        self._frames.close()
        try:
            if not _is_complete(partial):
                raise OSError(errno.EIO, 'the encoder did not finish the file; is the disk full?')
            os.replace(partial, self._path)
        except OSError as failure:
            self._give_up(failure.strerror or str(failure))


def _partial_path(path: Path) -> Path:
    return path.with_name(f'.{os.getpid()}.{path.name}')


def _is_complete(path: Path) -> bool:
    """Tell whether an .mp4 file has its index, which the encoder writes last.

    Boxes are a 32 bit size, big endian, four letters and the content (ISO/IEC 14496-12, 4.2); the
    size 1 stands for a 64 bit one behind the letters.
    """
    end = path.stat().st_size
    with path.open('rb') as file:
        offset = 0
        while offset + 16 <= end:
            file.seek(offset)
            size, kind, large = struct.unpack('>I4sQ', file.read(16))
            size = large if size == 1 else size
            if kind == b'moov':
                return offset + size <= end
            if size < 8:
                return False
            offset += size
    return False
