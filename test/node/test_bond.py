"""The bond that nav2's lifecycle manager wants, beside bond_core's own Python implementation."""

from __future__ import annotations

import signal
import sys
import threading
import time

import pytest
from support.made_samples import wait_for

pytestmark = pytest.mark.ros


def test_without_the_message_type_there_is_no_bond(monkeypatch):
    from metabev_ros.node.bond import can_bond

    monkeypatch.setitem(sys.modules, 'bond.msg', None)  # as where it is not installed
    assert not can_bond()


@pytest.fixture
def managed():
    """A lifecycle node of a process of its own, as far as ROS can tell, that spins."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.lifecycle import LifecycleNode

    context = rclpy.Context()
    rclpy.init(context=context)
    node = LifecycleNode('perception', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    yield node
    executor.shutdown()
    thread.join()
    node.destroy_node()
    context.try_shutdown()


@pytest.fixture
def manager_node():
    """The node of a manager, which hears no outputs."""
    from support.live_graph import Graph

    graph = Graph(())
    yield graph
    graph.close()


@pytest.fixture
def manager_bond(manager_node):
    """Make, by a node's name, what nav2's manager makes after its activation."""
    from bondpy import bondpy

    bonds = []

    def form(name: str = 'perception'):
        bond = bondpy.Bond(manager_node.node, 'bond', name)
        bond.heartbeat_timeout, bond.heartbeat_period = 4.0, 0.1
        bond.connect_timeout = 60.0  # a loaded machine discovers slowly
        bond.start()
        bonds.append(bond)
        return bond

    yield form
    manager_node.rest()  # bondpy destroys a subscription that a spinning node still waits for
    for bond in bonds:
        bond.shutdown()


@pytest.fixture
def log():
    from metabev_ros.node.workers import ThrottledLog

    return ThrottledLog(print, print)


@pytest.mark.distribution
def test_a_manager_forms_its_bond_and_learns_that_the_node_lets_go(manager_bond, managed, log):
    from metabev_ros.node.bond import Bond

    ours, manager = Bond(managed, log), manager_bond()
    wait_for(lambda: manager.sm.getState().getName() == 'SM.Alive')
    time.sleep(5.0)  # longer than its heartbeat_timeout
    assert not manager.is_broken()
    before = time.monotonic()
    ours.close()
    wait_for(manager.is_broken)
    assert time.monotonic() - before < 2.0, 'told, not found out by silence'


@pytest.mark.distribution
def test_a_manager_that_lets_go_is_answered(manager_node, manager_bond, managed, log):
    """bondpy would wait for its disconnect_timeout of 2 s else. Nothing is said after that."""
    from bond.msg import Status

    from metabev_ros.node.bond import Bond

    ours, heard = Bond(managed, log), []
    manager_node.node.create_subscription(Status, 'bond', heard.append, 100)
    manager = manager_bond()

    def of_the_node() -> list[bool]:
        return [status.active for status in heard if status.instance_id != manager.instance_id]

    wait_for(lambda: manager.sm.getState().getName() == 'SM.Alive')
    manager.break_bond()
    wait_for(lambda: False in of_the_node())
    wait_for(manager.is_broken)
    time.sleep(1.0)
    assert of_the_node().count(False) == 1 and of_the_node()[-1] is False
    ours.close()


@pytest.mark.distribution
def test_a_bond_of_another_node_is_not_answered(manager_bond, managed, log):
    from metabev_ros.node.bond import Bond

    ours, other = Bond(managed, log), manager_bond('planner')
    time.sleep(3.0)
    assert other.sm.getState().getName() == 'SM.WaitingForSister'
    ours.close()


@pytest.mark.distribution
def test_a_manager_learns_of_a_node_that_was_killed(tmp_path, manager_bond, model):
    from support.live_graph import NodeProcess

    node = NodeProcess(tmp_path, model=model)
    try:
        node.wait_for_log('active:')
        manager = manager_bond()
        wait_for(lambda: manager.sm.getState().getName() == 'SM.Alive')
        time.sleep(1.0)  # bondpy counts the silence from the second heartbeat on
        before = time.monotonic()
        node.process.send_signal(signal.SIGKILL)
        wait_for(manager.is_broken)
        assert 3.0 < time.monotonic() - before < 8.0  # its heartbeat_timeout is 4 s
    finally:
        node.process.kill()
        node.process.wait()
