"""Deformable attention (Zhu et al. 2021) over several sources; MetaBEV Eq. 1 and Algorithm 1.

`sample_sources` is the one sampling core: given places and weights, it mixes bilinear samples. A
source is a modality's BEV map here and a pyramid level in Deformable-DETR: the arithmetic is the
same, and is tested against values and gradients of Deformable-DETR's reference function.

Differences from Algorithm 1 (its listing has slips): offsets are divided by the value map's size
as in Deformable-DETR; the concatenation and the softmax run over the points; the output is
returned. Value maps may be finer than the query grid, which normalised reference points allow.

Sampling has forms with equal results (`Sampling`): the trainer chooses one, and the export, see
`export/forms.py`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.errors import assert_never
from metabev_ros.network.weighted_rows import bilinear_shares, weighted_sums


class Sampling(enum.Enum):
    """Operators that take bilinear samples; the results are equal.

    `GRID` is GridSample, for training on a GPU and ONNX Runtime. `GATHER` looks up the four
    corners, for TensorRT, whose engines have computed GridSample wrongly here without a word.
    `ROWS` sums them row by row, for training on a CPU, where its gradients are several times
    cheaper than GridSample's.
    """

    GRID = 'grid'
    GATHER = 'gather'
    ROWS = 'rows'


def at_least_float32(x: Tensor) -> Tensor:
    """Raise half and bfloat16 to float32: geometry and sampling lose metres in half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def sample_sources(
    values: Sequence[Tensor],
    locations: Sequence[Tensor],
    weights: Sequence[Tensor],
    sampling: Sampling = Sampling.GRID,
) -> Tensor:
    """Weighted sum of bilinear samples over sources and points; zero outside a map.

    Args:
        values: per source (B, heads * c, Y, X), already projected; head m owns channels
            m * c ... (m + 1) * c - 1. Sizes may differ between sources.
        locations: per source (B, Q, heads, K, 2) as (x, y), 0 and 1 at the map's outer borders.
        weights: per source (B, Q, heads, K).

    Returns:
        (B, Q, heads * c) in the values' dtype, at least float32.
    """
    match sampling:
        case Sampling.GRID:
            sample = _sample_grid
        case Sampling.GATHER:
            sample = _gather_corners
        case Sampling.ROWS:
            sample = _sum_rows
        case _:
            assert_never(sampling)
    total = 0.0
    for value, where, weight in zip(values, locations, weights, strict=True):
        total = total + sample(value, where, weight)
    return cast(Tensor, total)  # there is at least one source


def _sample_grid(value: Tensor, where: Tensor, weight: Tensor) -> Tensor:
    b, q, heads, points, _ = where.shape
    height, width = value.shape[-2:]
    value = at_least_float32(value).reshape(b * heads, -1, height, width)
    grid = (2 * where - 1).transpose(1, 2).reshape(b * heads, q, points, 2).to(value.dtype)
    sampled = F.grid_sample(value, grid, align_corners=False)  # (B heads, c, Q, K)
    weight = weight.transpose(1, 2).reshape(b * heads, 1, q, points)
    mixed = (sampled * weight).sum(-1)  # (B heads, c, Q)
    return mixed.reshape(b, -1, q).transpose(1, 2)


def _gather_corners(value: Tensor, where: Tensor, weight: Tensor) -> Tensor:
    """`_sample_grid` as one Gather of all corners of all points and one batched product.

    It holds (B, Q, heads, 4 K, c) values at once: 1.06 GB in float32 with 180 x 180 queries of
    8 heads, 8 points and 32 channels.
    """
    b, q, heads, points, _ = where.shape
    height, width = value.shape[-2:]
    rows = at_least_float32(value).reshape(b * heads, -1, height * width).transpose(1, 2)
    rows = rows.flatten(0, 1)  # (B heads Y X, c)
    cell, share = corners(at_least_float32(where), height, width)
    first = torch.arange(b * heads, device=value.device, dtype=torch.int32) * (height * width)
    cell = cell + first.reshape(b, 1, heads, 1, 1)
    picked = rows.index_select(0, cell.flatten()).reshape(b * q * heads, 4 * points, -1)
    share = (share * weight[..., None]).reshape(-1, 1, 4 * points)
    return (share @ picked).reshape(b, q, -1)


def _sum_rows(value: Tensor, where: Tensor, weight: Tensor) -> Tensor:
    """`_sample_grid` as weighted sums of the cells' rows of each head's channels; on a CPU."""
    b, q, heads, points, _ = where.shape
    height, width = value.shape[-2:]
    rows = at_least_float32(value).permute(0, 2, 3, 1).reshape(b * height * width * heads, -1)
    cells, shares = bilinear_shares(where.to(rows.dtype), weight.to(rows.dtype), height, width)
    sample = torch.arange(b, dtype=torch.int32)[:, None] * (height * width * heads)
    first = sample + torch.arange(heads, dtype=torch.int32)
    table = (cells * heads).add_(first[:, None, :, None, None])
    sums = weighted_sums(rows, table.reshape(-1, 4 * points), shares.reshape(-1, 4 * points))
    return sums.reshape(b, q, -1)


