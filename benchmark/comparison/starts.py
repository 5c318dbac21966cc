"""The start of every contestant: equal encoders, equal new parts, a new fuser.

A network draws its parts one after the other from one generator. Left alone, a contestant's neck
and heads would start from other numbers because its fuser drew more or fewer before them. Here
every part has a generator of its own, of the seed and the part's name.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmark.comparison.plan import Start
from metabev_ros.config import ModelConfig
from metabev_ros.files import replacing, write_text
from metabev_ros.lab.training.provenance import STATE, data_behind
from metabev_ros.lab.training.warm_start import InitConfig, claimed_weights
from metabev_ros.network.camera import CameraEncoder
from metabev_ros.network.fusers import build_fuser
from metabev_ros.network.interaction import build_interaction
from metabev_ros.network.lidar import build_lidar_encoder
from metabev_ros.network.metabev import MetaBev, build_detection_head, build_map_head
from metabev_ros.network.neck import build_neck

FUSER = 'fusion.decoder'
_BUILDERS: dict[str, Callable[[ModelConfig], nn.Module | None]] = {
    'camera_encoder': lambda c: CameraEncoder(c.camera, c.splat_grid),
    'lidar_encoder': build_lidar_encoder,
    FUSER: build_fuser,
    'fusion.neck': build_neck,
    'fusion.interaction': build_interaction,
    'fusion.detection': build_detection_head,
    'fusion.map': build_map_head,
}


def start_weights(model: ModelConfig, start: Start, seed: int) -> dict[str, Tensor]:
    """All weights that a contestant of this seed begins with.

    Raises:
        ConfigError: if the start's file lacks a part or has it in other shapes.
    """
    weights: dict[str, Tensor] = {}
    for part, build in _BUILDERS.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(f'{seed} {part}'.encode()))
            module = build(model)
        if module is not None:
            weights |= {f'{part}.{name}': v for name, v in module.state_dict().items()}
    network = MetaBev(model)
    network.load_state_dict(weights, strict=True)  # no part of the network was forgotten
    claimed = claimed_weights(network, InitConfig(start.weights, start.parts))
    return weights | claimed


def write_start(folder: Path, model: ModelConfig, start: Start, seed: int) -> Path:
    """Write the start of one contestant and seed, with the data that its weights learnt from.

    Returns:
        path of the weights; what is there already is left as it is.
    """
    path = folder / 'weights.safetensors'
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    data = [used.plain() for used in data_behind([Path(start.weights)])]
    text = json.dumps({'data': [], 'data_before': data}, indent=1)
    write_text(folder / STATE, text)
    weights = {
        name: value.contiguous() for name, value in start_weights(model, start, seed).items()
    }
    with replacing(path) as part:
        save_file(weights, part)
    return path
