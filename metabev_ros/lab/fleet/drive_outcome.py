"""Outcome of one bag of a batch, as its `outcome.json` holds it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from metabev_ros.config import from_plain
from metabev_ros.errors import ConfigError
from metabev_ros.files import write_bytes

OUTCOME = 'outcome.json'


@dataclass(frozen=True)
class DriveOutcome:
    """Figures of one bag.

    Attributes:
        name: of its folder in the batch.
        bag: path of the bag.
        key: of bag, model, rig and options; another one means that it is to be done anew.
        failure: why there is nothing; '' where there is.
        seconds: from its first output or heartbeat to its last, in recorded time.
        outputs: branch name -> outputs.
        blind: share of that time in which nothing could be looked at.
        unused: sensor -> share of the outputs without it.
        reasons: sensor -> the state and reason that kept it out most often.
        boxes: mean boxes of an output, of a score of at least 0.3.
        compared: outputs of which both branches were asked.
        disagreement: share of their sure boxes that the other branch does not have; NaN: unknown.
        is_lossy: a part of the bag could not be read.
        notes: what the replay said.
    """

    name: str
    bag: str
    key: str
    failure: str = ''
    seconds: float = 0.0
    outputs: dict[str, int] = field(default_factory=dict)
    blind: float = 0.0
    unused: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    boxes: float = 0.0
    compared: int = 0
    disagreement: float = float('nan')
    is_lossy: bool = False
    notes: tuple[str, ...] = ()

    @property
    def trouble(self) -> float:
        """Rank of a drive: the mean share of sensors out of use; 1 where it failed."""
        if self.failure or not self.unused:
            return 1.0
        mean = sum(self.unused.values()) / len(self.unused)
        return self.blind + (1 - self.blind) * mean

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all: it says that the bag is done."""
        text = json.dumps(asdict(self), indent=1)
        write_bytes(folder / OUTCOME, text.encode())


def load_outcome(folder: Path) -> DriveOutcome | None:
    """The outcome in a folder; None where there is none, or one that is damaged."""
    try:
        plain = json.loads((folder / OUTCOME).read_text(encoding='utf-8'))
        return from_plain(DriveOutcome, plain, OUTCOME)
    except (OSError, ValueError, ConfigError, RecursionError):
        return None
