"""The feed-forward part of a decoder layer that a configuration names."""

from __future__ import annotations

from torch import nn

from metabev_ros.config import DecoderConfig, DecoderFfn, TaskStream
from metabev_ros.network.adamv import AdaptiveExperts
from metabev_ros.network.moe import FeedForward, HardExperts, RoutedExperts


def splits_tasks(config: DecoderConfig) -> bool:
    """Whether the last layer gives one output per task."""
    return config.adamv is not None and config.adamv.stream is TaskStream.SPLIT


def build_ffn(config: DecoderConfig, is_last: bool = False) -> nn.Module:
    """The feed-forward part of one layer.

    Args:
        is_last: of the decoder: there AdaMV-MoE may leave the tasks apart.
    """
    d, hidden = config.channels, config.channels * config.ffn_ratio
    if config.ffn is DecoderFfn.MLP:
        return FeedForward(d, hidden, config.dropout)
    if config.ffn is DecoderFfn.HM2OE:
        return HardExperts(d, hidden, config.dropout)
    if config.ffn is DecoderFfn.RM2OE:
        return RoutedExperts(d, hidden, config.dropout, config.experts, config.experts_used)
    return AdaptiveExperts(
        d, hidden, config.dropout, config.experts, config.adamv, is_last and splits_tasks(config)
    )
