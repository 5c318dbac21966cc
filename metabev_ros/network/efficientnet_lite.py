"""EfficientNet-Lite0 image backbone (Tan & Le 2019; Liu 2020, "EfficientNet-Lite").

Plain convolutions, batch norms and ReLU6: no squeeze-and-excitation, no swish, made for integer
inference on small processors.

Differences: no classifier, and the last five blocks and the head convolution, which only it reads,
are left out; the maps of stride 8 and 16 are returned. Padding is TensorFlow's "SAME", with which
the published weights were trained: of a stride of 2, the border at the right and below is padded
more.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.network.depthwise import depthwise_conv

STEM_CHANNELS = 32
NORM = {'eps': 1e-3, 'momentum': 0.01}


class BlockShape(NamedTuple):
    """Sizes of one block: `expansion` x its input channels between, `kernel` of the depthwise."""

    kernel: int
    stride: int
    expansion: int
    channels: int


# Blocks 0 to 10 of 16.
BLOCKS = (
    BlockShape(3, 1, 1, 16),
    BlockShape(3, 2, 6, 24),
    BlockShape(3, 1, 6, 24),
    BlockShape(5, 2, 6, 40),
    BlockShape(5, 1, 6, 40),
    BlockShape(3, 2, 6, 80),
    BlockShape(3, 1, 6, 80),
    BlockShape(3, 1, 6, 80),
    BlockShape(5, 1, 6, 112),
    BlockShape(5, 1, 6, 112),
    BlockShape(5, 1, 6, 112),
)
OUTPUTS = (4, 10)  # the last blocks of stride 8 and of stride 16


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's padding: (B, C_in, H, W) -> (B, C_out, H / s, W / s).

    Args:
        stride: 1, or 2 for even H and W.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        inside = kernel // 2 if stride == 1 else 0
        super().__init__(c_in, c_out, kernel, stride, inside, groups=groups, bias=False)
        total = kernel - stride
        self.border = (total // 2, total - total // 2) * 2 if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, None)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution with another weight, and a bias."""
        if not self._is_dear(x):
            x = x if self.border is None else F.pad(x, self.border)
            return self._conv_forward(x, weight, bias)
        border = (self.padding[0],) * 2 if self.border is None else self.border[:2]
        y = depthwise_conv(x, weight, self.stride[0], border)
        return y if bias is None else y + bias[:, None, None].to(y.dtype)

    def _is_dear(self, x: Tensor) -> bool:
        """Tell whether torch's gradient would be slow, and is wanted; an export wants none."""
        is_slow = self.groups == self.in_channels > 1 and (
            self.stride[0] > 1 or self.kernel_size[0] > 3
        )
        return is_slow and x.device.type == 'cpu' and x.requires_grad and torch.is_grad_enabled()


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and, unless `linear`, ReLU6."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__(
            SameConv(c_in, c_out, kernel, stride, groups),
            nn.BatchNorm2d(c_out, **NORM),
            *(() if linear else (nn.ReLU6(inplace=True),)),
        )

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm = self[0], self[1]
        if norm.training or torch.compiler.is_exporting():
            return super().forward(x)
        # A norm that is fixed is part of the convolution: one pass over the map less.
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        bias = norm.bias - norm.running_mean * scale
        x = convolution.convolve(x, convolution.weight * scale[:, None, None, None], bias)
        return x if len(self) == 2 else self[2](x)


class InvertedResidual(nn.Module):
    """1x1 up, depthwise, 1x1 down without activation; a shortcut where shapes allow it."""

    def __init__(self, c_in: int, shape: BlockShape) -> None:
        super().__init__()
        width = c_in * shape.expansion
        self.expand = None if shape.expansion == 1 else ConvNorm(c_in, width, 1)
        self.depthwise = ConvNorm(width, width, shape.kernel, shape.stride, groups=width)
        self.project = ConvNorm(width, shape.channels, 1, linear=True)
        self.has_shortcut = shape.stride == 1 and c_in == shape.channels

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else self.expand(x)
        inner = self.project(self.depthwise(inner))
        return x + inner if self.has_shortcut else inner


class EfficientNetLite0(nn.Module):
    """(N, 3, H, W) -> (N, 40, H/8, W/8), (N, 112, H/16, W/16)."""

    out_channels = tuple(BLOCKS[i].channels for i in OUTPUTS)

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM_CHANNELS, 3, stride=2)
        widths = (STEM_CHANNELS, *(shape.channels for shape in BLOCKS))
        self.blocks = nn.ModuleList(
            InvertedResidual(c_in, shape) for c_in, shape in zip(widths, BLOCKS, strict=False)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        outputs = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in OUTPUTS:
                outputs.append(x)
        return outputs
