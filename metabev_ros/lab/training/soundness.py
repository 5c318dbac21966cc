"""A run stops before it learns from a loss, or writes weights, that are no numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from metabev_ros.errors import MetaBevError
from metabev_ros.lab.training.distributed import sum_over_ranks


def require_finite(terms: Mapping[str, torch.Tensor], batch: Sequence[Any], step: int) -> None:
    """Stop where a term of the loss is no number.

    All processes stop together, as they wait for each other.

    Args:
        batch: what `TrainingSamples` gives.
        step: counted from 1.

    Raises:
        MetaBevError: naming the terms and the records of the batch.
    """
    wrong = [name for name, term in terms.items() if not torch.isfinite(term).all()]
    device = next(iter(terms.values())).device
    if not sum_over_ranks(torch.tensor(float(bool(wrong)), device=device)):
        return
    records = ', '.join(dict.fromkeys(targets['record'] for _, _, targets in batch))
    raise MetaBevError(
        f'step {step}',
        'a finite loss',
        f'none in {wrong or "another process"}, with the records {records}',
        'look at these records, or lower learning_rate; the weights of the last checkpoint are '
        'kept',
    )


def require_numbers(weights: Mapping[str, torch.Tensor], step: int) -> None:
    """Stop where a weight is NaN or infinite.

    Raises:
        MetaBevError
    """
    wrong = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if wrong:
        raise MetaBevError(
            f'weights at step {step}',
            'finite numbers',
            f'others in {wrong[:5]} ({len(wrong)} tensors)',
            'nothing is written; lower learning_rate, or look at the data',
        )
