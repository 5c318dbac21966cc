"""Jobs over processes and over a Ray cluster of two nodes; deaths and refusals are said."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from support.ray_nodes import two_nodes
from support.spread_jobs import die, die_if_three, die_once, node_of, refuse_odd, squared

from metabev_ros.errors import ConfigError, MetaBevError, WorkerLostError
from metabev_ros.lab.spreading import Spread

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec('ray') is None, reason='ray is optional and not installed'
)


@pytest.fixture(scope='module')
def cluster():
    with two_nodes() as address:
        yield address


def test_a_process_that_dies_is_one_clear_error():
    with pytest.raises(WorkerLostError, match='--workers 2.*killed'):
        list(Spread(2)(die, [1, 2]))


def test_a_job_that_dies_stops_no_other_one():
    jobs = [1, 2, 3, 4, 5]
    outcomes = dict(Spread(2).outcomes(die_if_three, jobs))
    assert sorted(outcomes) == jobs
    assert isinstance(outcomes.pop(3), WorkerLostError)
    assert outcomes == {number: number for number in outcomes}


@pytest.mark.parametrize('workers', [1, 2])
def test_a_job_that_raises_stops_no_other_one(workers):
    outcomes = dict(Spread(workers).outcomes(refuse_odd, [1, 2, 3]))
    assert outcomes[2] == 2
    assert all(isinstance(outcomes[number], ConfigError) for number in (1, 3))


def test_a_killed_process_is_given_its_job_again(tmp_path):
    folders = [str(tmp_path / name) for name in 'ab']
    for folder in folders:
        Path(folder).mkdir()
    assert dict(Spread(2)(die_once, folders)) == dict.fromkeys(folders, 'alive')


def test_what_a_job_refuses_is_said_as_if_it_were_here():
    with pytest.raises(ConfigError, match='count again'):
        list(Spread(2)(refuse_odd, [1, 3]))


@needs_ray
@pytest.mark.parametrize('address', ['auto', 'nowhere:1', 'ray://nowhere:1'])
def test_a_cluster_that_does_not_run_is_one_clear_error(address):
    with pytest.raises(MetaBevError, match='--ray-address'):
        list(Spread(ray_address=address)(squared, [1]))


@needs_ray
def test_two_nodes_give_what_one_process_gives(cluster):
    jobs = [1, 2, 3, 4]
    spread = Spread(ray_address=cluster)
    assert dict(spread(squared, jobs)) == dict(Spread()(squared, jobs))
    assert len(set(dict(spread(node_of, jobs)).values())) == 2


@needs_ray
def test_a_job_whose_process_was_killed_is_done_again(cluster, tmp_path):
    assert dict(Spread(ray_address=cluster)(die_once, [str(tmp_path)])) == {str(tmp_path): 'alive'}


@needs_ray
def test_what_a_job_on_a_cluster_refuses_is_said_as_if_it_were_here(cluster):
    with pytest.raises(ConfigError, match='count again') as error:
        list(Spread(ray_address=cluster)(refuse_odd, [1]))
    assert error.value.remedy == 'count again'


@needs_ray
def test_a_job_that_dies_again_and_again_is_one_clear_error(cluster):
    with pytest.raises(WorkerLostError, match='--ray-address'):
        list(Spread(ray_address=cluster)(die, [1]))
