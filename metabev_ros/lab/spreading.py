"""Jobs over processes of this machine, or over a Ray cluster."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import cv2

from metabev_ros.errors import (
    ConfigError,
    MissingDependencyError,
    WorkerLostError,
    clean_text,
)

CONNECT_LIMIT = 10.0  # seconds
ALONE = 2  # tries of a job that may have killed its process
Outcomes = Iterator[tuple[Any, Any]]


@dataclass(frozen=True)
class Spread:
    """Placement of jobs: this process, local processes or a Ray cluster.

    Attributes:
        workers: processes on this machine; 1 runs the jobs in this process.
        ray_address: of a Ray cluster ('auto', 'local' or ray://host:port); None stays here. Every
            node needs this package, the model folders and the data under the same paths.
    """

    workers: int = 1
    ray_address: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= 256:
            raise ConfigError('Spread.workers', '1..256', str(self.workers))

    def __call__(self, function: Callable, jobs: Sequence[Any]) -> Outcomes:
        """(job, function(job)) as the jobs finish, in any order.

        Args:
            function: of a module, so that other processes find it.
            jobs: plain data.

        Raises:
            MissingDependencyError: if a Ray cluster is named and ray is not installed.
            ConfigError: if the Ray cluster cannot be reached.
            WorkerLostError: of a job whose process was killed, and killed again.
            Exception: that a job raised.
        """
        for job, outcome in self.outcomes(function, jobs):
            if isinstance(outcome, Exception):
                raise outcome
            yield job, outcome

    def outcomes(self, function: Callable, jobs: Sequence[Any]) -> Outcomes:
        """(job, function(job) or the exception it ended with) as the jobs finish.

        A job whose process is killed is done again. No job stops another one.

        Raises:
            MissingDependencyError, ConfigError: as when called.
        """
        if not jobs:
            return iter(())
        if self.ray_address is not None:
            return _on_ray(function, jobs, self.ray_address)
        if self.workers == 1:
            return ((job, _outcome(function, job)) for job in jobs)
        return _in_processes(function, jobs, min(self.workers, len(jobs)))


def one_thread() -> None:
    """Give each process one thread: there are as many processes as cores."""
    for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
        os.environ[name] = '1'
    cv2.setNumThreads(1)


def _outcome(function: Callable, job: Any) -> Any:
    try:
        return function(job)
    except Exception as error:
        return error


def _in_processes(function: Callable, jobs: Sequence[Any], workers: int) -> Outcomes:
    waiting = iter(jobs)
    while True:
        suspects = yield from _until_one_dies(function, waiting, workers)
        if not suspects:
            return
        for job in suspects:  # one of them killed the process: alone it cannot harm the others
            left = [job]
            for _ in range(ALONE):
                left = yield from _until_one_dies(function, iter(left), 1)
            if left:
                yield job, _lost(f'--workers {workers}')


def _until_one_dies(
    function: Callable, waiting: Iterator[Any], workers: int
) -> Iterator[tuple[Any, Any]]:
    """Outcomes of jobs, no more than `workers` of them at a time.

    Returns:
        the jobs that were in work when a process died; none when all are done.
    """
    # Not forked: a child of a process whose OpenCV or torch threads run can wait for ever.
    spawn = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, spawn, one_thread) as pool:
        running: dict[Future, Any] = {}
        try:
            while True:
                for job in itertools.islice(waiting, workers - len(running)):
                    running[pool.submit(function, job)] = job
                if not running:
                    return []
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                if any(isinstance(f.exception(), BrokenProcessPool) for f in finished):
                    break
                for future in finished:
                    yield running.pop(future), future.exception() or future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    suspects = []
    for future, job in running.items():
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            suspects.append(job)
        else:
            yield job, error or future.result()
    return suspects


def _lost(where: str, why: str = '') -> WorkerLostError:
    return WorkerLostError(
        where,
        'processes that end their jobs',
        f'one that was killed, and killed again ({why or "too little memory?"})',
        'run it again, with fewer at a time',
    )


def _on_ray(function: Callable, jobs: Sequence[Any], address: str) -> Outcomes:
    try:
        import ray  # pyright: ignore[reportMissingImports]  # optional, not in requirements
        from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError(
            'work on a Ray cluster',
            'the package ray',
            'none',
            'pip install ray, or leave --ray-address away',
        ) from error
    started = not ray.is_initialized()
    if started:
        _connect(ray, address)
    try:
        remote = ray.remote(num_cpus=1)(_on_one_thread)
        running = {remote.remote(function, job): job for job in jobs}
        while running:
            finished, _ = ray.wait(list(running), num_returns=1)
            for reference in finished:
                try:
                    outcome = ray.get(reference)
                except RayError as error:  # it tried three times more
                    why = f'{type(error).__name__}: {clean_text(error, 200)}'
                    outcome = _lost(f'--ray-address {clean_text(address)}', why)
                yield running.pop(reference), outcome
    finally:
        if started:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    """Join a cluster.

    Ray itself asks an address where nobody answers for many minutes, so it is tried before.

    Raises:
        ConfigError: where there is none.
    """
    host, colon, port = address.removeprefix('ray://').rpartition(':')
    try:
        if colon:
            socket.create_connection((host, int(port)), timeout=CONNECT_LIMIT).close()
        ray.init(address=address, logging_level='warning', log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            '--ray-address',
            'a Ray cluster that runs',
            f'{clean_text(address)} ({clean_text(error, 200)})',
            'start one with `ray start --head`, or leave --ray-address away',
        ) from error


def _on_one_thread(function: Callable, job: Any) -> Any:
    one_thread()
    return _outcome(function, job)
