"""Measured errors of a model's boxes, per branch and class: of these, outputs have covariances.

They lie in contract.json beside the score calibration, and like it they mean something for one
set of weights only. `metabev calibrate` measures them on drives that no training saw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from metabev_ros.class_errors import ClassErrors
from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.structures import Modality

FORMAT = 1
REMEDY = 'run `metabev calibrate` for this model'
BRANCHES = (Modality.FUSED, Modality.CAMERA, Modality.LIDAR)
_WHERE = 'measured_errors'
_FIELDS = {field.name for field in dataclasses.fields(ClassErrors)}


@dataclass(frozen=True)
class MeasuredErrors:
    """The errors of one set of weights.

    Attributes:
        weights_sha256: of the weights that they were measured with.
        measured_on: the samples, in words.
        branches: branch -> class -> errors; a class with too few true boxes is missing.
    """

    weights_sha256: str
    measured_on: str
    branches: Mapping[Modality, Mapping[str, ClassErrors]]

    def to_plain(self) -> dict[str, Any]:
        """For contract.json."""
        return {
            'format': FORMAT,
            'weights_sha256': self.weights_sha256,
            'measured_on': self.measured_on,
            'branches': {
                modality.name: {
                    name: dataclasses.asdict(errors)
                    for name, errors in self.branches[modality].items()
                }
                for modality in BRANCHES
                if modality in self.branches
            },
        }

    @classmethod
    def from_plain(cls, plain: object, detection_classes: tuple[str, ...]) -> MeasuredErrors:
        """The inverse of `to_plain`.

        Args:
            detection_classes: of the model; others are refused.

        Raises:
            ConfigError: for another format, or what is missing, too much or no number.
        """
        content = _table(plain, _WHERE)
        _require_keys(content, _WHERE, {'format', 'weights_sha256', 'measured_on', 'branches'})
        if content['format'] != FORMAT:
            raise _refusal(f'{_WHERE}: format', str(FORMAT), content['format'])
        for key in ('weights_sha256', 'measured_on'):
            if not isinstance(content[key], str):
                raise _refusal(f'{_WHERE}: {key}', 'a text', content[key])
        branches: dict[Modality, dict[str, ClassErrors]] = {}
        for branch, classes in _table(content['branches'], _WHERE).items():
            if branch not in {modality.name for modality in BRANCHES}:
                raise _refusal(f'{_WHERE}: branches', 'names of branches', branch)
            where = f'{_WHERE}: {branch}'
            branches[Modality[branch]] = {
                name: _class_errors(errors, f'{where}: {name}')
                for name, errors in _table(classes, where).items()
            }
            unknown = sorted(set(branches[Modality[branch]]) - set(detection_classes))
            if unknown:
                raise _refusal(where, f'some of {list(detection_classes)}', unknown)
        return cls(content['weights_sha256'], content['measured_on'], branches)


def _class_errors(plain: object, where: str) -> ClassErrors:
    content = _table(plain, where)
    _require_keys(content, where, _FIELDS)
    boxes, velocity = content.pop('boxes'), content.pop('velocity')
    numbers = [*content.values(), *([] if velocity is None else [velocity])]
    if not _is_number(boxes, int) or not all(_is_number(n, int, float) for n in numbers):
        raise _refusal(where, 'a number of boxes and errors', plain)
    return ClassErrors(boxes, velocity=velocity, **content)


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _table(plain: object, where: str) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise _refusal(where, 'an object', plain)
    return dict(cast('dict[str, Any]', plain))


def _require_keys(content: dict[str, Any], where: str, keys: set[str]) -> None:
    if set(content) != keys:
        raise _refusal(where, f'an object of {sorted(keys)}', content)


def _refusal(where: str, expected: str, got: object) -> ConfigError:
    return ConfigError(clean_text(where), expected, clean_text(repr(got), 120), REMEDY)
