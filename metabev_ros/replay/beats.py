"""The heartbeats of a replay: at the node's rate, in recorded time, and in bounded number."""

from __future__ import annotations

from collections.abc import Iterator

BEAT_NS = 100_000_000
LONGEST_PAUSE_BEATS = 600  # a longer pause is not beaten through to its end
PAUSE_START_BEATS = 20  # of a longer pause: a sensor's death is visible in them
FREE_BEATS, BEATS_PER_MESSAGE = 18_000, 2  # half an hour of silence, and what messages bring


class Beats:
    """Says when heartbeats are due.

    A pause of up to a minute is beaten through while there are beats left: a small bag must not
    become days of heartbeats. Of a longer one the first two seconds are beaten, then its end;
    when no beats are left, its first and its last one.

    Attributes:
        jumped: pauses that were not beaten through to their end.
        jumped_ns: their time without beats.
    """

    def __init__(self) -> None:
        self._next_ns: int | None = None
        self._left = FREE_BEATS
        self.jumped = self.jumped_ns = 0

    def until(self, now_ns: int) -> Iterator[int]:
        """Yield the times that are due until a message at `now_ns`."""
        self._left += BEATS_PER_MESSAGE
        if self._next_ns is None or now_ns < self._next_ns - BEAT_NS:
            self._next_ns = now_ns + BEAT_NS  # the start, or the recorded clock went back
        due = (now_ns - self._next_ns) // BEAT_NS + 1
        start = PAUSE_START_BEATS if self._left > PAUSE_START_BEATS else 1
        is_whole = due <= max(start, min(self._left, LONGEST_PAUSE_BEATS))
        for _ in range(due if is_whole else start):
            yield self._take(self._next_ns)
        if not is_whole:
            last_ns = self._next_ns + (now_ns - self._next_ns) // BEAT_NS * BEAT_NS
            self.jumped += 1
            self.jumped_ns += last_ns - self._next_ns
            yield self._take(last_ns)

    def _take(self, beat_ns: int) -> int:
        self._left -= 1
        self._next_ns = beat_ns + BEAT_NS
        return beat_ns
