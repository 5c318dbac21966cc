"""Each of the systems that nano does not have, at a small size: a model folder by name."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from metabev_ros.config import DecoderFfn, ModelConfig, TaskInteractionConfig, save_config
from metabev_ros.lab.export.to_onnx import export_model
from metabev_ros.network.adamv import use_experts
from metabev_ros.network.metabev import MetaBev
from support import hornet_model
from support.small_networks import small_model

INTERACTION = TaskInteractionConfig(heads=2, points=2, levels=2, stride=2, ffn_ratio=2)
THRESHOLD = 0.01  # what an untrained head is sure of


def system_model(name: str) -> ModelConfig:
    """`hornet`, or small_networks' model with `adamv`, `itsa` or `plain_detr`."""
    if name == 'hornet':
        return hornet_model.hornet_model()
    model = small_model(
        'plain_detr' if name == 'plain_detr' else 'compact',
        DecoderFfn.ADAMV if name == 'adamv' else DecoderFfn.MLP,
    )
    return dataclasses.replace(
        model,
        name=f'small_{name}',
        head=dataclasses.replace(model.head, score_threshold=THRESHOLD),
        task_interaction=INTERACTION if name == 'itsa' else None,
    )


@functools.cache
def saved(name: str) -> Path:
    """Model folder with configuration and weights: enough for torch; made once a session."""
    folder, config = Path(tempfile.mkdtemp(prefix=f'{name}_model_')), system_model(name)
    torch.manual_seed(0)
    network = MetaBev(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    use_experts(network, {'detection': 1, 'map': 3})  # as selection may leave it
    save_config(config, folder / 'config.yaml')
    save_file(network.state_dict(), folder / 'weights.safetensors')
    return folder


@functools.cache
def exported(name: str) -> Path:
    """The same with graphs and contract, through lint and parity gate."""
    if name == 'hornet':
        return hornet_model.exported()
    export_model(saved(name), report=lambda line: None)
    return saved(name)
