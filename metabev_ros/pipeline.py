"""Sample -> PerceptionResult: preprocess, network, postprocess."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from time import perf_counter

import numpy as np

from metabev_ros.backends import build_backend
from metabev_ros.backends.protocol import Backend
from metabev_ros.config import ModelConfig, RigConfig, SensingConfig
from metabev_ros.errors import BackendError
from metabev_ros.postprocess import Postprocessor
from metabev_ros.preprocess.lift_splat import BackgroundTables
from metabev_ros.preprocess.preprocessor import Preprocessor, view_tables
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.sensing.image_reader import ImageSize
from metabev_ros.sensing.modality import fall_back
from metabev_ros.structures import (
    CameraCalibration,
    CameraImage,
    Modality,
    ModelInfo,
    PerceptionResult,
    Sample,
    Sweep,
)


class Pipeline:
    """The main path.

    Attributes:
        preprocess, backend, postprocess: its three steps; evaluation calls them one by one to
            share what does not change.
        config: of the model.
        model: the part of it that outputs bear.

    Args:
        table_wait: seconds that a FUSED sample of a live node waits for the tables of a new
            calibration (`modality.fall_back`). None: they are built at once, so that the result
            never depends on time.
    """

    def __init__(
        self,
        config: ModelConfig,
        backend: Backend,
        model_hash: str,
        table_wait: float | None = None,
    ) -> None:
        self.config = config
        self._tables = (
            None if table_wait is None else BackgroundTables(view_tables(config), table_wait)
        )
        self.preprocess = Preprocessor(config, tables=self._tables)
        self.backend = backend
        scores, errors = backend.score_calibration, backend.measured_errors
        self.postprocess = Postprocessor(config, scores)
        self.prepare_image = self.preprocess.prepare_image
        self.model = ModelInfo(
            config.name,
            model_hash,
            config.detection_classes,
            config.map_classes,
            config.map_grid,
            backend.name,
            backend.device,
            backend.precision,
            backend.provider,
            calibrated_on='' if scores is None else scores.fitted_on,
            score_floor=config.head.score_threshold,
            camera_reach=config.camera.depth_max,
            errors={} if errors is None else errors.branches,
        )

    @classmethod
    def load(
        cls,
        model_dir: Path | str,
        backend: str = 'onnxruntime',
        threads: int = 2,
        precision: str = 'fp32',
        provider: str = 'cpu',
        table_wait: float | None = None,
    ) -> Pipeline:
        """A model folder on a backend, see `build_backend`.

        Raises:
            ConfigError, ContractError, MissingDependencyError, BackendError.
        """
        runtime = build_backend(backend, Path(model_dir), threads, precision, provider)
        return cls(runtime.config, runtime, runtime.model_hash, table_wait)

    def __call__(self, sample: Sample) -> PerceptionResult:
        """Run the branch that the sample's modality names.

        Where a live node cannot wait for the tables of a new calibration it is another one
        (`modality.fall_back`), and the result's sample says so.

        Raises:
            BackendError: if the modality is NONE or inference fails.
        """
        if sample.modality is Modality.NONE:
            raise BackendError('pipeline', 'a sample with a usable modality', 'NONE')
        start = perf_counter()
        if self._tables is not None:
            sample = fall_back(sample, self._tables)
        camera, lidar = self.preprocess(sample)
        prepared = perf_counter()
        outputs = self.backend.run(camera, lidar)
        inferred = perf_counter()
        detections, map_probabilities = self.postprocess(
            outputs, sample.modality, sample.own_vehicle
        )
        return PerceptionResult(
            sample,
            detections,
            map_probabilities,
            {
                'preprocess': prepared - start,
                'network': inferred - prepared,
                'postprocess': perf_counter() - inferred,
            },
        )

    def front_end(self, rig: RigConfig, sensing: SensingConfig) -> SensorFrontEnd:
        """The front end that makes samples for this model.

        Raises:
            ConfigError: for a rig whose fixed calibrations are none.
        """
        return front_end_for(self.config, self.preprocess, rig, sensing)

    def warm_up(self, rig: RigConfig) -> None:
        """Run every branch that a rig has once, so that the first real sample is not slow."""
        config = self.config
        focal = config.camera.width / 2.0
        intrinsics = np.array([[focal, 0, focal], [0, focal, config.camera.height / 2], [0, 0, 1]])
        forward = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
        pixels = np.zeros((config.camera.height, config.camera.width, 3), np.uint8)
        image = CameraImage(
            0,
            pixels,
            CameraCalibration(config.camera.width, config.camera.height, intrinsics, forward),
        )
        images = {camera.name: image for camera in rig.cameras}
        sweep = Sweep(0, np.array([[5.0, 0, 0, 0, 0]], np.float32), np.eye(4))
        # CAMERA first: it waits for its tables, and FUSED finds them then.
        possible = Modality.from_presence(bool(rig.cameras), bool(rig.lidars))
        for modality in (Modality.CAMERA, Modality.FUSED, Modality.LIDAR):
            if modality & ~possible:
                continue
            self(
                Sample(
                    0,
                    images if modality.has_camera else {},
                    sweep if modality.has_lidar else None,
                    modality,
                )
            )
        self.model = dataclasses.replace(self.model, gpu_memory=self.backend.gpu_memory)


def front_end_for(
    config: ModelConfig, preprocess: Preprocessor, rig: RigConfig, sensing: SensingConfig
) -> SensorFrontEnd:
    """The front end that makes samples for a model, which need not be loaded.

    Raises:
        ConfigError: for a rig whose fixed calibrations are none.
    """
    size = ImageSize(config.camera.height, config.camera.width)
    return SensorFrontEnd(rig, sensing, preprocess.prepare_image, size, config.lidar.sweeps)
