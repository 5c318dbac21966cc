"""Jobs over processes of this machine, or over a Ray cluster."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import cv2

from metabev_ros.errors import ConfigError, MissingDependencyError


@dataclass(frozen=True)
class Spread:
    """Placement of jobs: this process, local processes or a Ray cluster.

    Attributes:
        workers: processes on this machine; 1 runs the jobs in this process.
        ray_address: of a Ray cluster ('auto', 'local' or ray://host:port); None stays here. Every
            node needs this package and the model folders under the same paths.
    """

    workers: int = 1
    ray_address: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= 256:
            raise ConfigError('Spread.workers', '1..256', str(self.workers))

    def __call__(self, function: Callable, jobs: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """(job, function(job)) as the jobs finish, in any order.

        Args:
            function: of a module, so that other processes find it.
            jobs: plain data.

        Raises:
            MissingDependencyError: if a Ray cluster is named and ray is not installed.
        """
        if not jobs:
            return iter(())
        if self.ray_address is not None:
            return _on_ray(function, jobs, self.ray_address)
        if self.workers == 1:
            return ((job, function(job)) for job in jobs)
        return _in_processes(function, jobs, min(self.workers, len(jobs)))


def one_thread() -> None:
    """Give each process one thread: there are as many processes as cores."""
    for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
        os.environ[name] = '1'
    cv2.setNumThreads(1)


def _in_processes(
    function: Callable, jobs: Sequence[Any], workers: int
) -> Iterator[tuple[Any, Any]]:
    # Not forked: a child of a process whose OpenCV or torch threads run can wait for ever.
    spawn = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, spawn, one_thread) as pool:
        futures = {pool.submit(function, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _on_ray(function: Callable, jobs: Sequence[Any], address: str) -> Iterator[tuple[Any, Any]]:
    try:
        import ray  # pyright: ignore[reportMissingImports]  # optional, not in requirements
    except ImportError as error:
        raise MissingDependencyError(
            'evaluation on a Ray cluster',
            'the package ray',
            'none',
            'pip install ray, or leave --ray-address away',
        ) from error
    started = not ray.is_initialized()
    if started:
        ray.init(address=address, logging_level='warning', log_to_driver=False)
    try:
        remote = ray.remote(num_cpus=1)(_on_one_thread)
        running = {remote.remote(function, job): job for job in jobs}
        while running:
            finished, _ = ray.wait(list(running), num_returns=1)
            for reference in finished:
                yield running.pop(reference), ray.get(reference)
    finally:
        if started:
            ray.shutdown()


def _on_one_thread(function: Callable, job: Any) -> Any:
    one_thread()
    return function(job)
