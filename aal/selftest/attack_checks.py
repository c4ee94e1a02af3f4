"""Checks of the attacks on a model: whether more effort gains, and whether what must be found is found."""

from itertools import pairwise

import torch
from torch import Tensor

from aal.attacks import PGD
from aal.attacks.base import column
from aal.attacks.draws import normal
from aal.attacks.norms import NORMS
from aal.selftest.examinee import Examinee, Verdict, first_of, percent, share

STEPS = (1, 10, 100)
USUAL_STEPS, MANY_STEPS = 20, 100
RESTARTS = 10
DRAWS = 50  # of the random search, for each sample
BISECTIONS = 25
NOISE = 0.02  # share of samples by which a result may differ by chance
NOTHING = 1e-4  # relative change of a loss that is none
LUCK, MUCH_LUCK = 0.05, 0.2  # shares of samples that restarts may add to those fooled: without remark, at all
# An unsure model's cross entropy grows with all other classes at once, none of which need become the highest.
MISSED = "the gradients are masked, or the model is too unsure for this loss: try AutoAttack"
FOUND, SOME_FOUND = 0.98, 0.9  # shares of planted adversarial examples to be found: for sound, for usable


def steps(examinee: Examinee) -> Verdict:
    """Judge whether more steps gain."""
    results = [
        examinee.attack(PGD(radius=examinee.radius, norm=examinee.norm, steps=n, random_start=False)) for n in STEPS
    ]
    fooled = [share(result.success) for result in results]
    losses = [float(result.info["loss"].mean()) for result in results]
    before = float(examinee.loss.mean())
    figures = {"loss_before": before}
    for n, success, loss in zip(STEPS, fooled, losses, strict=True):
        figures |= {f"fooled_{n}": success, f"loss_{n}": loss}
    gains = ", ".join(f"{loss - before:.3g}" for loss in losses)
    effort, part = ", ".join(map(str, STEPS)), ", ".join(map(percent, fooled))
    found = f"{effort} steps fool {part} and raise the loss by {gains}"
    first, last = losses[0] - before, losses[-1] - before
    worse = fooled[-1] < fooled[0] - NOISE or last < first * (1 - NOISE)
    same = fooled[0] < 1 and last <= first + NOTHING * max(abs(before), 1.0)
    return first_of(
        "steps",
        figures,
        (
            last <= 0,
            "failed",
            f"{STEPS[-1]} steps do not raise the loss at all: the attack does not attack this model.",
        ),
        (worse, "failed", f"{found}: more steps do worse, so the gradients mislead."),
        (
            same,
            "warned",
            f"{found}: more steps gain nothing, right for a linear model; for any other the gradients mislead.",
        ),
        sound=f"{found}: more steps do no worse.",
    )


def radius(examinee: Examinee) -> Verdict:
    """Judge whether a larger radius gains, from the attacks' radius on, doubled until it holds the whole range."""
    radii = [examinee.radius]
    while radii[-1] < examinee.whole:
        radii.append(min(2 * radii[-1], examinee.whole))
    tried = [min(USUAL_STEPS * 2**k, MANY_STEPS) for k in range(len(radii))]  # steps that grow do jump over regions
    fooled = [share(_by_gradient_alone(examinee, examinee.norm, size, n)) for size, n in zip(radii, tried, strict=True)]
    found = f"Doubling the radius from {radii[0]:.3g} to {radii[-1]:.3g} fools {', '.join(map(percent, fooled))}"
    worse = any(larger < smaller - NOISE for smaller, larger in pairwise(fooled))
    same = fooled[-1] <= min(fooled[0] + NOISE, 1 - NOISE)
    return first_of(
        "radius",
        {f"fooled_{size:.4g}": part for size, part in zip(radii, fooled, strict=True)},
        (worse, "failed", f"{found}: a larger radius does worse, so the gradients mislead."),
        (same, "failed", f"{found}: a larger radius gains nothing, so nothing is attacked."),
        sound=f"{found}: it never does worse.",
    )


def unbounded(examinee: Examinee) -> Verdict:
    """Judge whether everything is fooled where everything is allowed, in L-inf: the norm makes no difference then."""
    low, high = examinee.range
    fooled = share(_by_gradient_alone(examinee, "linf", high - low, 2 * MANY_STEPS))
    text = f"Where a sample may become any other within the range, {percent(fooled)} are fooled"
    return first_of(
        "unbounded",
        {"fooled": fooled},
        (fooled < 1, "failed", f"{text}: the others look robust only because attacks fail."),
        sound=f"{text}, as must be.",
    )


