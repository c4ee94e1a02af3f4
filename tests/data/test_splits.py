"""Splits: whole, disjoint, stratified, seeded."""

import torch

from aal.data.splits import grouped, stratified
from aal.seeds import generator, key, sample_seeds


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


def test_groups_stay_whole_and_classes_keep_their_shares() -> None:
    source = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 12, (200,), generator=source)
    groups = torch.arange(200).repeat_interleave(sizes)[torch.randperm(int(sizes.sum()), generator=source)]
    labels = torch.randint(0, 5, (len(groups),), generator=source)
    parts = grouped(labels, groups * 1000 - 7, (0.8, 0.1, 0.1), generator(0, "split"))
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(len(groups)))
    assert all(torch.equal(part, part.sort().values) for part in parts)
    assert sum(len(groups[part].unique()) for part in parts) == 200, "a group lies in two parts"
    for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        assert abs(len(part) - share * len(groups)) <= 11, "within a group"
        counts = labels[part].bincount(minlength=5)
        assert ((counts - share * labels.bincount()).abs() <= 6).all(), counts
    again, other = (grouped(labels, groups, (0.8, 0.1, 0.1), generator(s, "split"))[1] for s in (0, 1))
    assert torch.equal(again, parts[1])
    assert not torch.equal(other, parts[1])


def test_groups_of_one_are_stratified() -> None:
    labels = torch.cat([torch.zeros(500), torch.ones(250), torch.full((47,), 2.0)]).long()
    parts = grouped(labels, torch.arange(797), (0.8, 0.1, 0.1), generator(0, "split"))
    for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        assert abs(len(part) - share * 797) <= 1.5
        assert ((labels[part].bincount() - share * labels.bincount()).abs() <= 1.5).all()
