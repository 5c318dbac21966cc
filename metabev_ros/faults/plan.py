"""Plans of faults: the one definition of what fails, how and when.

A plan is read from YAML and checked before anything starts. `inject.py` carries it out on a bag,
`live.py` on live publishers; the demonstration judges the node by it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from metabev_ros.config import RigConfig, load_config
from metabev_ros.config.yaml import require
from metabev_ros.errors import ConfigError
from metabev_ros.resources import resource_path
from metabev_ros.wire import has_header_first

IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
CLOUD = 'sensor_msgs/msg/PointCloud2'


class FaultType(enum.Enum):
    """PX4's taxonomy of sensor failures, and the death of a driver."""

    OFF = 'off'  # nothing comes
    DEAD = 'dead'  # nothing comes, and live the publishers leave the graph too
    STUCK = 'stuck'  # the last message before the fault again and again
    GARBAGE = 'garbage'  # what comes cannot be, or cannot be read: see `what`
    WRONG = 'wrong'  # what comes is well formed and untrue: see `what`
    SLOW = 'slow'  # only every `every`-th message comes
    DELAYED = 'delayed'  # each message comes `seconds` late, its stamp unchanged
    INTERMITTENT = 'intermittent'  # a share of the messages is lost, or every second half period


class What(enum.Enum):
    """The difference between GARBAGE or WRONG messages and the true ones."""

    BYTES = 'bytes'  # garbage: random bytes where the message was
    TRUNCATED = 'truncated'  # garbage: `data` keeps only its first `share`
    NOISE = 'noise'  # garbage: random pixels or points
    BLACK = 'black'  # wrong: all pixels 0
    WHITE = 'white'  # wrong: all pixels 255
    TORN = 'torn'  # wrong: the lower half of the rows is 0
    EMPTY = 'empty'  # wrong: no points
    SPARSE = 'sparse'  # wrong: a random `share` of the points is left
    HALF_FIELD = 'half_field'  # wrong: only points with y >= 0 are left
    NOT_FINITE = 'not_finite'  # wrong: a random `share` of the points is NaN
    STAMP = 'stamp'  # wrong: `seconds` is added to the stamp
    DRIFT = 'drift'  # wrong: `seconds` for each second of the fault is added
    FRAME = 'frame'  # wrong: another frame_id


_OF_GARBAGE = (What.BYTES, What.TRUNCATED, What.NOISE)
_OF_IMAGES = (What.BLACK, What.WHITE, What.TORN)
_OF_CLOUDS = (What.EMPTY, What.SPARSE, What.HALF_FIELD, What.NOT_FINITE)
_OF_STAMPS = (What.STAMP, What.DRIFT)
_Number = TypeVar('_Number', int, float)
_PARAMETERS = ('share', 'every', 'seconds', 'period', 'new_stamps')


@dataclass(frozen=True)
class PlannedFault:
    """One fault; parameters that its type does not use are refused, not ignored.

    Attributes:
        name: short, unique in its plan.
        title: for people.
        sensors: names of the rig, or `cameras`, `lidar`, `all`. A sensor that is OFF or DEAD
            loses its CameraInfo too; every other type changes only its data topic.
        topics: further topics, with or without a leading slash.
        begin, end: seconds since the first message of the stream; it lasts in [begin, end).
        what: of GARBAGE and WRONG.
        share: 0..1, what is kept (truncated, sparse), hit (not_finite) or lost (intermittent).
        every: SLOW: 4 lets every fourth message through.
        seconds: DELAYED, and the stamps of WRONG.
        period: INTERMITTENT instead of `share`: lost in the second half of each period, seconds.
        new_stamps: STUCK: the repeated message bears the stamps of those it replaces.
    """

    name: str
    type: FaultType
    begin: float
    end: float
    title: str = ''
    sensors: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    what: What | None = None
    share: float | None = None
    every: int | None = None
    seconds: float | None = None
    period: float | None = None
    new_stamps: bool | None = None

    def __post_init__(self) -> None:
        where = f'fault {self.name}'
        require(0 <= self.begin < self.end, where, '0 <= begin < end', f'{self.begin}..{self.end}')
        require(bool(self.sensors or self.topics), where, 'sensors or topics', 'neither')
        self._check_what(where)
        present = {name for name in _PARAMETERS if getattr(self, name) is not None}
        allowed = self._parameters()
        expected = f'the parameters {" or ".join(map(_words, allowed))}'
        require(present in allowed, where, expected, _words(present))
        require(self.share is None or 0 <= self.share <= 1, f'{where}.share', '0..1', self.share)
        require(self.every is None or self.every >= 2, f'{where}.every', '2 or more', self.every)
        require(self.period is None or self.period > 0, f'{where}.period', 'above 0', self.period)
        late = self.type is not FaultType.DELAYED or given(self.seconds) > 0
        require(late, f'{where}.seconds', 'above 0', self.seconds)

    def _check_what(self, where: str) -> None:
        known = {
            FaultType.GARBAGE: _OF_GARBAGE,
            FaultType.WRONG: tuple(what for what in What if what not in _OF_GARBAGE),
        }.get(self.type)
        if known is None:
            fits, expected = self.what is None, f'nothing for {self.type.value}'
        else:
            fits, expected = self.what in known, f'one of {[what.value for what in known]}'
        require(fits, f'{where}.what', expected, self.what)

    def _parameters(self) -> list[set[str]]:
        """The sets of parameters that fit the type."""
        if self.type is FaultType.INTERMITTENT:
            return [{'share'}, {'period'}]
        if self.type is FaultType.STUCK:
            return [set(), {'new_stamps'}]
        needed = {
            FaultType.SLOW: {'every'},
            FaultType.DELAYED: {'seconds'},
            What.TRUNCATED: {'share'},
            What.SPARSE: {'share'},
            What.NOT_FINITE: {'share'},
            What.STAMP: {'seconds'},
            What.DRIFT: {'seconds'},
        }
        return [needed.get(self.what or self.type, set())]

    def check_type(self, topic: str, msgtype: str) -> None:
        """Refuse what cannot be done to messages of this type.

        Raises:
            ConfigError
        """
        kinds: tuple[str, ...] | None = None
        if self.what in _OF_IMAGES:
            kinds = IMAGES
        elif self.what in _OF_CLOUDS:
            kinds = (CLOUD,)
        elif self.what in (What.NOISE, What.TRUNCATED):
            kinds = (*IMAGES, CLOUD)
        require(
            kinds is None or msgtype in kinds,
            f'fault {self.name} on {topic}',
            f'a topic of {" or ".join(kinds or ())}',
            msgtype,
        )
        stamped = self.what in (*_OF_STAMPS, What.FRAME) or (
            self.type is FaultType.STUCK and self.new_stamps is not False
        )
        require(
            not stamped or has_header_first(msgtype),
            f'fault {self.name} on {topic}',
            'a message type that begins with a header',
            msgtype,
        )

    def sensor_names(self, rig: RigConfig) -> tuple[str, ...]:
        """The sensors it acts on, by their names in the rig.

        Raises:
            ConfigError: for a sensor that the rig does not have.
        """
        groups = {
            'cameras': tuple(camera.name for camera in rig.cameras),
            'lidar': tuple(lidar.name for lidar in rig.lidars),
            'all': rig.sensor_names,
        }
        for word in self.sensors:
            require(
                word in groups or word in rig.sensor_names,
                f'fault {self.name}.sensors',
                f'some of {[*rig.sensor_names, *groups]}',
                word,
            )
        names = (name for word in self.sensors for name in groups.get(word, (word,)))
        return tuple(dict.fromkeys(names))

    def resolve(self, rig: RigConfig) -> tuple[str, ...]:
        """The topics it acts on, without leading slashes.

        Raises:
            ConfigError: for a sensor that the rig does not have.
        """
        infos = {camera.name: camera.info_topic for camera in rig.cameras}
        topics = {sensor.name: sensor.topic for sensor in rig.sensors}
        found = list(self.topics)
        for name in self.sensor_names(rig):
            found.append(topics[name])
            if infos.get(name) and self.type in (FaultType.OFF, FaultType.DEAD):
                found.append(infos[name])
        return tuple(dict.fromkeys(topic.lstrip('/') for topic in found))


