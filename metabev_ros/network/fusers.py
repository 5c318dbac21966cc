"""Fusers of the modalities' BEV maps: MetaBEV's decoder and the baseline beside it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metabev_ros.config import DecoderConfig, Fuser, ModelConfig
from metabev_ros.errors import assert_never
from metabev_ros.network.decoder import BevEvolvingDecoder
from metabev_ros.network.moe import TASKS

BASELINE_BLOCKS = 2
MODALITY_SETS = ('fused', 'camera', 'lidar')


class ModalityNorm(nn.Module):
    """Batch norm with statistics per set of modalities; weight and bias are shared.

    `MetaBev.fuse` runs a batch one set of modalities after the other, so in training every set is
    normalised by its own statistics. A single running estimate would be that of the mixture, and
    would fit no set in use. A set that training never had keeps mean 0 and variance 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.statistics = nn.ModuleDict(
            {name: nn.BatchNorm2d(channels, affine=False) for name in MODALITY_SETS}
        )

    def forward(self, x: Tensor, modalities: str) -> Tensor:
        """(B, C, Y, X) of samples that all have the same set of modalities -> the same shape."""
        return (
            self.statistics[modalities](x) * self.weight[:, None, None] + self.bias[:, None, None]
        )


class _ConvNorm(nn.Module):
    """3x3 convolution and norm: (B, C_in, Y, X) -> (B, C_out, Y / stride, X / stride)."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm = ModalityNorm(c_out)

    def forward(self, x: Tensor, modalities: str) -> Tensor:
        return self.norm(self.convolution(x), modalities)


class _Residual(nn.Module):
    """Two 3x3 convolutions with an identity shortcut (He et al. 2016, basic block)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _ConvNorm(channels, channels)
        self.second = _ConvNorm(channels, channels)

    def forward(self, x: Tensor, modalities: str) -> Tensor:
        inner = self.first(x, modalities).relu()
        return (x + self.second(inner, modalities)).relu()


class ConvFuser(nn.Module):
    """BASELINE, not for a vehicle: BEVFusion's ConvFuser (Liu et al. 2023, section 3.3).

    Concatenation of both maps, 3x3 convolution, batch norm, ReLU at the BEV grid. The norm's
    statistics are per set of modalities (`ModalityNorm`). An absent
    modality's map is filled with ZEROS, which is what BEVFusion users do when a sensor is gone and
    what the paper compares with. This is the only place of the project where absence is zeros.

    Differences from BEVFusion: a second convolution brings the result to the query grid (stride 2
    for metabev_nano), so that neck and heads are those of MetaBEV, and two residual blocks follow,
    so that it is as large as the decoder it stands for. In metabev_nano with both modalities it
    has 526 464 parameters and 3.51 G multiply-adds, the decoder 609 936 and 1.50 G (convolutions
    and products; `test_the_baseline_is_as_large_as_the_decoder_and_computes_no_less`).
    """

    def __init__(self, config: DecoderConfig, bev_channels: dict[str, int], stride: int) -> None:
        super().__init__()
        self.channels = dict(bev_channels)
        d = config.channels
        self.fuse = _ConvNorm(sum(bev_channels.values()), d)
        self.to_queries = _ConvNorm(d, d, stride)
        self.blocks = nn.ModuleList(_Residual(d) for _ in range(BASELINE_BLOCKS))

    def forward(self, maps: dict[str, Tensor], tasks: tuple[str, ...] = TASKS) -> Tensor:
        """BEV maps of the available modalities -> fused BEV, the decoder's interface.

        Args:
            maps: 'camera' and/or 'lidar' -> (B, C, Y, X).
            tasks: has no influence here.

        Returns:
            (B, d, rows, columns).
        """
        present = next(iter(maps.values()))
        b, _, *shape = present.shape
        stack = [
            maps[name] if name in maps else present.new_zeros(b, c, *shape)
            for name, c in self.channels.items()
        ]
        modalities = 'fused' if len(maps) == len(self.channels) else next(iter(maps))
        fused = self.fuse(torch.cat(stack, 1), modalities).relu()
        fused = self.to_queries(fused, modalities).relu()
        for block in self.blocks:
            fused = block(fused, modalities)
        return fused


def build_fuser(config: ModelConfig) -> nn.Module:
    """The fuser that the configuration names: forward(maps, tasks) -> (B, d, rows, columns)."""
    channels = {'camera': config.camera.bev_channels, 'lidar': config.lidar.bev_channels}
    match config.decoder.fuser:
        case Fuser.METABEV:
            return BevEvolvingDecoder(config.decoder, config.query_grid, channels)
        case Fuser.CONV:
            return ConvFuser(
                config.decoder, channels, round(config.decoder.cell / config.bev_grid.cell)
            )
        case _:
            assert_never(config.decoder.fuser)
