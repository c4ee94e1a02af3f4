"""Rows of a table: words as numbers, labels, splits by sizes, and features scaled by one split."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder

from aal.data.csv_file import CSVColumn
from aal.data.rows import Rows, by_threshold, classes_of, encoded, scaled, split
from aal.errors import UserError

ARGUMENTS = {"test": "test", "craft": "craft", "victim": "victim", "pool": "adversary"}


def column(*words: str, name: str = "kind") -> CSVColumn:
    spelled = tuple(sorted(set(words)))
    return CSVColumn(name, np.array([float(spelled.index(word)) for word in words]), spelled)


def rows(values: torch.Tensor, labels: torch.Tensor | None = None) -> Rows:
    names = [f"f{k}" for k in range(values.shape[1])]
    return Rows(values.double(), torch.arange(len(values)) % 2 if labels is None else labels, names)


def test_words_are_encoded_as_scikit_learn_does() -> None:
    words = np.random.default_rng(0).choice(["M", "F", "I"], (50, 1))
    columns = [CSVColumn("x", np.arange(50.0)), column(*words[:, 0], name="sex")]
    values, names = encoded(columns, "one_hot")
    assert names == ("x", "sex=F", "sex=I", "sex=M")
    assert np.array_equal(values[:, 0], np.arange(50.0))
    assert np.array_equal(values[:, 1:], OneHotEncoder(sparse_output=False).fit_transform(words))
    values, names = encoded(columns, "ordinal")
    assert names == ("x", "sex")
    assert np.array_equal(values[:, 1:], OrdinalEncoder().fit_transform(words))


def test_classes_are_in_the_order_of_their_numbers_or_names() -> None:
    labels, names = classes_of(column("10", "2", "2.0", "-1", "2"))
    assert (labels.tolist(), names) == ([2, 1, 1, 0, 1], ("-1", "2", "10"))
    labels, names = classes_of(column("10", "2", "b", "2"))
    assert (labels.tolist(), names) == ([0, 1, 2, 1], ("10", "2", "b"))
    labels, names = classes_of(column("0.5", "0.25"))
    assert (labels.tolist(), names) == ([1, 0], ("0.25", "0.5"))


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(UserError, match=r"^label: column 'kind' has one class alone, '1'$"):
        classes_of(column("1", "1.0", "1"))
    numbers = CSVColumn("rings", np.array([1.0, 2.0, 11.0]))
    for threshold, at_least, said in ((11, False, "at most 11"), (1, True, "at least 1"), (0, False, "above 0")):
        with pytest.raises(UserError, match=rf"^threshold: every rings is {said}; they are from 1 to 11$"):
            by_threshold(numbers, threshold, at_least)
    with pytest.raises(UserError, match=r"^threshold: column 'kind' has words"):
        by_threshold(column("a", "b"), 1, False)


def test_a_threshold_leaves_or_takes_its_own_number() -> None:
    numbers = CSVColumn("rings", np.array([10.0, 11.0, 12.0]))
    assert by_threshold(numbers, 11, False)[0].tolist() == [0, 0, 1]
    assert by_threshold(numbers, 11, True)[0].tolist() == [0, 1, 1]
    assert by_threshold(numbers, 11, True)[1] == ("below 11", "at least 11")


def test_splits_have_their_sizes_and_their_share_of_each_class() -> None:
    labels = torch.tensor([0] * 700 + [1] * 200 + [2] * 100)
    every = rows(torch.arange(1000)[:, None], labels)
    sizes: dict[str, int | None] = {"test": 100, "craft": 10, "victim": 300, "pool": 400}
    parts = split(every, sizes, ARGUMENTS, 3, torch.Generator().manual_seed(0))
    assert {part: len(own.labels) for part, own in parts.items()} == sizes
    taken = torch.cat([own.values[:, 0] for own in parts.values()])
    assert len(taken.unique()) == 810
    for part, own in parts.items():
        size = sizes[part]
        assert size is not None
        assert (own.labels.bincount(minlength=3) - torch.tensor([0.7, 0.2, 0.1]) * size).abs().max() <= 1.5
        assert torch.equal(own.labels, labels[own.values[:, 0].long()])
    rest = split(every, {**sizes, "pool": None}, ARGUMENTS, 3, torch.Generator().manual_seed(0))
    assert len(rest["pool"].labels) == 590
    assert all(torch.equal(rest[part].values, parts[part].values) for part in ("test", "craft", "victim"))


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        ({"victim": 90}, "victim: test 10, craft 0, victim 90, adversary 20 are too many for 100 rows"),
        ({"pool": 81}, "adversary: test 10, craft 0, victim 10, adversary 81 are too many for 100 rows"),
        (
            {"pool": None, "test": 89},
            "test: test 89, craft 0, victim 10 are too many for 100 rows: 1 would be left for",
        ),
        ({"victim": 1}, "victim: 1 rows have none of class "),
        ({"pool": 1}, "adversary: 1 rows have none of class "),
        ({"test": 1}, "test: 1 rows have none of class "),
    ],
)
def test_sizes_that_cannot_be_met_name_their_argument(sizes: dict[str, int | None], line: str) -> None:
    every = rows(torch.arange(100)[:, None])
    wanted: dict[str, int | None] = {"test": 10, "craft": 0, "victim": 10, "pool": 20, **sizes}
    with pytest.raises(UserError) as caught:
        split(every, wanted, ARGUMENTS, 2, torch.Generator().manual_seed(0))
    assert str(caught.value).startswith(line)


def test_features_are_scaled_on_one_split_alone_and_not_clipped() -> None:
    draw = torch.Generator().manual_seed(0)
    parts = {part: rows(torch.randn(40, 3, generator=draw, dtype=torch.float64) * 7 + 3) for part in ("victim", "pool")}
    found = scaled(parts, "victim")
    wanted = MinMaxScaler().fit(parts["victim"].values.numpy())
    for part, x in found.items():
        assert x.dtype == torch.float32
        assert np.allclose(x, wanted.transform(parts[part].values.numpy()), atol=1e-6)
    assert (found["victim"].amin(0).tolist(), found["victim"].amax(0).tolist()) == ([0, 0, 0], [1, 1, 1])
    assert found["pool"].min() < 0
    assert found["pool"].max() > 1


def test_what_is_constant_for_the_victim_is_0_for_all() -> None:
    parts = {
        "victim": rows(torch.tensor([[5.0, 0.1], [5.0, 0.3]])),
        "pool": rows(torch.tensor([[9.0, 0.2], [5.0, 0.5]])),
    }
    found = scaled(parts, "victim")
    assert found["victim"].tolist() == [[0, 0], [0, 1]]
    assert found["pool"][:, 0].tolist() == [0, 0]
    assert found["pool"][:, 1].tolist() == pytest.approx([0.5, 2.0])


@pytest.mark.parametrize("own", [[0.0, 5e-324], [-1.7e308, 1.7e308]])
def test_numbers_that_cannot_be_scaled_name_their_column(own: list[float]) -> None:
    parts = {
        "victim": rows(torch.tensor(own, dtype=torch.float64)[:, None]),
        "pool": rows(torch.tensor([[1e308], [0.0]])),
    }
    with pytest.raises(UserError, match=r"^column 'f0' cannot be scaled by victim, where it is from "):
        scaled(parts, "victim")
