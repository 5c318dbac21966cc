"""The count of false alarms knows every detector of content."""

from __future__ import annotations

import pytest

from benchmark.reliability.checks import DETECTORS, detector_of
from metabev_ros.errors import ConfigError


@pytest.mark.parametrize('name', DETECTORS)
def test_an_alarm_is_counted_for_its_detector(name):
    assert detector_of(f'{name}: 80%') == name


def test_an_alarm_of_a_detector_that_is_not_listed_says_what_to_do():
    with pytest.raises(ConfigError, match='upside down.*name each detector'):
        detector_of('upside down: 99%')
