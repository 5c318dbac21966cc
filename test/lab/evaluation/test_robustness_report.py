"""Results of several models: files, tables, records and pictures say what was measured."""

import json

import cv2
import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions import ALL, HEADLINE
from metabev_ros.lab.evaluation.bootstrap import Interval
from metabev_ros.lab.evaluation.model_results import ModelResults
from metabev_ros.lab.evaluation.robustness_claims import claim_records, robustness_records
from metabev_ros.lab.evaluation.robustness_report import comparison, markdown, write_comparison
from metabev_ros.lab.evaluation.score import FIGURES


def results_of(name: str, factor: float, source: str = 'drives') -> ModelResults:
    rng = np.random.default_rng(0)
    figures = {
        setting.id: {figure: factor * float(rng.uniform(0.3, 0.7)) for figure in FIGURES}
        for setting in ALL
    }
    figures['clean.0'] = {figure: factor * 0.7 for figure in FIGURES}
    figures['mc.1']['nds'] = factor * 0.686
    luck = rng.normal(0, 0.01, 200)  # of the drives, the same for all models
    draws = {
        setting: {name: (figures[setting][name] + luck).tolist() for name in ('nds', 'miou')}
        for setting in figures
    }
    return ModelResults(name, 'm', 'abc', 'torch', source, 400, figures, {}, draws)


@pytest.fixture
def pair():
    return [results_of('ours', 1.0), results_of('baseline', 0.8)]


def test_a_file_gives_back_what_was_saved_and_another_file_is_refused(pair, tmp_path):
    pair[0].figures['ml.1']['detection_ece'] = None
    pair[0].save(tmp_path / 'a' / 'ours.json')
    assert ModelResults.load(tmp_path / 'a' / 'ours.json') == pair[0]
    (tmp_path / 'bad.json').write_text('{"name": 1}')
    with pytest.raises(ConfigError, match='bad.json'):
        ModelResults.load(tmp_path / 'bad.json')


def test_the_tables_hold_every_setting_and_the_counts(pair):
    text = markdown(pair)
    assert '400 samples: drives.' in text
    for setting in ALL:
        ours, other = (r.figures[setting.id] for r in pair)
        assert (
            f'| `{setting.id}` | {setting.words} | {ours["nds"]:.3f} / {ours["miou"]:.3f} | '
            f'{other["nds"]:.3f} / {other["miou"]:.3f} |'
        ) in text


def test_a_lead_counts_only_where_its_interval_lies_on_one_side_of_zero(pair):
    assert 'NDS: ahead in 8, behind in 0, no difference in 0 of 8' in comparison(*pair)
    ours, other = pair
    other.figures['vd.6']['miou'] = 0.9
    other.resampled['vd.6']['miou'] = [0.9] * 200
    noise = np.random.default_rng(1).normal(0, 0.01, 200)
    other.figures['oo.1']['miou'] = ours.figures['oo.1']['miou'] - 0.002
    other.resampled['oo.1']['miou'] = (
        np.array(ours.resampled['oo.1']['miou']) - 0.002 + noise
    ).tolist()
    assert 'mIoU: ahead in 6, behind in 1, no difference in 1 of 8' in comparison(*pair)
    assert '| ahead |' in markdown(pair) and '| no difference |' in markdown(pair)


def test_a_figure_without_truth_is_a_dash_and_no_lead(pair, tmp_path):
    """Records without velocities have no NDS, those without a map no mIoU."""
    for results in pair:
        for setting, figures in results.figures.items():
            figures['nds'] = None
            results.resampled[setting]['nds'] = [None] * 200
            results.resampled[setting]['miou'][::3] = [None] * 67  # draws without a known map
        results.left_out['skew.50'] = 'no record lies 50 ms before another'
    text = write_comparison(pair, tmp_path / 'report').read_text()
    assert 'NDS: ahead in 0, behind in 0, no difference in 0 of 0; mIoU: ahead in 8' in text
    assert '- not shown: `skew.50`, no record lies 50 ms before another' in text
    assert f'| - / {pair[0].figures["ml.1"]["miou"]:.3f} |' in text
    ids = {record.id for record in claim_records(pair, 'metabev compare')}
    assert not any('.nds' in name for name in ids)
    assert 'robustness.claims.over_baseline.clean.0.miou_low' in ids
    with pytest.raises(ConfigError, match='undefined'):
        pair[0].lead(pair[1], 'clean.0', 'nds')


