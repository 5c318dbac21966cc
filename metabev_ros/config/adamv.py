"""AdaMV-MoE: task-dependent routers over shared experts (Chen et al. 2023) in the decoder."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, field

from metabev_ros.config.yaml import require


class TaskStream(enum.Enum):
    """Treatment of the outputs that the experts give for each task.

    MERGED: LayerNorm(Linear(concat)) makes one stream again in every layer, as MetaBEV's hard
    experts do. SPLIT: merged in all layers but the last, whose two outputs go to the two heads.
    """

    MERGED = 'merged'
    SPLIT = 'split'


@dataclass(frozen=True)
class TaskExperts:
    """Experts that each token uses, by task."""

    detection: int = 2
    map: int = 2


@dataclass(frozen=True)
class AdamvConfig:
    """Settings of `decoder.ffn: adamv`; `decoder.experts` (E) and `decoder.ffn_ratio` hold too.

    Attributes:
        used: k of each task at the start; what adaptive expert selection made of it lies with
            the weights.
        stream: see `TaskStream`.
        noise: standard deviation of the routing noise in training, times 1 / E; 0: none, and no
            load loss.
        normalize_gates: divide the kept gates by their sum; the source does not.
    """

    used: TaskExperts = field(default_factory=TaskExperts)
    stream: TaskStream = TaskStream.SPLIT
    noise: float = 1.0
    normalize_gates: bool = False

    def __post_init__(self) -> None:
        require(self.noise >= 0, 'model.decoder.adamv.noise', 'at least 0', self.noise)

    def check_fit(self, experts: int) -> None:
        """Against the number of experts.

        Raises:
            ConfigError
        """
        for task, used in asdict(self.used).items():
            require(
                1 <= used <= experts,
                f'model.decoder.adamv.used.{task}',
                f'1..decoder.experts ({experts})',
                used,
            )
