"""Train contestants alike, score them alike, and say what may be said.

    python benchmark/fair_comparison.py config/comparison/streets.yaml --out runs/streets

Everything goes on where it was stopped. Start the command once per core: each process takes the
trainings that are free, and the last one scores. `--stage train` trains only. It takes hours.
`--records` also writes what documents state.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from rich.console import Console

from benchmark.comparison.costs import latencies, parameters
from benchmark.comparison.layers import layer_figures
from benchmark.comparison.norms import SAMPLES
from benchmark.comparison.plan import Comparison
from benchmark.comparison.rates import ChosenRate, choose_rates
from benchmark.comparison.scores import (
    DrawJob,
    drawn,
    drives_of,
    evaluate,
    model_of,
    samples_of,
)
from benchmark.comparison.trainings import Training, all_trainings, finish
from metabev_ros.config import load_config
from metabev_ros.files import write_text
from metabev_ros.lab.evaluation.fair_comparison import Arm, FairResults, load_figures
from metabev_ros.lab.evaluation.fair_records import fair_records
from metabev_ros.lab.evaluation.fair_report import fair_page, plain_results
from metabev_ros.lab.evaluation.held_out import HeldOutDrives
from metabev_ros.lab.evaluation.records import merge_records
from metabev_ros.lab.spreading import one_thread

EVERY_S = 20.0  # between lines of a training


class Teller:
    """Lines on what goes on: the first and last of a thing, and one now and then."""

    def __init__(self, console: Console) -> None:
        self._console, self._last = console, 0.0

    def say(self, text: str, is_sure: bool = False) -> None:
        """Print a line, unless one was printed just now."""
        if is_sure or time.monotonic() - self._last > EVERY_S:
            self._last = time.monotonic()
            stamp = time.strftime('%H:%M:%S')
            self._console.print(f'{stamp} {text}', markup=False, highlight=False, soft_wrap=True)

    def stepped(self, name: str, step: int, steps: int, rate: float) -> None:
        """A step of a training is done."""
        self.say(f'{name}: step {step} of {steps}, {rate:.2f} samples/s', step in (1, steps))

    def progress(self, done: int, total: int, text: str) -> None:
        """A part of an evaluation is done."""
        self.say(f'{text} ({done} of {total})', done == total)


def score(
    plan: Comparison,
    trainings: list[Training],
    rates: dict[str, ChosenRate],
    out: Path,
    cache: Path,
    workers: int,
    tell: Teller,
) -> FairResults:
    """Evaluate all trained models and put their figures together."""
    scoring = plan.scoring
    drives = HeldOutDrives(scoring.drives, scoring.per_drive, scoring.first_seed)
    test_set, settings, left_out = drives_of(scoring.records, drives, scoring.chosen)
    models = {training.name: model_of(training, out, cache, scoring) for training in trainings}
    partial = out / 'partial'
    infos = evaluate(tuple(models.values()), settings, test_set, partial, workers, tell.progress)
    jobs = [
        DrawJob(m, infos[m.name], settings, test_set, partial, scoring.resamples, out / 'draws')
        for m in models.values()
    ]
    paths = drawn(jobs, workers, tell.progress)
    arms = {(Arm(t.contestant.name, t.regime.name), t.seed): t.name for t in trainings}
    of_arms = {arm: models[name] for arm, name in arms.items()}
    timed = {t.contestant.name: models[t.name] for t in reversed(trainings)}
    speed = latencies({c.name: timed[c.name] for c in plan.contestants})
    return FairResults(
        tuple(contestant.name for contestant in plan.contestants),
        plan.reference,
        {regime.name: regime.words for regime in plan.regimes},
        settings,
        load_figures({arm: paths[name] for arm, name in arms.items()}),
        samples_of(next(iter(paths.values())), settings[0]),
        len(test_set.all_drives),
        len(plan.seeds),
        notes(plan, test_set.words),
        {
            c.name: {
                **parameters(plan.model_of(c)),
                **speed[c.name],
                'learning rate': rates[c.name].words,
                'own training': json.dumps(c.training) if c.training else 'none',
            }
            for c in plan.contestants
        },
        left_out,
        layer_figures(of_arms, infos, test_set, partial, scoring.resamples),
    )


def notes(plan: Comparison, test_set: str) -> tuple[str, ...]:
    """How it was done, in words."""
    training = plan.training_of(plan.contestants[0], plan.regimes[0], plan.seeds[0])
    frozen = ', '.join(plan.frozen)
    learning = (
        f'{frozen} do not learn: what differs is what comes after them.'
        if frozen
        else 'All parts learn.'
    )
    return (
        f'Start: {", ".join(plan.start.parts)} of `{plan.start.weights}`; all other parts new, '
        'equal numbers in equal parts.',
        learning,
        f'{training.steps} steps of {len(training.batch)} samples; the same samples in the same '
        'order, with the same modalities, augmentation and failures for all contestants of a '
        'regime and seed.',
        'A convolutional fuser that never saw a sensor missing gets statistics for its norms from '
        f'{SAMPLES} training samples without that sensor: in its favour, and no weight changes.',
        f'Test set: {test_set}.',
        f'Made by `python {" ".join(sys.argv)}`.',
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('plan', type=Path)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--cache', type=Path, default=Path('runs/cache'))
    parser.add_argument('--workers', type=int, default=1, help='processes of an evaluation')
    parser.add_argument('--stage', choices=['train', 'all'], default='all')
    parser.add_argument('--records', type=Path, help='result file; its name begins the ids')
    options = parser.parse_args()
    one_thread()
    tell, plan = Teller(Console()), load_config(Comparison, options.plan)
    out, cache, workers = options.out, options.cache, options.workers
    rates = choose_rates(plan, out, cache, workers, tell.stepped, tell.progress)
    if rates is None:
        tell.say('other processes still try learning rates: start again when they are done', True)
        return
    trainings = all_trainings(plan, out, {name: chosen.rate for name, chosen in rates.items()})
    left = finish(trainings, Path(plan.start.weights), cache, workers, tell.stepped)
    if left or options.stage == 'train':
        tell.say(f'{len(left)} of {len(trainings)} trainings are left to other processes', True)
        return
    results = score(plan, trainings, rates, out, cache, workers, tell)
    write_text(out / 'comparison.json', json.dumps(plain_results(results), indent=1) + '\n')
    write_text(out / 'comparison.md', fair_page(results))
    if options.records is not None:
        command = f'python {" ".join(sys.argv)}'
        merge_records(options.records, fair_records(results, options.records.stem, command))
    tell.say(f'written: {out / "comparison.md"}', True)


if __name__ == '__main__':
    main()
