"""Carlini and Wagner's attack: closed forms, a curved boundary measured by brute force, and what cannot be fooled."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import Adversarial, Attack, CarliniWagner, DeepFool, Task, carlini_wagner
from aal.errors import UserError
from aal.seeds import generator

Starts = Callable[[Callable[[Tensor], Tensor] | None], None]


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Starts:
    """Let the search begin elsewhere than with DeepFool's point: with ``where(x)``, or without any point."""

    def begin(where: Callable[[Tensor], Tensor] | None) -> None:
        class Given(Attack):
            def attack(self, task: Task) -> Adversarial:
                found = torch.full_like(task.rows, where is not None, dtype=torch.bool)
                start = task.x if where is None else where(task.x)
                return Adversarial(start, found, (start - task.x).flatten(1).norm(dim=1), torch.zeros_like(task.rows))

        monkeypatch.setattr(carlini_wagner, "DeepFool", Given)

    return begin


def linear(weight: Tensor, bias: Tensor) -> nn.Sequential:
    layer = nn.Linear(weight.shape[1], weight.shape[0]).to(weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return nn.Sequential(nn.Flatten(), layer)


class Affine:
    """Samples around the middle of the range, an affine classifier, and their distances to its boundary."""

    def __init__(self, classes: int, shift: float = 0.0) -> None:
        draw = generator(0, "affine")
        self.x = 0.5 + 0.1 * torch.randn(8, 3, 4, 4, generator=draw, dtype=torch.float64)
        weight = torch.randn(classes, 48, generator=draw, dtype=torch.float64)
        bias = shift - weight.sum(1) / 2
        self.model = linear(weight, bias)
        logits = self.model(self.x).detach()
        if classes == 1:
            self.y, self.gaps, slopes = (logits[:, 0] > 0).long(), logits.abs(), weight.norm(dim=1).expand(8, 1)
        else:
            self.y = logits.argmax(1)
            self.gaps = logits.amax(1, keepdim=True) - logits
            slopes = (weight[self.y][:, None] - weight[None]).norm(dim=2)
        self.slopes = torch.where(self.gaps == 0, 1, slopes)

    def distances(self, confidence: float = 0.0) -> Tensor:
        others = torch.where(self.gaps == 0, math.inf, self.gaps + confidence)
        return (others / self.slopes).amin(1)


class TestAffineClassifiers:
    @pytest.mark.parametrize("classes", [1, 2, 10])
    @pytest.mark.parametrize("start", ["deepfool", "none"])
    def test_the_distance_is_that_to_the_nearest_boundary(self, starts: Starts, classes: int, start: str) -> None:
        if start == "none":
            starts(None)
        case = Affine(classes)
        result = CarliniWagner()(case.model, case.x, case.y)
        assert result.success.all()
        assert (result.distance >= case.distances() * (1 - 1e-9)).all()
        torch.testing.assert_close(result.distance, case.distances(), rtol=0.05, atol=0)

    def test_a_beginning_many_times_too_far_off_is_made_up_for(self, starts: Starts) -> None:
        starts(torch.zeros_like)
        case = Affine(2)
        assert (case.x.flatten(1).norm(dim=1) > 10 * case.distances()).all()
        result = CarliniWagner()(case.model, case.x, case.y)
        torch.testing.assert_close(result.distance, case.distances(), rtol=0.15, atol=0)

    def test_single_precision_and_logits_far_below_zero_change_nothing(self, starts: Starts) -> None:
        starts(None)
        case = Affine(2, shift=-100.0)
        result = CarliniWagner()(case.model.float(), case.x.float(), case.y)
        assert (case.model(case.x.float()) < 0).all()
        assert result.success.all()
        torch.testing.assert_close(result.distance.double(), case.distances(), rtol=0.05, atol=0)

    @pytest.mark.parametrize("scale", [1e-6, 1e6])
    def test_the_scale_of_the_logits_does_not_matter(self, starts: Starts, scale: float) -> None:
        starts(None)
        case = Affine(2)
        with torch.no_grad():
            case.model[1].weight *= scale
            case.model[1].bias *= scale
        result = CarliniWagner()(case.model, case.x, case.y)
        torch.testing.assert_close(result.distance, case.distances(), rtol=0.05, atol=0)

    @pytest.mark.parametrize(("side", "constant"), [(0.0, 1e-4), (0.0, 1e4), (2.5, 1e-3), (2.5, 1e1)])
    def test_a_first_constant_far_off_is_found_out(self, starts: Starts, side: float, constant: float) -> None:
        """It does not matter either on which side of the boundary the search begins."""
        case = Affine(1)
        away = (0.5 - case.y.double())[:, None] * 2 * nn.functional.normalize(case.model[1].weight.detach(), dim=1)
        begin = (case.x.flatten(1) + side * case.distances()[:, None] * away).view_as(case.x)
        assert torch.equal((case.model(begin)[:, 0] > 0) != case.y, torch.full((8,), side > 0))
        starts(lambda _: begin)
        result = CarliniWagner(initial_constant=constant, binary_steps=12)(case.model, case.x, case.y)
        torch.testing.assert_close(result.distance, case.distances(), rtol=0.05, atol=0)

    def test_confidence_is_reached_at_its_distance(self) -> None:
        case, kappa = Affine(2), 2.0
        result = CarliniWagner(confidence=kappa)(case.model, case.x, case.y)
        assert (result.info["margin"] >= kappa).all()
        assert result.success.all()
        torch.testing.assert_close(result.distance, case.distances(kappa), rtol=0.05, atol=0)

    def test_samples_wrong_already_stay_only_where_confidence_is_reached(self) -> None:
        case = Affine(2)
        wrong = 1 - case.y
        margins = case.gaps.amax(1)
        kappa = float(margins.median()) + 1e-9
        stay = margins >= kappa
        assert stay.any()
        assert not stay.all()
        plain = CarliniWagner()(case.model, case.x, wrong)
        assert torch.equal(plain.x, case.x)
        assert torch.equal(plain.distance, torch.zeros_like(plain.distance))
        sure = CarliniWagner(confidence=kappa)(case.model, case.x, wrong)
        assert torch.equal((sure.x == case.x).flatten(1).all(1), stay)
        assert (sure.info["margin"] >= kappa).all()
        wanted = ((kappa - margins) / case.slopes.amax(1)).clamp_min(0)
        torch.testing.assert_close(sure.distance, wanted, rtol=0.05, atol=0)

    @pytest.mark.parametrize("start", ["deepfool", "none"])
    def test_a_target_is_reached_where_it_is_above_all_others(self, starts: Starts, start: str) -> None:
        """Of three logits that are the pixels, the last must rise above one or both others."""
        if start == "none":
            starts(None)
        x = torch.tensor([[0.5, 0.2, 0.1], [0.5, 0.4, 0.1]], dtype=torch.float64)
        model = linear(torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
        result = CarliniWagner()(model, x, torch.tensor([0, 0]), target=torch.tensor([2, 2]))
        nearest = torch.tensor([[0.3, 0.2, 0.3], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)
        assert result.success.all()
        torch.testing.assert_close(result.distance, (nearest - x).norm(dim=1), rtol=0.05, atol=0)
        torch.testing.assert_close(result.info["margin"], result.x[:, 2] - result.x[:, :2].amax(1))
        again = CarliniWagner()(model, result.x, torch.tensor([0, 0]), target=torch.tensor([2, 2]))
        assert torch.equal(again.x, result.x), "there is nothing to do where the target is predicted"


class TestBox:
    @pytest.mark.parametrize("pixel", [0.0, 1.0])
    def test_pixels_at_an_end_of_the_range_move(self, starts: Starts, pixel: float) -> None:
        starts(None)
        x = torch.full((1, 1, 5, 5), pixel)
        inwards = 1 - 2 * pixel
        weight = torch.stack([torch.zeros(25), inwards * torch.arange(1.0, 26.0)])
        model = linear(weight, torch.tensor([0.0, 20.0 * (pixel - 1)]) - pixel * weight.sum(1))
        model[1].bias.data[1] = -20.0 - pixel * float(weight[1].sum())
        result = CarliniWagner()(model, x, torch.tensor([0]))
        assert result.success.all()
        torch.testing.assert_close(result.distance, 20 / weight[1].norm()[None], rtol=0.05, atol=0)

    def test_what_an_end_stops_is_made_up_for_by_the_others(self) -> None:
        """Without bounds the first pixel would go to 1.3; it can go to 1 alone, and does."""
        x = torch.tensor([[0.9, 0.5]], dtype=torch.float64)
        model = linear(torch.tensor([[0.0, 0.0], [2.0, 1.0]], dtype=torch.float64), torch.tensor([0.0, -3.3 + 0.5]))
        result = CarliniWagner()(model, x, torch.tensor([0]))
        assert result.success.all()
        torch.testing.assert_close(result.x, torch.tensor([[1.0, 0.8]], dtype=torch.float64), rtol=0, atol=0.02)

    def test_scaled_data_get_the_scaled_answer(self) -> None:
        case = Affine(10)
        plain = CarliniWagner()(case.model, case.x, case.y)
        with torch.no_grad():
            case.model[1].weight /= 255
        scaled = CarliniWagner()(case.model, case.x * 255, case.y, bounds=(0.0, 255.0))
        torch.testing.assert_close(scaled.x, plain.x * 255, rtol=1e-6, atol=0)
        torch.testing.assert_close(scaled.distance, plain.distance * 255, rtol=1e-6, atol=0)

    @pytest.mark.parametrize("bounds", [(-math.inf, math.inf), (0.0, math.inf), (math.nan, 1.0)])
    def test_bounds_that_no_tanh_spans_are_refused(self, bounds: tuple[float, float]) -> None:
        case = Affine(2)
        with pytest.raises(UserError, match="bounds"):
            CarliniWagner()(case.model, case.x, case.y, bounds=bounds)


class Waves(nn.Module):
    """Two classes in the unit square on both sides of a wavy line."""

    def forward(self, x: Tensor) -> Tensor:
        over = x[:, 1] - self.line(x[:, 0])
        return torch.stack([torch.zeros_like(over), over], dim=1)

    @staticmethod
    def line(across: Tensor) -> Tensor:
        return 0.6 + 0.2 * torch.sin(9 * across)


class TestCurvedBoundary:
    def case(self) -> tuple[Tensor, Tensor, Tensor]:
        """Samples, labels, and the distances to the nearest of a hundred thousand points on the line."""
        x = torch.rand(64, 2, generator=generator(0, "waves"), dtype=torch.float64)
        across = torch.linspace(0, 1, 100_000, dtype=torch.float64)
        line = torch.stack([across, Waves.line(across)], dim=1)
        return x, Waves()(x).argmax(1), torch.stack([(line - point).norm(dim=1).amin() for point in x])

    def test_it_comes_as_near_as_brute_force(self) -> None:
        x, y, wanted = self.case()
        result = CarliniWagner()(Waves(), x, y)
        assert result.success.all()
        assert (result.distance >= wanted - 1e-4).all()
        near = result.distance <= 1.05 * wanted + 1e-4
        assert near.double().mean() > 0.9, "all but some that end in another bend"

    def test_it_comes_nearer_than_the_point_it_began_with(self, starts: Starts) -> None:
        x, y, _ = self.case()
        crossing = DeepFool(refinements=0)(Waves(), x, y)
        starts(lambda _: crossing.x)
        result = CarliniWagner()(Waves(), x, y)
        assert (result.distance <= crossing.distance).all()
        assert result.distance.mean() < 0.95 * crossing.distance.mean()

    def test_a_sample_is_finished_by_its_own_objective(self) -> None:
        x, y, _ = self.case()
        together = CarliniWagner()(Waves(), x, y)
        assert len(together.queries.unique()) > 1
        easy, hard = int(together.queries.argmin()), int(together.queries.argmax())
        pair = torch.tensor([easy, hard])
        for rows in (pair, pair[:1], pair[1:]):
            result = CarliniWagner()(Waves(), x[rows], y[rows])
            assert torch.equal(result.queries, together.queries[rows])
            torch.testing.assert_close(result.x, together.x[rows], rtol=0, atol=1e-9)

    @pytest.mark.parametrize(("binary_steps", "steps"), [(1, 1), (2, 7), (3, 25)])
    def test_it_looks_no_more_often_than_allowed(self, binary_steps: int, steps: int) -> None:
        x, y, _ = self.case()
        before = DeepFool()(Waves(), x, y).queries
        result = CarliniWagner(binary_steps=binary_steps, steps=steps)(Waves(), x, y)
        assert (result.queries - before - 2 <= binary_steps * steps).all()
        assert result.success.all()


class TestTrainedNetwork:
    def case(self) -> tuple[nn.Sequential, Tensor, Tensor]:
        """A network trained to tell five clusters apart, and samples that it gets right."""
        torch.manual_seed(0)
        centres = 0.3 + 0.4 * torch.rand(5, 20)
        y = torch.arange(400) % 5
        x = (centres[y] + 0.12 * torch.randn(400, 20)).clamp(0, 1)
        network = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(150):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
        right = (network(x).argmax(1) == y).nonzero().squeeze(1)[:64]
        return network, x[right], y[right]

    def test_it_is_never_farther_than_deepfool(self) -> None:
        network, x, y = self.case()
        cheap, result = DeepFool()(network, x, y), CarliniWagner()(network, x, y)
        assert result.success.all()
        assert (result.distance <= cheap.distance).all()

    def test_without_deepfool_it_comes_about_as_near(self, starts: Starts) -> None:
        network, x, y = self.case()
        usual = CarliniWagner()(network, x, y)
        starts(None)
        result = CarliniWagner()(network, x, y)
        assert result.success.all()
        assert result.distance.mean() < 1.05 * usual.distance.mean()


class TestHopeless:
    def test_a_boundary_out_of_reach_leaves_the_sample_as_it_is(self) -> None:
        x = torch.rand(4, 6, generator=generator(0, "hopeless"))
        model = linear(torch.stack([torch.ones(6), -torch.ones(6)]), torch.tensor([1.0, 0.0]))
        result = CarliniWagner()(model, x, torch.zeros(4, dtype=torch.int64))
        assert not result.success.any()
        assert torch.equal(result.x, x)
        assert torch.equal(result.distance, torch.zeros(4))
        assert result.info["margin"].isfinite().all()

    def test_constant_logits_leave_the_sample_as_it_is(self) -> None:
        x = torch.rand(2, 6, generator=generator(0, "constant"))
        for classes in (1, 2, 3):
            model = linear(torch.zeros(classes, 6), torch.zeros(classes))
            result = CarliniWagner(binary_steps=6)(model, x, torch.zeros(2, dtype=torch.int64))
            assert not result.success.any()
            assert torch.equal(result.x, x)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("confidence", -1.0),
        ("binary_steps", 0),
        ("steps", 0),
        ("initial_constant", 0.0),
        ("learning_rate", math.nan),
    ],
)
def test_values_outside_their_range_are_refused(key: str, value: float) -> None:
    with pytest.raises(UserError, match=key):
        CarliniWagner(**{key: value})
