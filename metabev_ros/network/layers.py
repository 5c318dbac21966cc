"""Small blocks shared by the branches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvBlock(nn.Sequential):
    """Convolution, batch norm, ReLU: (B, C_in, H, W) -> (B, C_out, H / stride, W / stride)."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with an identity shortcut (He et al. 2016, basic block)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.second(self.first(x)))


class HalvingConv(nn.Conv2d):
    """3x3 convolution with stride 2 on a BEV map: (B, C_in, Y, X), even -> (B, C_out, Y/2, X/2).

    It reads rows 2m to 2m + 2 and columns 2m - 1 to 2m + 1. Rows of known networks count along
    the LiDAR's x (rightwards), ours along the ego's y (leftwards): with the window mirrored like
    the map, their weights give here what they gave there, to the cell.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 3, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 1, 0, 1)))


class DropPath(nn.Module):
    """Stochastic depth: in training a sample's residual branch is dropped with `rate`."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand((x.shape[0],) + (1,) * (x.dim() - 1), device=x.device) >= self.rate
        return x * keep.to(x.dtype) / (1 - self.rate)
