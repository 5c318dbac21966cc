"""PyTorch: for training, evaluation of checkpoints, and as the reference of the parity gate."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from metabev_ros.backends.protocol import Arrays
from metabev_ros.config import ModelConfig, load_config
from metabev_ros.contract import measured_errors_for, score_calibration_for
from metabev_ros.errors import BackendError, ContractError
from metabev_ros.files import sha256_of
from metabev_ros.graph_specs import output_names
from metabev_ros.measured_errors import MeasuredErrors
from metabev_ros.network.metabev import MetaBev, NetworkOutput
from metabev_ros.score_calibration import ScoreCalibration


def load_network(folder: Path) -> tuple[MetaBev, ModelConfig]:
    """The network of a model folder with its weights, in evaluation mode.

    Raises:
        ContractError: if weights and configuration do not fit.
    """
    config = load_config(ModelConfig, folder / 'config.yaml')
    network = MetaBev(config).eval()
    weights = folder / 'weights.safetensors'
    if not weights.is_file():
        raise ContractError(str(weights), 'a weights file', 'none', 'train the model first')
    try:
        network.load_state_dict(safetensors.torch.load_file(weights), strict=True)
    except (RuntimeError, ValueError, SafetensorError) as error:
        raise ContractError(
            str(weights),
            'the keys and shapes of config.yaml',
            str(error)[:300],
            'use the config the weights were trained with',
        ) from error
    return network, config


class TorchBackend:
    """Runs the network itself in fp32 on the CPU; same inputs and outputs as the other backends.

    Args:
        network: in evaluation mode.
        config: its configuration.
        model_hash: names the weights in outputs.
        score_calibration, measured_errors: of these weights.
    """

    name, device, precision, provider = 'torch', 'cpu', 'fp32', 'cpu'
    gpu_memory = 0

    def __init__(
        self,
        network: MetaBev,
        config: ModelConfig,
        model_hash: str = 'unsaved',
        score_calibration: ScoreCalibration | None = None,
        measured_errors: MeasuredErrors | None = None,
    ) -> None:
        self.network, self.config, self.model_hash = network.eval(), config, model_hash
        self.score_calibration, self.measured_errors = score_calibration, measured_errors

    @classmethod
    def load(cls, folder: Path) -> TorchBackend:
        """The backend of config.yaml and weights.safetensors; needs no contract.

        Where there is one of the same weights, what was measured of them is taken from it.

        Raises:
            ContractError: if weights and configuration do not fit.
        """
        network, config = load_network(Path(folder))
        weights = sha256_of(Path(folder) / 'weights.safetensors')
        fitted = score_calibration_for(Path(folder), weights)
        text = config.hash + weights + ('' if fitted is None else json.dumps(fitted.to_plain()))
        model_hash = hashlib.sha256(text.encode()).hexdigest()[:16]
        return cls(network, config, model_hash, fitted, measured_errors_for(folder, weights))

    @torch.inference_mode()
    def run(self, camera: Arrays | None, lidar: Arrays | None) -> Arrays:
        """See `Backend.run`."""
        if camera is None and lidar is None:
            raise BackendError('run', 'camera or LiDAR inputs', 'neither')
        output, _ = self.network(
            [None if camera is None else _tensors(camera)],
            [None if lidar is None else _tensors(lidar)],
        )
        return self._arrays(output)

    @torch.inference_mode()
    def encode_camera(self, inputs: Arrays) -> np.ndarray:
        """See `Backend.encode_camera`."""
        tensors = _tensors(inputs)
        return self.network.camera_encoder(tensors.pop('images'), tensors)[0].numpy()

    @torch.inference_mode()
    def encode_lidar(self, inputs: Arrays) -> np.ndarray:
        """See `Backend.encode_lidar`."""
        return self.network.lidar_encoder.encode([_tensors(inputs)]).numpy()

    @torch.inference_mode()
    def fuse(self, camera_bev: np.ndarray | None, lidar_bev: np.ndarray | None) -> Arrays:
        """See `Backend.fuse`."""
        maps = {
            name: torch.from_numpy(bev)
            for name, bev in (('camera', camera_bev), ('lidar', lidar_bev))
            if bev is not None
        }
        if not maps:
            raise BackendError('fuse', 'a camera or LiDAR BEV map', 'neither')
        output = self.network.fusion(maps)
        return self._arrays(output)

    def _arrays(self, output: NetworkOutput) -> Arrays:
        named = output.named()
        return {name: named[name].numpy() for name in output_names(self.config)}


def _tensors(inputs: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in inputs.items()}
