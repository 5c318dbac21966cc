"""The network written for a runtime: same weights, same results, other operators.

| part | ONNX Runtime | TensorRT |
|---|---|---|
| deformable attention | GridSample | one Gather of four corners and one product |
| resampling of the map head | GridSample | products with each axis' shares |
| experts | NonZero: only the chosen run | all of them, or sorted into blocks: `expert_form` |
"""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

from metabev_ros.errors import assert_never
from metabev_ros.graph_variants import GraphForm
from metabev_ros.network.deformable import Sampling
from metabev_ros.network.expert_forms import ExpertForm
from metabev_ros.network.metabev import use_sampling
from metabev_ros.network.moe import ExpertPool

DENSE_LIMIT = 4  # experts up to which computing all of them is the cheapest

Network = TypeVar('Network', bound=nn.Module)


def written_for(network: Network, form: GraphForm) -> Network:
    """A copy that shares the weights and computes the same in the operators of the form."""
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    written = copy.deepcopy(network, shared)
    use_sampling(written, _sampling(form))
    for module in written.modules():
        if isinstance(module, ExpertPool):
            module.form = expert_form(module, form)
    return written


def _sampling(form: GraphForm) -> Sampling:
    match form:
        case GraphForm.ONNXRUNTIME:
            return Sampling.GRID
        case GraphForm.TENSORRT:
            return Sampling.GATHER
        case _:
            assert_never(form)


def expert_form(pool: ExpertPool, form: GraphForm) -> ExpertForm:
    """Form in which a pool of experts is written.

    For TensorRT: two plain products over all experts if they are few or if a token may use more
    than half of them, else `BLOCKS`, the form with a capacity that nothing overflows.
    """
    match form:
        case GraphForm.ONNXRUNTIME:
            return ExpertForm.NONZERO
        case GraphForm.TENSORRT:
            experts = len(pool.experts)
            is_dense = experts <= DENSE_LIMIT or 2 * pool.most_used() > experts
            return ExpertForm.DENSE if is_dense else ExpertForm.BLOCKS
        case _:
            assert_never(form)
