"""Who speaks on a topic, told by sequence numbers. No rclpy in this module.

The middleware numbers the messages of each publisher; rclpy gives the number, not the publisher.
The numbers of one publisher only rise, so a message belongs to the speaker whose last number lies
closest below its own. A driver that was killed and started again begins with small numbers and
nobody goes on with the large ones: it is the successor. An intruder begins anew too, but then the
other goes on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MEMORY = 10.0  # seconds for which a second speaker is named, and is no successor
FORGOTTEN = 30.0  # seconds of silence after which a speaker is a new one
PATIENCE, PATIENCE_PERIODS = 0.5, 3.0  # seconds or periods of silence that make room
CONTEST = 2.0  # seconds; a second speaker with two messages in them contests the topic
MOST = 8  # speakers that are told apart


@dataclass
class _Speaker:
    last: int  # sequence number
    heard: float  # seconds
    period: float = 0.0  # usual seconds between two messages
    is_rival: bool = False  # it spoke while another did
    spoke: deque[float] = field(default_factory=lambda: deque[float](maxlen=2))

    def speak(self, now: float) -> None:
        self.period += 0.2 * (min(now - self.heard, FORGOTTEN) - self.period)
        self.heard = now
        self.spoke.append(now)


class Speakers:
    """The publishers that really spoke on one topic; one of them is believed.

    Times are seconds of one steady clock.
    """

    def __init__(self) -> None:
        self._owner: _Speaker | None = None
        self._others: list[_Speaker] = []
        self._unnumbered: deque[float] = deque(maxlen=2)

    def hear(self, sequence: int | None, now: float) -> bool:
        """Take note of a message; whether it is the believed speaker's.

        Args:
            sequence: None where the middleware does not count; then everything is believed here,
                and what else is known of the topic decides.
        """
        if sequence is None:
            self._unnumbered.append(now)
            return True
        speaker = self._find(sequence, now)
        owner = self._owner
        if owner is None:
            self._owner = speaker
        elif speaker is owner:
            for other in self._others:
                other.is_rival |= other.heard > owner.heard
        elif self._makes_room(owner, speaker, now):
            self._others.remove(speaker)
            self._others.append(owner)
            self._owner = speaker
        speaker.speak(now)
        return speaker is self._owner

    def _find(self, sequence: int, now: float) -> _Speaker:
        """The speaker of this number, perhaps a new one."""
        self._others = [other for other in self._others if now - other.heard < FORGOTTEN][-MOST:]
        known = [*self._others, *([] if self._owner is None else [self._owner])]
        below = [speaker for speaker in known if speaker.last < sequence]
        if below:
            nearest = max(below, key=lambda speaker: (speaker.last, speaker.heard))
            nearest.last = sequence
            return nearest
        new = _Speaker(sequence, now)
        if self._owner is not None:
            self._others.append(new)
        return new

    @staticmethod
    def _makes_room(owner: _Speaker, other: _Speaker, now: float) -> bool:
        patience = max(PATIENCE, PATIENCE_PERIODS * owner.period)
        return now - owner.heard > (max(MEMORY, patience) if other.is_rival else patience)

    def has_second(self, now: float) -> bool:
        """Whether another than the believed one spoke lately, while that one did."""
        return any(other.is_rival and now - other.heard < MEMORY for other in self._others)

    def is_contested(self, now: float) -> bool:
        """Whether another speaks all the time: nobody can tell who is right."""
        return any(
            len(spoke) == 2 and now - spoke[0] < CONTEST
            for spoke in (
                self._unnumbered,
                *(other.spoke for other in self._others if other.is_rival),
            )
        )
