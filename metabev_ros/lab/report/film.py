"""A run as an H.264 film, drawn by several processes."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar, cast

import cv2
import numpy as np

from metabev_ros.drawing import PanelLayout
from metabev_ros.errors import MissingDependencyError, OutputError

VIDEO_LAYOUT = PanelLayout(
    width=1280, height=560, bev_width=512, banner_height=48, tile_aspect=704 / 256
)
# A key frame every second or two: who clicks on the timeline sees the moment at once.
QUALITY = ('-crf', '29', '-preset', 'fast', '-g', '16', '-movflags', '+faststart')
IN_FLIGHT = 3  # scenes per worker that wait or are being drawn
_Scene = TypeVar('_Scene')


def _enter_worker() -> None:
    cv2.setNumThreads(1)


def write_video(
    path: Path,
    scenes: Iterable[_Scene],
    draw: Callable[[_Scene], np.ndarray],
    rate_hz: float,
    workers: int = 2,
    progress: Callable[[], None] | None = None,
    layout: PanelLayout = VIDEO_LAYOUT,
) -> None:
    """One picture a scene; the file appears under its name when complete.

    Args:
        scenes: one that comes again at once is drawn once.
        draw: of a module, so that other processes find it; gives pictures of the layout's size.
        workers: 1 draws in this process.

    Raises:
        MissingDependencyError: without imageio-ffmpeg.
        OutputError: where the file cannot be written.
    """
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingDependencyError(
            'film', 'imageio-ffmpeg', 'not installed', 'pip install imageio-ffmpeg'
        ) from error
    part = path.with_name(f'.{os.getpid()}.{path.name}')
    # Any: its parameters are typed by their defaults, and a rate need not be an int.
    film = cast(Any, imageio_ffmpeg.write_frames)(
        str(part),
        (layout.width, layout.height),
        fps=rate_hz,
        codec='libx264',
        quality=None,
        macro_block_size=2,
        output_params=list(QUALITY),
    )
    try:
        film.send(None)
        for picture in _pictures(scenes, draw, workers):
            film.send(np.ascontiguousarray(picture))
            if progress is not None:
                progress()
        film.close()
        os.replace(part, path)
    except (OSError, StopIteration) as error:
        broken = error if isinstance(error, OSError) else OSError(errno.EIO, 'the encoder ended')
        raise OutputError.of(path, broken) from error
    finally:
        with suppress(OSError):
            film.close()
        part.unlink(missing_ok=True)


def _pictures(
    scenes: Iterable[_Scene], draw: Callable[[_Scene], np.ndarray], workers: int
) -> Iterator[np.ndarray]:
    if workers == 1:
        drawn: tuple[_Scene, np.ndarray] | None = None
        for scene in scenes:
            if drawn is None or drawn[0] is not scene:
                drawn = scene, draw(scene)
            yield drawn[1]
        return
    with ProcessPoolExecutor(workers, get_context('spawn'), _enter_worker) as pool:
        waiting: deque[tuple[_Scene, Future[np.ndarray]]] = deque()
        for scene in scenes:
            is_same = bool(waiting) and waiting[-1][0] is scene
            waiting.append((scene, waiting[-1][1] if is_same else pool.submit(draw, scene)))
            if len(waiting) >= IN_FLIGHT * workers:
                yield waiting.popleft()[1].result()
        while waiting:
            yield waiting.popleft()[1].result()
