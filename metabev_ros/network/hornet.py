"""HorNet image backbones (Rao et al. 2022, section 3.3).

Parameter names are those of raoyongming/HorNet, so that its weights load as they are. Differences:
no classifier; stages 2 to 4 are returned, each through a norm of its own (`norms`, the `norm1` to
`norm3` of the published dense-prediction variant); stage 1 is not read and has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.config import HorNetConfig, HorNetSize, Mixing
from metabev_ros.errors import assert_never
from metabev_ros.network.gnconv import NORM_EPS, ChannelNorm, GnConv
from metabev_ros.network.layers import DropPath

SCALE = 1 / 3  # of every gnConv's gathered features
LAYER_SCALE = 1e-6  # initial gamma
ORDERS = (2, 3, 4, 5)  # of the stages: the coarsest gate always has half the first width
MLP_RATIO = 4


@dataclass(frozen=True)
class HorNetPlan:
    """Layers of one member of the family; stage i has `width` << i channels.

    Attributes:
        depths: blocks of the four stages.
        drop_path: stochastic depth of the last block; grows linearly from 0 at the first.
        filters: stored sizes (h, w) of the global filters of stages 3 and 4.
    """

    width: int
    depths: tuple[int, int, int, int] = (2, 3, 18, 2)
    drop_path: float = 0.2
    filters: tuple[tuple[int, int], tuple[int, int]] = ((14, 8), (7, 4))


# Rates of T, S and B as published for ImageNet, of L as in its published detector.
TINY, SMALL = HorNetPlan(64), HorNetPlan(96, drop_path=0.4)
BASE, LARGE = HorNetPlan(128, drop_path=0.5), HorNetPlan(192, drop_path=0.7)
# Ours: the products of the plain nano backbone (0.3 G a view); filters as at 128 x 352.
NANO = HorNetPlan(32, (1, 2, 4, 1), 0.0, ((8, 12), (4, 6)))


def hornet_plan(size: HorNetSize) -> HorNetPlan:
    """Layers of this member of the family."""
    match size:
        case HorNetSize.NANO:
            return NANO
        case HorNetSize.TINY:
            return TINY
        case HorNetSize.SMALL:
            return SMALL
        case HorNetSize.BASE:
            return BASE
        case HorNetSize.LARGE:
            return LARGE
        case _:
            assert_never(size)


class HorNetBlock(nn.Module):
    """gnConv and MLP, each pre-normed, scaled by a learned gamma and residual.

    (B, C, H, W) -> same.
    """

    def __init__(self, channels: int, gnconv: GnConv, drop_path: float) -> None:
        super().__init__()
        self.norm1, self.gnconv = ChannelNorm(channels), gnconv
        self.norm2 = nn.LayerNorm(channels, eps=NORM_EPS)
        self.pwconv1 = nn.Linear(channels, MLP_RATIO * channels)
        self.pwconv2 = nn.Linear(MLP_RATIO * channels, channels)
        self.gamma1 = nn.Parameter(torch.full((channels,), LAYER_SCALE))
        self.gamma2 = nn.Parameter(torch.full((channels,), LAYER_SCALE))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.gamma1[:, None, None] * self.gnconv(self.norm1(x)))
        hidden = self.pwconv1(self.norm2(x.permute(0, 2, 3, 1)))
        hidden = self.gamma2 * self.pwconv2(F.gelu(hidden))
        return x + self.drop_path(hidden.permute(0, 3, 1, 2))


class HorNet(nn.Module):
    """(N, 3, H, W), H and W multiples of 32 -> maps of strides 8, 16, 32.

    Args:
        mixing: of stages 3 and 4; stages 1 and 2 are always local.

    Attributes:
        out_channels: of the three outputs.
    """

    def __init__(self, plan: HorNetPlan, mixing: Mixing) -> None:
        super().__init__()
        widths = [plan.width << i for i in range(4)]
        self.out_channels = tuple(widths[1:])
        self.downsample_layers = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0])),
                *(
                    nn.Sequential(ChannelNorm(fine), nn.Conv2d(fine, coarse, 2, 2))
                    for fine, coarse in zip(widths[:-1], widths[1:], strict=True)
                ),
            ]
        )
        last = max(1, sum(plan.depths) - 1)
        rates = iter(plan.drop_path * i / last for i in range(sum(plan.depths)))
        kinds = (Mixing.LOCAL, Mixing.LOCAL, mixing, mixing)
        filters = ((0, 0), (0, 0), *plan.filters)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    HorNetBlock(width, GnConv(width, order, kind, stored, SCALE), next(rates))
                    for _ in range(depth)
                )
            )
            for width, depth, order, kind, stored in zip(
                widths, plan.depths, ORDERS, kinds, filters, strict=True
            )
        )
        # Keys are the stages that are read, counted from 0.
        self.norms = nn.ModuleDict({str(i): ChannelNorm(widths[i]) for i in (1, 2, 3)})
        self.apply(_initialise)

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for i, (down, stage) in enumerate(zip(self.downsample_layers, self.stages, strict=True)):
            x = stage(down(x))
            if i > 0:
                outputs.append(self.norms[str(i)](x).contiguous())
        return outputs


def _initialise(module: nn.Module) -> None:
    """Truncated normal, as published."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build_hornet(config: HorNetConfig) -> HorNet:
    """The HorNet that the configuration names."""
    return HorNet(hornet_plan(config.size), config.mixing)
