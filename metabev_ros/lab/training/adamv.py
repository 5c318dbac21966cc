"""Adaptive expert selection (AdaMV-MoE): how many experts a task uses follows its validation loss.

When a task's loss has not fallen for a while, its k grows by one; if that does not help within
the next check, it falls back. Only arithmetic here: `validation.py` measures the losses.
"""

from __future__ import annotations

import enum
import math
from dataclasses import asdict, dataclass, field

from metabev_ros.config.yaml import require
from metabev_ros.errors import ConfigError, assert_never

OFFICIAL_BEST = 100.0  # what the released trainer has to beat first


class SelectionMode(enum.Enum):
    """OFFICIAL: as the released trainer, its faults included. PER_TASK: our correction."""

    OFF = 'off'
    OFFICIAL = 'official'
    PER_TASK = 'per_task'


@dataclass(frozen=True)
class SelectionConfig:
    """Rules for more or fewer experts of a task. The shares are the released trainer's.

    Attributes:
        every: steps between two checks, which is also what a new expert has to prove itself.
        patience: checks without a lower loss before one more expert is tried.
        warmup: share of the training before the first check counts.
        stop: share of the training after which k stays as it is.
        tolerance: relative fall of the loss that counts (PER_TASK).
        scenes: whole drives that are kept for validation, not trained on; neighbouring frames
            are too alike for single ones to do.
    """

    mode: SelectionMode = SelectionMode.OFF
    every: int = 100
    patience: float = 2.5
    warmup: float = 0.2
    stop: float = 0.8
    tolerance: float = 1e-3
    scenes: int = 7

    def __post_init__(self) -> None:
        where = 'training.expert_selection'
        require(self.every >= 1, f'{where}.every', 'at least 1', self.every)
        require(self.patience >= 1, f'{where}.patience', 'at least 1', self.patience)
        require(
            0 <= self.warmup < self.stop <= 1,
            f'{where}.warmup',
            '0 <= warmup < stop <= 1',
            (self.warmup, self.stop),
        )
        require(0 <= self.tolerance < 1, f'{where}.tolerance', '[0, 1)', self.tolerance)
        require(self.scenes >= 1, f'{where}.scenes', 'at least 1', self.scenes)


@dataclass
class OfficialSelection:
    """The released trainer's control flow, step by step, with ONE flag and ONE stop for all tasks.

    Consequences, kept because published figures come from it: a task's failed try stops the
    others too, one of them perhaps in the middle of its own try; at k = E nothing is undone; an
    unproven expert stays when the training ends.

    Args:
        used: k of each task, in the order in which the tasks are looked at.
        experts: E.
        patience: steps.
        first_step: from when the patience runs.
    """

    used: dict[str, int]
    experts: int
    patience: float
    first_step: float
    best: dict[str, float] = field(init=False)
    best_step: dict[str, float] = field(init=False)
    raised: bool = False
    stopped: bool = False

    def __post_init__(self) -> None:
        self.best = dict.fromkeys(self.used, OFFICIAL_BEST)
        self.best_step = dict.fromkeys(self.used, self.first_step)

    def check(self, step: int, losses: dict[str, float]) -> None:
        """One validation."""
        changed = False
        for task, loss in losses.items():
            if loss < self.best[task]:
                self.best[task], self.best_step[task], self.raised = loss, step, False
            elif (
                step - self.best_step[task] > self.patience
                and self.used[task] < self.experts
                and not self.stopped
            ):
                self.used[task] += -1 if self.raised else 1
                self.stopped = self.stopped or self.raised
                changed = True
        self.raised = self.raised or changed

    def freeze(self) -> None:
        """The training's last part: nothing changes any more."""
        self.stopped = True

    def state(self) -> dict:
        """For a checkpoint."""
        return asdict(self)

    def restore(self, state: dict) -> None:
        """Take back a state that `state` gave."""
        for name, value in state.items():
            setattr(self, name, value)


class Phase(enum.Enum):
    """MONITOR waits, PROBE has one expert more on trial, FROZEN is done."""

    MONITOR = 'monitor'
    PROBE = 'probe'
    FROZEN = 'frozen'


@dataclass
class _Task:
    used: int
    best_step: float
    best: float = math.inf
    phase: Phase = Phase.MONITOR
    since: int = 0


class PerTaskSelection:
    """A state machine for each task: none looks at another, and a try at k = E can be undone.

    MONITOR -- no lower loss for `patience` steps, k < E --> k + 1, PROBE;
    PROBE -- lower loss --> MONITOR; no lower loss for `probe` steps --> k - 1, FROZEN.

    Args:
        used, experts, patience, first_step: as in `OfficialSelection`.
        probe: steps.
        tolerance: relative fall that counts.
    """

    def __init__(
        self,
        used: dict[str, int],
        experts: int,
        patience: float,
        first_step: float,
        probe: float,
        tolerance: float,
    ) -> None:
        self.experts, self.patience = experts, patience
        self.probe, self.tolerance = probe, tolerance
        self._tasks = {task: _Task(k, first_step) for task, k in used.items()}

    @property
    def used(self) -> dict[str, int]:
        """k of each task."""
        return {name: task.used for name, task in self._tasks.items()}

    def check(self, step: int, losses: dict[str, float]) -> None:
        """One validation."""
        for name, loss in losses.items():
            self._check(self._tasks[name], step, loss)

    def _check(self, task: _Task, step: int, loss: float) -> None:
        if task.phase is Phase.FROZEN:
            return
        if loss < task.best * (1 - self.tolerance):
            task.best, task.best_step, task.phase = loss, step, Phase.MONITOR
        elif task.phase is Phase.PROBE and step - task.since >= self.probe:
            self._end(task)
        elif (
            task.phase is Phase.MONITOR
            and step - task.best_step >= self.patience
            and task.used < self.experts
        ):
            task.used, task.phase, task.since = task.used + 1, Phase.PROBE, step

    def _end(self, task: _Task) -> None:
        if task.phase is Phase.PROBE:
            task.used -= 1
        task.phase = Phase.FROZEN

    def freeze(self) -> None:
        """The training's last part: nothing changes any more; an expert still on trial goes."""
        for task in self._tasks.values():
            self._end(task)

    def state(self) -> dict:
        """For a checkpoint."""
        return {
            name: {**asdict(task), 'phase': task.phase.value} for name, task in self._tasks.items()
        }

    def restore(self, state: dict) -> None:
        """Take back a state that `state` gave."""
        self._tasks = {
            name: _Task(**{**task, 'phase': Phase(task['phase'])}) for name, task in state.items()
        }


def build_selection(
    config: SelectionConfig, steps: int, used: dict[str, int], experts: int
) -> OfficialSelection | PerTaskSelection | None:
    """The selection that the configuration names; None if it is off.

    Args:
        steps: of the whole training.
        used: k of each task at the start; empty if there are no experts.

    Raises:
        ConfigError: if there are no experts to choose from.
    """
    if config.mode is not SelectionMode.OFF and not used:
        raise ConfigError(
            'training.expert_selection.mode', 'off, or decoder.ffn: adamv', config.mode.value
        )
    patience, first = config.patience * config.every, config.warmup * steps
    match config.mode:
        case SelectionMode.OFF:
            return None
        case SelectionMode.OFFICIAL:
            return OfficialSelection(dict(used), experts, patience, first)
        case SelectionMode.PER_TASK:
            return PerTaskSelection(used, experts, patience, first, config.every, config.tolerance)
        case _:
            assert_never(config.mode)
