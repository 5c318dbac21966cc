"""The node's parameters from ROS parameter files and `name=value` settings, without ROS."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import yaml

from metabev_ros.config.node import REMEDY, NodeConfig
from metabev_ros.config.parameter import parameters_of
from metabev_ros.config.yaml import from_plain, load_yaml
from metabev_ros.errors import ConfigError, clean_text

_GROUPS = ('sensing.', 'inference.', 'tracking.')
_KEY = 'ros__parameters'


def read_node_config(
    path: Path | None, settings: Iterable[str], node: str
) -> tuple[NodeConfig, set[str]]:
    """The parameters that a node of this name would have, and the names of those given.

    Args:
        path: a ROS parameter file (`/**: ros__parameters: ...`); None for none.
        settings: 'name=value', as `ros2 run ... -p name:=value` has them; they win over the file.
        node: its sections of the file are read, and those of all nodes.

    Raises:
        ConfigError: the file is none, a name is unknown, a value does not fit.
    """
    given: dict[str, Any] = {}
    where = 'parameters'
    if path is not None:
        where = path.name
        given = {
            name: value for name, value in _of_file(path, node).items() if _is_known(name, where)
        }
    for text in settings:
        name, value = _setting(text)
        if _is_known(name, '--set', may_be_foreign=False):
            given[name] = value
    plain: dict[str, Any] = {}
    for name, value in given.items():
        group, _, field = name.rpartition('.')
        (plain.setdefault(group, {}) if group else plain)[field] = value
    return from_plain(NodeConfig, plain, where), set(given)


def _of_file(path: Path, node: str) -> dict[str, Any]:
    """Dotted name -> value, from the sections of all nodes and of this one."""
    mine = ('/**', '/*', '*', '**', node, f'/{node}', f'/**/{node}')
    values: dict[str, Any] = {}
    found = False
    for name, section in _mapping(load_yaml(path)).items():
        if name in mine and _KEY in _mapping(section):
            found = True
            values.update(_flat(_mapping(section[_KEY])))
    if not found:
        raise ConfigError(
            path.name, f'a section /** or {node} with {_KEY}', 'none', 'see perception.param.yaml'
        )
    return values


def _mapping(plain: object) -> dict[Any, Any]:
    return cast('dict[Any, Any]', plain) if isinstance(plain, dict) else {}


def _flat(group: dict[Any, Any], prefix: str = '') -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in group.items():
        name = f'{prefix}{key}'
        inner = _mapping(value)
        values.update(_flat(inner, f'{name}.') if inner else {name: value})
    return values


def _setting(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition('=')
    name = name.removesuffix(':').strip()
    try:
        if sign and name:
            return name, yaml.safe_load(value)
    except yaml.YAMLError:
        pass
    raise ConfigError(
        '--set', 'name=value, such as sensing.deadline=0.1', clean_text(repr(text)), REMEDY
    )


def _is_known(name: str, where: str, may_be_foreign: bool = True) -> bool:
    """Tell whether this is a parameter of the node.

    Args:
        may_be_foreign: names unlike any parameter (use_sim_time) are passed over.

    Raises:
        ConfigError: a misspelt name would silently keep the default.
    """
    known = [parameter.name for parameter in parameters_of(NodeConfig)]
    if name in known:
        return True
    similar = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    if may_be_foreign and not similar and not f'{name}.'.startswith(_GROUPS):
        return False
    hint = f'did you mean {similar[0]}?' if similar else 'they stand in docs/parameters.md'
    raise ConfigError(
        f'{where}: {clean_text(name)}', 'a parameter of the node', 'an unknown name', hint
    )
