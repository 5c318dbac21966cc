"""Fixtures of the live tests: a private ROS domain on this machine only."""

from __future__ import annotations

import os

import pytest

from metabev_ros.resources import resource_path

# Before any ROS context: neither other users of this machine nor other machines are heard.
os.environ['ROS_DOMAIN_ID'] = str(20 + os.getpid() % 80)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'


@pytest.fixture(scope='module')
def model():
    """Name of the model that the node loads: METABEV_TEST_MODEL, else the shipped one."""
    if os.environ.get('METABEV_TEST_MODEL'):
        return os.environ['METABEV_TEST_MODEL']
    return str(resource_path('models/metabev_nano/contract.json').parent)


@pytest.fixture(scope='module')
def graph():
    """This process in the graph, recording the node's outputs."""
    from support.live_graph import Graph

    graph = Graph()
    yield graph
    graph.close()


@pytest.fixture(scope='module')
def live_node(tmp_path_factory, graph, model):
    """One running node for the tests that do not stop it."""
    from support.live_graph import NodeProcess

    node = NodeProcess(tmp_path_factory.mktemp('live_node'), model=model)
    try:
        node.wait_for_log('active:')
        yield node
    finally:
        node.stop()


@pytest.fixture(scope='module')
def rig(graph, live_node):
    """The publishers of the test rig, heard by `live_node`."""
    from support.live_graph import RigPublisher

    rig = RigPublisher(graph)
    graph.wait_until_heard(rig.topics)
    return rig
