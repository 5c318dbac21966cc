"""PyTorch: for training, evaluation of checkpoints, and as the reference of the parity gate."""
from __future__ import annotations

import numpy as np
import torch

from metabev_ros.config import ModelConfig
from metabev_ros.contract import OUTPUTS
from metabev_ros.errors import BackendError
from metabev_ros.network.metabev import MetaBev


class TorchBackend:
    """Runs the network itself in fp32 on the CPU; same inputs and outputs as the other backends.

    Args:
        network: in evaluation mode.
        config: its configuration.
    """

    name, device, precision = 'torch', 'cpu', 'fp32'

    def __init__(self, network: MetaBev, config: ModelConfig) -> None:
        self.network, self.config = network.eval(), config

    @torch.inference_mode()
    def run(self, camera: dict[str, np.ndarray] | None, lidar: dict[str, np.ndarray] | None
            ) -> dict[str, np.ndarray]:
        """See `OnnxRuntimeBackend.run`."""
        if camera is None and lidar is None:
            raise BackendError('run', 'camera or LiDAR inputs', 'neither')
        output, _ = self.network([_tensors(camera)], [_tensors(lidar)])
        return {name: getattr(output, name).numpy() for name in OUTPUTS}


def _tensors(inputs: dict[str, np.ndarray] | None) -> dict[str, torch.Tensor] | None:
    if inputs is None:
        return None
    return {name: torch.from_numpy(array) for name, array in inputs.items()}
