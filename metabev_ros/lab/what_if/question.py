"""Questions to a bag, and the times at which it is looked at."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from metabev_ros.bags import BagReader
from metabev_ros.config import SensingConfig
from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
from metabev_ros.lab.what_if.failures import FailureKind
from metabev_ros.replay.feed import TIME_END_NS

LEAD_S = 2.0  # of healthy driving before the failure
SETTLE_S = 0.02  # behind the last message of a single set
MAX_MOMENTS = 2000


@dataclass(frozen=True)
class Question:
    """One run of `metabev what-if`.

    Attributes:
        source: one bag, the rig, the limits of sensing, and where labels are.
        kinds: of failures, on each sensor.
        with_pairs: lose each pair of sensors too.
        late: seconds by which a delayed sensor is late.
        begin: seconds from the first message of a sensor to the failure; None: LEAD_S, or a
            quarter of a short bag, or 0 where each sensor speaks only once.
        seconds: that are looked at, from the failure on.
        every: seconds between two looks.
        score: boxes below it are not counted.
        use_labels: the bag's own, where it has any.
    """

    source: LabelledBags
    kinds: tuple[FailureKind, ...] = tuple(FailureKind)
    with_pairs: bool = False
    late: float = 0.3
    begin: float | None = None
    seconds: float = 10.0
    every: float = 1.0
    score: float = 0.3
    use_labels: bool = True

    def __post_init__(self) -> None:
        checks = (
            ('bag', len(self.source.paths) == 1, 'one bag', len(self.source.paths)),
            ('--only', bool(self.kinds), 'at least one kind of failure', 'none'),
            ('--delay', 0 < self.late <= 60, 'seconds in 0..60, more than 0', self.late),
            ('--begin', self.begin is None or 0 <= self.begin < math.inf, '0 or more', self.begin),
            ('--seconds', 0 < self.seconds < math.inf, 'more than 0', self.seconds),
            ('--every', 0.01 <= self.every < math.inf, '0.01 or more', self.every),
            ('--score', 0 < self.score <= 1, 'above 0, at most 1', self.score),
        )
        for where, holds, expected, got in checks:
            if not holds:
                raise ConfigError(f'what-if {where}', expected, str(got))

    @property
    def bag(self) -> Path:
        """The bag."""
        return self.source.paths[0]


@dataclass(frozen=True)
class Times:
    """Recorded times of a run.

    Attributes:
        first_ns: of the bag's first message.
        last_ns: of the last message of a sensor.
        begin_ns: of the failures; end_ns: of the last look.
        looks_ns: the first sample that closes then, or later, is looked at.
        is_single: no sensor speaks more than once.
    """

    first_ns: int
    last_ns: int
    begin_ns: int
    end_ns: int
    looks_ns: tuple[int, ...]
    is_single: bool = False

    def sensing(self, given: SensingConfig) -> SensingConfig:
        """The limits; a bag of a single set is too short to wait for sensors that never spoke.

        They are given up when the set is over, so that the others are seen without them.
        """
        whole = (self.last_ns - self.first_ns) / 1e9 + SETTLE_S
        if not self.is_single or whole >= given.start_timeout:
            return given
        return dataclasses.replace(given, start_timeout=whole)

    @property
    def begin_s(self) -> float:
        """Seconds from the first message to the failures."""
        return (self.begin_ns - self.first_ns) / 1e9

    def words(self) -> str:
        """For people."""
        whole, end = (self.last_ns - self.first_ns) / 1e9, (self.end_ns - self.first_ns) / 1e9
        return f'{self.begin_s:.1f} s to {end:.1f} s of {whole:.1f} s'


def plan_times(reader: BagReader, question: Question) -> Times:
    """Read the times of a bag, and choose when to look.

    Raises:
        ConfigError: for a bag without messages of the rig's sensors, a failure behind its end, or
            too many looks.
    """
    sensors = {sensor.topic.lstrip('/') for sensor in question.source.rig.sensors}
    first_ns = start_ns = last_ns = None
    spoken: Counter[str] = Counter()
    for message in reader:
        at_ns, topic = message.log_time_ns, message.topic.lstrip('/')
        if at_ns >= TIME_END_NS:
            continue
        first_ns = at_ns if first_ns is None else first_ns
        if topic in sensors:
            start_ns = at_ns if start_ns is None else start_ns
            last_ns = at_ns
            spoken[topic] += 1
    if first_ns is None or start_ns is None or last_ns is None:
        some = [clean_text(topic) for topic in reader.topics][:10]
        got, remedy = f'none; the bag has {some}', 'name the rig of this bag with --rig'
        raise ConfigError(f'{reader.path}', f'messages on {sorted(sensors)}', got, remedy)
    is_single = all(count <= 1 for count in spoken.values())
    whole = (last_ns - start_ns) / 1e9
    begin = question.begin
    if begin is None:
        begin = 0.0 if is_single else min(LEAD_S, whole / 4)
    if begin > whole:
        expected = f'at most {whole:.1f}, the length of the bag'
        raise ConfigError('what-if --begin', expected, f'{begin}')
    begin_ns = start_ns + round(begin * 1e9)
    end_ns = min(last_ns, begin_ns + round(question.seconds * 1e9))
    every_ns = round(question.every * 1e9)
    count = (end_ns - begin_ns) // every_ns
    if count > MAX_MOMENTS:
        raise ConfigError(
            'what-if --every', f'at most {MAX_MOMENTS} looks', f'{count}', 'look less often'
        )
    looks = tuple(begin_ns + every_ns // 2 + k * every_ns for k in range(count)) or (begin_ns,)
    return Times(first_ns, last_ns, begin_ns, end_ns, looks, is_single)
