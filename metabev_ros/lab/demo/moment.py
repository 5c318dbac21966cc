"""One instant of the drive as the node's own front end makes a sample of it, without faults."""

from __future__ import annotations

from pathlib import Path

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.errors import SensorDataError
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Sample

LEAD_NS, TAIL_NS = 1_500_000_000, 500_000_000


def sample_at(
    bag: Path, pipeline: Pipeline, rig: RigConfig, sensing: SensingConfig, stamp_ns: int
) -> Sample:
    """The sample whose stamp is nearest, from the messages around it.

    Raises:
        SensorDataError: if the bag gives no sample around that stamp.
    """
    front_end = pipeline.front_end(rig, sensing)
    found: list[Sample] = []
    for message in BagReader(bag):
        if message.log_time_ns > stamp_ns + TAIL_NS:
            break
        if message.log_time_ns < stamp_ns - LEAD_NS and not wire.is_latched(message.topic):
            continue
        # The past of what is latched is none of the clock that the sensors' messages have.
        arrival_ns = max(message.log_time_ns, stamp_ns - LEAD_NS)
        content = wire.deserialize(message.cdr, message.msgtype)
        found += front_end.push(message.topic, content, arrival_ns)
    if not found:
        raise SensorDataError('bag', str(bag), 'a sample', f'none around {stamp_ns}')
    return min(found, key=lambda sample: abs(sample.stamp_ns - stamp_ns))
