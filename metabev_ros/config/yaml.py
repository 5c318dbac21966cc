"""Frozen dataclasses <-> YAML, with errors that name the field's path."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, cast

import yaml

from metabev_ros.errors import ConfigError

T = TypeVar('T')


class DataclassInstance(Protocol):
    """An instance of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


class _StrictLoader(yaml.SafeLoader):
    """A key given twice and an alias (nine lines make a bomb of them) are errors."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse an alias.

        Raises:
            yaml.YAMLError
        """
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError(f'an alias{self.peek_event().start_mark}')
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is given twice.

        Raises:
            yaml.YAMLError
        """
        keys: list[Any] = [self.construct_object(key, deep=True) for key, _ in node.value]
        for (key, _), value in zip(node.value, keys, strict=True):
            if keys.count(value) > 1:
                raise yaml.YAMLError(f'the key {value!r} twice{key.start_mark}')
        return super().construct_mapping(node, deep)


# Metadata of fields that came after the first models were shipped.
LATER = {'later': True}


def require(condition: bool, where: str, expected: str, got: object) -> None:
    """Stop with a ConfigError unless the condition holds.

    Raises:
        ConfigError
    """
    if not condition:
        raise ConfigError(where, expected, str(got), 'correct the configuration')


def to_plain(config: DataclassInstance) -> dict[str, Any]:
    """Plain dicts, lists, numbers and strings of a frozen dataclass.

    A field that is None by default and is None is left out, and so is one marked `LATER` with
    its default: configurations from before the field existed keep their hash.
    """
    values = {field: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {
        field.name: _plain(value)
        for field, value in values.items()
        if not ((field.default is None or _is_later(field)) and value == field.default)
    }


def _is_later(field: dataclasses.Field[Any]) -> bool:
    return dict(field.metadata) == LATER


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in cast('list[Any]', value)]
    return value


def from_plain(kind: type[T], plain: Any, where: str) -> T:
    """Build dataclass `kind` from plain data; unknown or missing keys and wrong types stop.

    Raises:
        ConfigError: naming the field's path.
    """
    require(isinstance(plain, dict), where, f'a mapping for {kind.__name__}', type(plain).__name__)
    fields = {f.name: f for f in dataclasses.fields(cast('type[DataclassInstance]', kind))}
    unknown = sorted(set(plain) - set(fields), key=str)
    require(not unknown, where, f'only the keys {sorted(fields)}', f'unknown {unknown}')
    missing = [name for name, field in fields.items() if _is_required(field) and name not in plain]
    require(not missing, where, f'every required key of {kind.__name__}', f'none of {missing}')
    hints = typing.get_type_hints(kind)
    return kind(
        **{name: _convert(hints[name], value, f'{where}.{name}') for name, value in plain.items()}
    )


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin: Any = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(
            next(a for a in typing.get_args(hint) if a is not type(None)), value, where
        )
    if value is None:
        empty = ", or write '' for none" if hint is str else ''
        raise ConfigError(where, 'a value', 'nothing (null)', f'leave the key out{empty}')
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_plain(hint, value, where)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        allowed: list[Any] = [member.value for member in hint]
        require(value in allowed, where, f'one of {allowed}', value)
        return hint(value)
    if origin is tuple:
        require(isinstance(value, (list, tuple)), where, 'a list', type(value).__name__)
        item = typing.get_args(hint)[0]
        return tuple(_convert(item, v, f'{where}[{i}]') for i, v in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = cast(type, origin or hint)
    require(
        isinstance(value, expected) and not (expected is int and isinstance(value, bool)),
        where,
        expected.__name__,
        repr(value),
    )
    return value


def load_yaml(path: Path | str) -> Any:
    """The plain data of a YAML file; keys given twice and aliases are errors.

    Raises:
        ConfigError: if the file is missing or no YAML.
    """
    path = Path(path)
    try:
        return yaml.load(path.read_text(encoding='utf-8'), _StrictLoader)  # a SafeLoader
    except OSError as error:
        raise ConfigError(
            str(path), 'a readable YAML file', str(error.strerror), 'check the path'
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise ConfigError(str(path), 'valid YAML', str(error).replace('\n', ' ')) from error


def load_config(kind: type[T], path: Path | str) -> T:
    """Read a YAML file into the frozen dataclass `kind`.

    Raises:
        ConfigError: if the file is missing, no YAML, or does not fit.
    """
    return from_plain(kind, load_yaml(path), Path(path).name)


def save_config(config: DataclassInstance, path: Path | str) -> None:
    """Write a frozen dataclass as YAML."""
    Path(path).write_text(yaml.safe_dump(to_plain(config), sort_keys=False), encoding='utf-8')
