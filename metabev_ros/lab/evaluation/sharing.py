"""Many settings of one sample through one model, every distinct input encoded once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from metabev_ros.errors import BackendError
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Detections, Modality, Sample

# Maps that are kept: the clean ones are used again and again, the others mostly once.
KEPT_MAPS, KEPT_OUTPUTS = 6, 6

K = TypeVar('K')
V = TypeVar('V')


@dataclass(frozen=True)
class InputKeys:
    """Digests of what the encoders see of a sample; None: without that sensor."""

    camera: bytes | None
    lidar: bytes | None

    @classmethod
    def of(cls, sample: Sample) -> InputKeys:
        """The keys of a sample."""
        return cls(
            _camera_key(sample) if sample.modality.has_camera else None,
            _lidar_key(sample) if sample.modality.has_lidar else None,
        )


class SharedMaps:
    """BEV maps of the inputs that encoders saw last; models of equal encoders may share them.

    Attributes:
        encoded: how often an encoder really ran.
    """

    def __init__(self) -> None:
        self._maps: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self.encoded = 0

    def __call__(self, key: bytes, encode: Callable[[], np.ndarray]) -> np.ndarray:
        """The map of an input, made by `encode` where it is not known."""

        def run() -> np.ndarray:
            self.encoded += 1
            return encode()

        return _remembered(self._maps, key, KEPT_MAPS, run)


class SharedRuns:
    """Runs samples that have much in common; equal to the pipeline's own outputs.

    Inputs are compared by content (pixels, points, calibration), so a setting that leaves a
    sensor alone costs no second run of its encoder, and one that changes nothing no run at all.

    Args:
        maps: of this sample, shared with models of the same encoders; None: its own.

    Attributes:
        fused: how often the fusion really ran.
    """

    def __init__(self, pipeline: Pipeline, maps: SharedMaps | None = None) -> None:
        self._pipeline = pipeline
        self._maps = SharedMaps() if maps is None else maps
        self._outputs: OrderedDict[InputKeys, tuple[Detections, np.ndarray]] = OrderedDict()
        self.fused = 0

    @property
    def encoded(self) -> int:
        """Number of encoder runs, for any of the models that share the maps."""
        return self._maps.encoded

    def __call__(
        self, sample: Sample, keys: InputKeys | None = None
    ) -> tuple[Detections, np.ndarray]:
        """Detections and (L, Ym, Xm) map probabilities of one sample.

        Without any sensor nothing is found: no boxes and zero probabilities.

        Args:
            keys: of the sample, for whoever runs it through several models; None: made here.

        Raises:
            BackendError: if inference fails.
        """
        if sample.modality is Modality.NONE:
            return self._nothing()
        known = InputKeys.of(sample) if keys is None else keys
        return _remembered(self._outputs, known, KEPT_OUTPUTS, lambda: self._run(sample, known))

    def _run(self, sample: Sample, keys: InputKeys) -> tuple[Detections, np.ndarray]:
        pipeline = self._pipeline
        camera_bev = lidar_bev = None
        if keys.camera is not None:
            images = [image for image in sample.cameras.values() if image is not None]
            camera_bev = self._maps(
                keys.camera,
                lambda: pipeline.backend.encode_camera(pipeline.preprocess.camera_inputs(images)),
            )
        sweep = sample.sweep
        if keys.lidar is not None and sweep is not None:  # `_lidar_key` saw that there is one
            lidar_bev = self._maps(
                keys.lidar,
                lambda: pipeline.backend.encode_lidar(pipeline.preprocess.lidar_inputs(sweep)),
            )
        self.fused += 1
        outputs = pipeline.backend.fuse(camera_bev, lidar_bev)
        return pipeline.postprocess(outputs, sample.modality, sample.own_vehicle)

    def _nothing(self) -> tuple[Detections, np.ndarray]:
        config = self._pipeline.config
        return (
            Detections(
                np.zeros((0, 9), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
            ),
            np.zeros((len(config.map_classes), *config.map_grid.shape), np.float32),
        )


def _remembered(kept: OrderedDict[K, V], key: K, size: int, make: Callable[[], V]) -> V:
    """The value of a key; the one unused longest is forgotten first."""
    if key not in kept:
        value = make()
        kept[key] = value
        while len(kept) > size:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


def _camera_key(sample: Sample) -> bytes:
    total = hashlib.blake2b(b'camera')
    for name, image in sample.cameras.items():
        if image is None:
            continue
        total.update(name.encode())
        for array in (
            image.pixels,
            image.calibration.intrinsics,
            image.calibration.ego_from_camera,
        ):
            total.update(array.tobytes())
    return total.digest()


def _lidar_key(sample: Sample) -> bytes:
    if sample.sweep is None:
        raise BackendError('SharedRuns', 'a sweep in a sample with LiDAR', 'none')
    total = hashlib.blake2b(b'lidar')
    total.update(sample.sweep.points.tobytes())
    total.update(sample.sweep.ego_from_lidar.tobytes())
    return total.digest()
