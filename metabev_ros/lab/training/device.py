"""Device of a training, as asked for."""

from __future__ import annotations

import torch

from metabev_ros.errors import ConfigError, assert_never
from metabev_ros.lab.training.config import Device


def find_device(device: Device, local: int) -> torch.device:
    """The device that is asked for.

    Raises:
        ConfigError: if there is none; nothing falls back to a CPU in silence.
    """
    match device:
        case Device.CPU:
            return torch.device('cpu')
        case Device.CUDA:
            return _find_gpu(local)
        case _:
            assert_never(device)


def _find_gpu(local: int) -> torch.device:
    if torch.cuda.device_count() <= local:
        raise ConfigError(
            'training.device',
            f'GPU number {local}',
            f'{torch.cuda.device_count()} GPUs',
            'set training.device: cpu',
        )
    torch.cuda.set_device(local)
    return torch.device('cuda', local)
