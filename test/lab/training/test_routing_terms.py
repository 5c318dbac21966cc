"""Balancing terms of routed experts in the training step."""

import pytest
import torch
from support.small_networks import sample_of, small_model

from metabev_ros.config import DecoderFfn
from metabev_ros.lab.training.config import Precision, TrainingConfig
from metabev_ros.lab.training.recompute import enable_recompute
from metabev_ros.lab.training.step import TrainingStep
from metabev_ros.network.metabev import MetaBev

TERMS = {
    DecoderFfn.RM2OE: {'balance'},
    DecoderFfn.ADAMV: {
        f'{name}_{task}' for name in ('importance', 'load') for task in ('detection', 'map')
    },
}


def two_steps(ffn, recompute, **changes):
    """Terms of two passes over one batch; nothing is updated between."""
    config = small_model(ffn=ffn)
    torch.manual_seed(0)
    network = MetaBev(config).train()
    if recompute:
        enable_recompute(network)
    step = TrainingStep(network, None, TrainingConfig(precision=Precision.FP32, **changes))
    batch, results = [sample_of(config, seed) for seed in range(2)], []
    for _, _, targets in batch:
        targets['map_known'] = None
    for _ in range(2):
        torch.manual_seed(1)
        terms = step(batch)
        sum(terms.values()).backward()
        results.append({name: term.item() for name, term in terms.items() if name in TERMS[ffn]})
    return results


@pytest.mark.parametrize('ffn', TERMS)
def test_recomputation_does_not_count_the_routers_terms_twice(ffn):
    plain, recomputed = two_steps(ffn, False), two_steps(ffn, True)
    assert set(plain[0]) == TERMS[ffn]
    for expected, got in zip(plain, recomputed, strict=True):
        assert got == pytest.approx(expected, rel=1e-5)


def test_a_tasks_balancing_terms_carry_the_weight_of_the_task():
    once = two_steps(DecoderFfn.ADAMV, False)[0]
    more = two_steps(DecoderFfn.ADAMV, False, detection_weight=10.0, load_weight=0.01)[0]
    assert more['importance_detection'] == pytest.approx(10 * once['importance_detection'])
    assert more['load_detection'] == pytest.approx(20 * once['load_detection'])
    assert more['importance_map'] == pytest.approx(once['importance_map'])
