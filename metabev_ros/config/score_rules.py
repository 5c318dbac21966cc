"""Least scores per class and distance, in one line: "all=0.1, car=0.3, pedestrian@30=0.5"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from metabev_ros.errors import ConfigError, clean_text

WHERE = 'parameter detections.scores'
EVERY_CLASS = 'all'
MOST_RULES = 100
MAX_DISTANCE = 1000.0  # metres
_NUMBER = r'(\d+(?:\.\d*)?|\.\d+)'
_RULE = re.compile(rf'\s*([A-Za-z_][\w-]*)\s*(?:@\s*{_NUMBER}\s*)?=\s*{_NUMBER}\s*')
_EXAMPLE = 'CLASS=SCORE or CLASS@METRES=SCORE, apart by commas; all for every class'


@dataclass(frozen=True)
class ScoreRule:
    """The least score of a class from a distance on.

    Attributes:
        name: of the class; `EVERY_CLASS` for all that have no rules of their own.
        start: metres in the plane from the ego.
        score: in [0, 1].
    """

    name: str
    start: float
    score: float


def parse_score_rules(text: str) -> tuple[ScoreRule, ...]:
    """The rules that a text holds.

    Raises:
        ConfigError: naming the part that is no rule, or stands there twice.
    """
    if not text.strip():
        return ()
    parts = text.split(',')
    if len(parts) > MOST_RULES:
        raise _refusal(f'at most {MOST_RULES} rules', str(len(parts)))
    rules: list[ScoreRule] = []
    for part in parts:
        match = _RULE.fullmatch(part)
        if match is None:
            raise _refusal(_EXAMPLE, repr(part))
        rule = ScoreRule(match[1], float(match[2] or 0), float(match[3]))
        if rule.score > 1 or rule.start > MAX_DISTANCE:
            raise _refusal(f'a score in 0..1, a distance in 0..{MAX_DISTANCE:g} m', repr(part))
        if any((other.name, other.start) == (rule.name, rule.start) for other in rules):
            raise _refusal('one score for a class and distance', repr(part))
        rules.append(rule)
    return tuple(rules)


def check_score_rules(rules: Sequence[ScoreRule], classes: Sequence[str], floor: float) -> None:
    """Refuse rules that a model cannot follow.

    Args:
        classes: that the model tells apart.
        floor: the model's own threshold: what it dropped cannot be brought back.

    Raises:
        ConfigError
    """
    for rule in rules:
        if rule.name not in (EVERY_CLASS, *classes):
            raise _refusal(f'classes of the model: {", ".join(classes)}', rule.name)
        if rule.score < floor:
            expected = f"{floor:g} or more, the model's own threshold"
            raise _refusal(expected, f'{rule.name}={rule.score:g}')


def rules_of_class(rules: Sequence[ScoreRule], name: str) -> list[ScoreRule]:
    """The rules that hold for a class, by falling distance; its own ones, else those of all."""
    own = [rule for rule in rules if rule.name == name]
    chosen = own or [rule for rule in rules if rule.name == EVERY_CLASS]
    return sorted(chosen, key=lambda rule: -rule.start)


def _refusal(expected: str, got: str) -> ConfigError:
    return ConfigError(WHERE, expected, clean_text(got, 80), 'write another value')
