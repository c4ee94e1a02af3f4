"""Checks of the attacks on a model: whether more effort gains, and whether what must be found is found."""

from itertools import pairwise

import torch
from torch import Tensor

from aal.attacks import PGD
from aal.attacks.base import column
from aal.attacks.draws import normal
from aal.attacks.norms import norm_of
from aal.selftest.examinee import Subject, Verdict, percent, share

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


def steps(subject: Subject) -> Verdict:
    """Judge whether more steps gain."""
    results = [
        subject.attack(PGD(radius=subject.radius, norm=subject.norm, steps=n, random_start=False)) for n in STEPS
    ]
    fooled = [share(result.success) for result in results]
    losses = [float(result.info["loss"].mean()) for result in results]
    before = float(subject.loss.mean())
    figures = {"loss_before": before}
    for n, success, loss in zip(STEPS, fooled, losses, strict=True):
        figures |= {f"fooled_{n}": success, f"loss_{n}": loss}
    gains = ", ".join(f"{loss - before:.3g}" for loss in losses)
    effort, part = ", ".join(map(str, STEPS)), ", ".join(map(percent, fooled))
    found = f"{effort} steps fool {part} and raise the loss by {gains}"
    first, last = losses[0] - before, losses[-1] - before
    if last <= 0:
        text = f"{STEPS[-1]} steps do not raise the loss at all: the attack does not attack this model."
        return Verdict("steps", "failed", text, figures)
    if fooled[-1] < fooled[0] - NOISE or last < first * (1 - NOISE):
        return Verdict("steps", "failed", f"{found}: more steps do worse, so the gradients mislead.", figures)
    if fooled[0] < 1 and last <= first + NOTHING * max(abs(before), 1.0):
        text = f"{found}: more steps gain nothing, right for a linear model; for any other the gradients mislead."
        return Verdict("steps", "warned", text, figures)
    return Verdict("steps", "passed", f"{found}: more steps do no worse.", figures)


def radius(subject: Subject) -> Verdict:
    """Judge whether a larger radius gains, from the attacks' radius on, doubled until it holds the whole range."""
    radii = [subject.radius]
    while radii[-1] < subject.whole:
        radii.append(min(2 * radii[-1], subject.whole))
    tried = [min(USUAL_STEPS * 2**k, MANY_STEPS) for k in range(len(radii))]  # steps that grow do jump over regions
    fooled = [share(_by_gradient_alone(subject, subject.norm, size, n)) for size, n in zip(radii, tried, strict=True)]
    figures = {f"fooled_{size:.4g}": part for size, part in zip(radii, fooled, strict=True)}
    found = f"Doubling the radius from {radii[0]:.3g} to {radii[-1]:.3g} fools {', '.join(map(percent, fooled))}"
    if any(larger < smaller - NOISE for smaller, larger in pairwise(fooled)):
        return Verdict("radius", "failed", f"{found}: a larger radius does worse, so the gradients mislead.", figures)
    if fooled[-1] <= min(fooled[0] + NOISE, 1 - NOISE):
        return Verdict("radius", "failed", f"{found}: a larger radius gains nothing, so nothing is attacked.", figures)
    return Verdict("radius", "passed", f"{found}: it never does worse.", figures)


def unbounded(subject: Subject) -> Verdict:
    """Judge whether everything is fooled where everything is allowed, in L-inf: the norm makes no difference then."""
    low, high = subject.range
    fooled = share(_by_gradient_alone(subject, "linf", high - low, 2 * MANY_STEPS))
    figures = {"fooled": fooled}
    text = f"Where a sample may become any other within the range, {percent(fooled)} are fooled"
    if fooled < 1:
        return Verdict("unbounded", "failed", f"{text}: the others look robust only because attacks fail.", figures)
    return Verdict("unbounded", "passed", f"{text}, as must be.", figures)


def restarts(subject: Subject) -> Verdict:
    """Judge whether one random start is as good as many."""
    once, often = (
        subject.attack(PGD(radius=subject.radius, norm=subject.norm, steps=USUAL_STEPS, restarts=n))
        for n in (1, RESTARTS)
    )
    first, best = share(once.success), share(often.success)
    left = ~often.success
    before, after = once.info["loss"][left], often.info["loss"][left]
    figures = {"fooled_1": first, f"fooled_{RESTARTS}": best}
    found = f"{RESTARTS} random starts fool {percent(best)}, one fools {percent(first)}"
    if (after < before - NOTHING * before.abs().clamp_min(1)).any():
        text = f"{found}, and leave some with a lower loss: the model gives other outputs each time."
        return Verdict("restarts", "failed", text, figures)
    if best > first + MUCH_LUCK:
        return Verdict("restarts", "failed", f"{found}: luck decides, not the gradient.", figures)
    if best > first + LUCK:
        return Verdict("restarts", "warned", f"{found}: use as many before you call a sample robust.", figures)
    if len(after) and torch.allclose(after, before, rtol=NOTHING, atol=0):
        text = f"{found}: none ends higher, right where the loss has one peak in the ball; else the gradients mislead."
        return Verdict("restarts", "warned", text, figures)
    return Verdict("restarts", "passed", f"{found}.", figures)


