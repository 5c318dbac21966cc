"""A pool of experts written for graphs: the same sums as `moe.ExpertPool.dispatched`.

`dispatched` adds rows at repeated indices (ScatterND with a reduction), which TensorRT refuses and
the lint forbids. Costs below are rows that go through an expert, for T tokens that use at most
`most` of E experts each.
"""

from __future__ import annotations

import enum
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ExpertForm(enum.Enum):
    """Way to compute a pool of experts; the results are equal.

    `DISPATCHED` is for training, the others are for graphs.
    """

    DISPATCHED = 'dispatched'
    NONZERO = 'nonzero'
    DENSE = 'dense'
    BLOCKS = 'blocks'


def by_nonzero(experts: nn.ModuleList, tokens: Tensor, gate: Tensor) -> Tensor:
    """Run every expert on the tokens that chose it.

    Rows are written, not added, as each expert meets a token once. At most T most rows. NonZero
    makes the shapes depend on the data.

    Args:
        experts: E times Linear D -> h, GELU, Linear h -> D.
        tokens: (T, D).
        gate: (T, E), zero where an expert is not used.

    Returns:
        (T, D) sum over the experts of gate times output.
    """
    mixed = torch.zeros_like(tokens, dtype=torch.result_type(tokens, gate))
    for i, expert in enumerate(experts):
        rows = gate[:, i].nonzero()[:, 0]
        part = gate[:, i, None].index_select(0, rows) * expert(tokens.index_select(0, rows))
        mixed = mixed.index_copy(0, rows, mixed.index_select(0, rows) + part)
    return mixed


def dense_hidden(experts: nn.ModuleList, tokens: Tensor) -> Tensor:
    """(T, D) -> (T, E, h): the first halves of all experts as one product."""
    weight = torch.cat([expert[0].weight for expert in experts])  # (E h, D)
    bias = torch.cat([expert[0].bias for expert in experts])
    return F.gelu(F.linear(tokens, weight, bias)).unflatten(-1, (len(experts), -1))


def dense_output(experts: nn.ModuleList, hidden: Tensor, gate: Tensor) -> Tensor:
    """(T, E, h), gate (T, E) -> (T, D): the second halves and the sum as one product.

    T E rows; two plain products and no index.
    """
    weight = torch.cat([expert[2].weight for expert in experts], 1)  # (D, E h)
    bias = torch.stack([expert[2].bias for expert in experts])  # (E, D)
    return F.linear((hidden * gate[..., None]).flatten(1), weight) + gate @ bias


def in_blocks(experts: nn.ModuleList, tokens: Tensor, gate: Tensor, most: int) -> Tensor:
    """Tokens sorted by expert into blocks of fixed size, every block multiplied by its expert.

    The form with a capacity, except that the capacity is shared: `block_count` blocks hold every
    assignment there can be, however uneven, so that NOTHING OVERFLOWS and no token is dropped.
    All shapes are fixed. Places are counted by CumSum in integers (TopK ends at 3840). An eighth
    to a quarter more than T most rows.

    Args:
        experts, tokens, gate: see `by_nonzero`.
        most: largest number of experts a token uses.

    Returns:
        (T, D), as `by_nonzero`.
    """
    most = min(most, len(experts))
    size = block_size(len(tokens) * most, len(experts))
    blocks = block_count(len(tokens) * most, len(experts), size)
    share, chosen = gate.topk(most, -1)  # (T, most)
    place, owner = _places(gate > 0, size, blocks)
    place = place.gather(1, chosen)
    nowhere = torch.full_like(place, blocks * size)
    write = torch.where(share > 0, place, nowhere).flatten().long()
    token = torch.arange(len(tokens), device=tokens.device)[:, None].expand(-1, most).flatten()
    token_at = token.new_zeros(blocks * size + 1).index_copy(0, write, token)[:-1]
    rows = tokens.index_select(0, token_at).unflatten(0, (blocks, size))
    rows = _expert_of_each_block(experts, rows, owner).flatten(0, 1)
    read = torch.where(share > 0, place, torch.zeros_like(place)).flatten()
    picked = rows.index_select(0, read).unflatten(0, (-1, most))  # (T, most, D)
    return (share[:, None] @ picked)[:, 0]


def block_size(assignments: int, experts: int) -> int:
    """Rows of a block, a power of two.

    One block of every expert is together an eighth to a quarter of the assignments.
    """
    return 2 ** max(0, math.ceil(math.log2(assignments / (8 * experts))))


def block_count(assignments: int, experts: int, size: int) -> int:
    """Blocks for any distribution: every expert may leave one block partly empty."""
    return math.ceil(assignments / size) + experts


def _places(active: Tensor, size: int, blocks: int) -> tuple[Tensor, Tensor]:
    """Return the row of every (token, expert) and the expert of every block.

    Args:
        active: (T, E) bool.

    Returns:
        place (T, E) int32, of use where `active`; owner (blocks,) int32 expert.
    """
    count = _running_count(active.to(torch.int32))  # (T, E)
    filled = (count[-1] + (size - 1)) // size  # (E,) blocks
    last = filled.cumsum(0, dtype=torch.int32)
    place = (last - filled) * size + count - 1
    block = torch.arange(blocks, device=active.device, dtype=torch.int32)
    owner = (block[:, None] >= last).to(torch.int32).sum(1, dtype=torch.int32)
    return place, owner.clamp(max=active.shape[1] - 1)


def _running_count(x: Tensor) -> Tensor:
    """Cumulative sum of (T, E) int32 along T, in two steps of sqrt(T).

    TensorRT 10.3 makes a loop of a CumSum, one turn an element.
    """
    side = math.ceil(math.sqrt(len(x)))
    inner = F.pad(x, (0, 0, 0, side * side - len(x))).unflatten(0, (side, side))
    inner = inner.cumsum(1, dtype=torch.int32)
    total = inner[:, -1]
    before = total.cumsum(0, dtype=torch.int32) - total
    return (inner + before[:, None]).flatten(0, 1)[: len(x)]


def _expert_of_each_block(experts: nn.ModuleList, rows: Tensor, owner: Tensor) -> Tensor:
    """(blocks, size, D) and owner (blocks,) -> (blocks, size, D)."""

    def of_owner(tensors: list[Tensor]) -> Tensor:
        return torch.stack(tensors).index_select(0, owner)

    first = of_owner([expert[0].weight.t() for expert in experts])  # (., D, h)
    second = of_owner([expert[2].weight.t() for expert in experts])
    hidden = rows @ first + of_owner([expert[0].bias for expert in experts])[:, None]
    return F.gelu(hidden) @ second + of_owner([expert[2].bias for expert in experts])[:, None]
