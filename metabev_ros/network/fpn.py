"""Image necks: BEVFusion's GeneralizedLSSFPN, FPN (Lin et al. 2017), and HorFPN.

HorFPN (Rao et al. 2022, section 3.3) is either of them with gnConv in place of its 3x3
convolutions.

Difference: only the finest output is returned; lift-splat reads no other, and what leads to no
output is not built. Of FPN that leaves one 3x3 convolution; the LSS form refines every level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.config import CameraBranchConfig, CameraNeck, Mixing
from metabev_ros.errors import ConfigError, assert_never
from metabev_ros.network.gnconv import GnConvBlock
from metabev_ros.network.layers import ConvBlock


def _refining_block(channels: int, mixing: Mixing | None) -> nn.Module:
    """3x3 convolution, or gnConv, with batch norm and ReLU."""
    return ConvBlock(channels, channels) if mixing is None else GnConvBlock(channels, mixing)


class LssFpn(nn.Module):
    """Top-down: upsample the coarser map, concatenate, 1x1 block, 3x3 block.

    Args:
        channels: of the backbone's maps, finest first.
        c_out: of every level.
        mixing: of HorFPN's gnConv; None: 3x3 convolutions.
    """

    def __init__(
        self, channels: tuple[int, ...], c_out: int, mixing: Mixing | None = None
    ) -> None:
        super().__init__()
        coarser = (*[c_out] * (len(channels) - 2), channels[-1])
        self.lateral = nn.ModuleList(
            ConvBlock(fine + coarse, c_out, kernel=1)
            for fine, coarse in zip(channels[:-1], coarser, strict=True)
        )
        self.refine = nn.ModuleList(_refining_block(c_out, mixing) for _ in channels[:-1])

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps (N, C_i, H_i, W_i), finest first -> (N, c_out, H_0, W_0)."""
        x = maps[-1]
        for i in reversed(range(len(maps) - 1)):
            x = F.interpolate(x, size=maps[i].shape[-2:], mode='bilinear', align_corners=False)
            x = self.refine[i](self.lateral[i](torch.cat([maps[i], x], 1)))
        return x


class Fpn(nn.Module):
    """Feature pyramid, top-down (Lin et al. 2017).

    1x1 convolutions bring all maps to `c_out` channels; the coarser sum, upsampled, is added; the
    finest sum goes through the 3x3 block.

    Args: as `LssFpn`.
    """

    def __init__(
        self, channels: tuple[int, ...], c_out: int, mixing: Mixing | None = None
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, c_out, 1) for c in channels)
        for lateral in self.lateral:
            nn.init.xavier_uniform_(lateral.weight)
            nn.init.zeros_(lateral.bias)
        self.refine = _refining_block(c_out, mixing)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps (N, C_i, H_i, W_i), finest first -> (N, c_out, H_0, W_0)."""
        finest_first = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        total = finest_first[-1]
        for x in reversed(finest_first[:-1]):
            total = x + F.interpolate(total, size=x.shape[-2:], mode='nearest')
        return self.refine(total)


def build_camera_neck(config: CameraBranchConfig, channels: tuple[int, ...]) -> LssFpn | Fpn:
    """The neck that the configuration names, for maps of `channels`, finest first.

    Raises:
        ConfigError: for `none`.
    """
    match config.neck:
        case CameraNeck.LSS_FPN:
            return LssFpn(channels, config.feature_channels, config.horfpn)
        case CameraNeck.FPN:
            return Fpn(channels, config.feature_channels, config.horfpn)
        case CameraNeck.NONE:
            raise ConfigError('model.camera.neck', 'a neck for several maps', 'none')
        case _:
            assert_never(config.neck)
