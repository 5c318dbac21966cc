"""Learning rate and momentum as functions of the step."""

from __future__ import annotations

import enum
import math

CYCLE_START, CYCLE_END = 0.1, 1e-5  # of the peak; mmdetection3d's target_ratio (10, 1e-4)
BETA_HIGH, BETA_LOW = 0.95, 0.85


class Schedule(enum.Enum):
    """Course of the learning rate.

    CONSTANT: up over the warm-up, level, linearly down to zero. CYCLIC_COSINE and CYCLIC_LINEAR:
    one cycle, from a tenth of the peak up and then down to almost nothing ("cyclic" in the paper;
    BEVFusion's anneals with a cosine, its beta1 moves the other way).
    """

    CONSTANT = 'constant'
    CYCLIC_COSINE = 'cyclic_cosine'
    CYCLIC_LINEAR = 'cyclic_linear'


def constant_factor(step: int, steps: int, warmup: int, decay: int) -> float:
    """Share of the peak rate with warm-up, level part and linear decay."""
    up = min(1.0, (step + 1) / max(warmup, 1))
    down = min(1.0, (steps - step) / max(decay, 1))
    return min(up, down)


def cyclic_factor(step: int, steps: int, rise: float, cosine: bool) -> float:
    """Share of the peak rate in one cycle.

    Args:
        rise: share of the steps that go up.
    """
    return _cycle(step, steps, rise, cosine, (CYCLE_START, 1.0, CYCLE_END))


def cyclic_beta(step: int, steps: int, rise: float, cosine: bool) -> float:
    """AdamW's beta1: low where the rate is high."""
    return _cycle(step, steps, rise, cosine, (BETA_HIGH, BETA_LOW, BETA_HIGH))


def _cycle(
    step: int, steps: int, rise: float, cosine: bool, values: tuple[float, float, float]
) -> float:
    start, peak, end = values
    turn = max(rise * steps, 1e-9)
    if step < turn:
        return _blend(start, peak, step / turn, cosine)
    return _blend(peak, end, min(1.0, (step - turn) / max(steps - turn, 1e-9)), cosine)


def _blend(a: float, b: float, share: float, cosine: bool) -> float:
    if cosine:
        share = (1 - math.cos(math.pi * share)) / 2
    return a + (b - a) * share
