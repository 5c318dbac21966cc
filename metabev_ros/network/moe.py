"""Feed-forward parts of the decoder layers: plain, HM2oE and RM2oE (MetaBEV 3.3, Figure 4).

All take (x, tasks): a network trained for both tasks passes both, a single-task one passes its
own. Dropout after the second Linear of an expert (Algorithm 2) is the layer's residual dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metabev_ros.errors import assert_never
from metabev_ros.network.deformable import at_least_float32
from metabev_ros.network.expert_forms import (
    ExpertForm,
    by_nonzero,
    dense_hidden,
    dense_output,
    in_blocks,
)

TASKS = ('detection', 'map')


class FeedForward(nn.Sequential):
    """Linear D -> hidden, GELU, dropout, Linear -> D; the plain FFN and every expert.

    Args:
        dropout: share of hidden values dropped in training; it has no index of its own among
            the sub-modules, so that names of weights do not depend on it.
    """

    def __init__(self, channels: int, hidden: int, dropout: float) -> None:
        super().__init__(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))
        self.rate = dropout

    def forward(self, x: Tensor, tasks: tuple[str, ...] = TASKS) -> Tensor:
        """(..., D) -> (..., D), the same for any tasks."""
        hidden = F.dropout(self[1](self[0](x)), self.rate, self.training)
        return self[2](hidden)


class HardExperts(nn.Module):
    """HM2oE (Algorithm 2): one FFN per task, no router.

    With both tasks LayerNorm(Linear(2D -> D)(concat[detection, map])); with one, that task's FFN
    alone: no fuse, no norm.
    """

    def __init__(self, channels: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.experts = nn.ModuleDict(
            {task: FeedForward(channels, hidden, dropout) for task in TASKS}
        )
        self.fuse = nn.Linear(2 * channels, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, tasks: tuple[str, ...] = TASKS) -> Tensor:
        """(..., D) -> (..., D) for one or both of `TASKS`."""
        outputs = [self.experts[task](x) for task in TASKS if task in tasks]
        return outputs[0] if len(outputs) == 1 else self.norm(self.fuse(torch.cat(outputs, -1)))


class ExpertPool(nn.Module):
    """E experts that all tasks share, and one router per task: RM2oE and AdaMV-MoE.

    What computes the mixtures is `form`, with equal results: `dispatched` runs only the chosen
    experts (training, torch), `wide` all of them as two wide products (torch.compile). The export
    sets it (`export/forms.py`).
    """

    form = ExpertForm.DISPATCHED

    def __init__(self, channels: int, hidden: int, dropout: float, experts: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(
            FeedForward(channels, hidden, dropout) for _ in range(experts)
        )
        self.routers = nn.ModuleDict(
            {task: nn.Linear(channels, experts, bias=False) for task in TASKS}
        )

    def mixtures(self, tokens: Tensor, gates: list[Tensor]) -> list[Tensor]:
        """(T, D) and, for each mixture, gates (T, E) -> (T, D) each.

        In the dense form the mixtures share the first product.
        """
        form = self.form
        if form is ExpertForm.DISPATCHED and torch.compiler.is_compiling():
            form = ExpertForm.DENSE
        match form:
            case ExpertForm.DISPATCHED:
                return [self.dispatched(tokens, gate) for gate in gates]
            case ExpertForm.NONZERO:
                return [by_nonzero(self.experts, tokens, gate) for gate in gates]
            case ExpertForm.DENSE:
                hidden = dense_hidden(self.experts, tokens)
                return [dense_output(self.experts, hidden, gate) for gate in gates]
            case ExpertForm.BLOCKS:
                return [in_blocks(self.experts, tokens, gate, self.most_used()) for gate in gates]
            case _:
                assert_never(form)

    def most_used(self) -> int:
        """Largest number of experts that a token can use in one mixture."""
        return len(self.experts)

    def dispatched(self, tokens: Tensor, gate: Tensor) -> Tensor:
        """(T, D), gates (T, E) -> (T, D): every expert sees the tokens that chose it, no other.

        An expert without tokens runs on none of them: its gradient is zero, not missing, which
        distributed training needs.
        """
        mixed = torch.zeros_like(tokens, dtype=torch.result_type(tokens, gate))
        for i, expert in enumerate(self.experts):
            rows = gate[:, i].nonzero()[:, 0]
            mixed = mixed.index_add(0, rows, gate[rows, i, None] * expert(tokens[rows]))
        return mixed

    def wide(self, tokens: Tensor, gate: Tensor) -> Tensor:
        """The same by two products over all experts; without dropout."""
        return dense_output(self.experts, dense_hidden(self.experts, tokens), gate)


class RoutedExperts(ExpertPool):
    """RM2oE (Eq. 2): one router per task over ONE pool of E experts, t of them for each token.

    The paper leaves open, and we choose:
    - a router is one Linear without bias, as the gate of Tutel's `moe_layer` that Algorithm 2
      calls; probabilities are softmax(all E), then the top t divided by their sum. With t = 1
      the probability itself stays (Tutel, Switch Transformer): divided by itself it would be a
      constant one, and the router would never learn;
    - no capacity limit: no token is dropped;
    - the tasks' outputs are combined by their MEAN. Figure 4-I shows "Add"; the mean is the add up
      to a factor, and with it E = t = 1 is exactly a plain FFN for one task and for both;
    - a load-balancing term as in Switch Transformer, collected in training only: see
      `take_balance_loss`.
    """

    def __init__(
        self, channels: int, hidden: int, dropout: float, experts: int, used: int
    ) -> None:
        super().__init__(channels, hidden, dropout, experts)
        self.used = used
        self.balance_terms: list[Tensor] = []

    def most_used(self) -> int:
        return min(len(TASKS) * self.used, len(self.experts))

    def gates(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """Weights of the experts for every token.

        Args:
            x: (T, D) tokens.
            task: one of `TASKS`.

        Returns:
            gates (T, E), t of them not zero, and the router's probabilities (T, E); at least
            float32.
        """
        probability = at_least_float32(self.routers[task](x)).softmax(-1)
        top, chosen = probability.topk(self.used, -1)
        if self.used > 1:
            top = top / top.sum(-1, keepdim=True)
        index = torch.arange(len(self.experts), device=x.device)
        onehot = (chosen[..., None] == index).to(top.dtype)  # (T, t, E)
        return (top[..., None] * onehot).sum(1), probability

    def forward(self, x: Tensor, tasks: tuple[str, ...] = TASKS) -> Tensor:
        """(..., D) -> (..., D) for one or both of `TASKS`."""
        tokens = x.flatten(0, -2)
        gates = [self._gates(tokens, task) for task in TASKS if task in tasks]
        gate = gates[0] if len(gates) == 1 else torch.stack(gates).mean(0)
        return self.mixtures(tokens, [gate])[0].reshape(x.shape)

    def _gates(self, tokens: Tensor, task: str) -> Tensor:
        gate, probability = self.gates(tokens, task)
        if self.training:
            share = (gate > 0).to(gate.dtype).mean(0) / self.used  # of the assignments
            self.balance_terms.append(len(self.experts) * (share * probability.mean(0)).sum())
        return gate


def take_balance_loss(module: nn.Module) -> Tensor | None:
    """Mean load-balancing term of all routers of `module` since the last call, and forget them.

    One for even use of the experts, E for use of one alone (t = 1); the trainer weighs it, 0.01
    is usual. The terms are kept only in training mode.

    Returns:
        a scalar, or None where there is no router.
    """
    terms = []
    for part in module.modules():
        if isinstance(part, RoutedExperts):
            terms += part.balance_terms
            part.balance_terms = []
    return torch.stack(terms).mean() if terms else None
