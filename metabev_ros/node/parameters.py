"""The node's parameters in ROS: declared with description and range, then read and checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from metabev_ros import resources
from metabev_ros.backends import BackendKind
from metabev_ros.config import (
    NodeConfig,
    Parameter,
    RigConfig,
    from_plain,
    load_config,
    parameter_groups,
    parameters_of,
)
from metabev_ros.config.node import REMEDY
from metabev_ros.errors import ConfigError, MetaBevError, clean_text
from metabev_ros.resources import DEFAULT_RIG, resource_path

PARAMETERS = tuple(parameters_of(NodeConfig))


def descriptor(parameter: Parameter) -> ParameterDescriptor:
    """The ROS description of a parameter."""
    unit = f' [{parameter.unit}]' if parameter.unit else ''
    described = ParameterDescriptor(
        name=parameter.name,
        description=f'{parameter.text}{unit}',
        read_only=not parameter.is_live,
        additional_constraints=parameter.expected,
    )
    if parameter.within is None:
        return described
    low, high = parameter.within
    if isinstance(parameter.default, float):
        described.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high))
        ]
    else:
        described.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return described


def declare_parameters(node: Node) -> None:
    """Declare every parameter; values come from the command line or parameter files.

    Raises:
        ConfigError: naming every wrong type, value out of range and misspelt name.
    """
    errors = _wrong_names(node)
    for parameter in PARAMETERS:
        try:
            node.declare_parameter(parameter.name, parameter.default, descriptor(parameter))
        except (
            InvalidParameterTypeException,
            InvalidParameterValueException,
            InvalidParameterException,
        ) as error:
            given = _overrides(node).get(parameter.name)
            got = repr(given.value) if given is not None else str(error)
            errors.append(
                ConfigError(f'parameter {parameter.name}', parameter.expected, got, REMEDY)
            )
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ConfigError(
            'parameters',
            'values that fit',
            f'{len(errors)} that do not',
            ' | '.join(str(e) for e in errors),
        )


LIVE = frozenset(parameter.name for parameter in PARAMETERS if parameter.is_live)


def changed_config(node: Node, parameters: list[RosParameter]) -> NodeConfig:
    """The configuration with these values in the place of the declared ones, checked as a whole.

    Also what rclpy itself declares stays: `use_sim_time` would take the node's clock away, and
    with it every output. A parameter that is being declared, as the QoS of a new subscription is,
    comes through here too, and changes nothing.

    Raises:
        ConfigError: naming what is read-only, or does not fit.
    """
    known = [p for p in parameters if node.has_parameter(cast(str, p.name))]
    changes = {cast(str, p.name): cast(Any, p.value) for p in known}
    fixed = sorted(changes.keys() - LIVE)
    if fixed:
        raise ConfigError(
            f'parameter {clean_text(", ".join(fixed[:5]))}',
            'no change: read-only while the node runs',
            'a new value',
            'set it at the start of the process',
        )
    return read_parameters(node, changes)


def check_qos_overrides(node: Node) -> None:
    """Every QoS that was given belongs to a topic of the node; a misspelt one would do nothing.

    Raises:
        ConfigError: naming the parameter.
    """
    for name in sorted(_overrides(node)):
        if name.startswith('qos_overrides.') and not node.has_parameter(name):
            raise ConfigError(
                f'parameter {clean_text(name, 200)}',
                'qos_overrides./full/topic.subscription (or publisher).reliability, durability '
                'or depth of a topic of this node',
                'a name that belongs to none',
                '`ros2 topic list` has the full names',
            )


def _overrides(node: Node) -> dict[str, Any]:
    """rclpy parameters by name, from the command line and from parameter files."""
    return cast('dict[str, Any]', node._parameter_overrides)  # pyright: ignore[reportPrivateUsage]


def _wrong_names(node: Node) -> list[ConfigError]:
    """Errors of names that are not declared: a misspelt one would silently keep the default."""
    known = [parameter.name for parameter in PARAMETERS]
    errors: list[ConfigError] = []
    for name in sorted(_overrides(node)):
        if name in known:
            continue
        similar = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        if name.startswith(parameter_groups()) or similar:
            hint = f'did you mean {similar[0]}?' if similar else f'known: {", ".join(known)}'
            errors.append(
                ConfigError(
                    f'parameter {name}', 'a parameter of this node', 'an unknown name', hint
                )
            )
    return errors


def read_parameters(node: Node, changes: Mapping[str, Any] | None = None) -> NodeConfig:
    """The declared values, checked against each other.

    Args:
        changes: name -> value of those that are about to change.

    Raises:
        ConfigError: naming the parameter.
    """
    plain: dict[str, Any] = {}
    given = changes or {}
    for parameter in PARAMETERS:
        group, _, name = parameter.name.rpartition('.')
        values: dict[str, Any] = plain.setdefault(group, {}) if group else plain
        declared = cast(Any, node.get_parameter(parameter.name).value)
        values[name] = given.get(parameter.name, declared)
    config = from_plain(NodeConfig, plain, 'parameters')
    runtimes = [kind.value for kind in BackendKind]
    if config.fallback_backend and config.fallback_backend not in runtimes:
        # It would be found out only when the first backend has failed.
        raise ConfigError(
            'parameter fallback_backend',
            f"'' or one of {runtimes}",
            repr(clean_text(config.fallback_backend)),
            REMEDY,
        )
    return config


def load_rig(path: str) -> RigConfig:
    """The rig file; '' is the package's own.

    Raises:
        ConfigError: naming the field of the rig file.
    """
    file = Path(path) if path else resource_path(DEFAULT_RIG)
    try:
        return load_config(RigConfig, file)
    except MetaBevError:
        raise
    except Exception as error:  # a value that no check foresaw
        raise ConfigError(
            f'rig {clean_text(file, 200)}',
            'the sensors of a vehicle',
            f'{type(error).__name__}: {clean_text(error, 200)}',
            'correct the rig file',
        ) from error


def model_folder(name: str) -> Path:
    """A folder as given, or the package's model of that name.

    Raises:
        ConfigError: if there is no such folder.
    """
    try:
        return resources.model_folder(name)
    except ConfigError as error:
        why = error.remedy or error.got
        raise ConfigError(
            'parameter model',
            'the folder of an exported model, or the name of one of this package',
            f'{name[:64]!r} ({why})',
            REMEDY,
        ) from error
