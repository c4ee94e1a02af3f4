"""Splits: whole, disjoint, stratified, seeded."""

import torch

from aal.seeds import generator, key, sample_seeds
from aal.splits import stratified


def test_parts_have_each_class_in_proportion() -> None:
    labels = torch.cat([torch.zeros(500), torch.ones(250), torch.full((47,), 2.0)]).long()
    parts = stratified(labels, (0.8, 0.1, 0.1), generator(0, "split"))
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(797))
    assert [len(part) for part in parts] == [638, 79, 80]
    for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        counts = labels[part].bincount(minlength=3)
        assert ((counts - share * labels.bincount()).abs() <= 1.5).all(), counts


def test_same_seed_same_split() -> None:
    labels = torch.arange(1000) % 7
    first, again, other = (stratified(labels, (0.5, 0.5), generator(s, "split"))[0] for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_keys_tell_purposes_apart_and_never_change() -> None:
    keys = {key(s, p, r) for s in (0, 1) for p in ("split", "query") for r in (0, 1)}
    assert len(keys) == 8
    assert key(3, "query", 7) == 6039538521732691057
    indices = torch.tensor([5, 2])
    assert sample_seeds(0, "collision", indices)[1] == sample_seeds(0, "collision", indices[1:])[0]
