"""The count of false alarms knows every check of content."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmark.reliability.checks import DETECTORS, TABLES, alarm_figures


@pytest.mark.parametrize('name', [check.name for check in TABLES] + ['identical'])
def test_an_alarm_is_counted_for_its_check(name):
    figures = {figure.id: figure.value for figure in alarm_figures(Counter([name]), 10)}
    assert len(figures) == 1 + len(DETECTORS)
    assert figures.pop('checks.outputs') == 10
    assert {id for id, value in figures.items() if value} == {f'checks.{name}.false_alarms'}


def test_an_alarm_of_a_check_that_no_table_holds_is_counted_too():
    found = alarm_figures(Counter(['upside_down']), 10)
    assert ('checks.upside_down.false_alarms', 1) in [
        (figure.id, figure.value) for figure in found
    ]
