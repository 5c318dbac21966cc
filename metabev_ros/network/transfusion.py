"""TransFusion head (Bai et al. 2022) as BEVFusion uses it, on the fused BEV alone.

Differences: peaks at the border of the map may become proposals (BEVFusion's comparison leaves
the outermost cells out for no stated reason); proposals come from one TopK over all classes and
cells with k = 200; sizes are in the order length, width, height.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.network.deformable import at_least_float32
from metabev_ros.network.layers import ConvBlock

HEADS, FFN, DROPOUT, HEAD_CHANNELS = 8, 256, 0.1, 64
# Small objects stand closer than a 3x3 neighbourhood tells apart: every cell is a peak.
SMALL_CLASSES = ('pedestrian', 'traffic_cone')
PARTS = {'center': 2, 'height': 1, 'dim': 3, 'rot': 2, 'vel': 2}
HEATMAP_BIAS = -2.19
SUPPRESSED = -1e4  # logit of a cell that is no peak; finite, as every graph output must be


class PositionEmbedding(nn.Module):
    """Places (B, P, 2) in cells -> (B, d, P) by a learned MLP.

    Its first layer is written out, because autocast would run a convolution in bfloat16, which
    knows 180 cells to one cell only.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.position_embedding_head = nn.Sequential(
            nn.Conv1d(2, channels, 1),
            nn.BatchNorm1d(channels),
            nn.ReLU(inplace=True),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, where: Tensor) -> Tensor:
        first, *rest = self.position_embedding_head
        x, y = where.transpose(1, 2).split(1, 1)  # (B, 1, P) each
        along_x, along_y = first.weight.split(1, 1)  # (d, 1, 1) each
        hidden = x * along_x[None, :, 0] + y * along_y[None, :, 0] + first.bias[None, :, None]
        for layer in rest:
            hidden = layer(hidden)
        return hidden


class DecoderLayer(nn.Module):
    """Self-attention among the queries, cross-attention to all BEV cells, FFN; post-norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(channels, HEADS, DROPOUT, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(channels, HEADS, DROPOUT, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(channels, FFN), nn.Linear(FFN, channels)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.dropout = nn.Dropout(DROPOUT)
        self.self_posembed = PositionEmbedding(channels)
        self.cross_posembed = PositionEmbedding(channels)

    def forward(self, query: Tensor, cells: Tensor, query_at: Tensor, cells_at: Tensor) -> Tensor:
        """Decode queries (B, P, d) from cells (B, Y X, d): (B, P, d).

        Args:
            query_at, cells_at: places (B, P, 2) and (1, Y X, 2), in cells.
        """
        place = self.self_posembed(query_at).transpose(1, 2)
        key_place = self.cross_posembed(cells_at).transpose(1, 2)
        q = query + place
        query = self.norm1(query + self.dropout(self.self_attn(q, q, q, need_weights=False)[0]))
        keys = cells + key_place
        attended = self.multihead_attn(query + place, keys, keys, need_weights=False)[0]
        query = self.norm2(query + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(query)))
        return self.norm3(query + self.dropout(self.linear2(hidden)))


class TransFusionHead(nn.Module):
    """(B, C, Y, X) -> boxes of P queries at the heatmap's highest peaks.

    Outputs, all float32 (P = proposals, K = classes):
        heatmap: (B, K, Y, X) logits, for training.
        boxes: (B, 10, P) x y (cells from the grid's corner), z (m, gravity centre), log length,
            log width, log height, sin yaw, cos yaw, vx, vy (m/s).
        class_logits: (B, K, P).
        query_scores: (B, K, P) the heatmap's probability at the query in the row of its class,
            zero in the others. The score of a box is its class probability times this.
    """

    def __init__(
        self,
        c_in: int,
        channels: int,
        classes: tuple[str, ...],
        shape: tuple[int, int],
        proposals: int,
    ) -> None:
        super().__init__()
        self.classes, self.proposals, self.shape = len(classes), proposals, shape
        self.shared_conv = nn.Conv2d(c_in, channels, 3, padding=1)
        self.heatmap_head = nn.Sequential(
            ConvBlock(channels, channels), nn.Conv2d(channels, len(classes), 3, padding=1)
        )
        nn.init.constant_(self.heatmap_head[-1].bias, HEATMAP_BIAS)
        self.class_encoding = nn.Conv1d(len(classes), channels, 1)
        self.decoder = DecoderLayer(channels)
        for parameter in self.decoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self.prediction_heads = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Conv1d(channels, HEAD_CHANNELS, 1, bias=False),
                    nn.BatchNorm1d(HEAD_CHANNELS),
                    nn.ReLU(inplace=True),
                    nn.Conv1d(HEAD_CHANNELS, count, 1),
                )
                for name, count in {**PARTS, 'heatmap': len(classes)}.items()
            }
        )
        nn.init.constant_(self.prediction_heads['heatmap'][-1].bias, HEATMAP_BIAS)
        small = torch.tensor([name in SMALL_CLASSES for name in classes])[None, :, None, None]
        self.register_buffer('every_cell', small, persistent=False)
        self.register_buffer('cells_at', cell_centres(*shape)[None], persistent=False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.shared_conv(x)
        heatmap = at_least_float32(self.heatmap_head(x))
        cells = x.flatten(2).transpose(1, 2)  # (B, Y X, d)
        scores, labels, index = self.propose(heatmap.detach())
        onehot = F.one_hot(labels, self.classes).transpose(1, 2).to(scores.dtype)  # (B, K, P)
        query = cells.gather(1, index[..., None].expand(-1, -1, cells.shape[-1]))
        query = query + self.class_encoding(onehot).transpose(1, 2)
        query_at = self.cells_at[0][index]  # (B, P, 2)
        query = self.decoder(query, cells, query_at, self.cells_at).transpose(1, 2)
        parts = {
            name: at_least_float32(head(query)) for name, head in self.prediction_heads.items()
        }
        centre = parts['center'] + query_at.transpose(1, 2)
        boxes = torch.cat([centre, *(parts[name] for name in list(PARTS)[1:])], 1)
        return {
            'heatmap': heatmap,
            'boxes': boxes,
            'class_logits': parts['heatmap'],
            'query_scores': scores[:, None] * onehot,
        }

    def propose(self, heatmap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The highest peaks over all classes.

        Args:
            heatmap: (B, K, Y, X) logits.

        Returns:
            probabilities, classes and flat cells row * X + column, each (B, P), best first.
        """
        highest = F.max_pool2d(heatmap, 3, 1, 1)
        peak = (heatmap == highest) | self.every_cell
        logits = torch.where(peak, heatmap, SUPPRESSED).flatten(1)
        best, flat = logits.topk(self.proposals, -1)
        cells = self.shape[0] * self.shape[1]
        return best.sigmoid(), flat // cells, flat % cells


def cell_centres(rows: int, columns: int) -> Tensor:
    """(rows * columns, 2) cell centres (x, y) in cells, row-major: (column + 0.5, row + 0.5)."""
    y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing='ij')
    return torch.stack([x, y], -1).flatten(0, 1)
