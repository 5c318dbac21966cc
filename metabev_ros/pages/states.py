"""The state of the node at a moment, as plain data for the scripts of a page."""

from __future__ import annotations

import math
from typing import Any

from metabev_ros.drawing import MODALITY_COLOURS, STATE_COLOURS
from metabev_ros.pages.messages import Status
from metabev_ros.pages.parts import css


def plain_status(status: Status, label: Status | None = None) -> dict[str, Any]:
    """A status as JSON takes it: ages and latencies in ms, None where they are not known.

    Args:
        label: of the newest output, which says what is in it; a heartbeat does not. None: the
            status is a label itself.
    """
    used = {sensor.name for sensor in (label or status).sensors if sensor.used}
    return {
        'modality': status.modality.name,
        'colour': css(MODALITY_COLOURS[status.modality]),
        'latency': None if status.is_heartbeat else _number(1e3 * status.latency_s),
        'stages': {name: _number(1e3 * value) for name, value in status.stages.items()},
        'sensors': [
            {
                'name': sensor.name,
                'state': sensor.state.name,
                'colour': css(STATE_COLOURS[sensor.state]),
                'used': sensor.name in used,
                'age': None if sensor.age_ns is None else _number(sensor.age_ns / 1e6),
                'rate': _number(sensor.rate_hz),
                'reason': sensor.reason,
            }
            for sensor in status.sensors
        ],
    }


def _number(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None
