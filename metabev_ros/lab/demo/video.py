"""The whole run as an H.264 film, drawn by several processes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from metabev_ros.drawing import PanelLayout
from metabev_ros.errors import MissingDependencyError
from metabev_ros.lab.demo.scene import Scene, draw_scene

VIDEO_LAYOUT = PanelLayout(
    width=1280, height=560, bev_width=512, banner_height=48, tile_aspect=704 / 256
)
QUALITY = ('-crf', '29', '-preset', 'fast', '-movflags', '+faststart')
IN_FLIGHT = 3  # scenes per worker that wait or are being drawn


def _enter_worker() -> None:
    cv2.setNumThreads(1)


def _draw(scene: Scene) -> np.ndarray:
    return draw_scene(scene, VIDEO_LAYOUT)


def write_video(
    path: Path,
    scenes: Iterable[Scene],
    rate_hz: float,
    workers: int = 2,
    progress: Callable[[], None] | None = None,
) -> None:
    """One picture a scene; the file appears under its name when complete.

    Raises:
        MissingDependencyError: without imageio-ffmpeg.
    """
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingDependencyError(
            'demo video', 'imageio-ffmpeg', 'not installed', 'pip install imageio-ffmpeg'
        ) from error
    part = path.with_name(f'.{os.getpid()}.{path.name}')
    # Any: its parameters are typed by their defaults, and a rate need not be an int.
    film = cast(Any, imageio_ffmpeg.write_frames)(
        str(part),
        (VIDEO_LAYOUT.width, VIDEO_LAYOUT.height),
        fps=rate_hz,
        codec='libx264',
        quality=None,
        macro_block_size=2,
        output_params=list(QUALITY),
    )
    film.send(None)
    try:
        for picture in _pictures(scenes, workers):
            film.send(picture)
            if progress is not None:
                progress()
        film.close()
        os.replace(part, path)
    finally:
        film.close()
        part.unlink(missing_ok=True)


def _pictures(scenes: Iterable[Scene], workers: int) -> Iterable[np.ndarray]:
    with ProcessPoolExecutor(workers, get_context('spawn'), _enter_worker) as pool:
        waiting: deque[Future] = deque()
        for scene in scenes:
            waiting.append(pool.submit(_draw, scene))
            if len(waiting) >= IN_FLIGHT * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
