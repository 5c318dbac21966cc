"""The run: once with all sensors, then once more with every failure at the same time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from metabev_ros.bags import BagReader
from metabev_ros.errors import ConfigError, SensorDataError, clean_text
from metabev_ros.lab.what_if.failures import all_failures
from metabev_ros.lab.what_if.looks import FailureLooks, HealthyLooks, Moments, Scene
from metabev_ros.lab.what_if.question import Question, Times, plan_times
from metabev_ros.lab.what_if.report import Outcome, Report, counted
from metabev_ros.lab.what_if.truths import BagTruths, find_truths
from metabev_ros.lab.what_if.watch import Watch, read_once, seconds_to_label
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import SensorReport

MARGIN_NS = 1_500_000_000  # read on behind the last look: a sample waits for its sensors


@dataclass(frozen=True)
class Answer:
    """Result of a run.

    Attributes:
        base: a moment with all sensors; scenes: failure id -> the same moment.
        is_lossy: a part of the bag could not be read.
    """

    report: Report
    base: Scene
    scenes: Mapping[str, Scene]
    is_lossy: bool = False


def ask(
    question: Question,
    pipeline: Pipeline,
    progress: Callable[[int, int], None],
    say: Callable[[str], None],
) -> Answer:
    """Carry out a what-if.

    Args:
        progress: called with (network runs done, all of them).
        say: takes lines for people, before the long work.

    Raises:
        ConfigError: for a bag that is none, or in which nothing is seen even with all sensors.
        BackendError: if inference fails.
    """
    try:
        reader = BagReader(question.bag)
    except SensorDataError as error:
        raise ConfigError(error.where, error.expected, error.got, 'check the path') from error
    truths = find_truths(reader, question.source, pipeline) if question.use_labels else None
    times = plan_times(reader, question)
    say(
        f'with all sensors first; labels: {truths.topic}'
        if truths
        else 'with all sensors first: its boxes and map are what the failures are held to'
    )
    start = time.perf_counter()
    base, healthy = _healthy(question, reader, pipeline, truths, times)
    spent = time.perf_counter() - start
    sensors = [name for name in question.source.rig.sensor_names if name in base.used]
    failures = all_failures(sensors, question.kinds, question.late, question.with_pairs)
    looks = len(base.references)
    say(
        f'{len(failures)} failures of {len(sensors)} sensors, {counted(looks, "moment")} each '
        f'({times.words()}): at most about {_duration(spent * len(failures))}'
    )
    shown = max(range(looks), key=lambda k: len(base.scenes[k].boxes))
    moments = Moments(pipeline)
    failing = [FailureLooks(one, base, truths, moments, shown) for one in failures]
    watches = _fail(question, reader, pipeline, failing, times, moments, progress)
    return _answer(question, pipeline, base, healthy, failing, watches, truths, times, shown)


def _healthy(
    question: Question,
    reader: BagReader,
    pipeline: Pipeline,
    truths: BagTruths | None,
    times: Times,
) -> tuple[HealthyLooks, Watch]:
    base = HealthyLooks(question, pipeline, truths, times)
    source = question.source
    watch = Watch(reader, None, pipeline, source.rig, times.sensing(source.sensing), base.take)
    read_once(reader, [watch], times.end_ns + MARGIN_NS)
    if not base.references:
        unheard = [f'{clean_text(t)} ({why})' for t, why in watch.feed.not_heard.items()]
        states = [f'{r.name} {r.state.name}: {r.reason}' for r in watch.reports if not r.used]
        labels = '' if truths is None else f'; labels of {truths.topic} near none of the samples'
        raise ConfigError(
            f'{reader.path}',
            'samples of the rig between ' + times.words(),
            f'none; not heard: {", ".join(unheard[:10]) or "nothing"}; '
            f'{"; ".join(states[:10])}{labels}',
            'name the rig of this bag with --rig; `metabev replay` says more',
        )
    return base, watch


def _fail(
    question: Question,
    reader: BagReader,
    pipeline: Pipeline,
    failing: Sequence[FailureLooks],
    times: Times,
    moments: Moments,
    progress: Callable[[int, int], None],
) -> list[Watch]:
    """Run all failures over the bag, which is read once."""
    source, kinds = question.source, question.source.rig.kinds
    watches = [
        Watch(
            reader,
            one.failure.plan(times.begin_s, kinds),
            pipeline,
            source.rig,
            times.sensing(source.sensing),
            one.take,
        )
        for one in failing
    ]
    total = sum(one.looks for one in failing)

    def tell(_: int) -> None:
        numbers = [one.number for one in failing]
        moments.forget(min(numbers, default=0))
        progress(sum(numbers), total)

    read_once(reader, watches, times.end_ns + MARGIN_NS, tell)
    for one in failing:
        one.finish()
    progress(total, total)
    return watches


def _answer(
    question: Question,
    pipeline: Pipeline,
    base: HealthyLooks,
    healthy: Watch,
    failing: Sequence[FailureLooks],
    watches: Sequence[Watch],
    truths: BagTruths | None,
    times: Times,
    shown: int,
) -> Answer:
    outcomes, untouched = _outcomes(failing, watches, base, times.begin_ns)
    not_tried = _unused(healthy.reports, base.used) | untouched
    scenes = {one.failure.id: one.scene for one in failing if one.scene is not None}
    integrity = healthy.reader.integrity
    notes = list(truths.notes) if truths else []
    if integrity.is_lossy or not integrity.is_finalised:
        notes.append(f'the bag is cut or damaged, the rest was used: {integrity.describe()}')
    report = Report(
        question.bag.name,
        pipeline.model,
        question.source.rig.sensor_names,
        _facts(question, pipeline, base, truths, times),
        truths.topic if truths else '',
        times.begin_s,
        question.score,
        [reference.sample.stamp_ns for reference in base.references],
        outcomes,
        not_tried,
        notes,
    )
    return Answer(report, base.scenes[shown], scenes, integrity.is_lossy)


def _outcomes(
    failing: Sequence[FailureLooks],
    watches: Sequence[Watch],
    base: HealthyLooks,
    begin_ns: int,
) -> tuple[list[Outcome], dict[str, str]]:
    """Figures of the failures, the dearest first, and why others were none in this bag."""
    outcomes: list[Outcome] = []
    untouched: dict[str, str] = {}
    for one, watch in zip(failing, watches, strict=True):
        failure = one.failure
        if watch.untouched:
            untouched[failure.id] = 'this bag has no message that it would change'
            continue
        label_s = seconds_to_label(watch.seen, failure.sensors, begin_ns)
        states = {r.name: _state(r) for r in watch.reports if r.name in failure.sensors}
        model = base.tally.model
        outcomes.append(Outcome.make(failure, one.tally, base.tally, model, label_s, states))
    return sorted(outcomes, key=lambda outcome: outcome.cost, reverse=True), untouched


def _unused(reports: Sequence[SensorReport], used: set[str]) -> dict[str, str]:
    """Sensors that are in no sample even when nothing fails."""
    return {
        r.name: f'not used with all sensors either: {_state(r)}'
        for r in reports
        if r.name not in used
    }


def _state(report: SensorReport) -> str:
    return f'{report.state.name} {clean_text(report.reason)}'.strip()


def _facts(
    question: Question,
    pipeline: Pipeline,
    base: HealthyLooks,
    truths: BagTruths | None,
    times: Times,
) -> list[tuple[str, str]]:
    model, looks = pipeline.model, len(base.references)
    held = f'labels of {truths.topic}' if truths else 'the run with all sensors'
    facts = [
        ('bag', question.bag.name),
        (
            'looked at',
            f'{counted(looks, "moment")}, {question.every:g} s apart, from {times.words()}',
        ),
        (
            'the failure begins',
            f'{times.begin_s:.1f} s after the first message of the bag, and stays',
        ),
        ('held to', f'{held}: same class, centres within 2 m'),
        ('boxes', f'of a score of {question.score:g} or more'),
        ('map', 'cells that reach 0.5'),
        ('delay', f'{question.late:g} s'),
        ('model', f'{model.name} ({model.hash}), {model.backend}'),
    ]
    scores = base.tally.scores()
    if scores is not None:
        shown = [
            f'{name} {value:.3f}'
            for name, value in zip(
                ('NDS', 'mAP', 'mIoU'),
                (scores.figures[n] for n in ('nds', 'map', 'miou')),
                strict=True,
            )
            if not math.isnan(value)
        ]
        facts.append(('with all sensors', ', '.join(shown)))
    return facts


def _duration(seconds: float) -> str:
    return f'{seconds / 60:.0f} min' if seconds >= 90 else f'{math.ceil(seconds)} s'
