"""Each of the systems that nano does not have, at a small size, exported: a folder by name."""
from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path

import hornet_model
import torch
from safetensors.torch import save_file
from small_networks import small_model

from metabev_ros.config import DecoderFfn, ModelConfig, TaskInteractionConfig, save_config
from metabev_ros.export.to_onnx import export_model
from metabev_ros.network.adamv import use_experts
from metabev_ros.network.metabev import MetaBev

ALL = 'all_task_systems'
SYSTEMS = ('hornet', 'adamv', 'itsa', 'plain_detr', ALL)
INTERACTION = TaskInteractionConfig(heads=2, points=2, levels=2, stride=2, ffn_ratio=2)
THRESHOLD = 0.01  # what an untrained head is sure of


def system_model(name: str) -> ModelConfig:
    """The network; `ALL` has AdaMV-MoE, inter-task attention and the Plain-DETR head at once."""
    if name == 'hornet':
        return hornet_model.hornet_model()
    model = small_model('plain_detr' if name in ('plain_detr', ALL) else 'compact',
                        DecoderFfn.ADAMV if name in ('adamv', ALL) else DecoderFfn.MLP)
    return dataclasses.replace(
        model, name=f'small_{name}', head=dataclasses.replace(
            model.head, score_threshold=THRESHOLD),
        task_interaction=INTERACTION if name in ('itsa', ALL) else None)


@functools.cache
def exported(name: str) -> Path:
    """Model folder, through lint and parity gate; made once a test session."""
    if name == 'hornet':
        return hornet_model.exported()
    folder, config = Path(tempfile.mkdtemp(prefix=f'{name}_model_')), system_model(name)
    torch.manual_seed(0)
    network = MetaBev(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    use_experts(network, {'detection': 1, 'map': 3})  # as selection may leave it
    save_config(config, folder / 'config.yaml')
    save_file(network.state_dict(), folder / 'weights.safetensors')
    export_model(folder, report=lambda line: None)
    return folder
