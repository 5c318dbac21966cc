"""BEV necks: the paper's "FPN layer ... from the fused BEV" (section 3.1), its form left open.

`BevNeck` is ours, for a query grid of half the BEV grid's resolution; `SecondNeck` is BEVFusion's.
Either takes HorFPN's gnConv (`gnconv`) where it has 3x3 convolutions that keep the resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.config import BevNeckKind, Mixing, ModelConfig
from metabev_ros.errors import assert_never
from metabev_ros.network.gnconv import GnConvBlock, neck_gnconv
from metabev_ros.network.layers import ConvBlock, HalvingConv, ResidualBlock

STAGE_CONVS = 5  # after the one that changes the resolution
NORM = {'eps': 1e-3, 'momentum': 0.01}  # SECOND's batch norm


class BevNeck(nn.Module):
    """(B, d, Y/2, X/2) -> (B, C, Y, X): one step down and up for context, then pixel shuffle.

    With a `mixing` the output blocks of both resolutions, `fine` and `refine`, are gnConvs.
    """

    def __init__(self, c_in: int, c_out: int, mixing: Mixing | None = None) -> None:
        super().__init__()
        self.fine = ConvBlock(c_in, c_in) if mixing is None else GnConvBlock(c_in, mixing)
        self.coarse = nn.Sequential(
            ConvBlock(c_in, 128, stride=2), ResidualBlock(128), ConvBlock(128, c_in, kernel=1)
        )
        self.expand = nn.Sequential(ConvBlock(2 * c_in, 4 * c_out, kernel=1), nn.PixelShuffle(2))
        self.refine = ConvBlock(c_out, c_out) if mixing is None else GnConvBlock(c_out, mixing)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        coarse = F.interpolate(self.coarse(x), scale_factor=2.0, mode='nearest')
        return self.refine(self.expand(torch.cat([fine, coarse], 1)))


class SecondNeck(nn.Module):
    """SECOND and SECONDFPN (Yan et al. 2018) as in BEVFusion: (B, d, Y, X) -> (B, C, Y, X).

    Two stages of C / 4 channels at stride 1 and C / 2 at stride 2 (128 and 256 for C = 512), each
    one convolution and five more; each is brought back to the full grid with C / 2 channels, the
    first by a 1x1 convolution, the second by a transposed one, and both are concatenated. Names
    of weights are mmdetection3d's without its `decoder.backbone` and `decoder.neck`.

    With a `mixing` the five more are gnConvs.
    """

    def __init__(self, c_in: int, c_out: int, mixing: Mixing | None = None) -> None:
        super().__init__()
        widths, up = (c_out // 4, c_out // 2), c_out // 2
        self.blocks = nn.ModuleList(
            [_stage(c_in, widths[0], 1, mixing), _stage(*widths, 2, mixing)]
        )
        self.deblocks = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(widths[0], up, 1, bias=False), *_norm(up)),
                nn.Sequential(nn.ConvTranspose2d(widths[1], up, 2, 2, bias=False), *_norm(up)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for block, deblock in zip(self.blocks, self.deblocks, strict=True):
            x = block(x)
            levels.append(deblock(x))
        return torch.cat(levels, 1)


def _norm(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels, **NORM), nn.ReLU(inplace=True)


def _stage(c_in: int, c_out: int, stride: int, mixing: Mixing | None) -> nn.Sequential:
    """One convolution with a stride (1 or 2) and `STAGE_CONVS` without."""
    first = (
        HalvingConv(c_in, c_out) if stride == 2 else nn.Conv2d(c_in, c_out, 3, 1, 1, bias=False)
    )
    layers: list[nn.Module] = [first, *_norm(c_out)]
    for _ in range(STAGE_CONVS):
        layers += [
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
            if mixing is None
            else neck_gnconv(c_out, mixing),
            *_norm(c_out),
        ]
    return nn.Sequential(*layers)


def build_neck(config: ModelConfig) -> BevNeck | SecondNeck:
    """The BEV neck that the configuration names: query grid in, BEV grid out."""
    d, head = config.decoder.channels, config.head
    match head.neck:
        case BevNeckKind.NANO:
            return BevNeck(d, head.neck_channels, head.horfpn)
        case BevNeckKind.SECOND:
            return SecondNeck(d, head.neck_channels, head.horfpn)
        case _:
            assert_never(head.neck)
