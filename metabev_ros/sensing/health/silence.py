"""Silence of one sensor: samples that it missed, and periods in which it said nothing."""

from __future__ import annotations

MISSES_UNTIL_LOST = 2


class Silence:
    """Misses in a row, counted up to `MISSES_UNTIL_LOST`.

    A sample that closes without the sensor is a miss. So is each period without any message,
    from the deadline after the newest one on. The larger of both counts.
    """

    def __init__(self, deadline_ns: int) -> None:
        self._deadline_ns = deadline_ns
        self._heard_ns: int | None = None  # arrival of the newest message that counts
        self._samples = self._periods = 0

    def hear(self, arrival_ns: int) -> int:
        """Take the arrival of a message that counts, of whatever use it is.

        Returns:
            Nanoseconds since the one before it, 0 for the first.
        """
        gap_ns = 0 if self._heard_ns is None else arrival_ns - self._heard_ns
        self._heard_ns, self._periods = arrival_ns, 0
        return gap_ns

    def end(self) -> None:
        """Begin to count anew: a sound frame came."""
        self._samples = self._periods = 0

    def miss_sample(self) -> bool:
        """Count a sample that closed without the sensor; whether that is one too many."""
        self._samples = min(MISSES_UNTIL_LOST, self._samples + 1)
        return self._samples >= MISSES_UNTIL_LOST

    def tick(self, now_ns: int, period_ns: int) -> int | None:
        """Let time pass.

        Returns:
            Since when the sensor has been silent for too long, whenever somebody looks; None
            while it has not.
        """
        if self._heard_ns is None:
            return None
        due_ns = self._heard_ns + self._deadline_ns
        if now_ns > due_ns:
            periods = min(MISSES_UNTIL_LOST, (now_ns - due_ns) // period_ns)
            self._periods = max(self._periods, periods)
        return due_ns + MISSES_UNTIL_LOST * period_ns if self.is_silent else None

    def new_epoch(self, now_ns: int) -> None:
        """Measure what silence there is from `now_ns` of the new clock on."""
        if self._heard_ns is not None:
            self._heard_ns = now_ns

    @property
    def misses(self) -> int:
        """Misses in a row, 0 to `MISSES_UNTIL_LOST`."""
        return max(self._samples, self._periods)

    @property
    def is_silent(self) -> bool:
        """Tell whether too many periods went by without any message."""
        return self._periods >= MISSES_UNTIL_LOST
