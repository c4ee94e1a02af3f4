"""Dawid and Skene's estimates: planted confusion, a closed form, and plain loops."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aal.oracles.dawid_skene import dawid_skene

C, K = 3, 4


def planted(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Answers of three labelers each for ``n`` samples, their classes, and the confusion they were drawn from."""
    chance = torch.Generator().manual_seed(seed)
    confusion = torch.full((K, C, C), 0.05, dtype=torch.float64) + 0.85 * torch.eye(C, dtype=torch.float64)
    confusion[3, 0] = torch.tensor([0.0, 0.0, 1.0])  # a liar
    classes = torch.multinomial(torch.tensor([0.5, 0.2, 0.3]), n, replacement=True, generator=chance)
    labelers = torch.rand(n, K, generator=chance).argsort(1)[:, :3]
    rows = confusion[labelers, classes[:, None]].reshape(-1, C)
    labels = torch.multinomial(rows, 1, generator=chance)[:, 0]
    return torch.arange(n).repeat_interleave(3), labelers.reshape(-1), labels, classes, confusion


def test_a_planted_confusion_is_found() -> None:
    samples, labelers, labels, classes, confusion = planted(4000)
    found = dawid_skene(samples, labelers, labels, num_labelers=K, num_classes=C)
    assert (found.confusion - confusion).abs().max() < 0.04
    torch.testing.assert_close(found.prior, torch.tensor([0.5, 0.2, 0.3]).double(), atol=0.02, rtol=0)
    wrong = labels != classes[samples]
    for labeler in range(K):
        assert float(found.error[labeler]) == pytest.approx(float(wrong[labelers == labeler].double().mean()), abs=0.02)
    right = (found.posterior.argmax(1) == classes).double().mean()
    assert right > (torch.nn.functional.one_hot(labels, C).view(-1, 3, C).sum(1).argmax(1) == classes).double().mean()


def test_crowd_kit_says_the_same_of_answers_it_was_given() -> None:
    """Its estimates are on record, since it needs half a gigabyte of packages; tests/peers asks it anew."""
    known = json.loads((Path(__file__).parent / "crowd_kit.json").read_text())
    answers = (torch.tensor(known[name]) for name in ("samples", "labelers", "labels"))
    found = dawid_skene(*answers, num_labelers=K, num_classes=C, iterations=known["iterations"], tolerance=0)
    torch.testing.assert_close(found.prior, torch.tensor(known["prior"], dtype=torch.float64), rtol=0, atol=1e-8)
    torch.testing.assert_close(
        found.confusion, torch.tensor(known["confusion"], dtype=torch.float64), rtol=0, atol=1e-8
    )


def test_unanimous_answers_are_taken_as_the_truth() -> None:
    samples, labels = torch.arange(6).repeat(2), torch.tensor([0, 0, 0, 2, 2, 1]).repeat(2)
    labelers = torch.tensor([0] * 6 + [2] * 6)
    found = dawid_skene(samples, labelers, labels, num_labelers=3, num_classes=C)
    torch.testing.assert_close(found.prior, torch.tensor([3, 1, 2]).double() / 6)
    torch.testing.assert_close(found.confusion[0], torch.eye(C).double())
    torch.testing.assert_close(found.error[[0, 2]], torch.zeros(2).double(), atol=1e-9, rtol=0)
    assert found.error[1].isnan(), "who said nothing has no error"
    nothing = torch.empty(0, dtype=torch.int64)
    assert dawid_skene(nothing, nothing, nothing, num_labelers=3, num_classes=C).error.isnan().all()


def test_it_is_what_plain_loops_give() -> None:
    samples, labelers, labels, _, _ = planted(40)
    found = dawid_skene(samples, labelers, labels, num_labelers=K, num_classes=C, iterations=5, tolerance=0)
    answers = list(zip(samples.tolist(), labelers.tolist(), labels.tolist(), strict=True))
    posterior = [[sum(s == n and y == c for s, _, y in answers) / 3 for c in range(C)] for n in range(40)]
    for step in range(6):
        prior = [sum(row[c] for row in posterior) / 40 for c in range(C)]
        confusion = [[[1e-10] * C for _ in range(C)] for _ in range(K)]
        for k in range(K):
            for c in range(C):
                counts = [
                    max(1e-10, sum(posterior[s][c] for s, by, y in answers if (by, y) == (k, d))) for d in range(C)
                ]
                confusion[k][c] = [count / sum(counts) for count in counts]
        if step < 5:
            for n in range(40):
                said = [(by, y) for s, by, y in answers if s == n]
                joint = [prior[c] * math.prod(confusion[by][c][y] for by, y in said) for c in range(C)]
                posterior[n] = [value / sum(joint) for value in joint]
    torch.testing.assert_close(found.posterior, torch.tensor(posterior).double(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.confusion, torch.tensor(confusion).double(), rtol=1e-6, atol=1e-6)
