"""What breaks a selection's contract is told before anything is labelled."""

from typing import Any

import pytest
import torch
from torch import Tensor

from aal.errors import RunStopped
from aal.strategies import Crafted, PseudoLabels, Random, Selection, fault_of, lowest
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
        (None, "gave NoneType, not a Selection"),
        (TWO, "gave torch.int64 (2,), not a Selection"),
        (Selection(TWO.float()), "indices of the kind torch.float32 (2,), not torch.int64 (2,)"),
        (Selection(TWO.bool()), "indices of the kind torch.bool (2,)"),
        (Selection(TWO[:, None]), "indices of the kind torch.int64 (2, 1)"),
        (Selection(TWO.to("meta")), "indices of the kind torch.int64 (2,) without values, not torch.int64 (2,)"),
        (Selection([3, 5]), "indices of the kind list, not torch.int64 (2,)"),
        (Selection(TWO.numpy()), "indices of the kind int64 (2,), not torch.int64 (2,)"),
        (Selection(TWO, torch.zeros(2, 1)), "scores of the kind torch.float32 (2, 1)"),
        (Selection(TWO, [0.0, 1.0]), "scores of the kind list, not torch.float32 (2,)"),
        (Selection(TWO, crafted=(X, ONE)), "not Crafted"),
        (
            Selection(TWO, crafted=Crafted(X[:, :1], ONE)),
            "crafted.x of the kind torch.float32 (1, 1), not torch.float32",
        ),
        (Selection(TWO, crafted=Crafted(X.byte(), ONE)), "crafted.x of the kind torch.uint8"),
        (Selection(TWO, crafted=Crafted(X, ONE.float())), "crafted.sources of the kind torch.float32"),
        (Selection(TWO, crafted=Crafted(X + 2, ONE)), "beyond the data's range (0.0, 1.0)"),
        (Selection(TWO, pseudo=PseudoLabels(ONE, ONE.float())), "pseudo.labels of the kind torch.float32"),
        (Selection(TWO, figures=None), "figures that have no names"),
        (Selection(TWO, figures={"a": "b"}), "figure a of the kind str"),
        (Selection(TWO, figures={"a": torch.zeros(())}), "figure a of the kind torch.float32 ()"),
    ],
)
def test_a_fault_is_told(selection: Any, said: str) -> None:  # noqa: ANN401
    assert said in fault_of(selection, affine(points(10)).candidates, 2, 2, (2,), (0.0, 1.0))


def test_as_many_scores_as_candidates_are_asked_for() -> None:
    view = affine(points(10))
    with pytest.raises(RunStopped, match=r"^Random: must give 9 candidates a score each, not torch\.float32 \(3,\)$"):
        lowest(Random(), view, torch.zeros(3), 2)


def test_a_sound_selection_has_none() -> None:
    scores: Tensor = torch.tensor([2.0, 1.0])
    sound = Selection(
        TWO, scores, Crafted(X, ONE), PseudoLabels(torch.tensor([4, 9]), torch.tensor([0, 1])), {"a": 1.0}
    )
    assert fault_of(sound, affine(points(10)).candidates, 2, 2, (2,)) == ""
