"""HorNet (Rao et al. 2022): an image backbone, and gnConv in the necks (HorFPN)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from metabev_ros.config.yaml import require
from metabev_ros.errors import assert_never


class HorNetSize(enum.Enum):
    """Members of the family: T, S, B and L as published, and a smaller one of ours."""

    NANO = 'nano'
    TINY = 'tiny'
    SMALL = 'small'
    BASE = 'base'
    LARGE = 'large'


class Mixing(enum.Enum):
    """Spatial mixing of gnConv (f in the paper)."""

    LOCAL = '7x7'  # depthwise convolution
    GLOBAL = 'gf'  # global filter on half of the channels, 3x3 depthwise on the others


@dataclass(frozen=True)
class HorNetConfig:
    """The choices of `camera.backbone: hornet`.

    Attributes:
        mixing: of the two coarse stages; the two fine ones are always local.
    """

    size: HorNetSize
    mixing: Mixing


def require_gate_channels(
    mixing: Mixing | None, where: str, channels: int, share: int = 1
) -> None:
    """Stop if a gnConv of order 2 on `channels` / `share` channels could not split them.

    A global filter halves the one and a half times as many gate channels once more.

    Args:
        mixing: of a neck; None: 3x3 convolutions, which have no demand.
        where: path of the field that holds `channels`.
        channels: at least 1.
        share: the gnConv has one part in so many of the channels.

    Raises:
        ConfigError
    """
    if mixing is None:
        return
    match mixing:
        case Mixing.LOCAL:
            multiple = 2 * share
        case Mixing.GLOBAL:
            multiple = 4 * share
        case _:
            assert_never(mixing)
    require(
        channels > 0 and channels % multiple == 0,
        where,
        f'a multiple of {multiple} with horfpn {mixing.value}',
        str(channels),
    )
