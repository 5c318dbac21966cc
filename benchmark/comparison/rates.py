"""A learning rate for every contestant, found with equal care: the same few short trainings."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.comparison.plan import (
    SWEEP_SEED,
    Comparison,
    RateSweep,
    setting_of,
)
from benchmark.comparison.scores import Progress, drives_of, evaluate, model_of
from benchmark.comparison.trainings import Stepped, Training, finish, training_at
from metabev_ros.files import write_text
from metabev_ros.lab.evaluation.held_out import CHOICE_FIRST_SEED, HeldOutDrives
from metabev_ros.lab.evaluation.robustness import stored_scores
from metabev_ros.lab.evaluation.score import Score


@dataclass(frozen=True)
class ChosenRate:
    """The learning rate of one contestant.

    Attributes:
        scores: rate -> mean of NDS and mIoU; empty without a sweep.
    """

    rate: float
    scores: dict[float, float]

    @property
    def words(self) -> str:
        """For the page."""
        if not self.scores:
            return f'{self.rate:g}'
        tried = ', '.join(f'{rate:g}: {score:.3f}' for rate, score in self.scores.items())
        ends = (min(self.scores), max(self.scores))
        edge = '; at the edge of what was tried' if self.rate in ends else ''
        return f'{self.rate:g} of ({tried}){edge}'


def best(scores: dict[float, float]) -> ChosenRate:
    """The rate of the highest score; of equal ones the lowest rate."""
    return ChosenRate(max(sorted(scores), key=lambda rate: scores[rate]), scores)


def sweep_trainings(
    plan: Comparison, sweep: RateSweep, out: Path
) -> dict[tuple[str, float], Training]:
    """(contestant, rate) -> its short training."""
    short = {
        'steps': sweep.steps,
        'warmup_steps': sweep.warmup_steps,
        'decay_steps': sweep.decay_steps,
    }
    plan = dataclasses.replace(plan, training={**plan.training, **short})
    regime = plan.regime(sweep.regime)
    return {
        (contestant.name, rate): training_at(
            plan,
            out / 'sweep' / f'{contestant.name}-{rate:g}'.replace('.', '_'),
            contestant,
            regime,
            SWEEP_SEED,
            rate,
            out,
        )
        for contestant in plan.contestants
        for rate in sweep.rates
    }


def choose_rates(
    plan: Comparison,
    out: Path,
    cache: Path,
    workers: int,
    stepped: Stepped,
    progress: Progress,
) -> dict[str, ChosenRate] | None:
    """Contestant -> rate; from the file of an earlier call where there is one.

    Returns:
        None while another process still runs some of the trainings.
    """
    if plan.sweep is None:
        training = plan.training_of(plan.contestants[0], plan.regimes[0], plan.seeds[0])
        return {c.name: ChosenRate(training.learning_rate, {}) for c in plan.contestants}
    path = out / 'rates.json'
    trainings = sweep_trainings(plan, plan.sweep, out)
    if not path.exists():
        if finish(list(trainings.values()), Path(plan.start.weights), cache, workers, stepped):
            return None
        scores = _scored(plan, plan.sweep, trainings, out, cache, workers, progress)
        text = json.dumps([[name, rate, score] for (name, rate), score in scores.items()])
        write_text(path, text)
    found: dict[str, dict[float, float]] = {}
    for name, rate, score in json.loads(path.read_text(encoding='utf-8')):
        if (name, rate) in trainings:
            found.setdefault(name, {})[rate] = score
    return {name: best(scores) for name, scores in found.items()}


def _scored(
    plan: Comparison,
    sweep: RateSweep,
    trainings: dict[tuple[str, float], Training],
    out: Path,
    cache: Path,
    workers: int,
    progress: Progress,
) -> dict[tuple[str, float], float]:
    """Mean of NDS and mIoU over the settings of the sweep, on worlds that no figure uses."""
    drives = HeldOutDrives(sweep.drives, sweep.per_drive, CHOICE_FIRST_SEED)
    wanted = tuple(setting_of(name) for name in sweep.settings)
    test_set, settings, _ = drives_of(sweep.records, drives, wanted)
    models = {
        key: model_of(training, out, cache, plan.scoring) for key, training in trainings.items()
    }
    partial = out / 'partial'
    infos = evaluate(tuple(models.values()), settings, test_set, partial, workers, progress)
    found: dict[tuple[str, float], float] = {}
    for key, model in models.items():
        scores = stored_scores([model], settings, test_set, partial, infos)
        figures = [Score.merged(drives).result().figures for drives in scores.values()]
        found[key] = float(np.mean([(f['nds'] + f['miou']) / 2 for f in figures]))
    return found
