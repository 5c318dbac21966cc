"""The price of a failing sensor of a bag: as the evaluation says it, and as it is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from support.failing_drives import asked, write_simultaneous_drive
from support.labelled_drives import Maker, rewrite, vision_cdr

from metabev_ros.bags import BagReader
from metabev_ros.config import ModelConfig, SensingConfig
from metabev_ros.errors import ConfigError
from metabev_ros.faults.inject import inject_bag
from metabev_ros.lab.datasets.corruptions import CLEAN
from metabev_ros.lab.datasets.record_folder import labelled
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.datasets.sources.label_collection import LabelTopics
from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
from metabev_ros.lab.evaluation.model_results import SETTING_OF
from metabev_ros.lab.evaluation.robustness import evaluate_settings
from metabev_ros.lab.what_if.failures import Failure, FailureKind
from metabev_ros.lab.what_if.question import Question, plan_times
from metabev_ros.lab.what_if.run import ask
from metabev_ros.lab.what_if.truths import Points, find_truths
from metabev_ros.lab.what_if.watch import Watch, read_once
from metabev_ros.pipeline import Pipeline
from metabev_ros.replay.feed import BagFeed
from metabev_ros.resources import resource_path
from metabev_ros.structures import Modality
from metabev_ros.wire.definitions import VISION

KILL = (FailureKind.KILL,)


@pytest.fixture(scope='module')
def pipeline():
    return Pipeline.load(resource_path('models/metabev_nano'), threads=1)


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    return write_simultaneous_drive(tmp_path_factory.mktemp('drive'))


@pytest.fixture(scope='module')
def answer(drive, pipeline):
    return asked(drive, pipeline)


def outcome(answer, name):
    return next(o for o in answer.report.outcomes if o.failure.id == name)


def records(source: LabelledBags, model: ModelConfig, stamps: Sequence[int]):
    """Samples of `metabev evaluate --bag` at some stamps."""
    scene = next(iter(source.scenes()))
    found = source.records(scene, RecordMaker(model), frozenset())
    return [labelled(record) for record in found if record.stamp_ns in set(stamps)]


def test_scores_without_the_lidar_are_those_of_the_evaluation_on_the_same_samples(
    drive, pipeline, answer
):
    samples = records(
        LabelledBags((drive.path,), drive.rig), pipeline.config, answer.report.stamps_ns
    )
    assert len(samples) == len(answer.report.stamps_ns) >= 3
    settings = [CLEAN, SETTING_OF['ml.1']]
    scores = evaluate_settings({'nano': pipeline}, settings, samples, 0)
    clean, without = (scores['nano', setting].result().figures for setting in settings)
    killed = outcome(answer, 'kill.top')
    assert killed.branches == {'CAMERA': len(samples)}
    for name in ('nds', 'map', 'miou'):
        assert math.isclose(killed.figures[name].before, clean[name], abs_tol=1e-6), name
        assert math.isclose(killed.figures[name].after, without[name], abs_tol=1e-6), name
    assert killed.figures['nds'].after < killed.figures['nds'].before - 0.05


def test_the_dearest_failure_is_the_first_and_its_sentence_says_what_is_lost(answer):
    outcomes = answer.report.outcomes
    assert outcomes[0].failure.sensors == ('top',)
    drops = [o.figures['nds'].before - o.figures['nds'].after for o in outcomes]
    assert drops == sorted(drops, reverse=True)
    killed = outcome(answer, 'kill.top')
    name, share, reach = killed.worst()
    assert killed.sentence() == (
        f'If you lose top you lose {100 * share.lost:.0f} % of {name}s within {reach:g} m.'
    )
    assert share.before >= 10 and share.lost > 0.1


def test_every_kind_of_failure_on_every_sensor_ends_in_a_right_label(answer):
    ids = {o.failure.id for o in answer.report.outcomes}
    assert ids == {
        f'{kind}.{name}'
        for kind in ('kill', 'delay', 'freeze', 'blind')
        for name in ('front', 'back', 'top')
    }
    for one in answer.report.outcomes:
        assert one.label_s is not None and 0 <= one.label_s < 0.5, one.failure.id
        assert one.silent == 0
        wanted = 'CAMERA' if one.failure.sensors == ('top',) else 'FUSED'
        assert one.branches.get(wanted, 0) >= one.looks - 1, one.failure.id
    states = {o.failure.id: o.states for o in answer.report.outcomes}
    assert states['freeze.front']['front'].startswith('FROZEN')
    assert states['blind.top']['top'].startswith('INVALID')


def test_without_labels_the_run_with_all_sensors_is_what_counts(drive, pipeline, answer):
    plain = asked(drive, pipeline, kinds=KILL, use_labels=False)
    killed = outcome(plain, 'kill.top')
    assert not killed.figures and not plain.report.labels
    assert plain.report.stamps_ns == answer.report.stamps_ns
    assert killed.extra.before == 0, 'all of its own boxes are its own'
    labelled = outcome(answer, 'kill.top')
    assert killed.all_boxes().before >= labelled.all_boxes().before, 'what is untrue counts too'
    assert 0.1 < killed.all_boxes().lost <= 1
    assert killed.all_area.before == pytest.approx(labelled.all_area.before)


@pytest.mark.parametrize('kind', FailureKind)
@pytest.mark.parametrize('name', ['top', 'front'])
def test_a_watch_makes_the_samples_that_a_replay_of_the_injected_bag_makes(
    drive, pipeline, tmp_path, kind, name
):
    plan = Failure(kind, (name,), 0.3).plan(0.25, drive.rig.kinds)
    path, sensing, made = tmp_path / 'injected.mcap', SensingConfig(), []
    inject_bag(drive.path, path, plan, drive.rig, 0, True, tmp_path / 'truth.jsonl')
    injected = BagReader(path)
    feed = BagFeed(injected, pipeline.front_end(drive.rig, sensing), sensing)
    wanted = [(s.stamp_ns, s.used_sensors, m.now_ns) for m in feed for s in m.samples]
    reader = BagReader(drive.path)
    watch = Watch(
        reader,
        plan,
        pipeline,
        drive.rig,
        sensing,
        lambda sample, now_ns, _: made.append((sample.stamp_ns, sample.used_sensors, now_ns)),
    )
    read_once(reader, [watch], 2**62)
    assert not watch.untouched and len(made) >= 7
    end_ns = max(message.log_time_ns for message in reader)  # what comes later was held back
    assert [one for one in made if one[2] <= end_ns] == [w for w in wanted if w[2] <= end_ns]
    assert [name in used for _, used, _ in made][0] and not [name in u for _, u, _ in made][-1]


def test_losing_two_sensors_costs_at_least_about_as_much_as_one(drive, pipeline):
    found = asked(drive, pipeline, kinds=KILL, with_pairs=True, every=0.5)
    ids = [o.failure.id for o in found.report.outcomes]
    assert sorted(ids) == [
        'kill.back', 'kill.back+top', 'kill.front', 'kill.front+back', 'kill.front+top', 'kill.top'
    ]  # fmt: skip
    both, one = outcome(found, 'kill.front+back'), outcome(found, 'kill.front')
    assert both.branches == {'LIDAR': both.looks} and one.branches == {'FUSED': one.looks}
    assert 'front and back' in both.sentence()
    blind = outcome(found, 'kill.front+top')
    assert blind.all_boxes().after < one.all_boxes().after


def test_a_bag_that_says_nothing_more_is_silent_and_everything_is_lost(drive, pipeline):
    """A rig of one sensor: with it all is gone."""
    alone = LabelledBags(
        (drive.path,), type(drive.rig)((), drive.rig.lidars, odometry_topic='odom')
    )
    found = ask(Question(alone, KILL, every=0.2), pipeline, lambda *_: None, lambda _: None)
    (only,) = found.report.outcomes
    assert only.silent == only.looks > 1 and only.label_s is None
    assert only.sentence() == 'If you lose top nothing comes out at all.'
    assert only.all_boxes().after == 0 and only.all_boxes().lost == 1
    assert only.figures['nds'].after == 0 or math.isnan(only.figures['nds'].after)


def test_a_vehicle_without_lidar_is_asked_for_the_objects_that_the_lidar_saw(
    drive, pipeline, tmp_path
):
    """Labels of others bear no number of points."""
    maker, added = Maker(), []
    for stamp in drive.truths:
        truth, shown = drive.shown(stamp)
        names = [str(track) for track in truth.track_ids[shown]]
        boxes, labels = truth.boxes[shown], truth.labels[shown]
        cdr = vision_cdr(maker, stamp, 'base_link', boxes, labels, names)
        added.append(('/labels', VISION, stamp, cdr))
    path = rewrite(drive.path, tmp_path / 'foreign.mcap', added)
    source = LabelledBags((path,), drive.rig, labels=LabelTopics('/labels'))
    truths = find_truths(BagReader(path), source, pipeline)
    assert truths is not None
    (sample,) = [s.sample for s in records(source, pipeline.config, [sorted(drive.truths)[2]])]
    offsets = {report.name: 0 for report in sample.sensors}
    own = truths.at(sample, offsets)
    lost = type(sample)(sample.stamp_ns, sample.cameras, None, Modality.CAMERA, sample.sensors)
    assert truths.at(lost, offsets).num_lidar_pts.sum() == 0
    kept = truths.at(lost, offsets, Points.of(sample))
    assert np.array_equal(kept.num_lidar_pts, own.num_lidar_pts) and own.num_lidar_pts.sum() > 50


def test_labels_that_nobody_named_may_be_anything_and_do_not_count(drive, pipeline, tmp_path):
    maker, stamp = Maker(), sorted(drive.truths)[0]
    cdr = maker.detections(stamp, 'base_link', [])
    path = rewrite(drive.path, tmp_path / 'a.mcap', [('/perceived', VISION, stamp, cdr)])
    assert find_truths(BagReader(path), LabelledBags((path,), drive.rig), pipeline) is None


def test_moments_lie_between_the_failure_and_the_end(drive):
    reader = BagReader(drive.path)
    source = LabelledBags((drive.path,), drive.rig)
    times = plan_times(reader, Question(source, every=0.1, seconds=0.35))
    whole = (times.last_ns - times.first_ns) / 1e9
    assert times.begin_s == pytest.approx(whole / 4) and not times.is_single
    seconds = [(at - times.begin_ns) / 1e9 for at in times.looks_ns]
    assert seconds == pytest.approx([0.05, 0.15, 0.25])
    with pytest.raises(ConfigError, match='the length of the bag'):
        plan_times(reader, Question(source, begin=9.0))


def test_what_a_bag_holds_before_its_sensors_speak_delays_nothing(drive, tmp_path):
    """A latched message may be a minute older than the first picture."""
    messages = [(m.log_time_ns, m.topic, m.msgtype, m.cdr) for m in BagReader(drive.path)]
    first_ns = messages[0][0] - 60_000_000_000
    path = rewrite(
        drive.path,
        tmp_path / 'late.mcap',
        [(topic, kind, first_ns, cdr) for _, topic, kind, cdr in messages if 'static' in topic],
        keep=lambda topic: 'static' not in topic,
    )
    source = LabelledBags((path,), drive.rig)
    times = plan_times(BagReader(path), Question(source, every=0.1))
    assert times.begin_s == pytest.approx(60.0 + 0.2, abs=0.1)
    assert len(times.looks_ns) >= 5


def test_a_rig_of_another_vehicle_is_said_and_nothing_is_made_up(drive, pipeline):
    plain = drive.rig
    lidars = tuple(type(one)(one.name, 'other/points', one.frame) for one in plain.lidars)
    source = LabelledBags((drive.path,), type(plain)((), lidars))
    with pytest.raises(ConfigError, match=r'messages on .*other/points.*/top/points'):
        ask(Question(source), pipeline, lambda *_: None, lambda _: None)
