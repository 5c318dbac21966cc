"""The label of an output, the heartbeat and the diagnostics, as CDR bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metabev_ros.errors import clean_text
from metabev_ros.structures import Modality, ModelInfo, SensorKind, SensorReport, SensorState
from metabev_ros.wire.cdr import PACKAGE, header, message_class
from metabev_ros.wire.outputs import (
    DIAGNOSTICS,
    HASH_DIGITS,
    OUTPUT_TYPES,
    STATUS,
    OutMessage,
    out_message,
    to_seconds,
)

INJECTION_ACTIVE = 'INJECTION ACTIVE'  # begins the reason of a status while faults are injected
MOST_SETTINGS = 2048  # characters: a hundred score rules
_OK, _WARN, _ERROR = 0, 1, 2
_WARN_STATES = (SensorState.LATE, SensorState.MISSING, SensorState.SUSPECT, SensorState.RECOVERING)


@dataclass(frozen=True)
class Counters:
    """Totals since the start, as in PerceptionStatus.msg."""

    outputs: int = 0
    dropped_samples: int = 0
    rejected_messages: int = 0
    failed_samples: int = 0


@dataclass(frozen=True)
class StatusReport:
    """Content of one PerceptionStatus.

    Attributes:
        stamp_ns: reference stamp of the output, or now for a heartbeat.
        latency_s: stage name -> seconds; empty in a heartbeat.
        latency: seconds from the reference stamp to publication.
        fault: why nothing can be looked at although sensors may be well.
        injection: what injects faults into the inputs; '' when nothing does.
        settings: run-time parameters that are not as shipped.
    """

    stamp_ns: int
    modality: Modality
    sensors: tuple[SensorReport, ...]
    counters: Counters = Counters()
    epoch: int = 0
    is_heartbeat: bool = False
    latency_s: Mapping[str, float] = field(default_factory=dict[str, float])
    latency: float = 0.0
    fault: str = ''
    injection: str = ''
    settings: str = ''

    @property
    def reason(self) -> str:
        """Reason for the modality: sensors that are not well; until the first output, that too."""
        bad = [f'{r.name} {r.state.name}' for r in self.sensors if r.state is not SensorState.OK]
        if self.fault:
            bad = [self.fault, *bad]
        elif self.is_heartbeat and not self.counters.outputs:
            bad = ['STARTING: no output yet', *bad]
        text = clean_text(', '.join(bad), 256) if bad else 'all sensors are well'
        if self.injection:
            text = f'{INJECTION_ACTIVE} ({clean_text(self.injection)}): {text}'
        return text

    @property
    def is_degraded(self) -> bool:
        """Tell whether anything is not as it should be."""
        return bool(self.injection) or any(
            report.state is not SensorState.OK for report in self.sensors
        )


def encode_status(report: StatusReport, model: ModelInfo, frame: str) -> OutMessage:
    """PerceptionStatus: the label of an output (sent before it) or a heartbeat."""
    return out_message(
        STATUS,
        message_class(OUTPUT_TYPES[STATUS])(
            header=header(report.stamp_ns, frame),
            is_heartbeat=report.is_heartbeat,
            modality=int(report.modality),
            reason=report.reason,
            sensors=[_sensor_status(sensor, report.is_heartbeat) for sensor in report.sensors],
            stages=list(report.latency_s),
            stage_latencies=np.array(list(report.latency_s.values()), np.float32),
            latency=report.latency,
            model_name=model.name,
            model_hash=model.hash[:HASH_DIGITS],
            backend=model.backend,
            device=model.device,
            precision=model.precision,
            provider=model.provider,
            gpu_memory=model.gpu_memory,
            settings=clean_text(report.settings, MOST_SETTINGS),
            epoch=report.epoch,
            outputs=report.counters.outputs,
            dropped_samples=report.counters.dropped_samples,
            rejected_messages=report.counters.rejected_messages,
            failed_samples=report.counters.failed_samples,
        ),
    )


def _sensor_status(sensor: SensorReport, is_heartbeat: bool) -> Any:
    return message_class(f'{PACKAGE}/msg/SensorStatus')(
        name=sensor.name,
        kind=1 if sensor.kind is SensorKind.CAMERA else 2,
        state=int(sensor.state),
        used=sensor.used and not is_heartbeat,
        age=to_seconds(sensor.age_ns),
        rate=sensor.rate_hz,
        reason=clean_text(sensor.reason),
        received=sensor.received,
        rejected=sensor.rejected,
    )


def encode_diagnostics(report: StatusReport, model: ModelInfo, node_name: str) -> OutMessage:
    """DiagnosticArray: one status for the node and one per sensor."""
    items = [
        _diagnostic(
            _node_level(report),
            node_name,
            report.reason,
            model.name,
            {
                'modality': report.modality.name,
                'outputs': report.counters.outputs,
                'dropped samples': report.counters.dropped_samples,
                'rejected messages': report.counters.rejected_messages,
                'failed samples': report.counters.failed_samples,
                'epoch': report.epoch,
                'model hash': model.hash[:HASH_DIGITS],
                'backend': model.backend,
            },
        )
    ]
    for sensor in report.sensors:
        text = sensor.state.name + (f': {clean_text(sensor.reason)}' if sensor.reason else '')
        items.append(
            _diagnostic(
                sensor_level(sensor.state),
                f'{node_name}: {sensor.name}',
                text,
                sensor.name,
                {
                    'age (s)': f'{to_seconds(sensor.age_ns):.3f}',
                    'rate (Hz)': f'{sensor.rate_hz:.2f}',
                    'used': sensor.used,
                    'received': sensor.received,
                    'rejected': sensor.rejected,
                },
            )
        )
    return out_message(
        DIAGNOSTICS,
        message_class(OUTPUT_TYPES[DIAGNOSTICS])(header=header(report.stamp_ns, ''), status=items),
    )


def sensor_level(state: SensorState) -> int:
    """The diagnostic level (OK 0, WARN 1, ERROR 2) of a sensor's state."""
    if state is SensorState.OK:
        return _OK
    return _WARN if state in _WARN_STATES else _ERROR


def _node_level(report: StatusReport) -> int:
    if report.modality is Modality.NONE:
        return _ERROR
    return _WARN if report.is_degraded else _OK


def _diagnostic(
    level: int, name: str, text: str, hardware: str, values: Mapping[str, object]
) -> Any:
    pair = message_class('diagnostic_msgs/msg/KeyValue')
    return message_class('diagnostic_msgs/msg/DiagnosticStatus')(
        level=level,
        name=name,
        message=text,
        hardware_id=hardware,
        values=[pair(key=key, value=str(value)) for key, value in values.items()],
    )
