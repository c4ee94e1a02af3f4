"""CEAL: queries of any strategy, and pseudo-labels for the candidates that the classifier is sure of."""

from dataclasses import dataclass, field, replace

import torch

from aal.checks import FROM_0, FROM_1, or_none, positive
from aal.strategies.base import Around, PseudoLabels, Selection, Strategy, View, ascending, refuse_nan
from aal.strategies.entropy import Entropy, log_entropy_of


@dataclass(frozen=True)
class CEAL(Around):
    """Query by another strategy, and train on all candidates whose entropy is below a threshold as well.

    Their labels are those predicted. They cost no budget, are revised with every query and are never in the ledger.

    Source: Wang et al., "Cost-Effective Active Learning for Deep Image Classification", section III; paper *dfal*,
    section 4.2, with the thresholds 0.05 for MNIST, 0.19 for Shoe-Bag and 0.08 for Quick-Draw.

    Args:
        strategy: Chooses the queries; with DFAL it is the combination that paper *dfal* suggests. Screens belong around
            CEAL, not here: else what they drop gets pseudo-labels.
        threshold: Entropy, in nats, below which a candidate is pseudo-labelled.
        decay: By how much the threshold falls each round, down to 0 (0.0033 in CEAL's own paper).
        most: Most pseudo-labels, those of lowest entropy; ``null`` for no bound, as in both papers. They may be nearly
            the whole pool, and every epoch trains on them.

    Raises:
        UserError: A threshold that is not positive, a negative ``decay``, ``most`` below 1.
    """

    strategy: Strategy = field(default_factory=Entropy)
    threshold: float = 0.05
    decay: float = 0.0
    most: int | None = None
    ranges = Around.ranges | {"threshold": positive, "decay": FROM_0, "most": or_none(FROM_1)}

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` candidates to query, and pseudo-label others."""
        logs = refuse_nan(self, view.candidates, view.score(log_entropy_of).cpu())
        selection = self.strategy.select(view, n, generator=generator)
        threshold = self.threshold - self.decay * view.record.get("round", 0)
        sure = (logs.exp() < threshold) & ~torch.isin(view.candidates, selection.indices)
        surest = ascending(logs.masked_fill(~sure, torch.inf), generator)[: int(sure.sum())][: self.most]
        indices = view.candidates[surest.sort().values]
        labels = torch.empty(0, dtype=torch.int64)
        if len(indices):
            labels = view.map(lambda batch: view.module.classify(view.inputs(batch)).argmax(1), indices).cpu()
        return replace(selection, pseudo=PseudoLabels(indices, labels))
