"""The publishers that speak on a topic. No rclpy in this module.

Where the publisher of a message is not known, its number tells: the middleware counts what each of
them sends. Numbers only rise, so a message belongs to the speaker whose last number lies closest
below its own. A driver that was killed and started again begins with small numbers and nobody goes
on with the large ones: it is the successor. After a message of an intruder the other one goes on.
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
    last: int  # number of its newest message
    heard: float  # seconds
    publisher: bytes  # b'' where that is not known
    period: float = 0.0  # usual seconds between two messages
    is_new: bool = True  # it spoke, and the believed one has not since
    is_rival: bool = False  # it spoke, and the believed one did after it
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

    def hear(self, number: int | None, now: float, publisher: bytes = b'') -> bool:
        """Take note of a message; whether it is the believed speaker's.

        Args:
            number: None where the middleware does not count. Without a publisher too everything
                is believed here, and what else is known of the topic decides.
            now: seconds.
            publisher: its identity; b'' where that is not known.
        """
        if number is None and not publisher:
            self._unnumbered.append(now)
            return True
        speaker = self._find(number or 0, now, publisher)
        owner = self._owner
        if owner is None:
            self._owner = speaker
        elif speaker is owner:
            for other in self._others:
                other.is_rival |= other.is_new
                other.is_new = False
        elif self._makes_room(owner, speaker, now):
            self._others.remove(speaker)
            self._others.append(owner)
            self._owner = speaker
        speaker.speak(now)
        speaker.is_new = speaker is not self._owner
        return not speaker.is_new

    def _find(self, number: int, now: float, publisher: bytes) -> _Speaker:
        """The speaker of a message, perhaps a new one."""
        self._others = [other for other in self._others if now - other.heard < FORGOTTEN][-MOST:]
        known = [*self._others, *([] if self._owner is None else [self._owner])]
        fitting = [
            speaker
            for speaker in known
            if speaker.publisher == publisher and (publisher or speaker.last < number)
        ]
        if fitting:
            nearest = max(fitting, key=lambda speaker: (speaker.last, speaker.heard))
            nearest.last = number
            return nearest
        new = _Speaker(number, now, publisher)
        if self._owner is not None:
            self._others.append(new)
        return new

    @staticmethod
    def _makes_room(owner: _Speaker, other: _Speaker, now: float) -> bool:
        patience = max(PATIENCE, PATIENCE_PERIODS * owner.period)
        return now - owner.heard > (max(MEMORY, patience) if other.is_rival else patience)

    def has_second(self, now: float) -> bool:
        """Tell whether another than the believed one spoke lately, while that one did."""
        return bool(self._rivals(now))

    def rivals(self, now: float) -> frozenset[bytes]:
        """The others' identities, as far as they are known."""
        return frozenset(other.publisher for other in self._rivals(now)) - {b''}

    def _rivals(self, now: float) -> list[_Speaker]:
        return [other for other in self._others if other.is_rival and now - other.heard < MEMORY]

    def is_contested(self, now: float) -> bool:
        """Tell whether another speaks all the time: nobody knows who is right."""
        return any(
            len(spoke) == 2 and now - spoke[0] < CONTEST
            for spoke in (
                self._unnumbered,
                *(other.spoke for other in self._others if other.is_rival),
            )
        )
