"""The node's parameters: declared with description and range, checked before anything starts."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from pathlib import Path

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
)

from metabev_ros.config import RigConfig, SensingConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.node.inference import InferenceLimits
from metabev_ros.resources import DEFAULT_MODEL, DEFAULT_RIG, resource_path

REMEDY = 'correct the parameter file or the command line'


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter; `low`..`high` is None for text and booleans."""

    name: str
    default: bool | int | float | str
    description: str
    low: float | None = None
    high: float | None = None

    @property
    def expected(self) -> str:
        """The type and range in words."""
        kind = {
            bool: 'true or false',
            int: 'an integer',
            float: 'a number (write 1.0, not 1)',
            str: 'text',
        }[type(self.default)]
        return kind if self.low is None else f'{kind} in {self.low:g}..{self.high:g}'

    @property
    def descriptor(self) -> ParameterDescriptor:
        descriptor = ParameterDescriptor(
            name=self.name,
            description=self.description,
            read_only=True,
            additional_constraints=self.expected,
        )
        if self.low is not None and isinstance(self.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(self.low), to_value=float(self.high))
            ]
        elif self.low is not None:
            descriptor.integer_range = [
                IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)
            ]
        return descriptor


_SENSING = {
    'deadline': ('seconds a sample waits for expected sensors after its anchor', 0.001, 5),
    'tolerance': ('largest |image stamp - reference stamp|, seconds', 0.001, 5),
    'max_latency': ('seconds a message may come later than the promptest one', 0.001, 60),
    'max_age_periods': ('data older than this many nominal periods is never current', 0.5, 50),
    'start_timeout': ('seconds until a sensor that never spoke is not waited for', 0.01, 60),
    'future_tolerance': ('seconds a stamp may be ahead of the clock', 0.001, 60),
    'readmit_frames': ('good frames in a row before a lost sensor is used again', 1, 100),
    'frozen_frames': ('identical frames until FROZEN', 2, 100),
    'flap_limit': ('losses within flap_window that lead to quarantine', 1, 100),
    'flap_window': ('seconds', 0.1, 60),
    'quarantine': ('seconds a flapping sensor is kept out', 0.1, 60),
    'clock_jump': ('seconds the clock must go back to start a new epoch', 0.01, 60),
    'min_cameras': ('fewer usable cameras do not make a camera branch', 1, 100),
}

SPECS = (
    ParameterSpec('autostart', True, 'configure and activate at start-up (no lifecycle manager)'),
    ParameterSpec('rig', '', 'rig YAML file; empty: the nuScenes-like rig of this package'),
    ParameterSpec(
        'model', '', 'model folder, or the name of a model of this package; empty: metabev_nano'
    ),
    ParameterSpec('backend', 'onnxruntime', 'inference runtime'),
    ParameterSpec(
        'provider',
        'cpu',
        'what onnxruntime computes with: cpu, cuda, tensorrt or '
        'openvino; the start is refused if it cannot',
    ),
    ParameterSpec('precision', 'fp32', 'of the exported graphs: fp32, fp16 or int8'),
    ParameterSpec(
        'fallback_backend',
        '',
        'runtime to load when the first one keeps failing; '
        'empty: none, it is tried again and again',
    ),
    ParameterSpec('threads', 2, 'inference threads', 1, 64),
    ParameterSpec('heartbeat_rate', 10.0, 'PerceptionStatus heartbeats a second', 5, 50),
    ParameterSpec('diagnostics_rate', 5.0, '/diagnostics messages a second', 1, 10),
    ParameterSpec(
        'queue_depth', 5, 'waiting messages of a sensor before the oldest is dropped', 1, 50
    ),
    ParameterSpec(
        'inference.time_limit',
        InferenceLimits.time_limit,
        'seconds; a result that takes longer is dropped and reported',
        0.01,
        60,
    ),
    ParameterSpec(
        'inference.hang_limit',
        InferenceLimits.hang_limit,
        'seconds without a result until the process ends with exit code 3',
        0.1,
        600,
    ),
    ParameterSpec(
        'inference.table_wait',
        0.2,
        'seconds a sample waits for the tables of a new '
        'camera calibration before its LiDAR branch runs alone',
        0.001,
        60,
    ),
    ParameterSpec(
        'inference.idle_without_subscribers',
        False,
        'no inference while nobody subscribes to an output; the status goes on',
    ),
    *(
        ParameterSpec(f'sensing.{item.name}', item.default, *_SENSING[item.name])
        for item in dataclasses.fields(SensingConfig)
    ),
)


