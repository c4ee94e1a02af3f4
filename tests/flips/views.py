"""Views of small training sets for tests of selectors."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from aal.flips import CleanSet, FlipView
from aal.models import ConvClassifier
from aal.sharding import Shard


class Affine(nn.Sequential):
    """Samples of two numbers, two classes: the logits are 0 and ``WEIGHT @ x``."""

    WEIGHT = (3.0, -1.0)

    def __init__(self, sample_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(nn.Linear(*sample_shape, num_classes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self[0].weight.zero_()
            self[0].bias.zero_()
            self[0].weight[1] = torch.tensor(self.WEIGHT)


def view_of(
    x: Tensor,
    labels: Tensor,
    targets: Tensor | None = None,
    *,
    network: Callable[[tuple[int, ...], int], nn.Module] = Affine,
    indices: Tensor | None = None,
    num_classes: int = 2,
    ranks: int = 1,
    bounds: tuple[float, float] = (-torch.inf, torch.inf),
) -> FlipView:
    """Return a view of samples ``(M, ...)``, all candidates, to be labelled as the next class unless told otherwise.

    Args:
        x: The samples.
        labels: Their labels.
        targets: What they would be labelled.
        network: What classifies them.
        indices: Their indices in the pool; by default 0, 10, 20, ...
        num_classes: Number of logits.
        ranks: Processes that share the work; here one after the other.
        bounds: The data's range.
    """
    module = ConvClassifier(network, num_classes, tuple(x.shape[1:]))
    module.eval()
    indices = 10 * torch.arange(len(x)) if indices is None else indices
    targets = (labels + 1) % num_classes if targets is None else targets
    place = torch.full((int(indices.max()) + 1,), -1)
    place[indices] = torch.arange(len(x))

    def mapped(function: Callable[[Tensor], Tensor], wanted: Tensor, advance: Any = None) -> Tensor:  # noqa: ANN401
        with torch.no_grad():
            parts = [Shard(rank, ranks, lambda part: part).map(function, wanted, 4) for rank in range(ranks)]
        return torch.stack(parts).sum(0)

    return FlipView(
        module=module,
        clean=CleanSet(indices, labels, targets),
        places=torch.arange(len(x)),
        inputs=lambda wanted: x[place[wanted]],
        images=lambda wanted: x[place[wanted]],
        map=mapped,
        bounds=bounds,
    )
