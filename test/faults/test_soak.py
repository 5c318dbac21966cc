"""Part of a day under faults; the whole of it is `benchmark/reliability soak`."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from benchmark.reliability import soak


def drive(minutes: int) -> tuple[soak.Machine, np.ndarray]:
    """The machine after so many minutes, and its resources after each of them."""
    machine, start, seen = soak.Machine(), soak.T0, []
    for number in range(minutes):
        for item in soak.minute(number, start):
            machine.take(item.topic.lstrip('/'), item.cdr, item.log_time_ns)
        start += soak.MINUTE - (soak.BACK if number % 10 == 9 else 0)
        seen.append(soak.resources())
    return machine, np.array(seen)


def test_row_117_the_machine_of_the_soak_perceives_under_faults():
    machine, _ = drive(2)
    assert 1100 < machine.outputs <= 1202 and machine.inference.failed >= 1
    assert machine.sensing._escaped == 0 and machine.bytes > 10**6


def epochs_and_resources(minutes: int) -> tuple[int, np.ndarray]:
    machine, seen = drive(minutes)
    return machine.front_end.epoch, seen


@pytest.mark.slow
def test_row_117_36_minutes_under_faults_leave_memory_files_and_threads_as_they_were():
    # In a process of its own: what other tests leave behind in this one would be measured too.
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        epochs, seen = pool.submit(epochs_and_resources, 36).result()
    memory, files, threads = seen[6:].T
    assert epochs == 3
    assert np.median(memory[-6:]) - np.median(memory[:6]) < 5
    assert np.ptp(files) == 0 and np.ptp(threads) == 0
