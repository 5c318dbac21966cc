"""Gates that cards have to pass, their verdict as a table and as JUnit XML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from metabev_ros.config import load_config
from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.lab.evaluation.robustness_card import RobustnessCard


@dataclass(frozen=True)
class GateConfig:
    """Gates of a file.

    Attributes:
        at_least, at_most: dotted name, as `RobustnessCard.figure` takes it -> limit.
    """

    at_least: dict[str, float] = field(default_factory=dict[str, float])
    at_most: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        for words, limits in (('at_least', self.at_least), ('at_most', self.at_most)):
            for name, limit in limits.items():
                is_number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
                if not isinstance(name, str) or not is_number or not math.isfinite(limit):
                    raise ConfigError(f'{words}.{clean_text(name)}', 'a number', clean_text(limit))


@dataclass(frozen=True)
class Gate:
    """One limit.

    Attributes:
        is_least: the limit is the least value; else the most.
    """

    name: str
    limit: float
    is_least: bool

    @property
    def words(self) -> str:
        """'lidar_missing.nds_retention >= 0.5'."""
        return f'{self.name} {">=" if self.is_least else "<="} {self.limit:g}'

    def passes(self, value: float | None) -> bool:
        """Tell whether a figure meets the limit; what was not measured meets none."""
        if value is None:
            return False
        return value >= self.limit if self.is_least else value <= self.limit


@dataclass(frozen=True)
class Verdict:
    """A gate and what a card says to it.

    Attributes:
        value: None where the card does not have it.
    """

    card: str
    gate: Gate
    value: float | None

    @property
    def is_passed(self) -> bool:
        """Tell whether the gate is passed."""
        return self.gate.passes(self.value)

    @property
    def value_text(self) -> str:
        """The figure, in words."""
        return 'not measured' if self.value is None else f'{self.value:.3f}'


def read_gates(
    path: Path | None, at_least: Iterable[str], at_most: Iterable[str]
) -> tuple[Gate, ...]:
    """Gates of a YAML file and of words NAME=LIMIT.

    Raises:
        ConfigError: for a file that holds no gates, or words that are none.
    """
    config = GateConfig() if path is None else load_config(GateConfig, path)
    if path is not None and not (config.at_least or config.at_most):
        raise ConfigError(f'{path}', '`at_least` or `at_most` with limits', 'neither')
    least = config.at_least | dict(_limit(text, '--at-least') for text in at_least)
    most = config.at_most | dict(_limit(text, '--at-most') for text in at_most)
    return (*_gates(least, True), *_gates(most, False))


def _gates(limits: Mapping[str, float], is_least: bool) -> list[Gate]:
    return [Gate(name, float(limit), is_least) for name, limit in limits.items()]


def _limit(text: str, option: str) -> tuple[str, float]:
    name, _, number = text.rpartition('=')
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not name or not math.isfinite(limit):
        example = 'NAME=LIMIT such as lidar_missing.nds_retention=0.5'
        raise ConfigError(option, example, clean_text(text))
    return name, limit


def judge(cards: Sequence[RobustnessCard], gates: Sequence[Gate]) -> list[Verdict]:
    """Hold every card to every gate.

    Raises:
        ConfigError: for a gate that no card can have, or two cards of one name.
    """
    names = [card.name for card in cards]
    if len(set(names)) != len(names):
        raise ConfigError('compare --cards', 'cards of distinct names', str(names))
    return [Verdict(card.name, g, card.figure(g.name)) for card in cards for g in gates]


def junit(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as JUnit XML: a suite a card, a case a gate."""
    missed = sum(not v.is_passed for v in verdicts)
    root = ElementTree.Element(
        'testsuites', name='robustness', tests=str(len(verdicts)), failures=str(missed)
    )
    for card in dict.fromkeys(v.card for v in verdicts):
        own = [v for v in verdicts if v.card == card]
        failures = str(sum(not v.is_passed for v in own))
        suite = ElementTree.SubElement(
            root, 'testsuite', name=_text(card), tests=str(len(own)), failures=failures
        )
        for verdict in own:
            words = _text(verdict.gate.words)
            case = ElementTree.SubElement(
                suite, 'testcase', classname=f'robustness.{_text(card)}', name=words
            )
            if not verdict.is_passed:
                text = f'expected {words}, got {verdict.value_text}'
                ElementTree.SubElement(case, 'failure', message=text).text = text
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding='unicode', xml_declaration=True) + '\n'


def _text(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return clean_text(text, 300)
