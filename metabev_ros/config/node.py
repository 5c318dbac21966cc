"""The parameters of the perception node."""

from __future__ import annotations

from dataclasses import dataclass, field

from metabev_ros.config.outputs import (
    DetectionsConfig,
    MarkersConfig,
    OutputsConfig,
    OutputSettings,
)
from metabev_ros.config.parameter import check_ranges, parameter, parameters_of
from metabev_ros.config.sensing import SensingConfig
from metabev_ros.config.tracking import TrackingConfig
from metabev_ros.errors import ConfigError
from metabev_ros.resources import DEFAULT_MODEL, DEFAULT_RIG

REMEDY = 'correct the parameter file or the command line'


@dataclass(frozen=True)
class InferenceConfig:
    """Time limits of one sample, and switches of the inference."""

    time_limit: float = parameter(
        1.0,
        'a result that takes longer is dropped, and the status says NONE and why',
        's',
        (0.01, 60),
    )
    hang_limit: float = parameter(
        10.0, 'without a result for this long the process ends with exit code 3', 's', (0.1, 600)
    )
    table_wait: float = parameter(
        0.2,
        'a sample waits this long for the tables of a new camera calibration; then its LiDAR '
        'branch runs alone',
        's',
        (0.001, 60),
    )
    idle_without_subscribers: bool = parameter(
        False, 'no inference while nobody subscribes to an output; the status goes on'
    )

    def __post_init__(self) -> None:
        check_ranges(self, 'parameter inference.')
        if self.time_limit >= self.hang_limit:
            raise ConfigError(
                'parameter inference.time_limit',
                'less than inference.hang_limit',
                f'{self.time_limit:g} and {self.hang_limit:g}',
                REMEDY,
            )


@dataclass(frozen=True)
class NodeConfig:
    """Every parameter; those of a nested group have its name before theirs."""

    autostart: bool = parameter(
        True, 'configure and activate at start-up; false: a lifecycle manager does it'
    )
    rig: str = parameter('', f'rig YAML file; empty: {DEFAULT_RIG} of this package')
    model: str = parameter(
        '', f'model folder, or the name of a model of this package; empty: {DEFAULT_MODEL}'
    )
    backend: str = parameter('onnxruntime', 'inference runtime')
    provider: str = parameter(
        'cpu',
        'what onnxruntime computes with: cpu, cuda, tensorrt or openvino; the start is refused '
        'if it cannot',
    )
    precision: str = parameter('fp32', 'of the exported graphs: fp32, fp16 or int8')
    fallback_backend: str = parameter(
        '',
        'runtime to load when the first one keeps failing; empty: none, it is tried again and '
        'again',
    )
    threads: int = parameter(2, 'inference threads', within=(1, 64))
    heartbeat_rate: float = parameter(
        10.0, 'PerceptionStatus heartbeats', 'Hz', (5, 50), is_live=True
    )
    diagnostics_rate: float = parameter(5.0, '/diagnostics messages', 'Hz', (1, 10))
    queue_depth: int = parameter(
        5, 'waiting messages of a sensor before the oldest is dropped', within=(1, 50)
    )
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    sensing: SensingConfig = field(default_factory=SensingConfig)
    outputs: OutputsConfig = field(default_factory=OutputsConfig)
    detections: DetectionsConfig = field(default_factory=DetectionsConfig)
    markers: MarkersConfig = field(default_factory=MarkersConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        check_ranges(self, 'parameter ')

    @property
    def settings(self) -> OutputSettings:
        """The part of the outputs that may change while the node runs."""
        return OutputSettings(self.detections, self.markers)


def parameter_groups() -> tuple[str, ...]:
    """The beginnings of the names of grouped parameters: 'sensing.' and so on."""
    groups = (parameter.name.rpartition('.')[0] for parameter in parameters_of(NodeConfig))
    return tuple(f'{name}.' for name in dict.fromkeys(groups) if name)
