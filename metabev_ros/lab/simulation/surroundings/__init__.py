"""Everything that stands still beside the road and is none of the ten classes."""

from metabev_ros.lab.simulation.surroundings.place import build_surroundings

__all__ = ['build_surroundings']
