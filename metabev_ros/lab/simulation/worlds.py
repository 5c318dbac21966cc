"""The worlds that a rig can be driven through."""

from __future__ import annotations

import enum
from pathlib import Path

from metabev_ros.errors import ConfigError


class World(enum.Enum):
    """A kind of world."""

    BOXES = 'boxes'  # a flat city of solids: what the shipped weights were trained on
    STREETS = 'streets'  # meshes with relief, ray-cast


DEFAULT_WORLD = World.BOXES


def find_world(name: str | None, traffic: Path | None = None) -> World:
    """A world by its name; recorded traffic is in streets.

    Raises:
        ConfigError: for no such world, and for recorded traffic in another one.
    """
    if name is None:
        return DEFAULT_WORLD if traffic is None else World.STREETS
    known = [world.value for world in World]
    if name not in known:
        raise ConfigError('world', f'one of {", ".join(known)}', repr(name), 'check the name')
    if traffic is not None and name != World.STREETS.value:
        raise ConfigError('world', 'streets, where there is recorded traffic', repr(name))
    return World(name)
