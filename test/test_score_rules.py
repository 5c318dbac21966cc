"""Least scores per class and distance: what may be written, and which rule holds for a box."""

from __future__ import annotations

import pytest

from metabev_ros.config import DetectionsConfig
from metabev_ros.config.score_rules import (
    ScoreRule,
    check_score_rules,
    parse_score_rules,
    rules_of_class,
)
from metabev_ros.errors import ConfigError


def test_a_line_of_rules_is_read_with_or_without_spaces_and_distances() -> None:
    assert parse_score_rules(' all=0.1,car = .3, pedestrian@30=0.5 , pedestrian@ 7.5 =1') == (
        ScoreRule('all', 0, 0.1),
        ScoreRule('car', 0, 0.3),
        ScoreRule('pedestrian', 30, 0.5),
        ScoreRule('pedestrian', 7.5, 1),
    )
    assert parse_score_rules('') == parse_score_rules('  ') == ()


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('car', 'CLASS=SCORE'),
        ('car=high', 'CLASS=SCORE'),
        ('car=-0.3', 'CLASS=SCORE'),
        ('car=nan', 'CLASS=SCORE'),
        ('car=0.3,', 'CLASS=SCORE'),
        ('car@far=0.3', 'CLASS=SCORE'),
        ('car=1.5', '0..1'),
        ('car@5000=0.3', '0..1000 m'),
        ('car=0.3, car=0.4', 'one score'),
        (','.join(f'car@{i}=0.1' for i in range(101)), 'at most 100'),
        ('\x1b[31m=0.1', 'CLASS=SCORE'),
    ],
)
def test_what_is_no_rule_is_refused_by_its_name(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match='parameter detections.scores') as caught:
        DetectionsConfig(scores=text)
    assert expected in str(caught.value) and '\x1b' not in str(caught.value)


def test_a_class_that_the_model_lacks_or_less_than_its_own_threshold_is_refused() -> None:
    classes = ('car', 'bus')
    check_score_rules(parse_score_rules('all=0.05, bus@20=0.4'), classes, 0.05)
    with pytest.raises(ConfigError, match='car, bus'):
        check_score_rules(parse_score_rules('tram=0.4'), classes, 0.05)
    with pytest.raises(ConfigError, match=r"0\.05 or more, the model's own threshold"):
        check_score_rules(parse_score_rules('car=0.04'), classes, 0.05)


def test_a_class_with_rules_of_its_own_does_not_follow_those_of_all() -> None:
    rules = parse_score_rules('all=0.1, all@20=0.2, car=0.3, car@10=0.4')
    assert [rule.score for rule in rules_of_class(rules, 'car')] == [0.4, 0.3]
    assert [rule.score for rule in rules_of_class(rules, 'bus')] == [0.2, 0.1]
