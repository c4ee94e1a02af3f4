"""What breaks a selection's contract is told before anything is labelled."""

import pytest
import torch
from torch import Tensor

from aal.strategies import Crafted, PseudoLabels, Selection, fault_of
from tests.strategies.test_dfal import affine, points

ONE, TWO = torch.tensor([3]), torch.tensor([3, 5])
X = torch.zeros(1, 2)


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Selection(ONE), "selected 1 samples, asked for 2"),
        (Selection(torch.tensor([3, 3])), "twice"),
        (Selection(torch.tensor([3, 0])), "no candidate"),
        (Selection(TWO, torch.tensor([1.0, float("nan")])), "score is NaN"),
        (Selection(TWO, torch.tensor([1.0])), "not as many scores"),
        (Selection(TWO, crafted=Crafted(X, torch.tensor([4]))), "did not select"),
        (Selection(TWO, crafted=Crafted(X, TWO)), "crafted a copy"),
        (Selection(TWO, crafted=Crafted(X / 0, ONE)), "copy that is not finite"),
        (Selection(TWO, pseudo=PseudoLabels(ONE, ONE)), "gets a label"),
        (Selection(TWO, pseudo=PseudoLabels(torch.tensor([0]), ONE)), "that has or gets a label"),
        (Selection(TWO, pseudo=PseudoLabels(torch.tensor([4, 4]), torch.tensor([0, 1]))), "twice"),
        (Selection(TWO, pseudo=PseudoLabels(torch.tensor([4]), torch.tensor([2]))), "no class"),
        (Selection(TWO, pseudo=PseudoLabels(torch.tensor([4]), torch.tensor([0, 1]))), "no class"),
        (Selection(TWO, figures={"radius": float("inf")}), "not finite: radius"),
    ],
)
def test_a_fault_is_told(selection: Selection, said: str) -> None:
    assert said in fault_of(selection, affine(points(10)).candidates, 2, 2)


def test_a_sound_selection_has_none() -> None:
    scores: Tensor = torch.tensor([2.0, 1.0])
    sound = Selection(
        TWO, scores, Crafted(X, ONE), PseudoLabels(torch.tensor([4, 9]), torch.tensor([0, 1])), {"a": 1.0}
    )
    assert fault_of(sound, affine(points(10)).candidates, 2, 2) == ""
