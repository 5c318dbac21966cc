"""What may be said of contestants, from made-up figures whose answer is known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions import CLEAN, HEADLINE, IMAGES
from metabev_ros.lab.evaluation.fair_comparison import (
    NAMES,
    Arm,
    FairResults,
    LayerFigures,
    claim,
    load_figures,
)
from metabev_ros.lab.evaluation.fair_records import fair_records
from metabev_ros.lab.evaluation.fair_report import fair_page, plain_results
from metabev_ros.lab.evaluation.seed_bootstrap import SeedDraws

SETTINGS = (CLEAN, *HEADLINE, *IMAGES)
DRAWS = 300


def results_of(lead, seeds=3, noise=0.0005, regimes=('failures',)):
    """Contestant 'ours' leads 'conv' by `lead(setting, figure)`, give or take a little."""
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 0.02, (1, DRAWS))  # of the drives, for all
    figures = {}
    for regime in regimes:
        for setting in SETTINGS:
            for name in NAMES:
                base = 0.7 if setting is CLEAN else 0.5
                values = base + rng.normal(0, noise, seeds)
                conv = SeedDraws(values, values[:, None] + luck)
                ours = values + lead(setting, name) + rng.normal(0, noise, seeds)
                figures[Arm('conv', regime), setting.id, name] = conv
                own = rng.normal(0, noise, (seeds, DRAWS))
                figures[Arm('ours', regime), setting.id, name] = SeedDraws(
                    ours, ours[:, None] + luck + own
                )
    words = dict.fromkeys(regimes, 'Trained on failures')
    return FairResults(
        ('ours', 'conv'), 'conv', words, SETTINGS, figures, 400, 20, seeds, ('a note',)
    )


def test_a_lead_everywhere_is_claimed_everywhere():
    text = claim(results_of(lambda setting, name: 0.05), 'ours', 'failures')
    assert text.startswith('Trained on failures, 3 seeds, 400 samples of 20 drives a setting, ')
    assert 'under the eight failures ahead in mean NDS (+0.05' in text
    assert 'ahead in 8, behind in 0, none in 0' in text
    assert 'without a failure ahead in NDS' in text
    assert 'ahead in 12, behind in 0, none in 0' in text
    assert 'no difference' not in text and 'behind in mean' not in text


def test_no_lead_is_no_difference_and_a_trail_is_said_as_plainly():
    nothing = claim(results_of(lambda setting, name: 0.0, noise=0.01), 'ours', 'failures')
    assert 'without a failure no difference in NDS' in nothing
    assert 'no difference in mean NDS' in nothing and 'ahead in mean' not in nothing
    behind = claim(results_of(lambda setting, name: -0.04), 'ours', 'failures')
    assert 'behind in mean mIoU (-0.04' in behind and 'ahead in 0, behind in 8' in behind


def test_tasks_and_families_are_told_apart():
    def lead(setting, name):
        return 0.05 if name == 'miou' and setting in HEADLINE else 0.0

    text = claim(results_of(lead, noise=0.002), 'ours', 'failures')
    failures = text[text.index('under the eight') : text.index('under the twelve')]
    assert 'ahead in mean mIoU' in failures and 'no difference in mean NDS' in failures
    assert 'ahead in mean' not in text[text.index('under the twelve') :]


def test_seeds_that_disagree_take_a_lead_away():
    steady = results_of(lambda setting, name: 0.02, noise=0.001)
    wild = results_of(lambda setting, name: 0.02, noise=0.03)
    assert steady.lead(Arm('ours', 'failures'), CLEAN, 'nds').sign == 1
    assert wild.lead(Arm('ours', 'failures'), CLEAN, 'nds').sign == 0


def test_one_seed_claims_nothing():
    text = claim(results_of(lambda setting, name: 0.2, seeds=1), 'ours', 'failures')
    assert 'no difference may be claimed' in text and 'ahead' not in text
    page = fair_page(results_of(lambda setting, name: 0.2, seeds=1))
    assert '| ahead' not in page and '| behind' not in page


def test_what_is_kept_is_a_share_of_the_own_clean_figure():
    results = results_of(lambda setting, name: 0.1 if setting is CLEAN else 0.0, noise=0.0)
    kept = results.kept(Arm('ours', 'failures'), IMAGES[0], 'miou')
    assert kept.values.mean() == pytest.approx(0.5 / 0.8)
    page = fair_page(results)
    assert '71.4%' in page and '62.5%' in page


def test_the_page_holds_every_setting_every_regime_and_the_claims():
    results = results_of(lambda setting, name: 0.03, regimes=('clean', 'failures'))
    page = fair_page(results)
    for setting in SETTINGS:
        assert page.count(f'| `{setting.id}` |') == 4
    for regime in ('clean', 'failures'):
        assert f'- {claim(results, "ours", regime)}' in page
        assert f'### `ours` less `conv`, {regime}' in page
    assert '- a note' in page and '| ahead |' in page


def test_the_plain_form_is_json_and_has_every_seed():
    plain = plain_results(results_of(lambda setting, name: 0.03))
    again = json.loads(json.dumps(plain, allow_nan=False))
    assert len(again['figures']) == 2 * len(SETTINGS) * len(NAMES)
    ours = [f for f in again['figures'] if f['contestant'] == 'ours']
    assert all(len(f['of_seeds']) == 3 and f['lead'][1] <= f['lead'][2] for f in ours)
    assert all(f['lead'] is None for f in again['figures'] if f['contestant'] == 'conv')


def test_records_hold_means_spreads_shares_and_leads_with_their_ends():
    results = results_of(lambda setting, name: 0.1 if setting is CLEAN else 0.0, noise=0.0)
    found = {record.id: record for record in fair_records(results, 'fair.made_up', 'a command')}
    stem = f'fair.made_up.failures.ours.{IMAGES[0].id}.miou'
    assert found[stem].value == pytest.approx(0.5) and found[stem].unit == 'mIoU'
    assert found[f'{stem}_kept'].value == pytest.approx(0.5 / 0.8)
    assert found[f'{stem}_spread'].value == pytest.approx(0.0)
    lead = 'fair.made_up.failures.lead.ours.{}.nds{}'
    low, value, high = (found[lead.format('clean.0', end)].value for end in ('_low', '', '_high'))
    assert value == pytest.approx(0.1) and low <= value <= high
    assert found[lead.format('headline', '')].value == pytest.approx(0.0)
    assert {record.n for record in found.values()} == {400}
    assert not any('.lead.conv.' in name for name in found)


def with_layers(results):
    """The same, with a layer of one drive that 'ours' finds and one of all where it is behind."""
    draws = np.where(np.random.default_rng(1).integers(0, 20, (DRAWS, 20)).min(1) == 0, 0.6, 0.0)
    arms = {name: Arm(name, 'failures') for name in ('ours', 'conv')}
    flat = np.full((3, DRAWS), 0.4)
    figures = {
        (arms['ours'], 'carpark_area'): SeedDraws(np.full(3, 0.6), np.tile(draws, (3, 1))),
        (arms['conv'], 'carpark_area'): SeedDraws(np.zeros(3), np.zeros((3, DRAWS))),
        (arms['ours'], 'divider'): SeedDraws(np.full(3, 0.39), flat - 0.01),
        (arms['conv'], 'divider'): SeedDraws(np.full(3, 0.4), flat),
    }
    return replace(results, layers=LayerFigures({'carpark_area': 1, 'divider': 20}, figures))


def test_a_layer_of_one_drive_is_no_lead_and_no_part_of_the_shared_mean():
    results = with_layers(results_of(lambda setting, name: 0.03))
    ours, layers = Arm('ours', 'failures'), results.layers
    one = layers.lead(ours, 'conv', ('carpark_area',))
    assert (one.value, one.sign) == (pytest.approx(0.6), 0)
    assert layers.shared(results.drives) == ('divider',)
    both = layers.lead(ours, 'conv', ('carpark_area', 'divider'))
    assert both.value == pytest.approx(0.295) and both.low == pytest.approx(-0.005)
    page = fair_page(results)
    assert '| carpark_area | 1 | 0.600(0) | 0.000(0) | +0.600' in page
    assert '| mean of those in half of the drives |  |  |  | -0.010' in page
    assert len(plain_results(results)['layers']) == 4


def test_records_hold_every_layer_and_the_shared_mean():
    results = with_layers(results_of(lambda setting, name: 0.03))
    found = {record.id: record.value for record in fair_records(results, 'fair', 'a command')}
    assert found['fair.layer.carpark_area.drives'] == 1
    assert found['fair.failures.ours.layer.carpark_area.iou'] == pytest.approx(0.6)
    assert found['fair.failures.lead.ours.layer.shared.iou'] == pytest.approx(-0.01)
    assert found['fair.failures.lead.ours.layer.carpark_area.iou_low'] == 0
    assert 'fair.failures.lead.conv.layer.shared.iou' not in found


def test_figures_come_from_the_files_of_the_trainings_in_the_order_of_seeds(tmp_path):
    arm, paths = Arm('ours', 'clean'), {}
    for seed in (12, 11):
        paths[arm, seed] = tmp_path / f'{seed}.npz'
        np.savez(
            paths[arm, seed],
            **{f'clean.0/{n}': np.array([seed, 1.0, 2.0]) for n in NAMES},
            **{'clean.0/samples': np.array(4)},
        )
    found = load_figures(paths)
    assert set(found) == {(arm, 'clean.0', name) for name in NAMES}
    assert found[arm, 'clean.0', 'nds'].values.tolist() == [11, 12]
    assert found[arm, 'clean.0', 'nds'].draws.tolist() == [[1, 2], [1, 2]]


def test_a_figure_that_was_not_scored_is_named():
    with pytest.raises(ConfigError, match='vd.6'):
        results = results_of(lambda setting, name: 0.0)
        results.lead(Arm('ours', 'clean'), HEADLINE[3], 'nds')