def random_search(subject: Subject) -> Verdict:
    """Judge whether random perturbations fool samples that the attack does not."""
    missed = torch.zeros_like(subject.labels, dtype=torch.bool)
    low, high = subject.range
    for norm, size in ((subject.norm, subject.radius), ("linf", (high - low) / 4)):  # noise that most models mind
        attack = PGD(radius=size, norm=norm, steps=USUAL_STEPS, restarts=5, early_stop=True)
        left = ~subject.attack(attack).success
        missed |= left & _fooled_at_random(subject, norm, size, left)
    part = share(missed)
    figures = {"missed": part}
    text = f"On {percent(part)} of the samples the attack fails, but one of {DRAWS} random perturbations does not"
    if part > NOISE:
        return Verdict("random search", "failed", f"{text}: {MISSED}.", figures)
    if part:
        return Verdict("random search", "warned", f"{text}: {MISSED}.", figures)
    return Verdict("random search", "passed", f"{text}.", figures)


def planted(subject: Subject) -> Verdict:
    """Judge whether the attack finds adversarial examples that are known to be within half its radius.

    On the line from a sample to one that is predicted otherwise, the class changes somewhere: bisection finds where,
    and the attack is given a point on the near side.
    """
    x, other, labels = _unlike(subject)
    if len(x) == 0:
        text = "The model predicts one class for all samples, so nothing can be planted."
        return Verdict("planted", "warned", text, {"planted": 0})
    near, far = torch.zeros_like(labels, dtype=x.dtype), torch.ones_like(labels, dtype=x.dtype)
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        crossed = subject.outputs(_between(x, other, middle)).argmax(1) != labels
        near, far = torch.where(crossed, near, middle), torch.where(crossed, middle, far)
    length = subject.ball.size(other - x)
    back = (far - 0.5 * subject.radius / length).clamp_min(0).minimum(near)
    start = _between(x, other, back).clamp(*subject.range)
    kept = subject.outputs(start).argmax(1) == labels  # the line may cross the class more than once
    start, labels = start[kept], labels[kept]
    result = subject.attack(PGD(radius=subject.radius, norm=subject.norm, steps=50), start, labels)
    found = share(result.success)
    figures = {"planted": len(start), "found": found}
    text = f"Of {len(start)} adversarial examples known to be within half the radius, {percent(found)} are found"
    if found < SOME_FOUND:
        return Verdict("planted", "failed", f"{text}: {MISSED}.", figures)
    if found < FOUND:
        return Verdict("planted", "warned", f"{text}: {MISSED}.", figures)
    return Verdict("planted", "passed", f"{text}.", figures)


def _by_gradient_alone(subject: Subject, norm: str, size: float, steps: int) -> Tensor:
    """Tell which samples are fooled without a random start, which far enough away would fool most by itself; (N,)."""
    attack = PGD(radius=size, norm=norm, steps=steps, random_start=False, early_stop=True)
    return subject.attack(attack).success


def _fooled_at_random(subject: Subject, norm: str, size: float, rows: Tensor) -> Tensor:
    """Tell which of the samples ``rows`` ``(N,)`` change their class somewhere on the sphere; the others do not."""
    low, high = subject.range
    x, seeds = subject.x[rows], subject.seeds[rows]
    fooled = torch.zeros_like(rows)
    for draw in range(DRAWS if len(x) else 0):
        direction = normal(seeds, draw, tuple(x.shape[1:]), x.dtype)
        moved = x + norm_of(norm).steepest(direction, size, x, low, high)
        fooled[rows] |= subject.outputs(moved).argmax(1) != subject.labels[rows]
    return fooled


def _unlike(subject: Subject) -> tuple[Tensor, Tensor, Tensor]:
    """Return samples, for each the next one of another predicted class, and the samples' classes."""
    places = torch.arange(len(subject.x), device=subject.x.device)
    unlike = subject.labels[:, None] != subject.labels[None, :]
    ahead = (places[None, :] - places[:, None]) % len(places)
    partner = torch.where(unlike, ahead, len(places)).argmin(1)
    rows = unlike.any(1)
    return subject.x[rows], subject.x[partner[rows]], subject.labels[rows]


def _between(x: Tensor, other: Tensor, way: Tensor) -> Tensor:
    return x + column(way, x) * (other - x)
