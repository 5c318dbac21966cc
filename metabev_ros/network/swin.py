"""Swin Transformer, tiny: the paper's image backbone (Liu et al. 2021).

Follows the published network so that its weights mean the same here: padding to whole windows
with zeros after the norm and before the shift (padded tokens are keys like any other, as in
mmdetection and torchvision), -100 between regions of a shifted window, patch merging in the order
of Liu et al. Equal to timm 1.0.20 to the last bit where nothing is padded; timm pads after the
shift, which these sources do not.

Difference from mmdetection: an axis that one window covers is not shifted, as in Liu et al.; it
matters only to maps of at most 7 cells (not at 256 x 704).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from metabev_ros.network.layers import DropPath

WINDOW = 7
MASKED = -100.0  # as trained; enough to vanish in a softmax, finite in float16


def relative_position_index(window: int = WINDOW) -> Tensor:
    """(window^2, window^2) row of the bias table for every (query, key) of a window."""
    place = torch.arange(window * window)
    y, x = place // window, place % window
    dy = y[:, None] - y[None] + window - 1
    dx = x[:, None] - x[None] + window - 1
    return dy * (2 * window - 1) + dx


def shift_of(length: int) -> int:
    """Shift of the odd blocks along an axis of `length` cells (a multiple of the window)."""
    return WINDOW // 2 if length > WINDOW else 0


def to_windows(x: Tensor) -> Tensor:
    """(N, H, W, C), whole windows -> (N, windows, WINDOW^2, C)."""
    n, height, width, c = x.shape
    x = x.reshape(n, height // WINDOW, WINDOW, width // WINDOW, WINDOW, c)
    return x.transpose(2, 3).reshape(n, -1, WINDOW * WINDOW, c)


def from_windows(x: Tensor, height: int, width: int) -> Tensor:
    """Inverse of `to_windows`."""
    n, c = x.shape[0], x.shape[-1]
    x = x.reshape(n, height // WINDOW, width // WINDOW, WINDOW, WINDOW, c)
    return x.transpose(2, 3).reshape(n, height, width, c)


def shift_mask(height: int, width: int, device: torch.device) -> Tensor:
    """Mask of the shifted windows, (windows, WINDOW^2, WINDOW^2), 0 or MASKED.

    After the roll a window on the border holds cells from opposite borders, and those do not see
    each other.

    Args:
        height, width: whole windows, cells.
    """
    regions = []
    for length in (height, width):
        place = torch.arange(length, device=device)
        region = (place >= length - WINDOW).long() + (place >= length - shift_of(length)).long()
        regions.append(region if shift_of(length) else torch.zeros_like(region))
    region = 3 * regions[0][:, None] + regions[1][None]
    window = to_windows(region[None, :, :, None])[0, :, :, 0]
    return (window[:, :, None] != window[:, None]).float() * MASKED


class WindowAttention(nn.Module):
    """Multi-head attention inside each window with a learned relative-position bias."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * WINDOW - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer('bias_index', relative_position_index(), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, windows, T, C) -> same; `mask` (windows, T, T) is added to the logits."""
        n, windows, t, c = x.shape
        qkv = self.qkv(x).reshape(n, windows, t, 3, self.heads, c // self.heads)
        query, key, value = qkv.permute(3, 0, 1, 4, 2, 5)  # (N, windows, heads, T, .)
        bias = self.relative_position_bias_table[self.bias_index.reshape(-1)]
        bias = bias.reshape(t, t, self.heads).permute(2, 0, 1)
        if mask is not None:
            bias = bias + mask[:, None]
        weights = ((query * self.scale) @ key.transpose(-2, -1) + bias).softmax(-1)
        mixed = (weights.to(value.dtype) @ value).transpose(2, 3).reshape(n, windows, t, c)
        return self.proj(mixed)


class Mlp(nn.Module):
    """Linear, GELU, Linear."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """(Shifted) window attention and MLP, each pre-normed and residual."""

    def __init__(
        self, channels: int, heads: int, mlp_ratio: int, drop_path: float, shifted: bool
    ) -> None:
        super().__init__()
        self.shifted = shifted
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads)
        self.mlp = Mlp(channels, mlp_ratio * channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, H, W, C) -> same; `mask` is used by shifted blocks."""
        x = x + self.drop_path(self._attend(self.norm1(x), mask))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, -width % WINDOW, 0, -height % WINDOW))
        padded = x.shape[1:3]
        shift = tuple(shift_of(length) for length in padded)
        if self.shifted:
            x = torch.roll(x, (-shift[0], -shift[1]), (1, 2))
        x = from_windows(self.attn(to_windows(x), mask if self.shifted else None), *padded)
        if self.shifted:
            x = torch.roll(x, shift, (1, 2))
        return x[:, :height, :width]


