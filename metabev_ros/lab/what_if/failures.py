"""Failures that are tried: each kind on each sensor, and pairs of lost ones, as fault plans."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from metabev_ros.errors import assert_never
from metabev_ros.faults.plan import FaultPlan, FaultType, PlannedFault, What
from metabev_ros.structures import SensorKind

UNTIL_THE_END = 1e9  # seconds since the first message


class FailureKind(enum.Enum):
    """Kinds of failure of a sensor."""

    KILL = 'kill'  # nothing comes any more
    DELAY = 'delay'  # every message comes late, its stamp unchanged
    FREEZE = 'freeze'  # the last message again and again, under new stamps
    BLIND = 'blind'  # black pictures, or sweeps without points


@dataclass(frozen=True)
class Failure:
    """One kind of failure of one sensor, or the loss of several.

    Attributes:
        sensors: names of the rig.
        late: seconds by which the messages of a DELAY come late.
    """

    kind: FailureKind
    sensors: tuple[str, ...]
    late: float = 0.0

    @property
    def id(self) -> str:
        """'kill.CAM_FRONT', 'kill.CAM_FRONT+LIDAR_TOP'."""
        return f'{self.kind.value}.{"+".join(self.sensors)}'

    @property
    def words(self) -> str:
        """The clause that goes on from 'If': 'you lose CAM_FRONT'."""
        names = ' and '.join(self.sensors)
        match self.kind:
            case FailureKind.KILL:
                return f'you lose {names}'
            case FailureKind.DELAY:
                return f'{names} comes {self.late:g} s late'
            case FailureKind.FREEZE:
                return f'{names} freezes'
            case FailureKind.BLIND:
                return f'{names} goes blind'
            case _:
                assert_never(self.kind)

    def plan(self, begin: float, kinds: dict[str, SensorKind]) -> FaultPlan:
        """The failure as `metabev inject` carries it out, from `begin` to the end of the bag.

        Args:
            begin: seconds since the first message.
            kinds: of the rig's sensors.
        """
        faults = tuple(self._fault(name, begin, kinds[name]) for name in self.sensors)
        return FaultPlan(self.id, self.words, faults)

    def _fault(self, name: str, begin: float, sensor: SensorKind) -> PlannedFault:
        kind, what, seconds = FaultType.OFF, None, None
        match self.kind:
            case FailureKind.KILL:
                pass
            case FailureKind.DELAY:
                kind, seconds = FaultType.DELAYED, self.late
            case FailureKind.FREEZE:
                kind = FaultType.STUCK
            case FailureKind.BLIND:
                kind = FaultType.WRONG
                what = What.BLACK if sensor is SensorKind.CAMERA else What.EMPTY
            case _:
                assert_never(self.kind)
        title = f'{name}: {self.kind.value}'
        return PlannedFault(
            name, kind, begin, UNTIL_THE_END, title, (name,), what=what, seconds=seconds
        )


def all_failures(
    sensors: Sequence[str], kinds: Sequence[FailureKind], late: float, with_pairs: bool
) -> tuple[Failure, ...]:
    """Each kind on each sensor; the loss of each pair where that is asked for."""
    single = [
        Failure(kind, (name,), late if kind is FailureKind.DELAY else 0.0)
        for name in sensors
        for kind in kinds
    ]
    pairs = itertools.combinations(sensors, 2) if with_pairs else ()
    return (*single, *(Failure(FailureKind.KILL, pair) for pair in pairs))
