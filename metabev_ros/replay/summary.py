"""The result of a replay, in counts and in lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from metabev_ros import wire
from metabev_ros.bags import BagIntegrity

_TOPICS_TOLD = 20


@dataclass
class ReplaySummary:
    """Counts of a replay.

    Attributes:
        messages: written in all, before the bag's end.
        outputs: modality name -> published samples.
        rejected: 'source: reason' -> messages refused.
        not_heard: topics of the rig that the bag lacks, or has with another type.
        unused: where nothing was perceived: sensor -> its state and why, at the end of the bag.
        unnamed: where nothing was perceived: topics of the bag that the rig does not name -> type.
        failed: samples on which inference failed.
        jumped: pauses of the recording that were not beaten through to their end.
        jumped_s: seconds without heartbeats in them.
        hint: what may help where nothing was perceived; '' for nothing.
        video_lost: why the video was given up; '' where it was not.
    """

    messages: int = 0
    heartbeats: int = 0
    failed: int = 0
    outputs: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    not_heard: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    unnamed: dict[str, str] = field(default_factory=dict)
    jumped: int = 0
    jumped_s: float = 0.0
    hint: str = ''
    video_lost: str = ''
    integrity: BagIntegrity = field(default_factory=BagIntegrity)

    @property
    def is_lossy(self) -> bool:
        """Tell whether the bag held data that could not be read."""
        return self.integrity.is_lossy

    @property
    def is_blind(self) -> bool:
        """Tell whether there was never anything to look at, or looking always failed."""
        return not self.outputs

    def lines(self) -> list[str]:
        """For people."""
        made = ', '.join(f'{count} {name}' for name, count in sorted(self.outputs.items()))
        lines = [
            f'input: {self.integrity.describe()}',
            f'outputs: {made or "none"}; {self.heartbeats} heartbeats',
        ]
        lines += [f'refused: {count} x {what}' for what, count in self.rejected.most_common()]
        lines += _named('not heard', self.not_heard.items())
        lines += _named('not used', self.unused.items())
        lines += _named('in the bag, not in the rig', self.unnamed.items())
        lines += _named('skipped', self.integrity.skipped_topics.items())
        if self.jumped:
            lines.append(
                f'pauses: {self.jumped} jumped over, {self.jumped_s:.0f} s without heartbeats'
            )
        lines += [f'inference failed on {self.failed} samples'] if self.failed else []
        lines += ['the input is LOSSY: part of it could not be read'] if self.is_lossy else []
        lines += [f'hint: {self.hint}'] if self.hint else []
        lines += ['NOTHING was perceived: see what was not heard, used or refused'] * self.is_blind
        lines += [f'the video is LOST: {self.video_lost}'] if self.video_lost else []
        return lines


def _named(what: str, topics: Iterable[tuple[str, str]]) -> list[str]:
    lines = [f'{what}: {wire.clean_text(topic)} ({why})' for topic, why in topics]
    more = len(lines) - _TOPICS_TOLD
    return lines if more <= 0 else [*lines[:_TOPICS_TOLD], f'{what}: and {more} more topics']
