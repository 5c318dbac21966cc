"""A parameter as a dataclass field: default, range, unit and meaning, written down once.

The range check, the ROS declaration, `config/perception.param.yaml` and `docs/parameters.md` are
all made from the field.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from metabev_ros.config.yaml import require

_KEY = 'parameter'
_KINDS = {
    bool: 'true or false',
    int: 'an integer',
    float: 'a number (write 1.0, not 1)',
    str: 'text',
}
Value = TypeVar('Value', bool, int, float, str)


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        default: its value where nobody gives one.
        text: its meaning, in words.
        unit: SI symbol; '' without one.
        within: lowest and highest value; None for text and booleans.
        name: dotted for a field of a nested dataclass.
        choices: the texts that it may be; empty: any.
        is_live: it may be changed while the node runs.
    """

    default: bool | int | float | str
    text: str
    unit: str = ''
    within: tuple[float, float] | None = None
    name: str = ''
    choices: tuple[str, ...] = ()
    is_live: bool = False

    @property
    def range(self) -> str:
        """The range as text, '' without one."""
        return '' if self.within is None else f'{self.within[0]:g}..{self.within[1]:g}'

    @property
    def expected(self) -> str:
        """The type and the range in words."""
        if self.choices:
            return f'one of {", ".join(self.choices)}'
        kind = _KINDS[type(self.default)]
        return f'{kind} in {self.range}' if self.range else kind


def parameter(
    default: Value,
    text: str,
    unit: str = '',
    within: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    is_live: bool = False,
) -> Value:
    """Declare a field of a dataclass as a parameter; the arguments are those of `Parameter`.

    The annotated type is the default's: a type checker sees a field with this default.
    """
    declared = Parameter(default, text, unit, within, choices=choices, is_live=is_live)
    return field(default=default, metadata={_KEY: declared})


def parameters_of(kind: type, prefix: str = '') -> Iterator[Parameter]:
    """Yield the parameters of a dataclass and of the dataclasses in it, in their order."""
    hints = typing.get_type_hints(kind)
    for item in dataclasses.fields(kind):
        if _KEY in item.metadata:
            yield dataclasses.replace(item.metadata[_KEY], name=f'{prefix}{item.name}')
        elif dataclasses.is_dataclass(hints[item.name]):
            yield from parameters_of(hints[item.name], f'{prefix}{item.name}.')


def check_ranges(config: Any, prefix: str) -> None:
    """Refuse a value that is out of its range or choices; not a number is out of every range.

    Args:
        prefix: stands before a field's name in the error.

    Raises:
        ConfigError: naming the first such field.
    """
    for item in dataclasses.fields(config):
        declared = item.metadata.get(_KEY)
        if declared is None:
            continue
        value, where = getattr(config, item.name), f'{prefix}{item.name}'
        if declared.within is not None:
            low, high = declared.within
            require(low <= value <= high, where, declared.range, value)
        if declared.choices:
            require(value in declared.choices, where, declared.expected, repr(value))


def changed_parameters(config: Any) -> str:
    """'name=value; ...' of the parameters that may change at run time and are not as shipped."""
    changed: list[str] = []
    for parameter in parameters_of(cast('type[Any]', type(config))):
        value = config
        for part in parameter.name.split('.'):
            value = getattr(value, part)
        if parameter.is_live and value != parameter.default:
            changed.append(f'{parameter.name}={value}')
    return '; '.join(changed)
