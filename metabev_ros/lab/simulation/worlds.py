"""The worlds that a rig can be driven through."""

from __future__ import annotations

import enum
from pathlib import Path

from metabev_ros.errors import ConfigError, assert_never


class World(enum.Enum):
    """A kind of world."""

    BOXES = 'boxes'  # a flat city of solids
    STREETS = 'streets'  # meshes with relief, ray-cast

    @property
    def model(self) -> str:
        """Name of the package's model that was trained on this world."""
        match self:
            case World.BOXES:
                return 'metabev_nano'
            case World.STREETS:
                return 'metabev_nano_streets'
            case _:
                assert_never(self)


DEFAULT_WORLD = World.STREETS
STREETS_NAME = 'simulated streets'  # in the names of what is rendered there


def find_world(name: str | None, traffic: Path | None = None) -> World:
    """A world by its name; recorded traffic is in streets.

    Raises:
        ConfigError: for no such world, and for recorded traffic in another one.
    """
    if name is None:
        return DEFAULT_WORLD
    known = [world.value for world in World]
    if name not in known:
        raise ConfigError('world', f'one of {", ".join(known)}', repr(name), 'check the name')
    if traffic is not None and name != World.STREETS.value:
        raise ConfigError('world', 'streets, where there is recorded traffic', repr(name))
    return World(name)