def given(value: _Number | None) -> _Number:
    """A parameter that the type of its fault requires; a fault without it was refused."""
    if value is None:
        raise ConfigError('fault', 'every parameter that its type requires', 'none')
    return value


def _words(names: set[str]) -> str:
    return ', '.join(sorted(names)) or 'none'


@dataclass(frozen=True)
class FaultPlan:
    """Faults of one drive; two of them may last at once, but never on one topic."""

    name: str
    title: str
    faults: tuple[PlannedFault, ...]

    def __post_init__(self) -> None:
        names = [fault.name for fault in self.faults]
        require(bool(names), f'fault plan {self.name}', 'at least one fault', 'none')
        require(len(set(names)) == len(names), f'fault plan {self.name}', 'distinct names', names)

    @property
    def end(self) -> float:
        """Seconds since the first message when the last fault is over."""
        return max(fault.end for fault in self.faults)

    def named(self, name: str) -> PlannedFault:
        """The fault of that name.

        Raises:
            ConfigError: there is none.
        """
        for fault in self.faults:
            if fault.name == name:
                return fault
        names = [fault.name for fault in self.faults]
        raise ConfigError(f'fault plan {self.name}', f'one of {names}', name)

    def lasting(self, seconds: float) -> tuple[PlannedFault, ...]:
        """The faults that last at a time, seconds since the first message."""
        return tuple(fault for fault in self.faults if fault.begin <= seconds < fault.end)

    def by_topic(
        self, rig: RigConfig, msgtypes: Mapping[str, str]
    ) -> dict[str, list[PlannedFault]]:
        """Topic -> its faults in order of time.

        Args:
            rig: names the sensors.
            msgtypes: topic (no leading slash) -> message type of everything in the stream.

        Raises:
            ConfigError: if a topic is not in the stream, has a type that the fault cannot act
                on, or would have two faults at once.
        """
        found: dict[str, list[PlannedFault]] = {}
        for fault in sorted(self.faults, key=lambda fault: fault.begin):
            for topic in fault.resolve(rig):
                if topic not in msgtypes:
                    raise ConfigError(
                        f'fault {fault.name}',
                        'topics of the stream',
                        topic,
                        'a fault that touches nothing is refused',
                    )
                fault.check_type(topic, msgtypes[topic])
                before = found.setdefault(topic, [])
                require(
                    not before or before[-1].end <= fault.begin + 1e-6,
                    f'fault {fault.name}',
                    f'one fault at a time on {topic}',
                    f'{before[-1].name} until {before[-1].end:g} s' if before else '',
                )
                before.append(fault)
        return found


def find_plan(name: str) -> FaultPlan:
    """The plan in a YAML file, or the ready one of that name in config/faults/.

    Raises:
        ConfigError: if there is none, or it is no plan.
    """
    path = Path(name)
    if path.suffix not in ('.yaml', '.yml'):
        path = resource_path(f'config/faults/{name}.yaml')
    return load_config(FaultPlan, path)
