"""Sample -> PerceptionResult: preprocess, network, postprocess."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from time import perf_counter

import numpy as np

from metabev_ros.backends import build_backend
from metabev_ros.backends.protocol import Backend
from metabev_ros.config import ModelConfig
from metabev_ros.errors import BackendError
from metabev_ros.postprocess import Postprocessor
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.structures import (
    CameraCalibration,
    CameraImage,
    Modality,
    ModelInfo,
    PerceptionResult,
    Sample,
    SensorKind,
    SensorState,
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
        table_patience: see `Preprocessor`; None for everything but a node that runs live.
    """

    def __init__(
        self,
        config: ModelConfig,
        backend: Backend,
        model_hash: str,
        table_patience: float | None = None,
    ) -> None:
        self.config = config
        self.preprocess = Preprocessor(config, table_patience=table_patience)
        self.backend = backend
        self.postprocess = Postprocessor(config)
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
        )

    @classmethod
    def load(
        cls,
        model_dir: Path | str,
        backend: str = 'onnxruntime',
        threads: int = 2,
        precision: str = 'fp32',
        provider: str = 'cpu',
        table_patience: float | None = None,
    ) -> Pipeline:
        """A model folder on a backend, see `build_backend`.

        Raises:
            ConfigError, ContractError, MissingDependencyError, BackendError.
        """
        runtime = build_backend(backend, Path(model_dir), threads, precision, provider)
        return cls(runtime.config, runtime, runtime.model_hash, table_patience)

    def __call__(self, sample: Sample) -> PerceptionResult:
        """Run the branch that the sample's modality names.

        Only where the tables of a new calibration are not there yet is it another one: LIDAR
        instead of FUSED, and the result's sample says so.

        Raises:
            BackendError: if the modality is NONE or inference fails.
        """
        if sample.modality is Modality.NONE:
            raise BackendError('pipeline', 'a sample with a usable modality', 'NONE')
        start = perf_counter()
        camera, lidar = self.preprocess(sample)
        if camera is None and sample.modality.has_camera:
            sample = _without_cameras(sample)
        prepared = perf_counter()
        outputs = self.backend.run(camera, lidar)
        inferred = perf_counter()
        detections, map_probabilities = self.postprocess(outputs)
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

    def warm_up(self, cameras: int) -> None:
        """Run every branch once on made-up inputs, so that the first real sample is not slow."""
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
        images = {str(i): image for i in range(cameras)}
        sweep = Sweep(0, np.array([[5.0, 0, 0, 0, 0]], np.float32), np.eye(4))
        # CAMERA first: it waits for its tables, and FUSED finds them then.
        for modality in (Modality.CAMERA, Modality.FUSED, Modality.LIDAR):
            self(
                Sample(
                    0,
                    images if modality.has_camera else {'0': None},
                    sweep if modality.has_lidar else None,
                    modality,
                )
            )
        self.model = dataclasses.replace(self.model, gpu_memory=self.backend.gpu_memory)


def _without_cameras(sample: Sample) -> Sample:
    """The sample as its LiDAR branch sees it; every camera in it says why it does not count."""
    reports = tuple(
        dataclasses.replace(
            report,
            used=False,
            state=SensorState.RECOVERING,
            reason='new calibration: its tables are being built',
        )
        if report.used and report.kind is SensorKind.CAMERA
        else report
        for report in sample.sensors
    )
    return dataclasses.replace(
        sample, cameras=dict.fromkeys(sample.cameras), modality=Modality.LIDAR, sensors=reports
    )