@dataclass(frozen=True)
class NodeConfig:
    """Validated parameters."""

    autostart: bool
    rig: RigConfig
    model_dir: Path
    backend: str
    provider: str
    precision: str
    fallback_backend: str
    threads: int
    limits: InferenceLimits
    table_wait: float
    idle_without_subscribers: bool
    heartbeat_rate: float
    diagnostics_rate: float
    queue_depth: int
    sensing: SensingConfig


def declare_parameters(node) -> None:
    """Declare every parameter; values come from the command line or parameter files.

    Raises:
        ConfigError: naming every wrong type, value out of range and misspelt name.
    """
    errors = _wrong_names(node)
    for spec in SPECS:
        try:
            node.declare_parameter(spec.name, spec.default, spec.descriptor)
        except (
            InvalidParameterTypeException,
            InvalidParameterValueException,
            InvalidParameterException,
        ) as error:
            given = node._parameter_overrides.get(spec.name)
            got = repr(given.value) if given is not None else str(error)
            errors.append(ConfigError(f'parameter {spec.name}', spec.expected, got, REMEDY))
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ConfigError(
            'parameters',
            'values that fit',
            f'{len(errors)} that do not',
            ' | '.join(str(e) for e in errors),
        )


def _wrong_names(node) -> list[ConfigError]:
    """A misspelt name would silently leave the default in place."""
    known = [spec.name for spec in SPECS]
    errors = []
    for name in sorted(node._parameter_overrides):
        if name in known:
            continue
        similar = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        if name.startswith(('sensing.', 'inference.')) or similar:
            hint = f'did you mean {similar[0]}?' if similar else f'known: {", ".join(known)}'
            errors.append(
                ConfigError(
                    f'parameter {name}', 'a parameter of this node', 'an unknown name', hint
                )
            )
    return errors


def read_parameters(node) -> NodeConfig:
    """The declared values, with the rig file read and everything cross-checked.

    Raises:
        ConfigError: naming the parameter or the field of the rig file.
    """
    values = {spec.name: node.get_parameter(spec.name).value for spec in SPECS}
    sensing = SensingConfig(
        **{item.name: values[f'sensing.{item.name}'] for item in dataclasses.fields(SensingConfig)}
    )
    return NodeConfig(
        autostart=values['autostart'],
        rig=load_rig(values['rig']),
        model_dir=model_folder(values['model']),
        backend=values['backend'],
        provider=values['provider'],
        precision=values['precision'],
        fallback_backend=values['fallback_backend'],
        threads=values['threads'],
        limits=InferenceLimits(values['inference.time_limit'], values['inference.hang_limit']),
        table_wait=values['inference.table_wait'],
        idle_without_subscribers=values['inference.idle_without_subscribers'],
        heartbeat_rate=values['heartbeat_rate'],
        diagnostics_rate=values['diagnostics_rate'],
        queue_depth=values['queue_depth'],
        sensing=sensing,
    )


def load_rig(path: str) -> RigConfig:
    """The rig file; '' is the package's own."""
    return load_config(RigConfig, Path(path) if path else resource_path(DEFAULT_RIG))


def model_folder(name: str) -> Path:
    """A folder as given, or the package's model of that name.

    Raises:
        ConfigError: if there is no such folder.
    """
    try:
        if name and Path(name).is_dir():
            return Path(name)
        return resource_path(f'models/{name}' if name else DEFAULT_MODEL)
    except (ConfigError, OSError, ValueError) as error:
        why = error.got if isinstance(error, ConfigError) else type(error).__name__
        raise ConfigError(
            'parameter model',
            'the folder of an exported model, or the name of one of this package',
            f'{name[:64]!r} ({why})',
            REMEDY,
        ) from error
