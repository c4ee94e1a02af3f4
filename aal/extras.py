"""What a classifier trains on besides labels: crafted copies, pseudo-labels, synthetic samples, soft labels."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from aal.checks import refuse
from aal.pool import Pool

MAKERS = ("strategy", "retraining", "attacker")
"""Who crafts copies: a query strategy, adversarial retraining, somebody who poisons the training set itself."""


class Extras:
    """Crafted copies of labelled samples, pseudo-labelled samples of the pool, synthetic samples. They have no ledger.

    A crafted copy has whatever label its source has, and rests while the source has none. Pseudo-labels are predictions
    of the classifier and hold until they are revised. A synthetic sample has a label of its own. Soft labels are the
    probabilities that a victim model gave, of the samples of the pool and of synthetic ones that it was asked about.

    Args:
        shape: Shape of a copy: of a sample.

    Attributes:
        features: Whether copies are features of a frozen backbone instead.
        crafted: The copies ``(M, ...)``, float32 on the CPU.
        sources: The pool's index that each was made from ``(M,)``.
        rounds: The round that first trains on each ``(M,)``.
        makers: Who crafted each, a position in ``MAKERS``, uint8 ``(M,)``.
        perturbed: Sources of the copies for which the last crafting found how little changes their class ``(K,)``.
        perturbations: That least perturbation's size in L2, in the units of the copies ``(K,)``.
        pseudo: Indices of the pool with a pseudo-label ``(Q,)``.
        pseudo_labels: Their labels ``(Q,)``.
        pseudo_round: The round that first trains on them.
        kept: Name of a split that is trained on as a whole, with its true labels; empty for none.
        synthetic: Synthetic samples ``(S, ...)``, float32 on the CPU.
        synthetic_labels: Their labels ``(S,)``.
        synthetic_rounds: The round that first trains on each ``(S,)``.
        softened: Indices of the pool with a soft label ``(A,)``.
        soft: Their soft labels ``(A, C)``.
        synthetic_softened: Places of synthetic samples with a soft label ``(B,)``.
        synthetic_soft: Their soft labels ``(B, C)``.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.features = False
        self.crafted = torch.empty(0, *shape)
        self.sources = torch.empty(0, dtype=torch.int64)
        self.rounds = torch.empty(0, dtype=torch.int64)
        self.makers = torch.empty(0, dtype=torch.uint8)
        self.perturbed = torch.empty(0, dtype=torch.int64)
        self.perturbations = torch.empty(0)
        self.pseudo = torch.empty(0, dtype=torch.int64)
        self.pseudo_labels = torch.empty(0, dtype=torch.int64)
        self.pseudo_round = 0
        self.kept = ""
        self.synthetic = torch.empty(0, *shape)
        self.synthetic_labels = torch.empty(0, dtype=torch.int64)
        self.synthetic_rounds = torch.empty(0, dtype=torch.int64)
        self.softened, self.soft = torch.empty(0, dtype=torch.int64), torch.empty(0, 0)
        self.synthetic_softened, self.synthetic_soft = torch.empty(0, dtype=torch.int64), torch.empty(0, 0)

    def take_features(self, size: int) -> None:
        """Take copies that are features ``(D,)`` of a frozen backbone instead of samples; there are none yet."""
        assert not len(self.crafted)
        self.features, self.crafted = True, torch.empty(0, size)

    def craft(self, x: Tensor, sources: Tensor, *, round: int, maker: str = "strategy") -> None:
        """Add copies ``(N, ...)`` of the samples with the indices ``sources`` ``(N,)``, made by one of ``MAKERS``.

        Raises:
            ValueError: The numbers or shapes differ, or a copy is not finite; nothing has changed.
        """
        refuse(
            x.shape != (len(sources), *self.crafted.shape[1:]),
            f"{len(sources)} copies of shape {tuple(self.crafted.shape[1:])}, not {tuple(x.shape)}",
            ValueError,
        )
        bad = ~x.flatten(1).isfinite().all(1)
        if bad.any():
            raise ValueError(f"the copy crafted of index {int(sources[bad.cpu()][0])} is not finite")
        added = {
            "crafted": x.detach().float().cpu(),
            "sources": sources,
            "rounds": torch.full_like(sources, round),
            "makers": torch.full((len(sources),), MAKERS.index(maker), dtype=torch.uint8),
        }
        for name, values in added.items():
            setattr(self, name, torch.cat([getattr(self, name), values]))

    def drop(self, maker: str) -> None:
        """Forget all copies that one of ``MAKERS`` made."""
        kept = self.makers != MAKERS.index(maker)
        for name in ("crafted", "sources", "rounds", "makers"):
            setattr(self, name, getattr(self, name)[kept])

    def revise(self, indices: Tensor, labels: Tensor, *, round: int) -> None:
        """Put pseudo-labels ``(Q,)`` of the indices ``(Q,)`` in the place of all there were."""
        self.pseudo, self.pseudo_labels, self.pseudo_round = indices, labels, round

    def soften(self, indices: Tensor, probabilities: Tensor) -> None:
        """Give samples of the pool ``(N,)`` soft labels ``(N, C)``, in the place of those that they had."""
        kept = ~torch.isin(self.softened, indices)
        self.softened = torch.cat([self.softened[kept], indices])
        self.soft = _joined(self.soft[kept], probabilities)

    def synthesize(self, x: Tensor, labels: Tensor, *, round: int) -> None:
        """Add synthetic samples ``(N, ...)`` with their labels ``(N,)``, or soft labels ``(N, C)``."""
        if labels.ndim == 2:
            first = len(self.synthetic)
            self.synthetic_softened = torch.cat([self.synthetic_softened, first + torch.arange(len(x))])
            self.synthetic_soft = _joined(self.synthetic_soft, labels)
            labels = labels.argmax(1)
        self.synthetic = torch.cat([self.synthetic, x.detach().float().cpu()])
        self.synthetic_labels = torch.cat([self.synthetic_labels, labels.cpu()])
        self.synthetic_rounds = torch.cat([self.synthetic_rounds, torch.full((len(labels),), round)])

    def in_use(self, pool: Pool) -> Tensor:
        """Tell which copies are trained on, those whose source has a label: places ``(K,)`` in ``crafted``."""
        return (pool.labels[self.sources] >= 0).nonzero()[:, 0]

    def targets(self, labels: Tensor, sources: Tensor) -> Tensor:
        """Return what is to be learned of samples: labels, or probabilities as soon as a victim has given any.

        Args:
            labels: The labels of samples that are not synthetic ``(M,)``, then of all that are ``(S,)``.
            sources: The index in the pool of the former, or of what they are copies of, ``(M,)``, -1 for none.

        Returns:
            The labels ``(M + S,)``; with soft labels, probabilities ``(M + S, C)``. A sample without a soft label, or
            with a label that contradicts it, as that of a labeler who errs does, is of its label's class alone.
        """
        if not len(self.soft) and not len(self.synthetic_soft):
            return labels
        found = F.one_hot(labels, max(self.soft.shape[1], self.synthetic_soft.shape[1])).float()
        asked = torch.isin(sources, self.softened).nonzero()[:, 0]
        order = self.softened.argsort()
        rows = order[torch.searchsorted(self.softened[order], sources[asked])]
        places = torch.cat([asked, len(sources) + self.synthetic_softened])
        soft = _joined(self.soft[rows], self.synthetic_soft)
        agree = soft.argmax(1) == labels[places]
        found[places[agree]] = soft[agree]
        return found

    @property
    def counts(self) -> dict[str, int]:
        """How many of each kind there are, where there are any."""
        return {name: n for name in ("crafted", "pseudo", "synthetic") if (n := len(getattr(self, name)))}

    def tensors(self, pool: Pool) -> dict[str, Tensor]:
        """Return what ``crafted.safetensors`` holds: the copies, each with label (-1: none), source, round and maker.

        Pseudo-labelled samples are given by their index in the pool.
        """
        return {
            "x": self.crafted,
            "label": pool.labels[self.sources],
            "source": self.sources,
            "round": self.rounds,
            "maker": self.makers,
            "pseudo_source": self.pseudo,
            "pseudo_label": self.pseudo_labels,
            "pseudo_round": torch.full_like(self.pseudo, self.pseudo_round),
            **{f"synthetic{part}": getattr(self, f"synthetic{part}") for part in ("", "_labels", "_rounds")},
            **{name: getattr(self, name) for name in ("softened", "soft", "synthetic_softened", "synthetic_soft")},
        }

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and numbers that :meth:`load_state_dict` takes."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the state of other extras of samples of the same shape."""
        vars(self).update(state)


def _joined(known: Tensor, more: Tensor) -> Tensor:
    """Append rows, on the CPU in single precision; either table may be empty and have no columns yet."""
    tables = [table for table in (known, more.detach().float().cpu()) if table.shape[1]]
    return torch.cat(tables) if tables else known
