"""Images of a sample: decoded in a small pool, prepared for the network, and looked at."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.sensing.camera_input import CameraInput
from metabev_ros.sensing.checks import GOOD, Verdict
from metabev_ros.sensing.decoding import reduction_for
from metabev_ros.sensing.frames import CameraFrame, Frame, Look
from metabev_ros.sensing.measures import look_at_picture
from metabev_ros.structures import CameraCalibration, CameraImage, SensorState

PrepareImage = Callable[[np.ndarray, CameraCalibration], tuple[np.ndarray, CameraCalibration]]


@dataclass(frozen=True)
class ImageSize:
    """Size of the network's images, pixels."""

    height: int
    width: int


class ImageReader:
    """Decodes and prepares images in a small pool, as many at a time as there are threads.

    The result does not depend on how many there are.

    Args:
        prepare: (pixels, calibration of the whole picture) -> the same at the network's size.
        size: the network's; images are decoded at the smallest size that is enough for it. None
            decodes them whole.
        threads: of the pool.
    """

    def __init__(self, prepare: PrepareImage, size: ImageSize | None, threads: int) -> None:
        self._prepare, self._size = prepare, size
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, 'decode')

    def read(self, frames: Mapping[str, CameraFrame]) -> dict[str, Look]:
        """Decode the frames and give each its `image`; what there is to see in each."""
        if len(frames) == 1:  # for one, a thread costs more than it saves
            return {name: self._read(frame) for name, frame in frames.items()}
        return dict(zip(frames, self._pool.map(self._read, frames.values()), strict=True))

    def _read(self, frame: CameraFrame) -> Look:
        size = self._size
        reduce = 1 if size is None else reduction_for(frame.packed.size, size.height, size.width)
        try:
            pixels, reduction = frame.packed.decode(reduce)
            picture = look_at_picture(pixels, reduction)
            frame.image = CameraImage(frame.stamp_ns, *self._prepare(pixels, frame.calibration))
        except SensorDataError as error:
            return error
        except Exception as error:  # it speaks against this camera only, whatever it is
            text = clean_text(f'{type(error).__name__}: {error}')
            return SensorDataError('internal', 'image', 'one that can be prepared', text)
        return picture


class CameraEyes:
    """Looks at frames and tells the monitors of their cameras what there is to see.

    Args:
        cameras: by name.
        reader: decodes.
    """

    def __init__(self, cameras: Mapping[str, CameraInput], reader: ImageReader) -> None:
        self._cameras, self._reader = cameras, reader

    def look_now(self, name: str, frame: CameraFrame, known: Verdict) -> Verdict:
        """Look at a frame of a camera that is not simply trusted; the graver verdict."""
        verdict = self._cameras[name].judge(self._reader.read({name: frame})[name])
        return known if verdict is GOOD else verdict

    def look(self, frames: Mapping[str, Frame]) -> list[str]:
        """Look at the frames that a sample is to hold; the cameras whose frames are of no use."""
        images, spoilt = _unread(frames), list[str]()
        for name, look in self._reader.read(images).items():
            camera = self._cameras[name]
            verdict = camera.judge(look)
            if verdict.state is SensorState.INVALID:
                camera.monitor.spoilt(verdict, images[name].arrival_ns)
                spoilt.append(name)
            else:
                camera.monitor.looked(verdict)
        return spoilt


def _unread(frames: Mapping[str, Frame]) -> dict[str, CameraFrame]:
    """Those of the frames that are images nobody looked at."""
    return {
        name: frame
        for name, frame in frames.items()
        if isinstance(frame, CameraFrame) and frame.image is None
    }
