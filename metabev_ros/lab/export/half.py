"""Float16 arithmetic in a network, for graphs whose types carry it (TensorRT, strongly typed).

Convolutions, products and their batch norms compute in float16. Islands of float32 stay where 11
bits are too few: metres (the encoders' first layers, sampling offsets, positions), softmax and
LayerNorm, routing, lift-splat's sums, the residual stream of the decoder, proposals and the last
layers, whose outputs are decoded. What crosses from one graph to the next is float32 too.

How: every layer casts its inputs to the type of its weights, and between layers torch's promotion
rules hold, so that a cast stands only where two types meet.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from metabev_ros.network.camera import CameraEncoder
from metabev_ros.network.center_head import CenterHead, CompactCenterHead
from metabev_ros.network.deformable import DeformableAttention
from metabev_ros.network.fusers import ModalityNorm
from metabev_ros.network.lidar import PillarEncoder
from metabev_ros.network.map_head import MapHead
from metabev_ros.network.metabev import MetaBev
from metabev_ros.network.moe import ExpertPool
from metabev_ros.network.sparse_encoder import SparseConv, SparseEncoder
from metabev_ros.network.transfusion import TransFusionHead

HALF_LAYERS = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.Linear,
    nn.BatchNorm2d,
    ModalityNorm,
    SparseConv,
)


def float32_islands(module: nn.Module) -> list[nn.Module]:
    """Parts of a module that keep float32 with all that is in them."""
    if isinstance(module, CameraEncoder):
        return [module.depth_and_context]
    if isinstance(module, PillarEncoder):
        return [module.point, module.norm]
    if isinstance(module, SparseEncoder):
        return [module.conv_input]
    if isinstance(module, DeformableAttention):
        return [module.offsets, module.weights]
    if isinstance(module, ExpertPool):
        return [module]  # its forms multiply stacked weights, where no layer casts
    if isinstance(module, CompactCenterHead):
        return [module.heatmap, module.boxes]
    if isinstance(module, CenterHead):
        return [
            cast(nn.Sequential, part)[-1]
            for head in module.task_heads
            for part in cast(nn.ModuleDict, head).values()
        ]
    if isinstance(module, MapHead):
        return [module.logits]
    if isinstance(module, TransFusionHead):
        return [
            module.heatmap_head[-1],
            module.class_encoding,
            module.decoder,
            module.prediction_heads,
        ]
    return []


def compute_in_half(network: MetaBev) -> MetaBev:
    """Make a network compute in float16 outside the islands; in place, for export only."""
    islands = {
        id(part)
        for module in network.modules()
        for island in float32_islands(module)
        for part in island.modules()
    }
    for module in network.modules():
        if isinstance(module, HALF_LAYERS) and id(module) not in islands:
            module.half()
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_pre_hook(_meet_weights)
    for last in (network.camera_encoder.bev, network.lidar_encoder):
        last.register_forward_hook(_to_float32)
    return network


def _meet_weights(module: nn.Module, inputs: tuple) -> tuple:
    """Floating inputs in the type of the module's weights."""
    dtype = next(module.parameters(recurse=False)).dtype
    return tuple(
        x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs
    )


def _to_float32(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
    return output.to(torch.float32)
