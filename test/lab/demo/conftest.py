"""The rig and the plan of the demonstration."""

import pytest

from metabev_ros.config import RigConfig, load_config
from metabev_ros.faults.plan import find_plan
from metabev_ros.lab.demo.run import PLAN
from metabev_ros.resources import DEFAULT_RIG, resource_path


@pytest.fixture
def rig():
    return load_config(RigConfig, resource_path(DEFAULT_RIG))


@pytest.fixture
def plan():
    return find_plan(PLAN)
