"""Calibration of scores: what the network says -> how often it is right, per branch and class.

Platt 1999: a line in logit space, calibrated logit = scale * logit + bias, with a positive scale.
Such a map changes scores and never the order of the boxes of a class, their places or classes.
`lab/evaluation/score_fitting.py` fits the lines; docs/evaluation.md says what they give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.structures import Modality

FORMAT = 1
METHOD = 'platt'
MIN_SCALE, MAX_SCALE, MAX_BIAS = 0.05, 20.0, 20.0
MAX_LOGIT = 16.0  # of a probability that is 0 or 1 in float32, where a logit is made of it
REMEDY = 'run `metabev calibrate` for this model'
BRANCHES = (Modality.FUSED, Modality.CAMERA, Modality.LIDAR)


@dataclass(frozen=True)
class ScoreLine:
    """Calibrated logit = scale * logit + bias."""

    scale: float = 1.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        fits = MIN_SCALE <= self.scale <= MAX_SCALE and abs(self.bias) <= MAX_BIAS
        if not fits:  # also for NaN
            raise ConfigError(
                'score calibration',
                f'a scale in {MIN_SCALE:g}..{MAX_SCALE:g}, a bias in +-{MAX_BIAS:g}',
                f'{self.scale}, {self.bias}',
                REMEDY,
            )


@dataclass(frozen=True)
class BranchCalibration:
    """Lines of one branch, in the order of the model's classes and map layers."""

    detection: tuple[ScoreLine, ...]
    map: tuple[ScoreLine, ...]


@dataclass(frozen=True)
class ScoreCalibration:
    """The calibration of one set of weights.

    Attributes:
        weights_sha256: of the weights that it was fitted to: it means nothing for others.
        fitted_on: the samples, in words.
        detection_classes, map_classes: of the model.
        branches: those that were fitted; the scores of the others stay as they are.
    """

    weights_sha256: str
    fitted_on: str
    detection_classes: tuple[str, ...]
    map_classes: tuple[str, ...]
    branches: Mapping[Modality, BranchCalibration]

    def __post_init__(self) -> None:
        if not self.branches or any(m not in BRANCHES for m in self.branches):
            raise ConfigError(
                'score calibration: branches',
                f'some of {[m.name for m in BRANCHES]}',
                str([Modality(m).name for m in self.branches]),
                REMEDY,
            )
        for modality, branch in self.branches.items():
            counts = (len(branch.detection), len(branch.map))
            if counts != (len(self.detection_classes), len(self.map_classes)):
                raise ConfigError(
                    f'score calibration: {modality.name}',
                    'a line for every class and map layer',
                    str(counts),
                    REMEDY,
                )

    def to_plain(self) -> dict[str, Any]:
        """For contract.json."""

        def lines(names: Sequence[str], of: Sequence[ScoreLine]) -> dict[str, list[float]]:
            return {n: [line.scale, line.bias] for n, line in zip(names, of, strict=True)}

        return {
            'format': FORMAT,
            'method': METHOD,
            'weights_sha256': self.weights_sha256,
            'fitted_on': self.fitted_on,
            'branches': {
                modality.name: {
                    'detection': lines(self.detection_classes, self.branches[modality].detection),
                    'map': lines(self.map_classes, self.branches[modality].map),
                }
                for modality in BRANCHES
                if modality in self.branches
            },
        }

    @classmethod
    def from_plain(
        cls, plain: object, detection_classes: tuple[str, ...], map_classes: tuple[str, ...]
    ) -> ScoreCalibration:
        """The inverse of `to_plain`.

        Args:
            detection_classes, map_classes: that the lines have to be for.

        Raises:
            ConfigError: for another format, or what is missing, too much or no number.
        """
        keys = {'format', 'method', 'weights_sha256', 'fitted_on', 'branches'}
        content = _object(plain, 'score_calibration', keys)
        if (content['format'], content['method']) != (FORMAT, METHOD):
            raise ConfigError(
                'score_calibration: format, method',
                f'{FORMAT}, {METHOD}',
                f'{content["format"]}, {content["method"]}'[:80],
                REMEDY,
            )
        for key in ('weights_sha256', 'fitted_on'):
            if not isinstance(content[key], str):
                raise ConfigError(f'score_calibration: {key}', 'a text', repr(content[key])[:80])
        names = {modality.name for modality in BRANCHES}
        given: object = content['branches']
        table = cast('dict[str, object]', given if isinstance(given, dict) else {'': given})
        if not set(table) <= names:
            raise ConfigError(
                'score_calibration: branches', f'some of {sorted(names)}', repr(table)[:80], REMEDY
            )
        branches: dict[Modality, BranchCalibration] = {}
        for name, branch in table.items():
            where = f'score_calibration: {name}'
            both = _object(branch, where, {'detection', 'map'})
            branches[Modality[name]] = BranchCalibration(
                _lines(both['detection'], where, detection_classes),
                _lines(both['map'], where, map_classes),
            )
        return cls(
            content['weights_sha256'],
            content['fitted_on'],
            detection_classes,
            map_classes,
            branches,
        )


