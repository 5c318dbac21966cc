"""Health of one sensor: machines that each hold one kind of facts, and the state they make."""

from metabev_ros.sensing.health.monitor import SensorMonitor
from metabev_ros.sensing.health.stamps import to_ns

__all__ = ['SensorMonitor', 'to_ns']
