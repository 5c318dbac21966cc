"""Every model that runs on a vehicle lies beside its robustness card, whole and its own."""

from __future__ import annotations

import pytest
import robustness_cards

from metabev_ros.contract import load_contract
from metabev_ros.lab.datasets.corruptions import CLEAN, HEADLINE
from metabev_ros.lab.evaluation.records import read_records
from metabev_ros.lab.evaluation.robustness_card import CARD, RobustnessCard
from metabev_ros.resources import DEFAULT_MODEL, resource_path

MODELS = resource_path('models/README.md').parent
ON_VEHICLES = sorted(path.parent.name for path in MODELS.glob('*/contract.json'))
FIGURES = ('nds', 'map', 'miou', 'nds_retention', 'miou_retention', 'detection_ece', 'map_ece')


def test_the_default_model_is_one_that_runs_on_a_vehicle():
    assert resource_path(DEFAULT_MODEL).name in ON_VEHICLES


@pytest.mark.parametrize('model', ON_VEHICLES)
def test_a_card_of_this_very_model_holds_every_headline_failure(model):
    card = RobustnessCard.load(MODELS / model / CARD)
    assert card.model_hash == load_contract(MODELS / model).hash, 'measure it anew'
    assert card.model == load_contract(MODELS / model).config.name and card.name == model
    assert card.n >= 100 and card.commit and card.date
    assert card.seed is not None or 'manifest' in card.data
    sweeps = load_contract(MODELS / model).config.lidar.sweeps
    # Beams are not lost from a cloud of several sweeps: its points do not say of which they are.
    for setting in [s for s in (CLEAN, *HEADLINE) if s.code != 'br' or sweeps == 1]:
        missing = set(FIGURES) - set(card.settings.get(setting.id, {}))
        assert not missing, setting.words


@pytest.mark.parametrize('model', robustness_cards.NAMES)
def test_a_card_of_kept_figures_says_what_the_records_say(model):
    card = RobustnessCard.load(MODELS / model / CARD)
    assert card == robustness_cards.card_of(model), 'python tools/robustness_cards.py'
    claims = {r.id: r.value for r in read_records(robustness_cards.RECORDS) if '.claims.' in r.id}
    for figure in ('nds', 'miou'):  # the claims of README and pages
        for setting in ('ml.1', 'mc.1'):
            kept = card.figure(f'{setting}.{figure}_retention')
            assert kept == pytest.approx(claims[f'robustness.claims.{setting}.{figure}_kept'])
