"""Write the robustness cards of shipped models out of the figures that are kept.

    .venv/bin/metabev-env python tools/robustness_cards.py

docs/results/robustness.json holds what `metabev card` reads from the file of an evaluation. A card
is written only where the model of the commit that was measured is the one that lies here. Other
models get theirs from `metabev evaluate --settings headline` and `metabev card`.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from metabev_ros.contract import load_contract
from metabev_ros.errors import ConfigError
from metabev_ros.lab.evaluation.held_out import HeldOutDrives
from metabev_ros.lab.evaluation.model_results import ModelResults
from metabev_ros.lab.evaluation.records import read_records
from metabev_ros.lab.evaluation.robustness_card import CARD, RobustnessCard

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / 'docs/results/robustness.json'
NAMES = {'metabev_nano': 'ours'}  # folder in models/ -> name in the records


def card_of(model: str) -> RobustnessCard:
    """The card that the records give.

    Raises:
        ConfigError: there are none, or they are of several runs.
    """
    start = f'robustness.{NAMES[model]}.'
    found = [record for record in read_records(RECORDS) if record.id.startswith(start)]
    if len({(record.run, record.n) for record in found}) != 1:
        raise ConfigError(f'{RECORDS}', f'one run of {start}*', 'none or several', 'evaluate anew')
    contract = load_contract(ROOT / 'models' / model)
    figures: dict[str, dict[str, float | None]] = {}
    for record in found:
        setting, _, figure = record.id.removeprefix(start).rpartition('.')
        figures.setdefault(setting, {})[figure] = record.value
    test_set = held_out(found[0].command)
    if test_set.drives * test_set.per_drive != found[0].n:
        raise ConfigError(f'{RECORDS}', f'{found[0].n} samples', found[0].command)
    results = ModelResults(
        model,
        contract.config.name,
        contract.hash,
        'onnxruntime',
        test_set.words,
        found[0].n,
        figures,
        {},
        seed=test_set.first_seed,
        commit=found[0].commit,
        date=found[0].date,
    )
    return RobustnessCard.make(results)


def held_out(command: str) -> HeldOutDrives:
    """The test set of a command of `metabev evaluate`."""
    words = shlex.split(command)

    def value(option: str) -> int:
        return int(words[words.index(option) + 1])

    return HeldOutDrives(value('--drives'), value('--per-drive'))


def require_measured(model: str, commit: str) -> None:
    """Refuse figures of a model that has changed since they were measured.

    Raises:
        ConfigError
    """
    path = f'models/{model}/contract.json'
    shown = subprocess.run(['git', 'show', f'{commit}:{path}'], cwd=ROOT, capture_output=True)
    if shown.stdout != (ROOT / path).read_bytes():
        raise ConfigError(path, f'that of the measured commit {commit}', 'another', 'measure anew')


def main(models: Sequence[str] = tuple(NAMES)) -> None:
    """Write them."""
    for model in models:
        card = card_of(model)
        require_measured(model, card.commit)
        card.save(ROOT / 'models' / model / CARD)
        sys.stdout.write(f'models/{model}/{CARD}: {len(card.settings)} settings\n')


if __name__ == '__main__':
    main()
