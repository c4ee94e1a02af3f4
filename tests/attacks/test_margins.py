"""Margins and DLR: values computed by hand, what they do not depend on, and few classes."""

import pytest
import torch
from torch import Tensor

from aal.attacks.base import Task
from aal.attacks.margins import aims, dlr, margin, rivals, targeted_dlr
from aal.seeds import generator

LOGITS = torch.tensor([[4.0, 1.0, 2.0, -2.0], [-9.0, -5.0, -6.0, -7.0]], dtype=torch.float64)


def task(logits: Tensor, labels: Tensor, *, targeted: bool) -> Task:
    target = labels if targeted else None
    return Task(torch.nn.Identity(), {}, torch.zeros(logits.shape).double(), labels, target, (0.0, 1.0), None)


def test_the_margin_is_above_0_where_another_class_wins() -> None:
    labels = torch.tensor([0, 2])
    torch.testing.assert_close(margin(LOGITS, labels), torch.tensor([-2.0, 1.0], dtype=torch.float64))


def test_dlr_is_the_margin_by_the_gap_of_the_first_to_the_third() -> None:
    found = dlr(LOGITS, torch.tensor([0, 2]))
    torch.testing.assert_close(found, torch.tensor([-2 / 3, 1 / 2], dtype=torch.float64))


def test_targeted_dlr_is_the_lead_of_the_target_by_the_gap_of_the_first_to_the_third_and_fourth() -> None:
    found = targeted_dlr(LOGITS, torch.tensor([0, 2]), torch.tensor([3, 1]))
    torch.testing.assert_close(found, torch.tensor([-6 / 4.5, 1 / 3], dtype=torch.float64))


@pytest.mark.parametrize("classes", [3, 4, 10])
def test_shifted_and_scaled_logits_have_the_same_dlr(classes: int) -> None:
    logits = torch.randn(20, classes, generator=generator(0, "logits"), dtype=torch.float64)
    labels, targets = torch.arange(20) % classes, (torch.arange(20) + 1) % classes
    for other in (logits - 1000, logits * 50, logits * 0.01 + 7):
        torch.testing.assert_close(dlr(other, labels), dlr(logits, labels))
        torch.testing.assert_close(targeted_dlr(other, labels, targets), targeted_dlr(logits, labels, targets))


def test_with_two_classes_dlr_is_the_margin_which_still_tells_points_apart() -> None:
    logits, labels = torch.tensor([[2.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])
    torch.testing.assert_close(dlr(logits, labels), torch.tensor([-2.0, -1.0]))
    torch.testing.assert_close(targeted_dlr(logits, labels, 1 - labels), torch.tensor([-2.0, -1.0]))


def test_with_three_classes_the_targeted_gap_is_to_the_third() -> None:
    found = targeted_dlr(torch.tensor([[5.0, 3.0, 1.0]]), torch.tensor([0]), torch.tensor([1]))
    torch.testing.assert_close(found, torch.tensor([-0.5]))


def test_equal_logits_have_finite_dlr_and_slope() -> None:
    for dtype in (torch.float32, torch.float64):
        logits = torch.full((1, 5), 3.0, dtype=dtype, requires_grad=True)
        for loss in (dlr(logits, torch.tensor([0])), targeted_dlr(logits, torch.tensor([0]), torch.tensor([1]))):
            (slope,) = torch.autograd.grad(loss.sum(), logits)
            assert loss.isfinite().all()
            assert slope.isfinite().all()


def test_the_classes_aimed_at_are_those_with_the_highest_logits_but_the_label() -> None:
    labels = torch.tensor([0, 2])
    rows = torch.tensor([0, 1])
    untargeted = task(LOGITS, labels, targeted=False)
    assert aims(untargeted, LOGITS, rows, 9).tolist() == [[2, 1, 3], [1, 3, 0]]
    assert aims(untargeted, LOGITS, rows, 2).tolist() == [[2, 1], [1, 3]]
    assert aims(task(LOGITS, labels, targeted=True), LOGITS, rows, 9).tolist() == [[0], [2]]


def test_in_the_way_is_the_label_or_the_strongest_rival_of_the_target() -> None:
    labels, rows = torch.tensor([0, 2]), torch.tensor([0, 1])
    assert rivals(task(LOGITS, labels, targeted=False), LOGITS, rows).tolist() == [0, 2]
    assert rivals(task(LOGITS, labels, targeted=True), LOGITS, rows).tolist() == [2, 1]
