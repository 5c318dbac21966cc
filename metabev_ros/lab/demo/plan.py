"""What fails when: the script of the demonstration and its only oracle."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from metabev_ros.config import RigConfig
from metabev_ros.errors import ConfigError
from metabev_ros.faults.plan import FaultType, find_plan

SHORTEST_PAUSE = 2.0  # seconds between two faults, so that each recovery can be seen


class FaultKind(enum.Enum):
    """What happens to a sensor."""

    KILLED = 'killed'  # its publishers are destroyed and made anew
    FROZEN = 'frozen'  # the same picture again and again under new stamps


_KINDS = {FaultType.OFF: FaultKind.KILLED, FaultType.STUCK: FaultKind.FROZEN}


@dataclass(frozen=True)
class Fault:
    """One failure.

    Attributes:
        name: short, a file name can be made of it.
        title: for people.
        sensors: names of the rig.
        begin, end: seconds since the first message; the sensors fail in [begin, end).
    """

    name: str
    title: str
    kind: FaultKind
    sensors: tuple[str, ...]
    begin: float
    end: float

    def __post_init__(self) -> None:
        if not 0 < self.begin < self.end:
            raise ConfigError(f'fault {self.name}', '0 < begin < end', f'{self.begin}..{self.end}')
        if not self.sensors:
            raise ConfigError(f'fault {self.name}', 'at least one sensor', 'none')

    @property
    def duration(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True)
class FailurePlan:
    """Faults in order of time.

    Attributes:
        duration: seconds of the whole drive.
    """

    faults: tuple[Fault, ...]
    duration: float

    def __post_init__(self) -> None:
        ends = [0.0, *(fault.end for fault in self.faults)]
        for fault, before in zip(self.faults, ends, strict=False):
            if fault.begin < before + SHORTEST_PAUSE:
                raise ConfigError(
                    f'fault {fault.name}',
                    f'a begin {SHORTEST_PAUSE:g} s after the fault before it ({before:g} s)',
                    f'{fault.begin:g} s',
                )
        if self.duration < ends[-1] + SHORTEST_PAUSE:
            raise ConfigError(
                'failure plan',
                f'a duration of {ends[-1] + SHORTEST_PAUSE:g} s or more',
                f'{self.duration:g} s',
            )

    def named(self, name: str) -> Fault:
        """The fault of that name.

        Raises:
            ConfigError: there is none.
        """
        for fault in self.faults:
            if fault.name == name:
                return fault
        raise ConfigError('failure plan', f'one of {[f.name for f in self.faults]}', name)

    def fault_at(self, seconds: float) -> Fault | None:
        """The fault that lasts at a time; they never overlap."""
        return next((f for f in self.faults if f.begin <= seconds < f.end), None)


def standard_plan(
    rig: RigConfig, fault_seconds: float = 4.0, pause_seconds: float = 3.5
) -> FailurePlan:
    """The faults of config/faults/sensor_loss.yaml, each `fault_seconds` long.

    They begin at different phases of the sensors' period: nothing is timed to suit.

    Raises:
        ConfigError: if the rig lacks a sensor that the plan names.
    """
    groups = {
        'cameras': tuple(camera.name for camera in rig.cameras),
        'lidar': (rig.lidar.name,),
        'all': rig.sensor_names,
    }
    faults, begin = [], pause_seconds + 1.5
    for index, planned in enumerate(find_plan('sensor_loss').faults):
        planned.resolve(rig)
        sensors = tuple(name for word in planned.sensors for name in groups.get(word, (word,)))
        start = begin + 0.013 + 0.017 * index
        faults.append(
            Fault(
                planned.name,
                planned.title,
                _KINDS[planned.type],
                sensors,
                round(start, 3),
                round(start + fault_seconds, 3),
            )
        )
        begin += fault_seconds + pause_seconds
    return FailurePlan(tuple(faults), round(begin + 0.5, 3))