def _object(plain: object, where: str, keys: set[str]) -> dict[str, Any]:
    """A JSON object with exactly these keys.

    Raises:
        ConfigError
    """
    table = cast('dict[str, Any]', plain if isinstance(plain, dict) else {'': plain})
    if set(table) != keys:
        raise ConfigError(where, f'an object of {sorted(keys)}', repr(table)[:120], REMEDY)
    return table


def _lines(plain: object, where: str, names: tuple[str, ...]) -> tuple[ScoreLine, ...]:
    content = _object(plain, where, set(names))
    lines: list[ScoreLine] = []
    for name in names:
        given: object = content[name]
        values = cast('list[object]', given) if isinstance(given, list) else []
        numbers = [
            float(v)
            for v in values
            if isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) <= MAX_BIAS
        ]
        if len(numbers) != 2 or len(values) != 2:
            raise ConfigError(
                f'{where}: {name}', f'two numbers in +-{MAX_BIAS:g}', repr(values)[:80], REMEDY
            )
        lines.append(ScoreLine(*numbers))
    return tuple(lines)


class BranchScores:
    """Lines of one branch as arrays, element by element in float32: equal wherever it runs.

    Args:
        branch: None leaves every score as it is.
    """

    def __init__(self, branch: BranchCalibration | None) -> None:
        self.is_identity = branch is None
        self._detection = _arrays(() if branch is None else branch.detection)
        self._map = _arrays(() if branch is None else branch.map)

    def peak_logits(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Calibrate logits of detections, (N,) float32 with their (N,) classes."""
        if self.is_identity:
            return logits
        scale, bias = self._detection
        return logits * scale[labels] + bias[labels]

    def scores(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Calibrate scores of detections, (N,) in [0, 1] with their (N,) classes."""
        if self.is_identity:
            return scores
        return sigmoid(self.peak_logits(logit(scores), labels))

    def map_logits(self, logits: np.ndarray) -> np.ndarray:
        """Calibrate (L, Y, X) float32 logits of the map."""
        if self.is_identity:
            return logits
        scale, bias = self._map
        return logits * scale[:, None, None] + bias[:, None, None]

    def raw_scores(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The scores that the network gave, of calibrated (N,) ones; float64."""
        if self.is_identity:
            return np.asarray(scores, np.float64)
        scale, bias = self._detection
        raw = (logit(scores) - bias[labels]) / scale[labels]
        return np.asarray(1 / (1 + np.exp(-raw.astype(np.float64))))

    def raw_map(self, probabilities: np.ndarray) -> np.ndarray:
        """The map that the network gave, of a calibrated one; (L, Y, X) float32."""
        if self.is_identity:
            return probabilities
        scale, bias = self._map
        return sigmoid((logit(probabilities) - bias[:, None, None]) / scale[:, None, None])


def _arrays(lines: Sequence[ScoreLine]) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.array([line.scale for line in lines], np.float32),
        np.array([line.bias for line in lines], np.float32),
    )


def branch_scores(calibration: ScoreCalibration | None) -> dict[Modality, BranchScores]:
    """The maps of all branches; without a calibration they change nothing."""
    if calibration is None:
        return {modality: BranchScores(None) for modality in BRANCHES}
    branches = calibration.branches
    return {modality: BranchScores(branches.get(modality)) for modality in BRANCHES}


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logistic function, float32, without overflow."""
    return (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32)


def logit(probabilities: np.ndarray) -> np.ndarray:
    """Inverse of the logistic function, float32; within +-MAX_LOGIT at 0 and 1."""
    p = np.asarray(probabilities, np.float64)
    with np.errstate(divide='ignore'):
        values = np.log(p) - np.log1p(-p)
    return np.clip(values, -MAX_LOGIT, MAX_LOGIT).astype(np.float32)
