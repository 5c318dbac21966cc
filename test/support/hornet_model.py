"""A small HorNet everywhere, exported: backbone, camera neck and BEV neck with global filters."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from metabev_ros.config import (
    CameraBackbone,
    CameraNeck,
    HorNetConfig,
    HorNetSize,
    Mixing,
    ModelConfig,
    save_config,
)
from metabev_ros.lab.export.to_onnx import export_model
from metabev_ros.network.metabev import MetaBev
from support.small_networks import small_model


def hornet_model() -> ModelConfig:
    """Images of 32 x 64, so that every filter of the backbone is resized."""
    model = small_model(horfpn=Mixing.GLOBAL)
    return dataclasses.replace(
        model,
        name='small_hornet',
        camera=dataclasses.replace(
            model.camera,
            backbone=CameraBackbone.HORNET,
            hornet=HorNetConfig(HorNetSize.NANO, Mixing.GLOBAL),
            neck=CameraNeck.LSS_FPN,
            horfpn=Mixing.GLOBAL,
        ),
    )


@functools.cache
def exported() -> Path:
    """Model folder, through lint and parity gate; made once a test session."""
    folder = Path(tempfile.mkdtemp(prefix='hornet_model_'))
    config = hornet_model()
    torch.manual_seed(0)
    network = MetaBev(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    save_config(config, folder / 'config.yaml')
    save_file(network.state_dict(), folder / 'weights.safetensors')
    export_model(folder, report=lambda line: None)
    return folder
