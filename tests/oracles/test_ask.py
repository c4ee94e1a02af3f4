"""An oracle's answer is a class and a labeler a sample; what is not is told with the oracle's name."""

from typing import Any

import pytest
import torch
from torch import Tensor

from aal.errors import RunStopped
from aal.oracles import Oracle, ask


class Mine(Oracle):
    """Says what it was told to."""

    def __init__(self, answer: Any) -> None:  # noqa: ANN401
        self.answer = answer

    def label(self, indices: Tensor, *, round: int = 0) -> Any:  # noqa: ANN401
        """Answer."""
        return self.answer


LABELS, WHO = torch.tensor([1, 0, 1]), torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((LABELS + 1, WHO), "Mine: gave index 5 the label 2 of 2 classes"),
        ((LABELS - 1, WHO), "Mine: gave index 6 the label -1 of 2 classes"),
        ((LABELS[:2], WHO), "not torch.int64 (2,), torch.int64 (3,)"),
        ((LABELS.float(), WHO), "not torch.float32 (3,), torch.int64 (3,)"),
        ((LABELS[:, None], WHO), "not torch.int64 (3, 1), torch.int64 (3,)"),
        ((LABELS.tolist(), WHO), "not list, torch.int64 (3,)"),
        ((LABELS, None), "not torch.int64 (3,), NoneType"),
        ((LABELS, WHO, WHO), "not torch.int64 (3,), torch.int64 (3,), torch.int64 (3,)"),
        (LABELS, "not torch.int64 (3,)"),
        (None, "not NoneType"),
    ],
)
def test_an_answer_of_another_kind_stops_the_run(answer: object, said: str) -> None:
    with pytest.raises(RunStopped) as stopped:
        ask(Mine(answer), torch.tensor([5, 6, 7]), 2)
    assert str(stopped.value).startswith("Mine: ")
    assert str(stopped.value).endswith(said)


def test_an_answer_is_given_on() -> None:
    labels, labelers = ask(Mine((LABELS, WHO)), torch.tensor([5, 6, 7]), 2)
    assert labels is LABELS
    assert labelers is WHO