class PatchMerging(nn.Module):
    """2 x 2 cells -> one of twice the channels.

    Channels are those of the cells (0,0), (1,0), (0,1), (1,1) (row, column), one after another,
    as in Liu et al.; mmdetection's order is another one (conversion.layouts.merging_from_unfold).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C), H and W even -> (N, H / 2, W / 2, 2 C)."""
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(parts, -1)))


class SwinStage(nn.Module):
    """Blocks at one resolution, then (all but the last stage) patch merging."""

    def __init__(
        self, channels: int, heads: int, mlp_ratio: int, drop_paths: list[float], merge: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(channels, heads, mlp_ratio, rate, shifted=i % 2 == 1)
            for i, rate in enumerate(drop_paths)
        )
        self.downsample = PatchMerging(channels) if merge else None

    def forward(self, x: Tensor, checkpointing: bool) -> Tensor:
        """(N, H, W, C) -> same, before merging."""
        padded = [length + -length % WINDOW for length in x.shape[1:3]]
        mask = shift_mask(*padded, x.device) if any(map(shift_of, padded)) else None
        for block in self.blocks:
            x = (
                checkpoint(block, x, mask, use_reentrant=False)
                if checkpointing
                else (block(x, mask))
            )
        return x


class SwinTransformer(nn.Module):
    """(N, 3, H, W), H and W multiples of 32 -> maps of strides 8, 16, 32.

    The defaults are Swin-T: 192, 384 and 768 channels, each map through a LayerNorm of its own.

    Args:
        embed: channels of the first stage; each stage doubles them.
        depths, heads: of the four stages.
        drop_path: stochastic depth of the last block; grows linearly from 0 at the first.

    Attributes:
        checkpointing: in training, recompute each block in the backward pass instead of keeping
            its activations (the training sets it).
        out_channels: of the three outputs.
    """

    def __init__(
        self,
        embed: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        mlp_ratio: int = 4,
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        self.checkpointing = False
        self.patch_embed = nn.ModuleDict(
            {'projection': nn.Conv2d(3, embed, 4, 4), 'norm': nn.LayerNorm(embed)}
        )
        rates = iter(drop_path * i / (sum(depths) - 1) for i in range(sum(depths)))
        self.stages = nn.ModuleList(
            SwinStage(
                embed << i,
                heads[i],
                mlp_ratio,
                [next(rates) for _ in range(depth)],
                i + 1 < len(depths),
            )
            for i, depth in enumerate(depths)
        )
        self.out_channels = tuple(embed << i for i in range(1, len(depths)))
        # Keys are the stages that are read: 1, 2, 3.
        self.norms = nn.ModuleDict(
            {str(i): nn.LayerNorm(embed << i) for i in range(1, len(depths))}
        )
        self.apply(_initialise)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.patch_embed['norm'](self.patch_embed['projection'](x).permute(0, 2, 3, 1))
        outputs = []
        for i, stage in enumerate(self.stages):
            x = stage(x, self.checkpointing and self.training)
            if i > 0:
                outputs.append(self.norms[str(i)](x).permute(0, 3, 1, 2).contiguous())
            if stage.downsample is not None:
                x = stage.downsample(x)
        return outputs


def _initialise(module: nn.Module) -> None:
    """Truncated normal, as published."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
