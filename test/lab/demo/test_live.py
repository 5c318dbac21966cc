from __future__ import annotations

import dataclasses
import json
import socket

import numpy as np
import pytest
from rich.console import Console

from metabev_ros.config import RigConfig, load_config
from metabev_ros.errors import BackendError
from metabev_ros.faults.plan import find_plan
from metabev_ros.lab.demo.live import (
    FIRST_PORT,
    PORTS_PER_DOMAIN,
    free_domain,
    make_rehearsal,
    run_live,
)
from metabev_ros.lab.demo.run import DemoConfig, run_demo
from metabev_ros.lab.demo.world import make_drive, vehicle_drive
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.resources import resource_path

RIG = 'config/rigs/nuscenes_like.yaml'


def test_a_domain_that_is_in_use_is_not_taken():
    taken = free_domain()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(('', FIRST_PORT + PORTS_PER_DOMAIN * taken))
        assert free_domain() != taken


@pytest.mark.ros
def test_a_node_that_refuses_to_start_ends_the_demonstration_with_its_own_words(tmp_path):
    rig_path = resource_path(RIG)
    rig = load_config(RigConfig, rig_path)
    # A drive whose topics the faults know: else the rehearsal may refuse before the node does.
    make_drive(tmp_path / 'in.mcap', vehicle_drive(rig_path, 900_100, 0.2, World.BOXES), 1)
    plan = find_plan('sensor_loss')
    rehearsal = make_rehearsal(tmp_path / 'in.mcap', tmp_path / 'out.mcap', plan, rig)
    with pytest.raises(BackendError, match='start-up refused'):
        run_live(
            rehearsal,
            tmp_path / 'logs',
            tmp_path / 'no_such_model',
            rig_path,
            lambda state: None,
            lambda: None,
        )


@pytest.mark.ros
@pytest.mark.slow
def test_the_whole_demonstration_never_labels_an_output_untruly(tmp_path):
    plan = find_plan('sensor_loss')
    faults = tuple(
        dataclasses.replace(fault, begin=round(begin, 3), end=round(begin + 2.5, 3))
        for index, fault in enumerate(plan.faults)
        for begin in [4.1 + 0.013 + (0.017 + 5.1) * index]
    )
    run_demo(DemoConfig(tmp_path, plan=dataclasses.replace(plan, faults=faults)), Console())
    for name in ('report.html', 'output.mcap', 'run.mp4'):
        assert (tmp_path / name).stat().st_size > 100_000
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert summary['labels']['wrong'] == []
    assert [event['name'] for event in summary['events']] == [
        'cameras',
        'lidar',
        'everything',
        'two_cameras',
        'frozen',
    ]
    checks = {check['id']: check for check in summary['checks']}
    assert checks['demo.everything.none_share']['met'] and checks['demo.node_exit']['met']
    assert all(np.isfinite(check['value']) for check in summary['checks'])
