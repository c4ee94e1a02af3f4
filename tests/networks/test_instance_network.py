"""What all networks that take in their training set have in common."""

import copy
import io
import math
from collections.abc import Callable

import pytest
import torch

from aal.errors import UserError
from aal.networks import InstanceNetwork, KernelRidge, NadarayaWatson, NearestNeighbours, SoftKNN

KINDS: dict[str, Callable[[], InstanceNetwork]] = {
    "soft_knn": lambda: SoftKNN((2, 3), 3, 2),
    "nearest": lambda: NearestNeighbours((2, 3), 3, 2),
    "gaussian": lambda: NadarayaWatson((2, 3), 3, "gaussian", 0.5),
    "compact": lambda: NadarayaWatson((2, 3), 3, "epanechnikov", 2.0),
    "ridge": lambda: KernelRidge((2, 3), 3, "rbf"),
}
every = pytest.mark.parametrize("build", KINDS.values(), ids=KINDS)


def some(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(n, 2, 3, generator=draw), torch.randint(3, (n,), generator=draw)


@every
def test_points_taken_in_one_after_the_other_are_those_taken_in_together(build: Callable[[], InstanceNetwork]) -> None:
    x, labels = some(50)
    whole, grown = build(), build()
    whole.take_in(x, labels)
    for begin in range(0, 50, 7):
        grown.add(x[begin : begin + 7], labels[begin : begin + 7])
        assert torch.equal(grown.points, x[: begin + 7])
        assert torch.equal(grown.labels, labels[: begin + 7])
    probes = some(9, seed=1)[0]
    torch.testing.assert_close(grown(probes), whole(probes))
    assert not torch.equal(grown(probes), torch.zeros(9, 3))
    grown.take_in(x[:3], labels[:3])
    grown.add(x[3:8], labels[3:8])
    assert torch.equal(grown.points, x[:8])
    assert torch.equal(x, some(50)[0]), "the caller's tensors are the caller's"
    whole.take_in(x[:8], labels[:8])
    torch.testing.assert_close(grown(probes), whole(probes))


@every
def test_what_is_saved_is_what_is_known_and_no_more(build: Callable[[], InstanceNetwork]) -> None:
    network, other = build(), build()
    (x, labels), probes = some(40), some(9, seed=1)[0]
    network.take_in(x[:20].double(), labels[:20])
    for begin in range(20, 40, 5):
        network.add(x[begin : begin + 5].double(), labels[begin : begin + 5])
    wanted = network(probes)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    assert file.getbuffer().nbytes < 40 * 6 * 8 + 40 * 8 + 40 * 3 * 8 + 3000
    other.take_in(x[:7], labels[:7])
    other(probes)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(probes), wanted)
    assert other.points.dtype == torch.float64
    assert other.points.data_ptr() != network.points.data_ptr()
    assert torch.equal(copy.deepcopy(network)(probes), wanted)


@every
def test_it_grows_after_it_was_copied_converted_or_loaded(build: Callable[[], InstanceNetwork]) -> None:
    (x, labels), probes = some(30), some(9, seed=1)[0].double()
    network = build()
    network.add(x[:10], labels[:10])
    copied = copy.deepcopy(network).double()
    network.add(x[10:12], labels[10:12])  # into the room beside the copy's
    copied.add(x[20:], labels[20:])
    loaded = build()
    loaded.load_state_dict(copied.state_dict())
    loaded.add(x[10:20], labels[10:20])
    whole = build()
    whole.take_in(torch.cat([x[:10], x[20:], x[10:20]]).double(), torch.cat([labels[:10], labels[20:], labels[10:20]]))
    assert torch.equal(loaded.points, whole.points)
    torch.testing.assert_close(loaded(probes), whole(probes))
    assert len(network.points) == 12


@every
def test_what_is_no_training_set_is_refused(build: Callable[[], InstanceNetwork]) -> None:
    network, (x, labels) = build(), some(4)
    for wrong, own, message in (
        (x[:, :1], labels, r"^x: training points must have the shape \(2, 3\), not \(1, 3\)$"),
        (x, labels[:3], r"^labels: must be 4 whole numbers, not \(3,\), torch.int64$"),
        (x, labels.float(), r"^labels: must be 4 whole numbers, not \(4,\), torch.float32$"),
        (x, labels - 3, r"^labels: there is no class \[-\d\], but 3 from 0$"),
        (x, labels + 3, r"^labels: there is no class \[\d\], but 3 from 0$"),
        (x / 0, labels, r"^x: training points must be finite$"),
        (x * math.nan, labels, r"^x: training points must be finite$"),
    ):
        for take in (network.take_in, network.add):
            with pytest.raises(UserError, match=message):
                take(wrong, own)
    assert len(network.points) == len(network.labels) == 0
    assert torch.equal(network(x), torch.zeros(4, 3))
