"""A batch: every bag worked on once, by whom it may be, whatever dies on the way."""

from __future__ import annotations

import fcntl
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from metabev_ros.errors import ConfigError, MetaBevError, clean_text
from metabev_ros.lab.fleet.drive_outcome import DriveOutcome, load_outcome
from metabev_ros.lab.fleet.drive_work import DriveTask, work_on
from metabev_ros.lab.fleet.index_page import write_index
from metabev_ros.lab.spreading import Spread

LOCK = '.lock'
Progress = Callable[[int, int, str], None]


def drive_names(bags: Sequence[Path]) -> list[str]:
    """A folder name for each bag: its stem, told apart where two bags share one."""
    stems = Counter(bag.stem for bag in bags)
    return [
        bag.stem
        if stems[bag.stem] == 1
        else f'{bag.stem}_{hashlib.sha256(str(bag.resolve()).encode()).hexdigest()[:8]}'
        for bag in bags
    ]


def run_batch(
    tasks: Sequence[DriveTask], folder: Path, spread: Spread, progress: Progress
) -> list[DriveOutcome]:
    """Work on what is not done yet, then write the index.

    Done is a bag with an outcome of the same bag, model, rig and options. A bag that failed is
    tried again.

    Args:
        progress: takes bags done, all bags, and the name of the last one.

    Returns:
        the outcomes, in the order of the tasks.

    Raises:
        ConfigError: without bags, or while another batch writes into this folder.
    """
    if not tasks:
        raise ConfigError('batch', 'bags', 'none', 'check the pattern')
    folder.mkdir(parents=True, exist_ok=True)
    with _sole_writer(folder):
        done = {task.name: found for task in tasks if (found := finished(task)) is not None}
        progress(len(done), len(tasks), '')
        waiting = [task for task in tasks if task.name not in done]
        for task, outcome in spread.outcomes(work_on, waiting):
            if isinstance(outcome, Exception):
                outcome = DriveOutcome(
                    task.name, str(task.bag), '', failure=clean_text(outcome, 400)
                )
            done[task.name] = outcome
            progress(len(done), len(tasks), task.name)
        outcomes = [done[task.name] for task in tasks]
        write_index(outcomes, folder)
    return outcomes


def finished(task: DriveTask) -> DriveOutcome | None:
    """The outcome of a task that need not be done again."""
    found = load_outcome(task.folder)
    try:
        is_same = found is not None and not found.failure and found.key == task.key
    except (OSError, MetaBevError):  # a bag that is gone: the work says so
        return None
    return found if is_same else None


@contextmanager
def _sole_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which vanishes with the process.

    Raises:
        ConfigError: if another process holds it.
    """
    with (folder / LOCK).open('w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f'batch {folder}',
                'a folder that nobody writes into',
                'another batch at work in it',
                'wait for it, or name another --out',
            ) from error
        yield
