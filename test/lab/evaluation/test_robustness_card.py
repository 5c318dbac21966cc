"""Robustness cards: what was measured comes back, what is damaged is named, gates hold."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.evaluation.card_gates import Gate, judge, junit, read_gates
from metabev_ros.lab.evaluation.model_results import ModelResults
from metabev_ros.lab.evaluation.robustness_card import RobustnessCard, read_what_if
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path

TIMES = {'kill.CAM_FRONT': 0.12, 'freeze.CAM_FRONT': 0.4, 'blind.CAM_FRONT': None}


def results(name='ours', model_hash='abc', **figures) -> ModelResults:
    plain = {'nds': 0.6, 'map': 0.7, 'miou': 0.5, 'detection_ece': 0.05, 'map_ece': None}
    lost = {'nds': 0.3, 'map': 0.2, 'miou': 0.4, 'detection_ece': 0.1} | figures
    shown = {'clean.0': plain, 'ml.1': lost}
    return ModelResults(
        name, 'm', model_hash, 'onnxruntime', 'drives', 40, shown, {}, seed=7, commit='c0ffee'
    )


def card(name='ours', **figures) -> RobustnessCard:
    what_if = {'label_seconds': TIMES, 'rig': ('CAM_FRONT',)}
    return RobustnessCard.make(results(name, **figures), what_if)


def test_a_card_says_what_is_kept_and_nothing_that_was_not_measured(tmp_path):
    bare = RobustnessCard.make(results())
    assert bare.figure('lidar_missing.nds_retention') == pytest.approx(0.5)
    assert bare.figure('ml.1.miou_retention') == pytest.approx(0.8)
    assert bare.figure('clean.nds_retention') == 1
    assert bare.figure('clean.map_ece') is None and bare.figure('camera_missing.nds') is None
    assert bare.figure('label.kill.CAM_FRONT') is None and bare.figure('label.worst') is None
    bare.save(tmp_path / 'card.json')
    plain = json.loads((tmp_path / 'card.json').read_text())
    assert set(plain) == {
        'format', 'name', 'model', 'model_hash', 'backend', 'data', 'n', 'settings', 'seed',
        'commit',
    }  # fmt: skip
    assert plain['seed'] == 7 and 'map_ece' not in plain['settings']['clean.0']
    assert RobustnessCard.load(tmp_path / 'card.json') == bare


def test_times_to_the_right_label_come_along_and_never_is_infinite(tmp_path):
    card().save(tmp_path / 'card.json')
    loaded = RobustnessCard.load(tmp_path / 'card.json')
    assert loaded == card() and loaded.rig == ('CAM_FRONT',)
    assert loaded.figure('label.kill.CAM_FRONT') == 0.12
    assert loaded.figure('label.worst') == math.inf


@pytest.mark.parametrize(
    'name', ['lidar_missing', 'lidar_lost.nds', 'ml.1.nsd', 'ml.2.nds', '', 'label', 'label.']
)
def test_a_figure_that_no_card_can_have_is_refused_and_not_missed(name):
    with pytest.raises(ConfigError, match='lidar_missing'):
        card().figure(name)


def _changed(**values):
    return lambda plain: plain | values


@pytest.mark.parametrize(
    'damage',
    [
        _changed(format=2),
        _changed(format=None),
        _changed(settings={}),
        _changed(settings=[1]),
        _changed(settings={'ml.1': 3}),
        _changed(settings={'ml.1': {'nds': 1.5}}),
        _changed(settings={'ml.1': {'nds': 'high'}}),
        _changed(settings={'ml.1': {'nds': True}}),
        _changed(settings={'ml.1': {'luck': 0.5}}),
        _changed(settings={'ml 1\n': {'nds': 0.5}}),
        _changed(settings={'ml.1': {'nds': -0.1}}),
        _changed(n=0),
        _changed(n='many'),
        _changed(name=3),
        _changed(name=''),
        _changed(data='x' * 5000),
        _changed(seed=-1),
        _changed(rig='CAM'),
        _changed(rig=[1]),
        _changed(label_seconds=[0.1]),
        _changed(label_seconds={'kill.a': -1}),
        _changed(label_seconds={'kill.a': 'soon'}),
        _changed(more=1),
        lambda plain: {k: v for k, v in plain.items() if k != 'n'},
        lambda plain: [plain],
        lambda plain: None,
    ],
)
def test_a_damaged_card_is_one_clear_error_that_names_the_file(tmp_path, damage):
    path = tmp_path / 'card.json'
    card().save(path)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(ConfigError, match=r'card\.json'):
        RobustnessCard.load(path)


@pytest.mark.parametrize(
    'content',
    [b'', b'no json', b'\xff\xfe', b'[' * 100_000, b'{"format": NaN}', b' ' * 1_100_000],
)
def test_what_is_no_json_or_far_too_large_is_refused(tmp_path, content):
    path = tmp_path / 'card.json'
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r'card\.json'):
        RobustnessCard.load(path)
    with pytest.raises(ConfigError, match=r'nowhere\.json'):
        RobustnessCard.load(tmp_path / 'nowhere.json')


def what_if_file(path, **more):
    outcomes = [
        {'id': 'kill.a', 'kind': 'kill', 'seconds_to_label': 0.1},
        {'id': 'blind.a', 'kind': 'blind', 'seconds_to_label': None},
        {'id': 'delay.a', 'kind': 'delay', 'seconds_to_label': None},
    ]
    plain = {'format': 1, 'model_hash': 'abc', 'sensors': ['a'], 'outcomes': outcomes} | more
    path.write_text(json.dumps(plain))
    return path


def test_times_are_taken_from_a_what_if_of_the_same_model_only(tmp_path):
    found = read_what_if(what_if_file(tmp_path / 'a.json'), 'abc')
    assert found == {'label_seconds': {'kill.a': 0.1, 'blind.a': None}, 'rig': ('a',)}
    with pytest.raises(ConfigError, match='a what-if of the model other'):
        read_what_if(tmp_path / 'a.json', 'other')
    for wrong in ({'outcomes': [1]}, {'outcomes': 3}, {'sensors': None}, {'outcomes': [{}]}):
        with pytest.raises(ConfigError, match=r'b\.json'):
            read_what_if(what_if_file(tmp_path / 'b.json', **wrong), 'abc')


def test_gates_come_from_a_file_and_from_words_and_words_win(tmp_path):
    path = tmp_path / 'gates.yaml'
    path.write_text(
        'at_least:\n  lidar_missing.nds_retention: 0.6\nat_most: {clean.detection_ece: 1}\n'
    )
    gates = read_gates(path, ['lidar_missing.nds_retention=0.4'], ['label.worst=0.5'])
    assert gates == (
        Gate('lidar_missing.nds_retention', 0.4, True),
        Gate('clean.detection_ece', 1.0, False),
        Gate('label.worst', 0.5, False),
    )
    for text in ('at_least: 3', 'at_least: {a: high}', 'at_least: {a: .nan}', '{}', 'least: {}'):
        path.write_text(text)
        with pytest.raises(ConfigError):
            read_gates(path, (), ())
    for word in ('a', '=3', 'a=', 'a=b', 'a=inf'):
        with pytest.raises(ConfigError, match='NAME=LIMIT'):
            read_gates(None, [word], ())


def test_what_was_not_measured_passes_no_gate():
    gates = read_gates(None, ['lidar_missing.nds_retention=0.5'], ['camera_missing.map_ece=0.9'])
    kept, unmeasured = judge([card()], gates)
    assert kept.is_passed and not unmeasured.is_passed
    assert unmeasured.value_text == 'not measured'
    (missed,) = judge([card(nds=0.2)], gates[:1])
    assert not missed.is_passed
    with pytest.raises(ConfigError, match='distinct names'):
        judge([card(), card()], gates)


def test_the_verdicts_are_junit_that_a_ci_can_read():
    gates = read_gates(None, ['lidar_missing.nds_retention=0.5'], ['label.kill.CAM_FRONT=0.2'])
    root = ElementTree.fromstring(junit(judge([card('a<b\x01'), card('new', nds=0.2)], gates)))
    assert (root.tag, root.get('tests'), root.get('failures')) == ('testsuites', '4', '1')
    first, second = root.findall('testsuite')
    assert first.get('name') == 'a<b\\x01' and second.get('failures') == '1'
    (failure,) = root.findall('.//failure')
    assert failure.text == 'expected lidar_missing.nds_retention >= 0.5, got 0.333'


# ---------------------------------------------------------------------------- on the command line
def test_a_missed_gate_is_exit_code_1_and_a_failure_in_the_junit_file(metabev, tmp_path):
    old, new, out = (tmp_path / name for name in ('old.json', 'new.json', 'out.xml'))
    card('old').save(old)
    card('new', nds=0.2).save(new)
    words = ('compare', '--cards', old, new, '--junit', out)
    code, text = metabev(*words, '--at-least', 'lidar_missing.nds_retention=0.3')
    assert code == 0 and 'nds_retention' in text and '0.500' in text and '0.333' in text
    code, text = metabev(*words, '--at-least', 'lidar_missing.nds_retention=0.4')
    assert code == 1 and 'MISSED: new: lidar_missing.nds_retention >= 0.4 (0.333)' in text
    assert 'passed: old' in text
    assert len(ElementTree.parse(out).findall('.//failure')) == 1
    assert metabev('compare', '--cards', old, new)[0] == 0
    code, text = metabev(*words[:4], '--at-least', 'lidar_missing.nds_retention=0.4', '--json')
    plain, end = json.JSONDecoder().raw_decode(text)
    assert code == 1 and 'passed: old' in text[end:]
    assert [verdict['is_passed'] for verdict in plain['verdicts']] == [True, False]
    assert [one['name'] for one in plain['cards']] == ['old', 'new']


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (('--cards', '--at-least', 'lidar_gone.nds=0.1'), 'lidar_missing'),
        (('--cards', '--at-least', 'nonsense'), 'NAME=LIMIT'),
        (('--cards', '--gate', '/nowhere.yaml'), '/nowhere.yaml'),
        (('--cards', '--junit', 'a.xml'), 'limits'),
        (('--cards', '--at-least', 'clean.nds=0.1', '--junit', '/proc/nowhere/a.xml'), 'written'),
        (('--at-least', 'clean.nds=0.1'), '--cards'),
        ((), 'results of `metabev evaluate`'),
    ],
)
def test_wrong_use_of_compare_is_one_clear_text_and_exit_code_2(metabev, tmp_path, words, said):
    card().save(tmp_path / 'a.json')
    code, text = metabev('compare', tmp_path / 'a.json', '--out', tmp_path / 'out', *words)
    assert code == 2 and said in text and 'Traceback' not in text, text


def test_the_command_writes_a_card_of_its_own_model_only_and_never_over_another(metabev, tmp_path):
    model = Pipeline.load(resource_path('models/metabev_nano'), threads=1).model
    results(model_hash=model.hash).save(tmp_path / 'ours.json')
    what_if_file(tmp_path / 'what_if.json', model_hash=model.hash)
    out = tmp_path / 'card.json'
    words = ('card', 'metabev_nano', '-o', out, '--from', tmp_path / 'ours.json')
    code, text = metabev(*words, '--what-if', tmp_path / 'what_if.json')
    assert code == 0 and '2 settings' in text, text
    loaded = RobustnessCard.load(out)
    assert loaded.model_hash == model.hash and loaded.label_seconds['kill.a'] == 0.1
    assert loaded.commit == 'c0ffee' and loaded.rig == ('a',)
    code, text = metabev(*words)
    assert code == 2 and '--force' in text and RobustnessCard.load(out) == loaded
    results(model_hash='other').save(tmp_path / 'ours.json')
    code, text = metabev(*words, '--force')
    assert code == 2 and 'evaluate this model' in text and RobustnessCard.load(out) == loaded
    (tmp_path / 'ours.json').write_text('{"figures": 3}')
    code, text = metabev(*words, '--force')
    assert code == 2 and 'ours.json' in text and 'Traceback' not in text
