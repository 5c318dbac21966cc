"""Records of what a model keeps under sensor failure, and of its lead over others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from metabev_ros.lab.datasets.corruptions import CLEAN, HEADLINE
from metabev_ros.lab.evaluation.model_results import ModelResults, check_comparable
from metabev_ros.lab.evaluation.records import ResultRecord, make_record
from metabev_ros.lab.evaluation.score import FIGURES


def robustness_records(
    results: Iterable[ModelResults], command: str, topic: str = 'robustness'
) -> list[ResultRecord]:
    """One record a figure: <topic>.<name>.<setting>.<degree>.<figure>; one topic a test set."""
    origin = make_record(topic, 0.0, '', command, 0)  # asks for the commit once
    return [
        replace(
            origin,
            id=f'{topic}.{r.name}.{setting}.{figure}',
            value=value,
            unit=FIGURES[figure],
            n=r.samples,
        )
        for r in results
        for setting, figures in r.figures.items()
        for figure, value in figures.items()
        if value is not None
    ]


# What the project asks of the shipped model; kept = share of its own clean figure.
TARGETS = {('clean.0', 'nds'): '>= 0.60', ('clean.0', 'miou'): '>= 0.65'}
KEPT_TARGETS = {
    ('mc.1', 'nds'): '>= 0.97',
    ('mc.1', 'miou'): '>= 0.78',
    ('ml.1', 'nds'): '>= 0.60',
    ('ml.1', 'miou'): '>= 0.80',
}
KEPT_UNITS = {'nds': 'of clean NDS', 'miou': 'of clean mIoU'}
COMPARED = ('nds', 'miou')


def claim_records(
    results: Sequence[ModelResults], command: str, topic: str = 'robustness'
) -> list[ResultRecord]:
    """Records of what the first model is asked for, and of its lead over the others.

    Ids: <topic>.claims.<setting>.<figure>, ...<figure>_kept, and for every headline setting
    <topic>.claims.over_<other>.<setting>.<figure> with the ends of its interval, ...<figure>_low
    and ...<figure>_high. A lead has no target: its interval says whether there is one.

    Raises:
        ConfigError: if the results do not compare.
    """
    check_comparable(results)
    records = [*_asked(results[0], command, topic)]
    for other in results[1:]:
        records += _leads(results[0], other, command, topic)
    return records


def _asked(model: ModelResults, command: str, topic: str) -> Iterable[ResultRecord]:
    for (setting, figure), target in TARGETS.items():
        value = model.figures.get(setting, {}).get(figure)
        if value is not None:
            yield make_record(
                f'{topic}.claims.{setting}.{figure}',
                value,
                FIGURES[figure],
                command,
                model.samples,
                target,
            )
    clean = model.figures.get(CLEAN.id, {})
    for (setting, figure), target in KEPT_TARGETS.items():
        value = model.figures.get(setting, {}).get(figure)
        whole = clean.get(figure)
        if value is not None and whole:
            yield make_record(
                f'{topic}.claims.{setting}.{figure}_kept',
                value / whole,
                KEPT_UNITS[figure],
                command,
                model.samples,
                target,
            )


def _leads(
    first: ModelResults, other: ModelResults, command: str, topic: str
) -> Iterable[ResultRecord]:
    for setting in (CLEAN, *HEADLINE):
        if setting.id not in first.resampled or setting.id not in other.resampled:
            continue
        for figure in COMPARED:
            if not first.compares(other, setting.id, figure):
                continue
            lead = first.lead(other, setting.id, figure)
            start = f'{topic}.claims.over_{other.name}.{setting.id}.{figure}'
            for ending, value in (('', lead.value), ('_low', lead.low), ('_high', lead.high)):
                yield make_record(start + ending, value, FIGURES[figure], command, first.samples)
