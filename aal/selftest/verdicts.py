"""The table of checks, and the one function that runs them all."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from aal.runs.progress import Progress, quiet
from aal.selftest import attack_checks, model_checks
from aal.selftest.examinee import Examinee, Verdict

CHECKS: dict[str, Callable[[Examinee], Verdict]] = {
    "bounds": model_checks.bounds,
    "logits": model_checks.logits,
    "repeatable": model_checks.repeatable,
    "accuracy": model_checks.accuracy,
    "gradient": model_checks.gradient,
    "slope": model_checks.differences,
    "steps": attack_checks.steps,
    "radius": attack_checks.radius,
    "unbounded": attack_checks.unbounded,
    "restarts": attack_checks.restarts,
    "random search": attack_checks.random_search,
    "planted": attack_checks.planted,
}


def selftest(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    radius: float | None = None,
    norm: str = "linf",
    seeds: Tensor | None = None,
    batch_size: int = 64,
) -> list[Verdict]:
    """Tell whether attacks work on a model, before a robustness figure of it is trusted.

    The model is left as it was found. A check that cannot be run on it has failed.

    Args:
        model: A module from samples ``(B, ...)`` to logits ``(B, C)``, or to the logit of class 1 ``(B, 1)``.
        x: Natural samples ``(N, ...)``, floating point; a few hundred are plenty.
        y: Their labels ``(N,)``, whole numbers.
        bounds: The data's range (low, high); its ends may be infinite.
        radius: The attacks' radius in the units of ``x``, above 0; ``None`` for that of the ball around all points of
            which no element is further away than 8/255 of the range.
        norm: The attacks' norm: ``linf``, ``l2`` or ``l1``.
        seeds: int64 ``(N,)``, what each sample's randomness depends on; ``None`` for its row.
        batch_size: Samples in a batch; bounds the memory.

    Returns:
        One verdict for each entry of :data:`CHECKS`, in their order.

    Raises:
        UserError: An argument is not of this kind.
    """
    examinee = Examinee(
        model=model,
        x=x,
        y=y.to(x.device),
        bounds=bounds,
        norm=norm,
        chosen_radius=radius,
        seeds=torch.arange(len(x), device=x.device) if seeds is None else seeds.to(x.device),
        batch_size=batch_size,
    )
    return run_checks(examinee, quiet())


def run_checks(examinee: Examinee, progress: Progress) -> list[Verdict]:
    """Return one verdict for each entry of :data:`CHECKS`; a check that cannot be run has failed."""
    verdicts: list[Verdict] = []
    reasons: dict[str, str] = {}  # why a check could not be run, and the first such check
    with progress.task("checking", len(CHECKS)) as task:
        for name, check in CHECKS.items():
            try:
                verdict = check(examinee)
            except RuntimeError as error:  # RunStopped, and whatever torch says of a model that cannot be attacked
                why = str(error).partition("\n")[0]
                first = reasons.setdefault(why, name)
                meaning = f"could not be run: {why}" if first == name else f"could not be run either, as {first}"
                verdict = Verdict(name, "failed", f"The check {meaning}.", {})
            verdicts.append(verdict)
            task.advance(1)
    return verdicts
