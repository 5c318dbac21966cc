"""All trainings of a comparison: each goes on where it was stopped, several processes share them.

A training is held by whoever has its lock, which the system takes back when a process dies. So
the command may be started once per core: each process takes what is free.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark.comparison.plan import Comparison, Contestant, Regime
from benchmark.comparison.starts import write_start
from metabev_ros.config import to_plain
from metabev_ros.errors import ConfigError
from metabev_ros.files import sha256_of, write_text
from metabev_ros.lab.training.provenance import read_state
from metabev_ros.lab.training.run import RunConfig, train_model

Stepped = Callable[[str, int, int, float], object]
PLAN = 'plan.json'


@dataclass(frozen=True)
class Training:
    """One training of a comparison.

    Attributes:
        name: as a model of the evaluation: contestant-regime-seed.
        folder: of the run.
    """

    contestant: Contestant
    regime: Regime
    seed: int
    name: str
    folder: Path
    run: RunConfig

    @property
    def is_finished(self) -> bool:
        """Tell whether its last step was saved."""
        return read_state(self.folder).get('step') == self.run.training.steps


def all_trainings(plan: Comparison, out: Path, rates: dict[str, float]) -> list[Training]:
    """Every training of the comparison proper; seed by seed, so that early seeds are complete.

    Args:
        rates: contestant -> learning rate.
    """
    return [
        training_at(
            plan,
            out / 'trainings' / f'{contestant.name}-{regime.name}-{seed}',
            contestant,
            regime,
            seed,
            rates[contestant.name],
            out,
        )
        for seed in plan.seeds
        for regime in plan.regimes
        for contestant in plan.contestants
    ]


def training_at(
    plan: Comparison,
    folder: Path,
    contestant: Contestant,
    regime: Regime,
    seed: int,
    rate: float | None,
    out: Path,
) -> Training:
    """One training, whose start is written if it is not there yet."""
    start = out / 'starts' / f'{contestant.name}-{seed}'
    weights = write_start(start, plan.model_of(contestant), plan.start, seed)
    run = plan.run_of(contestant, regime, seed, rate, weights)
    return Training(contestant, regime, seed, folder.name, folder, run)


def finish(
    trainings: list[Training], start: Path, cache: Path, workers: int, stepped: Stepped
) -> list[Training]:
    """Run all trainings that are neither finished nor run by another process.

    Args:
        start: weights that all began with; another file there is another comparison.
        cache: of rendered records.
        workers: processes that render.
        stepped: called with (name, step, steps, samples a second).

    Returns:
        those that are still not finished: others run them.

    Raises:
        ConfigError: where a folder holds a training of another plan.
    """
    for training in trainings:
        with _held(training.folder) as is_mine:
            if not is_mine:
                continue
            _require_same_plan(training, start)
            if training.is_finished:
                continue
            train_model(training.run, training.folder, cache, workers, _watched(training, stepped))
    return [training for training in trainings if not training.is_finished]


def _watched(
    training: Training, stepped: Stepped
) -> Callable[[int, dict[str, float], float], None]:
    def told(step: int, terms: dict[str, float], rate: float) -> None:
        stepped(training.name, step, training.run.training.steps, rate)

    return told


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Whether the lock of a folder could be taken; given back at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / '.lock', 'w', encoding='utf-8') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def _require_same_plan(training: Training, start: Path) -> None:
    """Note what a training is told, or stop where its folder was told something else.

    Raises:
        ConfigError
    """
    path = training.folder / PLAN
    plain = {'run': to_plain(training.run), 'start': sha256_of(start)}
    text = json.dumps(plain, indent=1)
    if not path.exists():
        write_text(path, text)
    elif json.loads(path.read_text(encoding='utf-8')) != json.loads(text):
        raise ConfigError(
            str(training.folder),
            'the training that the comparison asks for',
            f'one of another plan, see {PLAN}',
            'use another --out',
        )
