"""Configuration of the fuser, which makes one BEV map of the modalities that are there."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from metabev_ros.config.adamv import AdamvConfig
from metabev_ros.config.yaml import LATER, require


class Fuser(enum.Enum):
    """Way in which the modalities' BEV maps become one.

    `CONV` is BEVFusion's convolution over concatenated maps, absent ones filled with zeros: the
    baseline that MetaBEV is compared with, not a choice for a vehicle.
    """

    METABEV = 'metabev'
    CONV = 'conv'


class DecoderFfn(enum.Enum):
    """Feed-forward part of the decoder layers (paper section 3.3, Figure 4)."""

    MLP = 'mlp'
    HM2OE = 'hm2oe'
    RM2OE = 'rm2oe'
    ADAMV = 'adamv'


@dataclass(frozen=True)
class DecoderConfig:
    """BEV-evolving decoder (paper section 3.3), or the baseline in its place.

    Attributes:
        channels: query width d.
        cell: edge of a meta-BEV query cell, metres.
        value_stride: BEV cells per edge of a cell of the maps that are sampled: 1, or as many as a
            query cell has, where a modality's map is brought to the queries' resolution first.
        heads, points: attention heads and sampled points per head and modality.
        cross_layers, self_layers: N cross-modal layers, then M self-attention layers.
        ffn_ratio: hidden width of the FFN (and of every expert) over d.
        experts, experts_used: E of RM2oE and AdaMV-MoE, and t of RM2oE.
        adamv: AdaMV-MoE's choices, with that FFN only.
    """

    fuser: Fuser = Fuser.METABEV
    ffn: DecoderFfn = DecoderFfn.MLP
    channels: int = 96
    cell: float = 1.6
    heads: int = 4
    points: int = 4
    cross_layers: int = 2
    self_layers: int = 1
    ffn_ratio: int = 2
    experts: int = 8
    experts_used: int = 2
    dropout: float = 0.0
    adamv: AdamvConfig | None = None
    value_stride: int = field(default=1, metadata=LATER)

    def __post_init__(self) -> None:
        require(
            self.heads >= 1 and self.channels % self.heads == 0,
            'model.decoder.channels',
            f'a multiple of heads ({self.heads})',
            self.channels,
        )
        require(
            self.value_stride in (1, 2), 'model.decoder.value_stride', '1 or 2', self.value_stride
        )
        require(self.points >= 1, 'model.decoder.points', 'at least 1', self.points)
        require(
            self.cross_layers >= 1 and self.self_layers >= 0,
            'model.decoder.layers',
            'at least one cross-modal layer',
            (self.cross_layers, self.self_layers),
        )
        require(1 <= self.experts <= 64, 'model.decoder.experts', '1..64', self.experts)
        require(
            1 <= self.experts_used
            and (  # AdaMV-MoE has its own, by task
                self.experts_used <= self.experts or self.ffn is DecoderFfn.ADAMV
            ),
            'model.decoder.experts_used',
            f'1..experts ({self.experts})',
            self.experts_used,
        )
        require(0 <= self.dropout < 1, 'model.decoder.dropout', '[0, 1)', self.dropout)
        wanted = self.ffn is DecoderFfn.ADAMV
        require(
            wanted == (self.adamv is not None),
            'model.decoder.adamv',
            'a mapping, {} for the defaults' if wanted else f'none with ffn {self.ffn.value}',
            self.adamv,
        )
        require(
            not wanted or self.fuser is Fuser.METABEV,
            'model.decoder.ffn',
            f'mlp with fuser {self.fuser.value}',
            self.ffn.value,
        )
        if self.adamv is not None:
            self.adamv.check_fit(self.experts)
