"""Which samples of a split are kept and which are held out, stratified, by groups where they come in some."""

import torch
from torch import Tensor

from aal.checks import refuse
from aal.data.samples import Samples
from aal.data.splits import grouped, stratified

WHOLE = ("victim",)  # splits that something is trained on alone: each class must be there


def hold_out(
    split: str, size: int, labels: Tensor, groups: Tensor | None, num_classes: int, draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Choose the samples of a split out of those of the pool.

    Args:
        split: The split's name, which is the argument's, too.
        size: How many to hold out, met as nearly as groups allow.
        labels: The labels ``(P,)`` of the pool.
        groups: Group of each sample ``(P,)``, to keep in one split; ``None`` where each stands alone.
        num_classes: Number of classes C.
        draw: The only source of randomness.

    Returns:
        Indices that stay in the pool, and indices that are held out, ascending.

    Raises:
        UserError: More than the pool can give; a class would be missing.
    """
    most = len(labels) - num_classes
    refuse(
        not num_classes <= size <= most,
        f"{split}: must be from {num_classes} (a sample a class) to {most}, which leaves the pool as many, got {size}",
    )
    shares = (1 - size / len(labels), size / len(labels))
    kept, out = stratified(labels, shares, draw) if groups is None else grouped(labels, groups, shares, draw)
    least = min(len(labels[kept].unique()), len(labels[out].unique()))
    if groups is not None:
        refuse(
            least < num_classes,
            f"{split}: the pool's {len(groups.unique())} speakers or recordings are too few to hold out {size} "
            f"samples: a class would be missing in the pool or in {split}",
        )
    refuse(
        split in WHOLE and least < num_classes,
        f"{split}: of {len(labels)} samples, {size} for {split} leave a class out, there or in the pool: "
        f"the rarest class has {int(labels.bincount(minlength=num_classes).min())}",
    )
    return kept, out


def fewer(split: str, samples: Samples, labels: Tensor, size: int, draw: torch.Generator) -> tuple[Samples, Tensor]:
    """Return some samples of a split, at random and stratified, with their labels.

    Args:
        split: The split's name, before ``_size`` the argument's.
        samples: The samples.
        labels: Their labels ``(N,)``.
        size: How many to keep.
        draw: The only source of randomness.

    Raises:
        UserError: More than there are; a class would be missing.
    """
    given, classes = len(labels), len(labels.unique())
    refuse(size > given, f"{split}_size: the split {split} has {given} samples, got {size}")
    kept, _ = stratified(labels, (size / given, 1 - size / given), draw)
    refuse(len(labels[kept].unique()) < classes, f"{split}_size: {size} of {given} samples leave a class out")
    return samples.take(kept), labels[kept]
