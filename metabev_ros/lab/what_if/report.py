"""Plain figures of a what-if, their order, and the sentences made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metabev_ros.lab.what_if.failures import Failure, FailureKind
from metabev_ros.lab.what_if.losses import REACHES_M, Share, Tally
from metabev_ros.structures import ModelInfo

FORMAT = 1
FEW = 10  # a share of fewer boxes is no figure to headline
LITTLE = 0.005  # lost share that is rounded to none
NEAR = REACHES_M.index(30.0)
FIGURES = ('nds', 'map', 'miou')


@dataclass(frozen=True)
class Outcome:
    """Figures of one failure.

    Attributes:
        boxes: class -> for each of REACHES_M, boxes that all sensors show and those left.
        extra: boxes where nothing had to be found, before and after.
        area: map class -> square metres.
        figures: of FIGURES against the labels; empty without. NaN where undefined.
        label_s: seconds from the failure until the label is right; None: it never was.
        looks, silent: moments, and those at which nothing came out.
        branches: modality name -> moments.
        states: sensor -> its last state and why.
    """

    failure: Failure
    boxes: Mapping[str, tuple[Share, ...]]
    extra: Share
    area: Mapping[str, Share]
    figures: Mapping[str, Share]
    label_s: float | None
    looks: int
    silent: int
    branches: Mapping[str, int]
    states: Mapping[str, str]

    @classmethod
    def make(
        cls,
        failure: Failure,
        tally: Tally,
        base: Tally,
        model: ModelInfo,
        label_s: float | None,
        states: Mapping[str, str],
    ) -> Outcome:
        """From the looks of a failure and those with all sensors."""
        before, after = base.found(), tally.found()
        boxes = {
            name: tuple(map(Share, before[k].tolist(), after[k].tolist()))
            for k, name in enumerate(model.detection_classes)
            if before[k, -1]
        }
        areas = zip(model.map_classes, base.area().tolist(), tally.area().tolist(), strict=True)
        had, has = base.scores(), tally.scores()
        figures = (
            {}
            if had is None or has is None
            else {name: Share(had.figures[name], has.figures[name]) for name in FIGURES}
        )
        return cls(
            failure,
            boxes,
            Share(base.extra(), tally.extra()),
            {name: Share(b, a) for name, b, a in areas if b},
            figures,
            label_s,
            tally.looks,
            tally.silent,
            dict(tally.branches),
            states,
        )

    def all_boxes(self, reach: int = -1) -> Share:
        """Boxes of all classes up to one of REACHES_M."""
        shares = [by_reach[reach] for by_reach in self.boxes.values()]
        return Share(sum(s.before for s in shares), sum(s.after for s in shares))

    @property
    def all_area(self) -> Share:
        """Square metres of all layers of the map."""
        return Share(
            sum(s.before for s in self.area.values()), sum(s.after for s in self.area.values())
        )

    @property
    def cost(self) -> tuple[float, float]:
        """Key that failures are ranked by: NDS lost where there are labels, then boxes lost."""
        nds = self.figures.get('nds')
        drop = float('nan') if nds is None else nds.before - nds.after
        shares = [drop, self.all_boxes().lost, self.all_area.lost]
        first, second, third = (0.0 if math.isnan(value) else value for value in shares)
        return (first, second) if not math.isnan(drop) else (second, third)

    def sentence(self) -> str:
        """'If you lose CAM_FRONT you lose 12 % of pedestrians within 30 m.', or the like."""
        start = f'If {self.failure.words}'
        if self.silent == self.looks:
            return f'{start} nothing comes out at all.'
        name, share, reach = self.worst()
        if not share.before:
            return f'{start} there is nothing to lose: all sensors together show no box.'
        if share.lost < LITTLE:
            area = self.all_area.lost
            if area >= LITTLE:
                return f'{start} you lose hardly any box, but {_percent(area)} of the map.'
            return f'{start} you lose next to nothing.'
        return f'{start} you lose {_percent(share.lost)} of {plural(name)} within {reach:g} m.'

    def worst(self) -> tuple[str, Share, float]:
        """The class of which most is lost near the vehicle, else farther away, else all of them.

        A class of few boxes is not asked.
        """
        for reach in (NEAR, len(REACHES_M) - 1):
            enough = {n: s[reach] for n, s in self.boxes.items() if s[reach].before >= FEW}
            if enough:
                name = max(enough, key=lambda n: (enough[n].lost, enough[n].before))
                if enough[name].lost >= LITTLE:
                    return name, enough[name], REACHES_M[reach]
        return 'box', self.all_boxes(), REACHES_M[-1]

    def label_words(self) -> str:
        """Say when the label was right."""
        if self.label_s is not None:
            return f'right label after {self.label_s:.2f} s'
        if self.silent == self.looks:
            return 'no output to label'
        if self.failure.kind is FailureKind.DELAY:
            return 'still used, its age is in the label'
        return 'the label NEVER said so'

    def to_plain(self) -> dict[str, Any]:
        """For JSON; what is undefined is None."""
        return {
            'id': self.failure.id,
            'kind': self.failure.kind.value,
            'sensors': list(self.failure.sensors),
            'sentence': self.sentence(),
            'boxes': _plain(self.all_boxes()),
            'classes': {
                name: {
                    f'{reach:g}': _plain(share)
                    for reach, share in zip(REACHES_M, shares, strict=True)
                }
                for name, shares in self.boxes.items()
            },
            'extra_boxes': _plain(self.extra),
            'map_m2': {name: _plain(share) for name, share in self.area.items()},
            'figures': {
                name: {'before': _number(share.before), 'after': _number(share.after)}
                for name, share in self.figures.items()
            },
            'seconds_to_label': self.label_s,
            'moments': self.looks,
            'moments_without_output': self.silent,
            'branches': dict(self.branches),
            'states': dict(self.states),
        }


@dataclass(frozen=True)
class Report:
    """Everything that was found.

    Attributes:
        facts: (name, text) of what was looked at.
        sensors: of the rig.
        labels: topic of the labels; '' where the run with all sensors is what others are held to.
        outcomes: the dearest first.
        not_tried: failure or sensor -> the reason.
    """

    bag: str
    model: ModelInfo
    sensors: Sequence[str]
    facts: Sequence[tuple[str, str]]
    labels: str
    begin_s: float
    score: float
    stamps_ns: Sequence[int]
    outcomes: Sequence[Outcome]
    not_tried: Mapping[str, str]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def headlines(self) -> list[str]:
        """The sentences of the dearest losses of single sensors, at most three."""
        lost = [
            o
            for o in self.outcomes
            if o.failure.kind is FailureKind.KILL and len(o.failure.sensors) == 1
        ]
        return [outcome.sentence() for outcome in (lost or list(self.outcomes))[:3]]

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            'format': FORMAT,
            'bag': self.bag,
            'model': self.model.name,
            'model_hash': self.model.hash,
            'backend': self.model.backend,
            'sensors': list(self.sensors),
            'labels': self.labels or None,
            'begin_s': self.begin_s,
            'score': self.score,
            'stamps_ns': list(self.stamps_ns),
            'facts': dict(self.facts),
            'outcomes': [outcome.to_plain() for outcome in self.outcomes],
            'not_tried': dict(self.not_tried),
            'notes': list(self.notes),
        }


def plural(name: str) -> str:
    """'construction_vehicle' -> 'construction vehicles'."""
    words = name.replace('_', ' ')
    return f'{words}es' if words.endswith(('s', 'x')) else f'{words}s'


def counted(count: int, name: str) -> str:
    """'1 moment', '2 moments'."""
    return f'{count} {name if count == 1 else plural(name)}'


def _percent(share: float) -> str:
    return f'{100 * share:.0f} %'


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _plain(share: Share) -> dict[str, float | None]:
    return {'before': share.before, 'after': share.after, 'lost': _number(share.lost)}
