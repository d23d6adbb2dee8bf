"""What to do about a verdict, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.wording import MAY_BE_NOISE, OTHER_STEPS

_OUTSIDE = (
    "If that is meant it is no mistake: exact numbers are known here for the Beta-Binomial alone."
)

_INSTEAD = (
    "Your program is right, and PyTorch's derivative is not: NumPyro's has no such error, nor has "
    "elbo_ref.maximize_elbo, and a normal guide does without it."
)
"""Advice where the kernel is all that is wrong."""

_ON_OPTIMUM = {
    "scale_unbounded": "More steps do not help: the loss has to change, to Trace_ELBO.",
    "unbounded": "More steps do not help: the model or the guide has to change.",
    "moved_away": (
        "The run moves away from its maximum: look at what the optimizer is given (old gradients "
        "set to zero, the sign of the loss), or take a smaller learning rate."
    ),
    "stands_still": (
        "More steps do not help at such a learning rate: let it fall later (a scheduler for epochs "
        "may be stepped in every step)."
    ),
    "drifting": (
        "More steps only go on drifting: hold one concentration or the mean fixed, or take the "
        "supremum for the answer."
    ),
    "elements_left": (
        "More steps only help if they reach all elements: look at how a step picks the parameters "
        "of its latents."
    ),
    MAY_BE_NOISE: (
        "Hand in the learning rate (--lr, optimizer=), which tells how far noise keeps a run from "
        "its maximum; if that is less, more steps."
    ),
    OTHER_STEPS: "More steps tell: the noise of this optimizer is not known here.",
    "weight_decay": "More steps do not help while weight decay holds them back: set it to 0.",
    "not_converged": "More steps, or a smaller learning rate at the end.",
    "noise_floor": (
        "A smaller learning rate at the end, or more particles: at this rate more steps may move "
        "them as far away again."
    ),
}
"""Advice for numbers that are not at a maximum; the first that applies."""


def advise(
    findings: Sequence[Finding],
    *,
    has_losses: bool,
    recorded: bool = False,
) -> tuple[str, ...]:
    """Say what to do about findings."""
    sentences = []
    statuses = {finding.status for finding in findings}
    mistakes = [finding for finding in findings if finding.status == "mistake"]
    if "outside" in statuses:
        sentences.append(_OUTSIDE)
    several = any(len({x.name, *x.rivals} - {"loss_mismatch"}) > 1 for x in mistakes)
    if several and not recorded:
        sentences.append("More evaluations, or a history of the parameters, tell them apart.")
    if {finding.name for finding in mistakes} == {"kernel_error"}:
        sentences.append(_INSTEAD)
    elif mistakes:
        where = "; a recording of a few steps shows if it is in the run or in the files."
        sentences.append(f"Correct that first{'.' if recorded else where}")
    elif not has_losses:
        sentences.append("Evaluate the loss some twenty times at these parameters and add that.")
    elif not recorded and not statuses & {"agrees", "outside", "optimum"}:
        sentences.append("A recording of a few steps tells more than numbers alone.")
    names = {x for finding in findings for x in (finding.name, finding.of)}
    if "optimum" in statuses and (not mistakes or "exact" in names):
        sentences += [text for name, text in _ON_OPTIMUM.items() if name in names][:1]
    return tuple(sentences)