def test_the_interval_of_a_lead_is_paired(pair):
    """Luck that both models share does not widen it."""
    lead = pair[0].lead(pair[1], 'clean.0', 'nds')
    assert lead == Interval(pytest.approx(0.14), pytest.approx(0.14), pytest.approx(0.14))


def test_a_lead_without_draws_of_drives_is_refused(pair):
    pair[1].resampled.clear()
    with pytest.raises(ConfigError, match='draws of drives'):
        pair[0].lead(pair[1], 'clean.0', 'nds')


def test_records_have_one_id_a_figure_and_none_for_what_is_undefined(pair):
    pair[0].figures['ml.1']['detection_ece'] = None
    records = robustness_records(pair, 'metabev evaluate')
    ids = [record.id for record in records]
    assert len(set(ids)) == len(ids) == 2 * len(ALL) * len(FIGURES) - 1
    by_id = {record.id: record for record in records}
    record = by_id['robustness.baseline.mo.0_3.miou']
    assert (record.value, record.unit, record.n) == (
        pair[1].figures['mo.0_3']['miou'],
        'mIoU',
        400,
    )
    assert 'robustness.ours.ml.1.detection_ece' not in by_id


def test_claims_state_shares_of_clean_with_targets_and_leads_with_intervals(pair):
    pair.append(results_of('other', 2.0))
    claims = {r.id.removeprefix('robustness.claims.'): r for r in claim_records(pair, 'compare')}
    assert claims['clean.0.nds'].met is True and claims['clean.0.nds'].target == '>= 0.60'
    assert claims['mc.1.nds_kept'].value == pytest.approx(0.98) and claims['mc.1.nds_kept'].met
    ours, base = (r.figures['lf.120']['miou'] for r in pair[:2])
    lead = claims['over_baseline.lf.120.miou']
    assert lead.value == pytest.approx(ours - base)
    assert lead.target is None and lead.met is None  # its interval says whether it is one
    assert claims['over_baseline.lf.120.miou_low'].value <= lead.value + 1e-12
    assert claims['over_baseline.lf.120.miou_high'].value >= lead.value - 1e-12
    assert len(claims) == 2 + 4 + 2 * 3 * 2 * (1 + len(HEADLINE))


def test_results_on_other_drives_do_not_compare(pair):
    for bad in ([pair[0], results_of('b', 1, 'other drives')], [pair[0], pair[0]], []):
        with pytest.raises(ConfigError):
            markdown(bad)


def test_the_pictures_are_drawn_also_where_settings_are_missing(pair, tmp_path):
    pair.append(results_of('ours_in_domain', 1.05))
    for setting in ALL[12:]:
        del pair[1].figures[setting.id], pair[1].resampled[setting.id]
    report = write_comparison(pair, tmp_path / 'out')
    for name in ('radar.png', 'curves.png', 'beyond.png'):
        assert f'({name})' in report.read_text()
        picture = cv2.imread(str(report.parent / name))
        assert picture.shape[0] > 400 and picture.std() > 10
    assert sorted(p.name for p in report.parent.iterdir()) == [
        'beyond.png',
        'comparison.md',
        'curves.png',
        'radar.png',
    ]


def test_the_compare_command_writes_the_report_and_the_claims(pair, tmp_path):
    from typer.testing import CliRunner

    from metabev_ros.cli import app
    from metabev_ros.lab.evaluation.records import read_records

    for results in pair:
        results.save(tmp_path / f'{results.name}.json')
    done = CliRunner().invoke(
        app,
        [
            'compare',
            *(str(tmp_path / f'{r.name}.json') for r in pair),
            '--out',
            str(tmp_path / 'out'),
            '--record',
            str(tmp_path / 'figures.json'),
            '--json',
        ],
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / 'out' / 'comparison.md').read_text() == markdown(pair)
    ids = [record.id for record in read_records(tmp_path / 'figures.json')]
    assert ids == [record.id for record in claim_records(pair, '', 'figures')]
    assert [figure['id'] for figure in json.loads(done.stdout)['figures']] == ids
