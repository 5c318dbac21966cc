"""Jobs that other processes find by name, for tests of how work is spread."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from metabev_ros.errors import ConfigError


def squared(number: int) -> int:
    return number * number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_once(folder: str) -> str:
    """Die the first time; a file remembers it."""
    mark = Path(folder) / 'died'
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 'alive'


def die_if_three(number: int) -> int:
    return die(number) if number == 3 else number


def refuse_odd(number: int) -> int:
    if number % 2:
        raise ConfigError('job', 'an even number', str(number), 'count again')
    return number


def node_of(number: int) -> str:
    """The Ray node that it ran on; long enough that one node cannot do it all."""
    import ray

    time.sleep(1.0)
    return ray.get_runtime_context().get_node_id()
