"""What the choice of a gnConv asks of the channels around it."""

from __future__ import annotations

import enum

from metabev_ros.config.yaml import require


def require_gate_channels(choice: enum.Enum, where: str, channels: int, share: int = 1) -> None:
    """Stop if a gnConv of order 2 on `channels` / `share` channels could not split them.

    Choices without gnConv have no demand; a global filter halves the one and a half times as
    many gate channels once more.

    Args:
        choice: of a neck; the end of its value names the form of gnConv.
        where: path of the field that holds `channels`.

    Raises:
        ConfigError
    """
    parts = {'7x7': 2, 'gf': 4}.get(choice.value.rpartition('_')[2])
    if parts is not None:
        require(
            channels > 0 and channels % (parts * share) == 0,
            where,
            f'a multiple of {parts * share} with neck {choice.value}',
            str(channels),
        )
