"""SimMIM (Xie et al. 2022): the camera backbone learns to fill in what was masked.

A share of square patches is hidden; the backbone's last map, through one 1x1 convolution and a
pixel shuffle, gives the pixels back; L1 on the hidden ones alone, of normalised pixels.

Swin and HorNet see a learned token in place of hidden ones, after their stride-4 stem (published
for Swin). Backbones whose stems overlap the patches (nano, ResNet) see the mean colour instead
(ours). Differences: images keep their height and width, where the published code works on
squares; nano is trained with its own top-down step, at stride 8.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from metabev_ros.config import CameraBranchConfig
from metabev_ros.network.camera import BackboneWithNeck, build_backbone, pixel_statistics
from metabev_ros.network.efficientnet_lite import EfficientNetLite0
from metabev_ros.network.hornet import HorNet
from metabev_ros.network.layers import DropPath
from metabev_ros.network.swin import SwinTransformer

PREFIX = 'camera_encoder.backbone'  # of the names in `MetaBev.state_dict()`
TOKEN_STRIDE = 4  # of a body's stem


class SimMim(nn.Module):
    """Backbone and linear decoder.

    Attributes:
        encoder: what is trained and kept: the backbone without a neck that is not its own.
        prefix: of the encoder's names in `MetaBev.state_dict()`.
        patch: edge of a patch, pixels.
    """

    def __init__(self, config: CameraBranchConfig, patch: int) -> None:
        super().__init__()
        backbone = build_backbone(config)
        has_neck = isinstance(backbone, BackboneWithNeck)
        self.encoder = backbone.body if has_neck else backbone
        self.prefix = f'{PREFIX}.body' if has_neck else PREFIX
        self.patch = patch
        stride = _last_stride(backbone.body) if has_neck else config.stride
        channels = self.encoder.out_channels[-1] if has_neck else config.feature_channels
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, 3 * stride**2, 1), nn.PixelShuffle(stride)
        )
        mean, std = pixel_statistics(config.backbone)
        self.register_buffer('mean', torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.mask_token = None
        if token_stem(self.encoder) is not None:
            token = torch.empty(self.encoder.out_channels[0] // 2)
            self.mask_token = nn.Parameter(nn.init.trunc_normal_(token, std=0.02))
        for module in self.encoder.modules():
            if isinstance(module, DropPath):
                module.rate = 0.0  # published: none in pre-training

    def normalised(self, images: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 -> (N, 3, H, W) float32."""
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.std

    def forward(self, images: Tensor, hidden: Tensor) -> Tensor:
        """Pixels as the network would fill them in.

        Args:
            images: (N, H, W, 3) uint8, H and W multiples of the patch.
            hidden: (N, H / patch, W / patch) bool.

        Returns:
            (N, 3, H, W) normalised.
        """
        x = self.normalised(images)
        if self.mask_token is None:
            return self._decoded(self.encoder(x * ~enlarged(hidden, self.patch)[:, None]))
        stem, axis = token_stem(self.encoder)
        tokens = enlarged(hidden, self.patch // TOKEN_STRIDE).unsqueeze(axis)
        token = self.mask_token if axis == -1 else self.mask_token[:, None, None]
        hook = stem.register_forward_hook(
            lambda _, __, out: torch.where(tokens, token.to(out.dtype), out)
        )
        try:
            return self._decoded(self.encoder(x))
        finally:
            hook.remove()

    def _decoded(self, maps: Tensor | list[Tensor]) -> Tensor:
        return self.decoder(maps if isinstance(maps, Tensor) else maps[-1])

    def loss(self, images: Tensor, hidden: Tensor) -> Tensor:
        """Mean |difference| over the hidden pixels and their channels."""
        filled = self(images, hidden).float()
        return reconstruction_loss(filled, self.normalised(images), enlarged(hidden, self.patch))

    def weights(self) -> dict[str, Tensor]:
        """The encoder's, by their names in `MetaBev.state_dict()`."""
        return {
            f'{self.prefix}.{name}': value.detach().cpu().contiguous()
            for name, value in self.encoder.state_dict().items()
        }


def _last_stride(body: nn.Module) -> int:
    """Stride of a body's last map."""
    return 16 if isinstance(body, EfficientNetLite0) else 32


def token_stem(encoder: nn.Module) -> tuple[nn.Module, int] | None:
    """The stride-4 stem, if its windows do not overlap, and its channel axis."""
    if isinstance(encoder, SwinTransformer):
        return encoder.patch_embed['norm'], -1
    if isinstance(encoder, HorNet):
        return encoder.downsample_layers[0], 1
    return None


def enlarged(hidden: Tensor, factor: int) -> Tensor:
    """(N, h, w) -> (N, factor h, factor w), every cell repeated."""
    return hidden.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def reconstruction_loss(filled: Tensor, truth: Tensor, hidden: Tensor) -> Tensor:
    """Mean absolute error of the hidden pixels.

    Args:
        filled, truth: (N, 3, H, W).
        hidden: (N, H, W) bool.
    """
    mask = hidden[:, None].to(filled.dtype)
    return ((filled - truth).abs() * mask).sum() / (mask.sum() + 1e-5) / 3


def hidden_patches(rows: int, columns: int, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """(rows, columns) bool with exactly ceil(ratio x rows x columns) patches hidden."""
    hidden = np.zeros(rows * columns, bool)
    hidden[rng.permutation(rows * columns)[: math.ceil(ratio * rows * columns)]] = True
    return hidden.reshape(rows, columns)