def restarts(examinee: Examinee) -> Verdict:
    """Judge whether one random start is as good as many."""
    once, often = (
        examinee.attack(PGD(radius=examinee.radius, norm=examinee.norm, steps=USUAL_STEPS, restarts=n))
        for n in (1, RESTARTS)
    )
    first, best = share(once.success), share(often.success)
    left = ~often.success
    before, after = once.info["loss"][left], often.info["loss"][left]
    found = f"{RESTARTS} random starts fool {percent(best)}, one fools {percent(first)}"
    lower = bool((after < before - NOTHING * before.abs().clamp_min(1)).any())
    same = len(after) > 0 and torch.allclose(after, before, rtol=NOTHING, atol=0)
    return first_of(
        "restarts",
        {"fooled_1": first, f"fooled_{RESTARTS}": best},
        (lower, "failed", f"{found}, and leave some with a lower loss: the model gives other outputs each time."),
        (best > first + MUCH_LUCK, "failed", f"{found}: luck decides, not the gradient."),
        (best > first + LUCK, "warned", f"{found}: use as many before you call a sample robust."),
        (
            same,
            "warned",
            f"{found}: none ends higher, right where the loss has one peak in the ball; else the gradients mislead.",
        ),
        sound=f"{found}.",
    )


def random_search(examinee: Examinee) -> Verdict:
    """Judge whether random perturbations fool samples that the attack does not."""
    missed = torch.zeros_like(examinee.labels, dtype=torch.bool)
    low, high = examinee.range
    for norm, size in ((examinee.norm, examinee.radius), ("linf", (high - low) / 4)):  # noise that most models mind
        left = ~examinee.attack(PGD(radius=size, norm=norm, steps=USUAL_STEPS, restarts=5, early_stop=True)).success
        missed |= left & _fooled_at_random(examinee, norm, size, left)
    part = share(missed)
    text = f"On {percent(part)} of the samples the attack fails, but one of {DRAWS} random perturbations does not"
    return first_of(
        "random search",
        {"missed": part},
        (part > NOISE, "failed", f"{text}: {MISSED}."),
        (part > 0, "warned", f"{text}: {MISSED}."),
        sound=f"{text}.",
    )


def planted(examinee: Examinee) -> Verdict:
    """Judge whether the attack finds adversarial examples that are known to be within half its radius.

    On the line from a sample to one that is predicted otherwise, the class changes somewhere: bisection finds where,
    and the attack is given a point on the near side.
    """
    x, other, labels = _unlike(examinee)
    if len(x) == 0:
        return Verdict(
            "planted",
            "warned",
            "The model predicts one class for all samples, so nothing can be planted.",
            {"planted": 0},
        )
    near, far = torch.zeros_like(labels, dtype=x.dtype), torch.ones_like(labels, dtype=x.dtype)
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        crossed = examinee.outputs(_between(x, other, middle)).argmax(1) != labels
        near, far = torch.where(crossed, near, middle), torch.where(crossed, middle, far)
    length = examinee.ball.size(other - x)
    back = (far - 0.5 * examinee.radius / length).clamp_min(0).minimum(near)
    start = _between(x, other, back).clamp(*examinee.range)
    kept = examinee.outputs(start).argmax(1) == labels  # the line may cross the class more than once
    start, labels = start[kept], labels[kept]
    found = share(examinee.attack(PGD(radius=examinee.radius, norm=examinee.norm, steps=50), start, labels).success)
    text = f"Of {len(start)} adversarial examples known to be within half the radius, {percent(found)} are found"
    return first_of(
        "planted",
        {"planted": len(start), "found": found},
        (found < SOME_FOUND, "failed", f"{text}: {MISSED}."),
        (found < FOUND, "warned", f"{text}: {MISSED}."),
        sound=f"{text}.",
    )


def _by_gradient_alone(examinee: Examinee, norm: str, size: float, steps: int) -> Tensor:
    """Tell which samples are fooled without a random start, which far enough away would fool most by itself; (N,)."""
    return examinee.attack(PGD(radius=size, norm=norm, steps=steps, random_start=False, early_stop=True)).success


def _fooled_at_random(examinee: Examinee, norm: str, size: float, rows: Tensor) -> Tensor:
    """Tell which of the samples ``rows`` ``(N,)`` change their class somewhere on the sphere; the others do not."""
    low, high = examinee.range
    x, seeds = examinee.x[rows], examinee.seeds[rows]
    fooled = torch.zeros_like(rows)
    for draw in range(DRAWS if len(x) else 0):
        moved = x + NORMS[norm].steepest(normal(seeds, draw, tuple(x.shape[1:]), x.dtype), size, x, low, high)
        fooled[rows] |= examinee.outputs(moved).argmax(1) != examinee.labels[rows]
    return fooled


def _unlike(examinee: Examinee) -> tuple[Tensor, Tensor, Tensor]:
    """Return samples, for each the next one of another predicted class, and the samples' classes."""
    places = torch.arange(len(examinee.x), device=examinee.x.device)
    unlike = examinee.labels[:, None] != examinee.labels[None, :]
    ahead = (places[None, :] - places[:, None]) % len(places)
    partner = torch.where(unlike, ahead, len(places)).argmin(1)
    rows = unlike.any(1)
    return examinee.x[rows], examinee.x[partner[rows]], examinee.labels[rows]


def _between(x: Tensor, other: Tensor, way: Tensor) -> Tensor:
    return x + column(way, x) * (other - x)
