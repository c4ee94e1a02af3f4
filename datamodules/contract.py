"""What a datamodule says of its samples and loads, checked before anything is made of it; its class is named."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aal.checks import kind_of, refuse
from aal.data.samples import Samples

NEEDED = ("pool", "craft", "test")  # splits
AT_ONCE = 4096  # samples that are decoded for a look at their values


def check_said(name: str, num_classes: object, sample_shape: object) -> None:
    """Refuse what a classifier could not be built from.

    Args:
        name: What errors call the datamodule: its class.
        num_classes: Number of classes C.
        sample_shape: Shape of a sample.

    Raises:
        UserError: One of them is missing or of another kind.
    """
    whole = isinstance(num_classes, int) and num_classes > 0
    refuse(not whole, f"{name}: must have num_classes, the number of classes, not {num_classes!r}")
    sizes = sample_shape if isinstance(sample_shape, Sequence) else ()
    refuse(
        not sizes or not all(isinstance(size, int) and size > 0 for size in sizes),
        f"{name}: must have sample_shape, such as (channels, height, width), not {sample_shape!r}",
    )


def check_loaded(
    name: str,
    loaded: dict[str, tuple[Samples, Tensor]],
    num_classes: int,
    sample_shape: Sequence[int],
    classes: Sequence[str] | None,
) -> None:
    """Refuse splits that break the contract of :meth:`aal.datamodules.ActiveDataModule.load`.

    Args:
        name: What errors call the datamodule: its class.
        loaded: What it loaded: samples and labels of each split.
        num_classes: Number of classes C.
        sample_shape: Shape of a sample.
        classes: Names of the classes.

    Raises:
        UserError: Says what is wrong, of which split and sample.
    """
    name = f"{name}.load"
    splits = loaded if isinstance(loaded, dict) else {}
    missing = [split for split in NEEDED if split not in splits]
    refuse(
        missing,
        f"{name}: must return samples and labels of {', '.join(NEEDED)}; of {', '.join(missing)} it returned none",
    )
    refuse(
        classes is not None and (len({*classes}) != num_classes or not all(isinstance(one, str) for one in classes)),
        f"{name}: classes must be {num_classes} different texts, not {classes!r}",
    )
    for split, part in splits.items():
        kinds = tuple(map(kind_of, part)) if isinstance(part, tuple | list) else (kind_of(part),)
        refuse(
            len(kinds) != 2 or not isinstance(part[0], Samples),
            f"{name}: {split} must be Samples and their labels, such as (ImageSamples(pixels), labels),"
            f" not {', '.join(kinds)}",
        )
        samples, labels = part
        refuse(not len(samples) and split != "craft", f"{name}: {split} has no samples")
        wanted = f"torch.int64 {(len(samples),)}"
        refuse(kinds[1] != wanted, f"{name}: the labels of {split} must be {wanted}, one a sample, not {kinds[1]}")
        bad = ((labels < 0) | (labels >= num_classes)).nonzero()[:1, 0]
        for place in bad.tolist():
            refuse(True, f"{name}: sample {place} of {split} has the label {labels[place]} of {num_classes} classes")
        _check_samples(f"{name}: {split}", samples, tuple(sample_shape))


def _check_samples(called: str, samples: Samples, shape: tuple[int, ...]) -> None:
    """Refuse samples that are not as the classifier takes them; of whole numbers a look at the first is enough."""
    low, high = samples.bounds
    refuse(not low < high, f"{called}: bounds must be lowest and highest value, not {samples.bounds}")
    every = torch.arange(len(samples))
    for part in every.split(AT_ONCE) if samples.stored.is_floating_point() else (every[:1],):
        x, wanted = samples[part], f"torch.float32 {(len(part), *shape)}"
        refuse(kind_of(x) != wanted, f"{called}: samples must be {wanted}, not {kind_of(x)}")
        kept = kind_of(samples.stored[part])
        refuse(
            kind_of(samples.encoded(x)) != kept, f"{called}: keeps {kept}, but would save {kind_of(samples.encoded(x))}"
        )
        inside = (x.isfinite() & (x >= low) & (x <= high)).flatten(1).all(1)
        for place in part[~inside].tolist()[:1]:
            refuse(True, f"{called}: sample {place} has a value that is not finite, or not from {low} to {high}")