def corners(where: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The four cells round every place, and their shares of a bilinear sample.

    Args:
        where: (..., 2) as (x, y), 0 and 1 at the map's outer borders; float32 or float64, because
            half precision knows a cell of a large map to an eighth only.

    Returns:
        cells (..., 4) int32 y * width + x, and shares (..., 4), zero for a corner outside the map.
    """
    indices, shares = [], []
    for axis, size in enumerate((width, height)):
        place = (where[..., axis] * size - 0.5).clamp(-1, size)  # from there on all is zero
        low = place.floor()
        corner = torch.stack([low, low + 1], -1)
        inside = ((corner >= 0) & (corner < size)).to(place.dtype)
        shares.append((1 - (place[..., None] - corner).abs()) * inside)
        # Clamped as integers: whatever a place is, NaN too, no look-up leaves the map.
        indices.append(corner.to(torch.int32).clamp(0, size - 1))
    cells = indices[1][..., :, None] * width + indices[0][..., None, :]
    return cells.flatten(-2), (shares[1][..., :, None] * shares[0][..., None, :]).flatten(-2)


class DeformableAttention(nn.Module):
    """Eq. 1: modality-specific offsets and weights, ONE softmax over all available points.

    Args:
        channels: d of queries, values and output.
        sources: names of the value maps that may be given; each has its own MLPs (the paper's
            C-MLP and L-MLP; one Linear each as in Algorithm 1). Value and output projections are
            shared (Algorithm 1).
    """

    def __init__(self, channels: int, heads: int, points: int, sources: tuple[str, ...]) -> None:
        super().__init__()
        self.heads, self.points, self.sampling = heads, points, Sampling.GRID
        self.offsets = nn.ModuleDict(
            {name: nn.Linear(channels, heads * points * 2) for name in sources}
        )
        self.weights = nn.ModuleDict(
            {name: nn.Linear(channels, heads * points) for name in sources}
        )
        self.value_proj = nn.Conv2d(channels, channels, 1)
        self.output_proj = nn.Linear(channels, channels)
        self._initialise()

    def _initialise(self) -> None:
        """Deformable-DETR: offsets start as rings around the reference, weights uniform."""
        angle = torch.arange(self.heads) * (2.0 * math.pi / self.heads)
        ring = torch.stack([angle.cos(), angle.sin()], -1)
        ring = ring / ring.abs().amax(-1, keepdim=True)
        radius = torch.arange(1, self.points + 1) * 0.5
        bias = (ring[:, None] * radius[None, :, None]).reshape(-1)
        for name in self.offsets:
            nn.init.zeros_(self.offsets[name].weight)
            self.offsets[name].bias.data.copy_(bias)
            nn.init.zeros_(self.weights[name].weight)
            nn.init.zeros_(self.weights[name].bias)

    def attention_weights(self, query: Tensor, names: list[str]) -> Tensor:
        """(B, Q, heads, len(names) * points): sums to one over the last axis."""
        logits = [
            self.weights[name](query).unflatten(-1, (self.heads, self.points)) for name in names
        ]
        return torch.cat(logits, -1).softmax(-1)

    def locations(
        self, query: Tensor, reference: Tensor, name: str, shape: tuple[int, int]
    ) -> Tensor:
        """(B, Q, heads, K, 2) sampled places (x, y) on a (Y, X) map, in [0, 1] inside it."""
        height, width = shape
        size = query.new_tensor([width, height])
        offsets = self.offsets[name](query).unflatten(-1, (self.heads, self.points, 2))
        return reference[None, :, None, None] + offsets / size

    def forward(self, query: Tensor, reference: Tensor, values: dict[str, Tensor]) -> Tensor:
        """Sample the given maps around every query.

        Args:
            query: (B, Q, d) with positions added.
            reference: (Q, 2) query centres (x, y) in [0, 1].
            values: source name -> (B, d, Y, X); an absent modality is not in the dict and is
                never computed.

        Returns:
            (B, Q, d).
        """
        return self.attend(
            query, reference, {name: self.value_proj(value) for name, value in values.items()}
        )

    def attend(self, query: Tensor, reference: Tensor, projected: dict[str, Tensor]) -> Tensor:
        """The same with values that `value_proj` has already been through."""
        names = [name for name in self.offsets if name in projected]
        weights = self.attention_weights(query, names).split(self.points, -1)
        mixed = sample_sources(
            [projected[name] for name in names],
            [self.locations(query, reference, name, projected[name].shape[-2:]) for name in names],
            weights,
            self.sampling,
        )
        return self.output_proj(mixed)
