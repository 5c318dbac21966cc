"""The inference thread and its watchdog, without ROS. Row numbers: the fault matrix."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from support.made_samples import sample, wait_for

from metabev_ros.config import InferenceConfig
from metabev_ros.errors import BackendError, ConfigError, DeviceLostError
from metabev_ros.node import inference as inference_module
from metabev_ros.node.inference import ExitCode, InferenceWorker
from metabev_ros.node.workers import Mailbox, ThrottledLog

LIMITS = InferenceConfig(time_limit=0.3, hang_limit=1.0)


@pytest.fixture
def running():
    """A running inference thread whose pipelines do what the test says."""
    parts = SimpleNamespace(
        mailbox=Mailbox(),
        lines=[],
        published=[],
        error=None,
        delay=0.0,
        gate=threading.Event(),
        reload_gate=threading.Event(),
        reloads=[],
        reload_error=None,
    )
    parts.gate.set()
    parts.reload_gate.set()

    def first(item):
        parts.gate.wait(30)
        time.sleep(parts.delay)
        if parts.error is not None:
            raise parts.error
        return item

    def reload(attempt):
        parts.reloads.append((attempt, time.monotonic()))
        parts.reload_gate.wait(30)
        if parts.reload_error is not None:
            raise parts.reload_error
        return lambda item: item

    parts.worker = InferenceWorker(
        first,
        reload,
        parts.mailbox,
        parts.published.append,
        ThrottledLog(parts.lines.append, parts.lines.append),
        LIMITS,
    )
    parts.worker.start()
    yield parts
    parts.gate.set()
    parts.reload_gate.set()
    parts.worker.stop()
    parts.worker.join()


def feed(parts, stamp: int) -> None:
    parts.mailbox.put(sample(stamp))
    wait_for(lambda: parts.mailbox._sample is None)


def test_while_one_sample_is_worked_on_only_the_newest_waits(running):
    running.gate.clear()
    feed(running, 1)
    for stamp in (2, 3, 4):
        running.mailbox.put(sample(stamp))
    running.gate.set()
    wait_for(lambda: len(running.published) == 2)
    assert [item.stamp_ns for item in running.published] == [1, 4]
    assert running.mailbox.dropped == 2


def test_output_stamps_never_go_back_inside_an_epoch(running):
    for stamp, epoch in ((5, 0), (5, 0), (4, 0), (6, 0), (1, 1), (2, 1)):
        running.mailbox.put(sample(stamp, epoch))
        wait_for(lambda: running.mailbox._sample is None)
        time.sleep(0.02)
    wait_for(lambda: len(running.published) == 4)
    assert [(s.epoch, s.stamp_ns) for s in running.published] == [(0, 5), (0, 6), (1, 1), (1, 2)]


def test_row_073_while_nobody_wants_a_result_no_sample_is_worked_on():
    wanted, made, mailbox = [False], [], Mailbox()
    worker = InferenceWorker(
        lambda item: item,
        None,
        mailbox,
        made.append,
        ThrottledLog(print, print),
        LIMITS,
        lambda: wanted[0],
    )
    worker.start()
    try:
        mailbox.put(sample(1))
        wait_for(lambda: worker.is_idle)
        wanted[0] = True
        mailbox.put(sample(2))
        wait_for(lambda: made)
        assert [item.stamp_ns for item in made] == [2] and not worker.is_idle
    finally:
        worker.stop()
        worker.join()


@pytest.mark.parametrize('error', [BackendError('network', 'a', 'b'), MemoryError(), KeyError(1)])
def test_row_077_one_failed_inference_costs_one_sample_and_is_named(running, error):
    running.error = error
    feed(running, 1)
    wait_for(lambda: running.worker.failed == 1)
    assert running.worker.fault.startswith('inference failed')
    running.error = None
    feed(running, 2)
    wait_for(lambda: len(running.published) == 1)
    wait_for(lambda: running.worker.fault == '')
    assert running.lines and not running.reloads


def test_row_078_repeated_failures_load_the_model_again_and_outputs_return(running):
    running.error = KeyError('broken')
    feed(running, 1)
    feed(running, 2)
    wait_for(lambda: running.worker.failed == 2)
    assert 'inference failed' in running.worker.fault and not running.published
    wait_for(lambda: len(running.reloads) == 1)
    feed(running, 3)
    wait_for(lambda: len(running.published) == 1)
    assert running.published[0].stamp_ns == 3 and running.worker.fault == ''


def test_row_078_attempts_to_load_the_model_are_spaced_further_and_further(running, monkeypatch):
    monkeypatch.setattr(inference_module, 'FIRST_RELOAD', 0.1)
    monkeypatch.setattr(inference_module, 'LONGEST_RELOAD', 0.3)
    running.error = running.reload_error = RuntimeError('no model')
    feed(running, 1)
    feed(running, 2)
    wait_for(lambda: len(running.reloads) == 4)
    times = np.array([when for _, when in running.reloads])
    assert [attempt for attempt, _ in running.reloads] == [1, 2, 3, 4]
    assert np.all(np.diff(times) > [0.2, 0.3, 0.3])  # 0.1 * 2, then capped
    assert running.worker.is_alive() and any('next attempt' in line for line in running.lines)


def test_row_081_a_hanging_inference_is_reported_while_it_hangs_then_ends_the_process(running):
    running.gate.clear()
    feed(running, 1)
    assert running.worker.fault == '' and running.worker.exit_code is None
    wait_for(lambda: running.worker.fault)
    assert 'has been running for' in running.worker.fault
    assert running.worker.exit_code is None
    wait_for(lambda: running.worker.exit_code is ExitCode.HUNG)


def test_row_081_a_result_after_the_limit_is_dropped_and_does_not_reload_the_model(running):
    running.delay = 0.4
    for stamp in (1, 2, 3):
        feed(running, stamp)
        wait_for(lambda stamp=stamp: running.worker.failed == stamp)
    assert not running.published and not running.reloads
    assert 'more than inference.time_limit' in running.worker.fault
    running.delay = 0.0
    feed(running, 4)
    wait_for(lambda: [s.stamp_ns for s in running.published] == [4])
    assert running.worker.fault == ''


def test_row_082_a_model_that_runs_out_of_memory_is_replaced(running):
    running.error = MemoryError('out of memory')
    feed(running, 1)
    feed(running, 2)
    wait_for(lambda: len(running.reloads) == 1)
    feed(running, 3)
    wait_for(lambda: [s.stamp_ns for s in running.published] == [3])


def test_row_083_a_lost_device_asks_for_a_new_process_at_once(running):
    running.error = DeviceLostError('cuda', 'a working context', 'illegal address')
    feed(running, 1)
    wait_for(lambda: running.worker.exit_code is ExitCode.DEVICE_LOST)
    assert not running.reloads and 'inference failed' in running.worker.fault


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match='less than inference.hang_limit'):
        InferenceConfig(time_limit=5, hang_limit=2)


def test_a_result_that_outlives_its_worker_is_not_published(running):
    running.gate.clear()
    feed(running, 1)
    running.worker.stop()
    running.gate.set()
    running.worker.join()
    assert not running.published


def test_a_model_that_never_finishes_loading_ends_the_process(running, monkeypatch):
    monkeypatch.setattr(inference_module, 'FIRST_RELOAD', 0.01)
    monkeypatch.setattr(inference_module, 'RELOAD_LIMIT', 0.3)
    running.reload_gate.clear()
    running.error = KeyError('broken')
    feed(running, 1)
    feed(running, 2)
    wait_for(lambda: running.reloads)
    assert running.worker.exit_code is None
    wait_for(lambda: running.worker.exit_code is ExitCode.HUNG)


def test_samples_are_wanted_while_idle_and_shortly_before_a_result_is_due(running):
    worker = running.worker
    assert worker.takes_soon(), 'nothing is computed'
    feed(running, 1)
    wait_for(lambda: running.published)
    assert len(worker._spent) == 1
    running.gate.clear()
    feed(running, 2)
    wait_for(lambda: worker._since is not None)
    worker._spent[0] = 100.0
    assert not worker.takes_soon(), 'the result is far off'
    worker._spent[0] = inference_module.SOON
    assert worker.takes_soon(), 'the result is due within SOON'
